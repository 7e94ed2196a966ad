"""Makes the program run on systems with an older glibc than the one it was built with.

A symbol that a library takes from a newer version than promised loses that version: the dynamic linker then takes the
oldest one that the system has, or what program.c offers. Nothing is left to chance: each such symbol has to be known in
an old version to the glibc of this machine, or be offered by the program.
"""

from __future__ import annotations

import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

PARTS = ("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1", "libresolv.so.2")
"""The libraries of glibc. Before 2.34 what is now in the first one was spread over the others."""

_BASES = {62: "GLIBC_2.2.5", 183: "GLIBC_2.17"}
"""By the machine in the head of a file (x86-64, aarch64): the version every part of glibc began with."""

_VERSYM, _VERNEED, _DYNSYM = 0x6FFFFFFF, 0x6FFFFFFE, 11


class NotPortable(Exception):
    """What a file needs that the promised glibc does not have."""


@dataclass(frozen=True)
class Version:
    """An entry of a file's list of versions that it needs."""

    name: str
    library: str
    index: int
    at: int
    """Where the entry is in the file."""


def number(version: str) -> tuple[int, ...] | None:
    """(2, 34) for `GLIBC_2.34`; None for versions that are not glibc's."""
    if not version.startswith("GLIBC_"):
        return None
    try:
        return tuple(map(int, version.removeprefix("GLIBC_").split(".")))
    except ValueError:
        # GLIBC_PRIVATE, GLIBC_ABI_…: not a matter of symbols that could come from elsewhere.
        return (99,)


class _Elf:
    """The parts of a 64-bit little-endian ELF file that say which symbols it wants, in which versions."""

    def __init__(self, path: Path) -> None:
        self.path, self.data = path, bytearray(path.read_bytes())
        if self.data[:6] != b"\x7fELF\x02\x01":
            raise NotPortable(f"{path.name} is no 64-bit little-endian ELF file")
        at, size, count = (*struct.unpack_from("<Q", self.data, 0x28), *struct.unpack_from("<HH", self.data, 0x3A))
        headers = [struct.unpack_from("<IIQQQQIIQQ", self.data, at + n * size) for n in range(count)]
        (self.machine,) = struct.unpack_from("<H", self.data, 0x12)
        self.sections = {header[1]: header for header in headers}
        self.headers = headers

    def _text(self, section: int, offset: int) -> str:
        start = self.headers[section][4] + offset
        return self.data[start : self.data.index(b"\0", start)].decode()

    def versions(self) -> list[Version]:
        """What the file needs of other files."""
        section, found = self.sections.get(_VERNEED), []
        if section is None:
            return []
        at = section[4]
        for _ in range(section[7]):
            _, count, file, first, following = struct.unpack_from("<HHIII", self.data, at)
            inner = at + first
            for _ in range(count):
                _, _, index, name, step = struct.unpack_from("<IHHII", self.data, inner)
                text = self._text(section[6], name)
                found.append(Version(text, self._text(section[6], file), index, inner))
                inner += step
            at += following
        return found

    def wanted(self) -> list[tuple[str, int, int]]:
        """Name, index of the version, and where that index is, of every symbol that others have to define."""
        symbols, versions = self.sections.get(_DYNSYM), self.sections.get(_VERSYM)
        if not symbols or not versions:
            return []
        found = []
        for n in range(symbols[5] // 24):
            name, _, _, section = struct.unpack_from("<IBBH", self.data, symbols[4] + n * 24)
            at = versions[4] + 2 * n
            if name and not section:
                found.append((self._text(symbols[6], name), struct.unpack_from("<H", self.data, at)[0] & 0x7FFF, at))
        return found


def lower(path: Path, floor: tuple[int, ...], offered: set[str]) -> set[str]:
    """Take the versions above `floor` off the symbols of a file; returns those symbols. Raises NotPortable."""
    elf = _Elf(path)
    newer = {v.index: v for v in elf.versions() if (number(v.name) or (0,)) > floor}
    if not newer:
        return set()
    old, changed = known(floor), set()
    for name, index, at in elf.wanted():
        if index not in newer:
            continue
        if name not in old and name not in offered:
            raise NotPortable(f"{path.name} needs {name}, which is new in {newer[index].name} and not in program.c")
        changed.add(name)
        struct.pack_into("<H", elf.data, at, 1)
    # The list itself is checked, too, even where no symbol refers to it: the entry becomes one of a version that every
    # part of glibc has.
    base = _BASES.get(elf.machine, "a known machine")
    oldest = next((v for v in elf.versions() if v.name == base), None)
    if oldest is None:
        raise NotPortable(f"{path.name} names no version that every part of glibc has: no {base}")
    for version in newer.values():
        if number(version.name) == (99,):
            raise NotPortable(f"{path.name} needs {version.name}")
        elf.data[version.at : version.at + 4] = elf.data[oldest.at : oldest.at + 4]
        elf.data[version.at + 8 : version.at + 12] = elf.data[oldest.at + 8 : oldest.at + 12]
    path.write_bytes(elf.data)
    return changed


def needs(path: Path) -> tuple[int, ...]:
    """The newest version of glibc that the file insists on."""
    return max((number(v.name) or (0,) for v in _Elf(path).versions()), default=(0,))


_known: dict[tuple[int, ...], set[str]] = {}


def known(floor: tuple[int, ...]) -> set[str]:
    """What this machine's glibc defines in versions up to `floor`: an older one has it, too, in one of its parts."""
    if floor not in _known:
        _known[floor] = set()
        for part in PARTS:
            for name, version in _defined(part):
                if (number(version) or (99,)) <= floor:
                    _known[floor].add(name)
    return _known[floor]


def _defined(part: str) -> list[tuple[str, str]]:
    file = subprocess.run(["gcc", f"-print-file-name={part}"], capture_output=True, text=True, check=True).stdout
    if not Path(file.strip()).is_absolute():
        return []
    said = subprocess.run(["nm", "-D", "--defined-only", file.strip()], capture_output=True, text=True, check=True)
    words = [line.split()[-1] for line in said.stdout.splitlines()]
    return [(name, version) for name, _, version in (word.replace("@@", "@").partition("@") for word in words)]


def offers(program: Path) -> set[str]:
    """The symbols that the program defines for everybody."""
    said = subprocess.run(["nm", "-D", "--defined-only", program], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1] for line in said.splitlines()}
