"""A cerebelum plugin with an executor of its own: `file:` writes a file whose content is made of inputs and outputs.

A reader of the file sees the old content or the new one, never half of it, and a file that is right already is left
alone: so the step can run any number of times.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec

from cerebelum import hookimpl
from cerebelum.steps import CerebelumError, Completed, Executor, Invocation, Outcome, Step, convert


class FileBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands under `file:`. `cerebelum validate` and the JSON Schema know these keys because they are typed."""

    path: Annotated[str, msgspec.Meta(min_length=1, description="relative to the step's working directory")]
    content: str
    mode: Annotated[str, msgspec.Meta(pattern="^0?[0-7]{3}$", description="octal, in quotes")] = "0644"


class File:
    key = "file"
    summary = "write a file atomically"
    body: Any = FileBody
    options: Any = None
    literal: tuple[str, ...] = ()

    def run(self, call: Invocation) -> Outcome:
        """Called in a thread for every attempt; `call.body` has its expressions evaluated and fits `FileBody`."""
        body = convert(call.body, FileBody)
        path = call.cwd / body.path
        data = body.content.encode()
        try:
            changed = write(path, data, int(body.mode, 8))
        except OSError as error:
            # What a user can mend is a CerebelumError: it fails the step with this message and without a traceback.
            raise CerebelumError(
                f"cannot write the file: {error.strerror}", where=str(path), hint="check `file.path` and its folder"
            ) from None
        call.sink.write("stdout", f"{'wrote' if changed else 'unchanged:'} {path}\n".encode())
        return Completed({"path": str(path), "sha256": hashlib.sha256(data).hexdigest(), "changed": changed})

    def fingerprint(self, step: Step, folder: Path) -> str | None:
        """There is no code outside the definition that this step depends on."""
        return None


def write(path: Path, data: bytes, mode: int) -> bool:
    """Give the file this content and these permissions; False if it had both already. Raises OSError."""
    if path.is_file() and path.read_bytes() == data and path.stat().st_mode & 0o777 == mode:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
    return True


@hookimpl
def cerebelum_executors() -> Iterable[Executor]:
    """The hook: cerebelum calls it once and adds what it returns to the built-in executors."""
    return [File()]
