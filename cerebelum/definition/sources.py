"""Gets a workflow file's text, and says clearly when there is none to get."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

from cerebelum.core.digests import sha256
from cerebelum.core.errors import UsageError
from cerebelum.core.model import Source
from cerebelum.definition.findings import listed, nearest

MAX_BYTES = 16 * 1024 * 1024


def read_source(path: Path) -> tuple[str, Source]:
    """Text and identity of a workflow file. UsageError if it is not a readable UTF-8 text of at most 16 MiB."""
    where = str(path)
    data = _checked(path, where)
    return text_of(data, where), Source("yaml", _lasting(path), sha256(data))


def read_python(path: Path) -> Source:
    """The identity of a Python file. UsageError if it is not a readable file of at most 16 MiB."""
    return Source("python", _lasting(path), sha256(_checked(path, str(path))))


def _checked(path: Path, where: str) -> bytes:
    data = _bytes(path, where)
    if len(data) > MAX_BYTES:
        raise UsageError("the file is larger than 16 MiB", where=where, hint="is this the workflow file?")
    return data


def text_of(data: bytes, where: str) -> str:
    """The text of a workflow file's bytes. Raises UsageError if it is none."""
    if not data.strip(b" \t\r\n\xef\xbb\xbf"):
        raise UsageError("the file is empty", where=where, hint="a workflow has at least `steps:` with one step")
    return _text(data, where)


def _lasting(path: Path) -> str:
    """The file's absolute path, without folders that are only gone through (`wd/../deploy.yaml`).

    Symbolic links stay: what they point to may be another file by the time of a resume, and that is what they are for.
    """
    full = path.absolute()
    return str(Path(os.path.realpath(full.parent)) / full.name if ".." in full.parts else full)


def _bytes(path: Path, where: str) -> bytes:
    try:
        if path.is_dir():
            raise UsageError("this is a folder, not a workflow file", where=where, hint=_files_hint(path, ""))
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UsageError("there is no such file", where=where, hint=_files_hint(path.parent, path.name)) from None
    except ValueError:
        raise UsageError("this cannot be the name of a file", where=ascii(where)) from None
    except OSError as e:
        raise UsageError(f"the file cannot be read: {(e.strerror or str(e)).lower()}", where=where) from None


def _text(data: bytes, where: str) -> str:
    data = data.removeprefix(codecs.BOM_UTF8)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UsageError("the file is UTF-16, not UTF-8", where=where, hint="save it as UTF-8")
    if b"\0" in data:
        raise UsageError("this is a binary file, not a workflow file", where=where)
    try:
        return data.decode()
    except UnicodeDecodeError as e:
        before = data[: e.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        message = f"the byte 0x{data[e.start]:02x} is not UTF-8"
        raise UsageError(message, where=f"{where}:{line}:{column}", hint="save the file as UTF-8") from None


def _files_hint(folder: Path, wanted: str) -> str | None:
    try:
        names = sorted(e.name for e in os.scandir(folder) if e.name.endswith((".yaml", ".yml")) and e.is_file())
    except (OSError, ValueError):
        return None
    # By what stands before the suffix, which would make any two names look alike.
    stems = {os.path.splitext(name)[0]: name for name in names}
    stem = os.path.splitext(wanted)[0]
    near = stem if stem in stems else nearest(stem, stems, cutoff=0.8)
    if near is not None:
        return f"did you mean {folder / stems[near]}?"
    return f"workflow files in {folder}: {listed(names, 5)}" if names else None
