"""What the launcher becomes: cerebelum, whatever the environment, or a true interpreter; on old systems, too."""

import importlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "build"), str(ROOT / "build" / "frozen")]
binary: Any = importlib.import_module("binary")
layout: Any = importlib.import_module("layout")
glibc: Any = importlib.import_module("glibc")
certificates: Any = importlib.import_module("cerebelum_frozen.certificates")

LIBPYTHON = Path(sysconfig.get_config_var("LIBDIR") or "") / str(sysconfig.get_config_var("INSTSONAME"))
ARCHIVE = Path(sysconfig.get_config_var("LIBPL") or "") / str(sysconfig.get_config_var("LIBRARY"))
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or bool(binary.missing()) or not LIBPYTHON.is_file() or ".so" not in LIBPYTHON.name,
    reason="the tools of the build, or Python as a library, are not here",
)

# Stands for the real package: says how it was started.
CEREBELUM = """
import builtins, json, os, sys
def main():
    told = {"argv": sys.argv, "file": sys.cerebelum_file, "executable": sys.executable, "path": sys.path,
            "env": dict(os.environ), "utf8": sys.flags.utf8_mode, "bytecode": not sys.dont_write_bytecode,
            "cmdline": open("/proc/self/cmdline").read().split("\\0")[:-1], "exit": hasattr(builtins, "exit"),
            "frozen": hasattr(sys, "frozen"), "typing": "typing" in sys.modules, "os.stat": os.stat("/").st_mode}
    sys.stdout.buffer.write(json.dumps(told).encode())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An arranged folder, with the standard library of this interpreter linked into it."""
    work = tmp_path_factory.mktemp("program")
    inside = work / "collected" / "_internal"
    shutil.copytree(ROOT / "build" / "frozen" / "cerebelum_frozen", inside / "cerebelum_frozen")
    (inside / "cerebelum").mkdir()
    (inside / "cerebelum" / "__main__.py").write_text(CEREBELUM)
    (inside / "cerebelum" / "types.pyi").touch()
    dynload = inside / layout.PYTHON / "lib-dynload"
    dynload.mkdir(parents=True)
    for file in Path(sysconfig.get_path("stdlib")).joinpath("lib-dynload").glob("_posix*.so"):
        shutil.copy(file, dynload)
    shutil.copy(LIBPYTHON, inside)
    root = work / "root"
    layout.arrange(work / "collected", binary.compile_program(work, inside), root)
    binary.lower_glibc(root)
    for path in Path(sysconfig.get_path("stdlib")).iterdir():
        if path.name not in ("lib-dynload", "site-packages"):
            (root / "lib" / layout.PYTHON / path.name).symlink_to(path)
    return root


@pytest.mark.parametrize("archive", ["missing", "of no use"])
def test_python_is_a_library_beside_the_program_where_it_cannot_be_linked_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: str
) -> None:
    if archive == "of no use":
        (tmp_path / "libpython.a").write_text("no archive")
    given = {"LIBPL": str(tmp_path), "LIBRARY": "libpython.a"}
    monkeypatch.setattr(binary.sysconfig, "get_config_var", given.get)
    (tmp_path / "inside").mkdir()
    shutil.copy(LIBPYTHON, tmp_path / "inside")
    program = binary.compile_program(tmp_path, tmp_path / "inside")
    assert (tmp_path / "inside" / LIBPYTHON.name).is_file()
    needed = subprocess.run(["patchelf", "--print-needed", program], capture_output=True, text=True, check=True).stdout
    assert LIBPYTHON.name in needed.split()


def started(folder: Path, *arguments: str, **env: str) -> dict[str, Any]:
    said = subprocess.run(
        ["my tool", *arguments], executable=folder / "cerebelum", env=env, capture_output=True, timeout=60, check=True
    )
    told: dict[str, Any] = json.loads(said.stdout)
    return told


