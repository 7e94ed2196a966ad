"""The one file: the same folder gives the same bytes, and the launcher unpacks what was packed, or says why not."""

import fcntl
import importlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "build"))
binary: Any = importlib.import_module("binary")
pack: Any = importlib.import_module("pack")

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or bool(binary.missing()), reason="the launcher's tools are not here"
)

Start = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = binary.compile_launcher(tmp_path_factory.mktemp("launcher"))
    return path


@pytest.fixture
def program(launcher: Path, tmp_path: Path) -> Path:
    """A packed program that says its pid, arguments and environment."""
    root = tmp_path / "root"
    (root / "data" / "deep").mkdir(parents=True)
    (root / "cerebelum").write_text('#!/bin/sh\necho "$$ $* $_CEREBELUM_LAUNCHED"\nexit 7\n')
    (root / "cerebelum").chmod(0o755)
    (root / "data" / "deep" / "empty").touch()
    (root / "data" / "large").write_bytes(os.urandom(300_000))
    (root / "data" / "link").symlink_to("deep/empty")
    (root / "data" / "deep" / "module.pyc").write_bytes(b"code")
    pack.pack(launcher, root, tmp_path / "program")
    return tmp_path / "program"


@pytest.fixture
def start(tmp_path: Path) -> Start:
    def start(program: Path, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
        env = {"HOME": str(tmp_path / "home"), "PATH": os.defpath, **env}
        (tmp_path / "home").mkdir(exist_ok=True)
        return subprocess.run([program, *arguments], env=env, capture_output=True, text=True, timeout=60, check=False)

    return start


def copies(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "home" / ".cache" / "cerebelum").iterdir())


def test_the_same_folder_gives_the_same_bytes(program: Path, launcher: Path, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "root", tmp_path / "copy", symlinks=True)
    pack.pack(launcher, tmp_path / "copy", tmp_path / "again")
    assert program.read_bytes() == (tmp_path / "again").read_bytes()


