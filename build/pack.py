"""Puts launcher and program into one file, the same bytes for the same folder; launcher/launcher.c has the layout."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

MAGIC = b"CBLMPKG2"
_MASK = (1 << 64) - 1


class Entry(NamedTuple):
    """A file (`f`), folder (`d`) or link (`l`) of the program."""

    path: str
    kind: str
    executable: bool
    content: bytes


def entries(root: Path) -> list[Entry]:
    """Everything in `root`, folder by folder, each after the one it is in."""
    found = (_entry(path, path.relative_to(root).as_posix()) for path in root.rglob("*"))
    return sorted(found, key=lambda entry: os.path.split(entry.path))


def _entry(path: Path, name: str) -> Entry:
    if path.is_symlink():
        return Entry(name, "l", False, os.fsencode(os.readlink(path)))
    if path.is_dir():
        return Entry(name, "d", True, b"")
    return Entry(name, "f", os.access(path, os.X_OK), path.read_bytes())


def listing(found: list[Entry]) -> bytes:
    """The list of a packed file."""
    parts = []
    for entry in found:
        path = os.fsencode(entry.path)
        parts.append(struct.pack("<cIBH", entry.kind.encode(), len(entry.content), entry.executable, len(path)))
        parts.append(path + b"\0")
    return b"".join(parts)


def checksum(data: bytes) -> int:
    """What the launcher compares before it unpacks."""
    total, whole = 0xCBF29CE484222325, len(data) // 8 * 8
    for (word,) in struct.iter_unpack("<Q", data[:whole]):
        total = ((total ^ word) * 0x100000001B3) & _MASK
        total ^= total >> 29
    for byte in data[whole:]:
        total = ((total ^ byte) * 0x100000001B3) & _MASK
    return total


def pack(launcher: Path, root: Path, out: Path) -> str:
    """Write `out` and return its build id: the digest of what it unpacks to."""
    found = entries(root)
    names, contents = listing(found), b"".join(entry.content for entry in found)
    zstd = ["zstd", "--quiet", "-19", "--long=25", "--single-thread", "--check", "--stdout"]
    packed = subprocess.run(zstd, input=contents, stdout=subprocess.PIPE, check=True).stdout
    build_id = hashlib.sha256(hashlib.sha256(names).digest() + contents).hexdigest()[:40]
    head = launcher.read_bytes()
    at = len(head)
    foot = struct.pack("<4Q40s", at, len(names), at + len(names), len(packed), build_id.encode())
    body = head + names + packed + foot
    partial = out.with_name(out.name + ".part")
    partial.write_bytes(body + struct.pack("<Q8s", checksum(body), MAGIC))
    partial.chmod(0o755)
    partial.replace(out)
    return build_id


if __name__ == "__main__":
    print(pack(*map(Path, sys.argv[1:4])))