def test_cerebelum_gets_the_arguments_as_they_were_given(folder: Path) -> None:
    for arguments in ([], ["-c", "1", ""], ["run", "a b ü 🧠.yaml", "--", "-m"]):
        told = started(folder, *arguments)
        assert told["argv"] == told["cmdline"] == ["my tool", *arguments]


def test_a_users_environment_means_nothing_to_cerebelum_and_reaches_children(folder: Path, tmp_path: Path) -> None:
    (tmp_path / LIBPYTHON.name).write_text("not a library")
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong module')")
    env = {
        "PYTHONPATH": str(tmp_path), "PYTHONHOME": "/nowhere", "PYTHONOPTIMIZE": "2", "PYTHONUTF8": "0",
        "LD_LIBRARY_PATH": str(tmp_path), "VIRTUAL_ENV": "/some/venv", "PYTHONINSPECT": "1",
    }  # fmt: skip
    told = started(folder, **env)
    assert told["env"] == env
    assert told["utf8"] == 1


@pytest.mark.parametrize("env", [{}, {"LANG": "C"}, {"LC_ALL": "POSIX"}, {"LC_CTYPE": "C"}, {"LC_CTYPE": "C.UTF-8"}])
def test_text_is_utf_8_and_the_locale_stays_the_users(folder: Path, env: dict[str, str]) -> None:
    told = started(folder, "ü", **env)
    assert (told["argv"][1], told["env"], told["utf8"]) == ("ü", env, 1)


def test_the_note_of_the_launcher_is_taken_and_goes_no_further(folder: Path) -> None:
    told = started(folder, _CEREBELUM_LAUNCHED="2:/opt/my cerebelum")
    assert (told["file"], told["env"]) == ("/opt/my cerebelum", {})
    assert started(folder, _CEREBELUM_LAUNCHED="rubbish")["env"] == {}


def test_cerebelum_finds_a_python_like_any_other(folder: Path) -> None:
    told = started(folder)
    assert told["executable"] == str(folder / "bin" / "python3")
    assert told["exit"]
    assert not told["frozen"]
    assert not told["typing"], "costs 8 ms at every start"
    assert all(path.startswith(str(folder)) for path in told["path"])
    assert told["bytecode"]
    assert not started(folder, PYTHONDONTWRITEBYTECODE="1")["bytecode"]


@pytest.mark.parametrize("name", ["python", "python3", layout.PYTHON])
def test_the_names_of_an_interpreter_make_one(folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "sibling.py").write_text("V = 3\n")
    (tmp_path / "script.py").write_text("import sys, sibling; print(sys.argv, sibling.V, sys.flags.isolated)\n")
    lines = [["-c", "import sys, sibling; print(sys.argv)", "a"], ["-m", "json.tool", "--help"], ["script.py", "b"]]
    for line in [*lines, ["-OOc", "import sys; print(sys.flags)"], ["-c", "exit(3)"], ["--no-such-option"], ["-V"]]:
        env = {"PYTHONPATH": str(tmp_path), "PATH": os.defpath}
        outcomes = [
            subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
            for command in ([str(folder / "bin" / name), *line], [sys.executable, *line])
        ]
        assert outcomes[0].stdout == outcomes[1].stdout
        assert outcomes[0].returncode == outcomes[1].returncode


