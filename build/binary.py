"""Builds `dist/cerebelum`, one file: `make binary`. Everything it makes is below `dist/`.

With CEREBELUM_FILE=cerebelum-service it is `dist/cerebelum-service`, the same with gRPC in it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import certifi
from contents import FILE, sqlite
from glibc import PARTS, NotPortable, lower, needs, offers
from layout import PYTHON, arrange, libraries
from pack import pack
from warm import warm

ROOT = Path(__file__).resolve().parent.parent
GLIBC_FLOOR = (2, 27)
"""The oldest glibc that the binary runs on; docs/install.md says which distributions have it."""

_PACKAGES = {"gcc": "gcc", "strip": "binutils", "nm": "binutils", "zstd": "zstd", "patchelf": "patchelf"}


class CannotBuild(SystemExit):
    """What is missing on this machine, or wrong with what was built."""


def missing() -> list[str]:
    """Debian's packages with what the launcher form needs and this machine does not have."""
    packages = {package for tool, package in _PACKAGES.items() if shutil.which(tool) is None}
    if shutil.which("musl-gcc") is None:
        packages.add("musl-tools")
    if not (libzstd().is_file() and Path("/usr/include/zstd.h").is_file()):
        packages.add("libzstd-dev")
    return sorted(packages)


def libzstd(usr: Path = Path("/usr")) -> Path:
    """The static library that the launcher unpacks with."""
    # Debian may have other machines' libraries beside ours.
    for folder in (usr / "lib" / f"{platform.machine()}-linux-gnu", usr / "lib64"):
        if (folder / "libzstd.a").is_file():
            return folder / "libzstd.a"
    return usr / "lib" / "libzstd.a"


def compile_launcher(work: Path) -> Path:
    """The static launcher."""
    headers = work / "include"
    headers.mkdir(parents=True, exist_ok=True)
    # All of /usr/include would bring glibc's headers along.
    for name in ("zstd.h", "zstd_errors.h"):
        shutil.copy(Path("/usr/include") / name, headers)
    out = work / "launcher"
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O2", "-static", "-s", "-Wl,--build-id=none"]
    source = Path("build/launcher/launcher.c")
    run("musl-gcc", *flags, f"-I{headers}", "-o", str(out), str(source), str(libzstd()))
    return out


def compile_program(work: Path, libpython: Path) -> Path:
    """What the launcher becomes; `libpython` is the folder with Python as a library.

    Python is linked into it where it is there as an archive, and then leaves that folder: calls within it are direct
    ones, and at the start thousands of its symbols need not be looked up (2 to 3 ms of each command).
    """
    out = work / "program"
    (library,) = libpython.glob(f"libpython{sys.version_info[0]}.{sys.version_info[1]}*.so.*")
    archive = Path(sysconfig.get_config_var("LIBPL") or "", sysconfig.get_config_var("LIBRARY") or "")
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O2", "-s", "-fvisibility=hidden", "-Wl,--build-id=none"]
    # All of glibc's parts, used or not: where they are separate, other libraries find their symbols through them.
    links = ["-rdynamic", "-Wl,--no-as-needed", *(f"-l:{name}" for name in PARTS)]
    links += [f"-L{libpython}", f"-Wl,-rpath-link,{libpython}", "-Wl,--disable-new-dtags,-rpath,$ORIGIN/lib"]
    compiler = ("gcc", *flags, "-o", str(out), "build/launcher/program.c")
    if archive.is_file():
        try:
            run(*compiler, "-Wl,--whole-archive", str(archive), "-Wl,--no-whole-archive", *links)
        except CannotBuild:
            print(f"note: {archive} cannot be linked into the program, so that Python is a library beside it")
        else:
            library.unlink()
            return out
    run(*compiler, f"-l:{library.name}", *links)
    return out


def run(*command: str, env: dict[str, str] | None = None) -> None:
    """Run a command of the build. Raises CannotBuild when it fails."""
    done = subprocess.run(command, cwd=ROOT, env=env, check=False)
    if done.returncode:
        raise CannotBuild(f"{command[0]} failed with exit code {done.returncode}")


