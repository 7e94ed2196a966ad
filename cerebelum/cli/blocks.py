"""What steps print, kept until it is shown in one piece, or not at all: in memory, and from some size on in a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

_IN_MEMORY = 1 << 20


class Blocks:
    """A block of bytes for each step that has printed something. Not thread-safe."""

    def __init__(self) -> None:
        self._files: dict[str, IO[bytes]] = {}
        self._full: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __contains__(self, step: object) -> bool:
        return step in self._files

    def add(self, step: str, data: bytes) -> None:
        """Put `data` behind what the step printed before. Where no file can take it, the block ends there."""
        if step in self._full:
            return
        file = self._files.get(step)
        if file is None:
            from tempfile import SpooledTemporaryFile

            file = self._files[step] = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115
        try:
            file.write(data)
        except OSError:
            self._full.add(step)

    def take(self, step: str) -> tuple[IO[bytes] | None, bool]:
        """What the step printed, to be read from its beginning and closed, and whether that is all of it."""
        file = self._files.pop(step, None)
        whole = step not in self._full
        self._full.discard(step)
        if file is not None:
            file.seek(0)
        return file, whole

    def drop(self, step: str) -> None:
        """Forget what the step printed."""
        file, _ = self.take(step)
        if file is not None:
            file.close()
