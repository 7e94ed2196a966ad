"""The one file: the same folder gives the same bytes, and the launcher unpacks what was packed, or says why not."""

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
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


@pytest.mark.parametrize("damage", ["shorter", "changed", "missing", "replaced"])
def test_a_damaged_copy_is_replaced(program: Path, start: Start, tmp_path: Path, damage: str) -> None:
    start(program)
    (copy,) = copies(tmp_path)
    file = copy / "data" / "large"
    whole = file.read_bytes()
    if damage == "shorter":
        os.truncate(file, 5)
    elif damage == "changed":
        file.write_bytes(bytes(len(whole)))
    else:
        file.unlink()
    if damage == "replaced":
        file.symlink_to("/etc/passwd")
    assert start(program).returncode == 7
    assert not file.is_symlink()
    assert file.read_bytes() == whole
    assert copies(tmp_path) == [copy]


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


def test_several_first_starts_make_one_copy(program: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    env = {"HOME": str(tmp_path / "home")}
    started = [subprocess.Popen([program], env=env, stdout=subprocess.DEVNULL) for _ in range(8)]
    assert [process.wait(60) for process in started] == [7] * 8
    assert len(copies(tmp_path)) == 1


def test_copies_that_nobody_uses_go(program: Path, start: Start, tmp_path: Path) -> None:
    import fcntl

    cache = tmp_path / "home" / ".cache" / "cerebelum"
    old, used, foreign = cache / ("a" * 40), cache / ("b" * 40), cache / "photos"
    for folder in (old, used, foreign):
        folder.mkdir(parents=True)
        (folder / "file").touch()
        os.utime(folder, (0, 0))
    cache.chmod(0o700)
    lock = os.open(used, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_SH)
    try:
        start(program)
    finally:
        os.close(lock)
    assert not old.exists()
    assert used.exists()
    assert foreign.exists()