def git(*arguments: str) -> str:
    """What git says, or nothing outside of a repository."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def epoch() -> str:
    """The time that stands for the time of the build: equal sources give equal files."""
    return os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct") or "1577836800"


def freeze(work: Path, form: str) -> Path:
    """Let PyInstaller make its folder or file, with what `contents.FILE` has in it; returns its path."""
    data = work / "data"
    data.mkdir(parents=True)
    facts = {"commit": git("rev-parse", "HEAD") or None, "form": form}
    (data / "build.json").write_text(json.dumps(facts, sort_keys=True) + "\n")
    shutil.copy(certifi.where(), data / "cacert.pem")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "_PYI", "PYINSTALLER"))}
    env |= {
        "CEREBELUM_FORM": form,
        "CEREBELUM_FILE": FILE,
        "CEREBELUM_DATA": "\n".join(f"{data / name}\tcerebelum_frozen" for name in sorted(os.listdir(data))),
        "PYTHONHASHSEED": "0",
        # Where in a line an error is, which is marked in a traceback, makes a tenth of the file.
        "PYTHONNODEBUGRANGES": "1",
        "SOURCE_DATE_EPOCH": epoch(),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        # Builds at the same time would spoil the one in the home.
        "PYINSTALLER_CONFIG_DIR": str(work / "pyinstaller"),
        # Modules are read faster, and the whole compresses better.
        "PYINSTALLER_ZLIB_COMPRESSION_LEVEL": "0" if form == "folder" else "6",
        # Otherwise setuptools' copy of distutils is taken for the standard library's.
        "SETUPTOOLS_USE_DISTUTILS": "stdlib",
    }
    places = ["--distpath", str(work / "frozen"), "--workpath", str(work / "work")]
    run(sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN", *places, "cerebelum.spec", env=env)
    return work / "frozen" / ("cerebelum.exe" if os.name == "nt" else "cerebelum")


def lower_glibc(folder: Path) -> None:
    """Make every file run with the promised glibc. Raises CannotBuild when that cannot be."""
    offered, changed = offers(folder / "cerebelum"), 0
    for library in libraries(folder):
        try:
            changed += len(lower(library, GLIBC_FLOOR, offered))
        except NotPortable as why:
            raise CannotBuild(f"{why}: build on an older system, or change the promise") from None
    version, name = max((needs(library), library.name) for library in libraries(folder))
    print(f"needs glibc {text(version)} (because of {name}); promised: {text(GLIBC_FLOOR)}; {changed} symbols changed")
    if version > GLIBC_FLOOR:
        raise CannotBuild(f"{name} needs glibc {text(version)}: build on an older system, or change the promise")


def text(version: tuple[int, ...]) -> str:
    """`2.27` for (2, 27)."""
    return ".".join(map(str, version))


def build(dist: Path, form: str) -> Path:
    """Build the binary and what goes with it; returns its path."""
    work = dist / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    frozen = freeze(work, form)
    out = dist / frozen.name.replace("cerebelum", FILE)
    if form == "folder":
        arrange(frozen, compile_program(work, frozen / "_internal"), work / "root")
        lower_glibc(work / "root")
        # As above: no marks in lines.
        run(sys.executable, "-X", "no_debug_ranges", "build/bare.py", str(work / "root" / "lib" / PYTHON), str(ROOT))
        print(f"{warm(work / 'root')} modules are read at once")
        build_id = pack(compile_launcher(work), work / "root", out)
        print(f"build id {build_id}")
    else:
        shutil.copy2(frozen, out)
    shutil.copy(work / "work" / "cerebelum" / "generated" / "cerebelum.cdx.json", dist / f"{FILE}.cdx.json")
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    note_digest(dist / "SHA256SUMS", digest, out.name)
    shutil.rmtree(work)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, Python {platform.python_version()}, SHA-256 {digest}")
    return out


def note_digest(sums: Path, digest: str, name: str) -> None:
    """Write the digest of a file into the list of them, in the place of an older one."""
    known = sums.read_text().splitlines() if sums.exists() else []
    lines = [line for line in known if line.split()[-1] != name] + [f"{digest}  {name}"]
    sums.write_text("".join(f"{line}\n" for line in sorted(lines, key=lambda line: line.split()[-1])))


def choose_form(asked: str | None) -> str:
    """`folder` where the launcher can be built, else PyInstaller's `onefile`, saying what that costs."""
    if asked is not None:
        return asked
    if sys.platform != "linux":
        lost = f"{sys.platform} has no launcher yet"
    elif shutil.which("gcc") is None and shutil.which("musl-gcc") is None:
        lost = "there is no compiler (on Debian: apt-get install " + " ".join(missing()) + ")"
    else:
        return "folder"
    print(
        f"note: {lost}, so this is PyInstaller's one-file form. It unpacks itself at every start (0.2 to 0.4 s), and is"
        " two processes.",
        file=sys.stderr,
    )
    return "onefile"


def check_sqlite() -> None:
    """Print a note where the packed SQLite is not the promised one. Raises CannotBuild where it is of no use."""
    packed = sqlite()
    if packed.version < packed.least:
        raise CannotBuild(f"SQLite {text(packed.version)} of {packed.owner} is older than {text(packed.least)}")
    if not packed.promised:
        print(f"note: SQLite {text(packed.version)} of {packed.owner} goes in: no wheel of pysqlite3 is installed")


def main() -> None:
    """Command line of the build."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="where everything is put")
    parser.add_argument("--form", choices=("folder", "onefile"), help="default: folder where a compiler is")
    given = parser.parse_args()
    form = choose_form(given.form)
    if form == "folder" and missing():
        raise CannotBuild("missing for the binary; on Debian: apt-get install " + " ".join(missing()))
    check_sqlite()
    build(given.dist.resolve(), form)


if __name__ == "__main__":
    main()