def test_the_started_process_is_the_program(program: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    with subprocess.Popen(
        [program, "a", "b c"], env={"HOME": str(tmp_path / "home")}, stdout=subprocess.PIPE, text=True
    ) as process:
        said, _ = process.communicate(timeout=60)
    pid, rest = said.split(" ", 1)
    assert (int(pid), process.returncode) == (process.pid, 7)
    assert rest.startswith("a b c ")
    assert rest.strip().endswith(f":{program}")


def test_it_is_unpacked_for_its_owner_alone(program: Path, start: Start, tmp_path: Path) -> None:
    start(program)
    (copy,) = copies(tmp_path)
    assert [oct(path.stat().st_mode & 0o777) for path in (copy, copy.parent, copy / "cerebelum")] == ["0o700"] * 3
    assert (copy / "data" / "large").read_bytes() == (tmp_path / "root" / "data" / "large").read_bytes()
    assert os.readlink(copy / "data" / "link") == "deep/empty"


@pytest.mark.parametrize("damage", ["shorter", "changed", "missing", "replaced", "not executable"])
def test_a_damaged_copy_is_replaced(program: Path, start: Start, tmp_path: Path, damage: str) -> None:
    start(program)
    (copy,) = copies(tmp_path)
    file = copy / ("cerebelum" if damage == "not executable" else "data/large")
    whole = file.read_bytes()
    if damage == "not executable":
        file.chmod(0o600)
    elif damage == "shorter":
        os.truncate(file, 5)
    elif damage == "changed":
        file.write_bytes(bytes(len(whole)))
    else:
        file.unlink()
    if damage == "replaced":
        file.symlink_to("/etc/passwd")
    assert start(program, CEREBELUM_CACHE_DIR=str(copy.parent)).returncode == 7
    assert not file.is_symlink()
    assert file.read_bytes() == whole
    assert copies(tmp_path) == [copy]


@pytest.mark.parametrize("damage", ["missing", "missing, as if nothing was", "replaced", "moved away with its folder"])
def test_a_copy_without_one_of_its_modules_is_replaced(
    program: Path, start: Start, tmp_path: Path, damage: str
) -> None:
    start(program)
    (copy,) = copies(tmp_path)
    folder = copy / "data" / "deep"
    times = folder.stat()
    if damage == "moved away with its folder":
        folder.rename(tmp_path / "away")
    else:
        (folder / "module.pyc").unlink()
    if damage == "replaced":
        (folder / "module.pyc").write_bytes(b"other")
    if damage == "missing, as if nothing was":
        # So does systemd-tmpfiles.
        os.utime(folder, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert start(program).returncode == 7
    assert (folder / "module.pyc").read_bytes() == b"code"


# In this way a power cut damages files: it is looked for once a day, and after each start of the machine.
@pytest.mark.parametrize("seen", ["two days ago", "before the machine was started", "in the future"])
def test_a_module_that_became_short_is_found_when_all_are_looked_at(
    program: Path, start: Start, tmp_path: Path, seen: str
) -> None:
    start(program)
    (copy,) = copies(tmp_path)
    module = copy / "data" / "deep" / "module.pyc"
    os.truncate(module, 1)
    now = time.time()
    times = {
        "two days ago": now - 2 * 86400,
        "before the machine was started": now - time.clock_gettime(time.CLOCK_BOOTTIME) - 5,
        "in the future": now + 3600,
    }
    os.utime(copy, (times[seen], times[seen]))
    assert start(program).returncode == 7
    assert module.read_bytes() == b"code"
    assert abs(copies(tmp_path)[0].stat().st_mtime - now) < 600


def test_what_somebody_adds_to_a_copy_makes_no_other_copy(program: Path, start: Start, tmp_path: Path) -> None:
    start(program)
    (copy,) = copies(tmp_path)
    folder = copy / "data" / "deep"
    (folder / "more").touch()
    before = copy.stat()
    time.sleep(0.05)
    assert start(program).returncode == 7
    assert ((folder / "more").exists(), copy.stat().st_ino) == (True, before.st_ino)
    seen = copy.stat().st_mtime_ns
    assert seen > before.st_mtime_ns, "it was looked at whole"
    time.sleep(0.05)
    assert start(program).returncode == 7
    assert copy.stat().st_mtime_ns == seen, "and then that was known"


def test_a_link_that_leads_elsewhere_is_replaced(program: Path, start: Start, tmp_path: Path) -> None:
    start(program)
    (copy,) = copies(tmp_path)
    (copy / "data" / "link").unlink()
    (copy / "data" / "link").symlink_to("/bin/sh")
    assert start(program).returncode == 7
    assert os.readlink(copy / "data" / "link") == "deep/empty"


@pytest.mark.parametrize("place", ["launcher", "list", "contents", "footer", "cut"])
def test_an_altered_file_is_refused(program: Path, start: Start, tmp_path: Path, launcher: Path, place: str) -> None:
    whole = bytearray(program.read_bytes())
    at = {"launcher": 0x20000, "list": len(launcher.read_bytes()) + 20, "contents": -100_000, "footer": -40, "cut": -1}
    if place == "cut":
        del whole[-9:]
    else:
        whole[at[place]] ^= 0x10
    if place == "launcher":
        # In a part of it that is never executed here.
        whole[at[place]] ^= 0x10
        whole[bytes(whole).index(b"finds no place")] ^= 1
    program.write_bytes(whole)
    refused = start(program)
    assert refused.returncode == 65
    assert "download it again" in refused.stderr


@pytest.mark.parametrize("kind", ["link", "open", "below open", "file"])
def test_a_place_that_is_not_safe_is_not_used(program: Path, start: Start, tmp_path: Path, kind: str) -> None:
    (tmp_path / "target").mkdir()
    place = tmp_path / "place"
    if kind == "link":
        place.symlink_to("target")
    elif kind == "file":
        place.touch()
    else:
        place.mkdir()
        place.chmod(0o777)
    given = place / "below" if kind == "below open" else place
    refused = start(program, CEREBELUM_CACHE_DIR=str(given))
    assert refused.returncode == 71
    assert str(given) in refused.stderr
    assert "CEREBELUM_CACHE_DIR" in refused.stderr
    assert not list((tmp_path / "target").iterdir())


@pytest.mark.skipif(os.getuid() != 0, reason="giving folders away needs root")
def test_a_place_that_its_owner_can_replace_is_not_used(program: Path, start: Start, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    place.chmod(0o1777)
    os.chown(place, 12345, 12345)
    refused = start(program, CEREBELUM_CACHE_DIR=str(place / "below"))
    assert (refused.returncode, "others can replace it" in refused.stderr) == (71, True)


# Rootless containers look like these: the system's root has no number there, and owns `/` or only what is below.
@pytest.mark.skipif(os.getuid() != 0, reason="becoming somebody else needs root")
@pytest.mark.parametrize("new_root", [False, True])
def test_folders_of_the_real_root_are_trusted_in_a_user_namespace(program: Path, new_root: bool) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as home:
        os.chown(home, 12345, 12345)
        shutil.copy(program, home)
        command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"]
        mounts = "mount -t tmpfs tmpfs /mnt; cd /mnt; ls / | while read f; do if test -d /$f && ! test -L /$f; then"
        mounts += " mkdir $f; mount --rbind /$f $f; else cp -d /$f $f; fi; done; exec chroot /mnt"
        script = f"{mounts if new_root else 'exec'} {home}/program"
        if subprocess.run([*command, "mount -t tmpfs tmpfs /mnt"], user=12345, check=False).returncode:
            pytest.skip("no user namespaces here")
        env = {"CEREBELUM_CACHE_DIR": f"{home}/cache", "PATH": f"{os.defpath}:/usr/sbin:/sbin"}
        done = subprocess.run(
            [*command, script], user=12345, env=env, cwd="/", capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (7, "")


@pytest.mark.skipif(os.getuid() != 0, reason="becoming somebody else needs root")
def test_folders_of_the_real_root_are_trusted_where_its_number_is_another_users(program: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as home:
        os.chown(home, 12345, 12345)
        shutil.copy(program, home)
        with subprocess.Popen(
            ["unshare", "--user", "sh", "-c", "echo; read go; exec ./program"], user=12345, cwd=home, text=True,
            env={"CEREBELUM_CACHE_DIR": f"{home}/cache", "PATH": os.defpath}, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            if process.stdout is None or not process.stdout.readline():
                pytest.skip("no user namespaces here")
            Path(f"/proc/{process.pid}/uid_map").write_text("0 12345 1\n1 100000 65536\n")
            _, said = process.communicate("go\n", timeout=60)
        assert (process.returncode, said) == (7, "")


def test_a_copy_that_is_being_removed_is_not_started(program: Path, start: Start, tmp_path: Path) -> None:
    start(program)
    (copy,) = copies(tmp_path)
    before, lock = copy.stat().st_ino, os.open(copy, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        assert start(program).returncode == 7
    finally:
        os.close(lock)
    assert copies(tmp_path) == [copy]
    assert copy.stat().st_ino != before


def test_a_system_without_glibc_is_told_once(launcher: Path, start: Start, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "cerebelum").write_text("#!/no/such/loader\n")
    (root / "cerebelum").chmod(0o755)
    pack.pack(launcher, root, tmp_path / "program")
    failed = start(tmp_path / "program", TMPDIR=str(tmp_path))
    assert failed.returncode == 71
    assert "glibc: /lib" in failed.stderr
    assert "package" in failed.stderr
    assert not copies(tmp_path)
    assert not list(tmp_path.glob("cerebelum-*"))


def test_several_first_starts_make_one_copy(program: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    env = {"HOME": str(tmp_path / "home")}
    started = [subprocess.Popen([program], env=env, stdout=subprocess.DEVNULL) for _ in range(8)]
    assert [process.wait(60) for process in started] == [7] * 8
    assert len(copies(tmp_path)) == 1


def test_copies_that_nobody_uses_go(program: Path, start: Start, tmp_path: Path) -> None:
    cache = tmp_path / "home" / ".cache" / "cerebelum"
    old, used, foreign = cache / ("a" * 40), cache / ("b" * 40), cache / "photos"
    mine, commit = cache / ("c" * 40 + "-mine"), cache / ("d" * 40)
    for folder in (old, used, foreign, mine, commit):
        folder.mkdir(parents=True)
        (folder / ("file" if folder == commit else "cerebelum")).touch()
        os.utime(folder, (0, 0))
    cache.chmod(0o700)
    lock = os.open(used, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_SH)
    try:
        start(program)
    finally:
        os.close(lock)
    assert not old.exists()
    assert all(folder.exists() for folder in (used, foreign, mine, commit))


def test_they_also_go_when_nothing_is_unpacked(program: Path, start: Start, tmp_path: Path) -> None:
    start(program)
    (copy,) = copies(tmp_path)
    old = copy.parent / ("a" * 40)
    old.mkdir()
    (old / "cerebelum").touch()
    os.utime(old, (0, 0))
    start(program)
    assert old.exists()
    os.utime(copy, (time.time() - 100_000,) * 2)
    start(program)
    assert copies(tmp_path) == [copy]


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_another_machines_libraries_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    for name in ("x86_64", "aarch64"):
        (tmp_path / "lib" / f"{name}-linux-gnu").mkdir(parents=True)
    (tmp_path / "lib" / "aarch64-linux-gnu" / "libzstd.a").touch()
    assert binary.libzstd(tmp_path).is_file() == (machine == "aarch64")
    (tmp_path / "lib" / "x86_64-linux-gnu" / "libzstd.a").touch()
    assert binary.libzstd(tmp_path).parent.name == f"{machine}-linux-gnu"


def test_the_sqlite_that_goes_in_is_the_one_that_counts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pysqlite3(*version: int) -> SimpleNamespace:
        return SimpleNamespace(dbapi2=SimpleNamespace(sqlite_version_info=version))

    monkeypatch.setitem(sys.modules, "pysqlite3", pysqlite3(3, 51, 2))
    with pytest.raises(SystemExit, match=r"3\.51\.2 of pysqlite3 is older than 3\.51\.3"):
        binary.check_sqlite()
    monkeypatch.setitem(sys.modules, "pysqlite3", pysqlite3(3, 51, 3))
    binary.check_sqlite()
    assert not capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "pysqlite3", None)
    binary.check_sqlite()
    assert "of Python goes in" in capsys.readouterr().out
    monkeypatch.setattr("sqlite3.sqlite_version_info", (3, 37, 2))
    with pytest.raises(SystemExit, match="of Python is older"):
        binary.check_sqlite()
