"""Makes the folder that the launcher carries, arranged as an installed Python is, from what PyInstaller collected."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import glibc
from contents import SYSTEM

PYTHON = f"python{sys.version_info[0]}.{sys.version_info[1]}"
_NOT_NEEDED = {".pyi", ".typed", ".pyx", ".pxd", ".c", ".h"}
_LINKS = ("python", "python3", PYTHON)
# The last one serves the module `crypt` alone, which says so where the system has none.
_OF_THE_SYSTEM = (*glibc.PARTS, "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libcrypt.so.1")


class WrongLayout(SystemExit):
    """What the program would miss on another machine."""


def arrange(collected: Path, program: Path, root: Path) -> None:
    """Fill the new folder `root` from PyInstaller's folder and the compiled program.c."""
    (root / "bin").mkdir(parents=True)
    for name in _LINKS:
        (root / "bin" / name).symlink_to("../cerebelum")
    shutil.copy2(program, root / "cerebelum")
    inside = collected / "_internal"
    for path in sorted(inside.rglob("*")):
        if path.is_dir() or path.suffix in _NOT_NEEDED:
            continue
        there = root / place(path.relative_to(inside))
        # PyInstaller links the libraries of wheels into its only folder of libraries; they find each other without.
        if not path.is_symlink():
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, there)
    connect(root)


def place(path: Path) -> Path:
    """Where a file of PyInstaller's folder belongs."""
    if len(path.parts) == 1 and path.name.startswith("lib") and ".so" in path.name:
        return Path("lib") / path
    if path.parts[0] == PYTHON:
        return Path("lib") / path
    return Path("lib") / PYTHON / path


def libraries(folder: Path) -> list[Path]:
    """The ELF files of a folder."""
    return sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink() and _is_elf(p))


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def connect(root: Path) -> None:
    """Let every library find the others by where it is itself. Raises WrongLayout if one would not be found."""
    shared = {path.name for path in (root / "lib").iterdir() if path.is_file()}
    for library in libraries(root):
        wanted = _patchelf("--print-needed", library)
        told = "".join(_patchelf("--print-rpath", library))
        folders = [folder for folder in told.split(":") if folder.startswith("$ORIGIN")]
        if not shared.isdisjoint(wanted):
            folders.append(f"$ORIGIN/{os.path.relpath(root / 'lib', library.parent)}".removesuffix("/."))
        folders = list(dict.fromkeys(folders))
        # Not RUNPATH, which the user's LD_LIBRARY_PATH would come before.
        if folders:
            _patchelf("--force-rpath", "--set-rpath", ":".join(folders), library)
        elif told:
            _patchelf("--remove-rpath", library)
        for name in set(wanted) - set(_OF_THE_SYSTEM) - SYSTEM:
            if not any((library.parent / f.replace("$ORIGIN", ".", 1) / name).is_file() for f in folders):
                raise WrongLayout(f"{library.relative_to(root)} needs {name}, which is not in the program")


def _patchelf(*arguments: str | Path) -> list[str]:
    done = subprocess.run(["patchelf", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise WrongLayout(f"patchelf {' '.join(map(str, arguments))}: {done.stderr.strip()}")
    return done.stdout.splitlines()