def test_the_interpreter_finds_itself_whatever_it_is_called(folder: Path) -> None:
    code = "import sys; print(sys.executable, sys.prefix)"
    said = subprocess.run(
        ["python3", "-c", code], executable=folder / "bin" / "python3", env={"PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert said.stdout.split() == [str(folder / "bin" / "python3"), str(folder)]


@pytest.mark.parametrize("name", ["mytool", "python-tool"])
def test_a_script_that_names_the_interpreter_is_run_by_it(folder: Path, tmp_path: Path, name: str) -> None:
    python = folder / "bin" / "python3"
    script = tmp_path / name
    script.write_text(f"#!{python}\nimport sys; print(sys.executable, *sys.argv)\n")
    script.chmod(0o755)
    command = [f"./{name}", "a"]
    said = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True, timeout=60, check=True).stdout
    assert said.split() == [str(python), *command]


def test_only_what_is_needed_gets_in(folder: Path) -> None:
    assert not list(folder.rglob("*.pyi"))
    assert (folder / "lib" / LIBPYTHON.name).is_file() != ARCHIVE.is_file()


def test_a_library_that_would_not_be_found_fails_the_build(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    subprocess.run(["gcc", "-shared", "-o", "libgone.so", "-x", "c", "/dev/null"], cwd=tmp_path, check=True)
    command = ["gcc", "-shared", "-Wl,--no-as-needed", "-o", "lib/libmine.so", "libgone.so", "-x", "c", "/dev/null"]
    subprocess.run(command, cwd=tmp_path, check=True)
    with pytest.raises(SystemExit, match=r"libgone\.so"):
        layout.connect(tmp_path)


def test_every_library_runs_with_the_promised_glibc(folder: Path) -> None:
    assert max(glibc.needs(library) for library in layout.libraries(folder)) <= binary.GLIBC_FLOOR


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """A library that needs a newer glibc than is promised."""
    source = "int close_range(unsigned, unsigned, int); int f(void) { return close_range(~0U, ~0U, 0); }"
    (tmp_path / "newer.c").write_text(source)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", "newer.so", "newer.c"], cwd=tmp_path, check=True)
    if glibc.needs(tmp_path / "newer.so") < (2, 34):
        pytest.skip("the glibc of this machine is older")
    return tmp_path / "newer.so"


def test_a_symbol_that_old_systems_lack_fails_the_build_unless_the_program_offers_it(newer: Path) -> None:
    with pytest.raises(glibc.NotPortable, match="close_range"):
        glibc.lower(newer, (2, 28), set())
    assert glibc.lower(newer, (2, 28), {"close_range"}) == {"close_range"}
    assert glibc.needs(newer) <= (2, 28)
    subprocess.run([sys.executable, "-c", f"import ctypes; ctypes.CDLL({str(newer)!r}).f()"], check=True)


def test_a_library_without_the_first_version_of_glibc_fails_the_build(tmp_path: Path) -> None:
    source = "int close_range(unsigned, unsigned, int); long getrandom(void *, unsigned long, unsigned);"
    source += "int f(void) { return close_range(1, 0, 0) + (int)getrandom(0, 0, 0); }"
    (tmp_path / "bare.c").write_text(source)
    subprocess.run(["gcc", "-shared", "-fPIC", "-nostdlib", "-o", "bare.so", "bare.c", "-lc"], cwd=tmp_path, check=True)
    if glibc.needs(tmp_path / "bare.so") < (2, 34):
        pytest.skip("the glibc of this machine is older")
    with pytest.raises(glibc.NotPortable, match=r"no GLIBC_2"):
        glibc.lower(tmp_path / "bare.so", (2, 28), {"close_range"})


def test_the_program_offers_what_the_oldest_promised_glibc_lacks(folder: Path) -> None:
    assert {"stat", "fstat64", "mknodat", "close_range", "sem_clockwait"} <= glibc.offers(folder / "cerebelum")


def test_certificates_are_taken_from_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    default, empty, bundle = tmp_path / "cert.pem", tmp_path / "certs", tmp_path / "bundle.pem"
    empty.mkdir()
    bundle.write_text("certificates")
    monkeypatch.setattr(certificates, "PLACES", ("/nowhere.pem", str(bundle)))
    assert certificates.instead(str(default), str(empty)) == str(bundle)
    monkeypatch.setenv("SSL_CERT_FILE", "/mine.pem")
    assert certificates.instead(str(default), str(empty)) is None
    monkeypatch.delenv("SSL_CERT_FILE")
    default.write_text("certificates")
    assert certificates.instead(str(default), str(empty)) is None
