"""Lines at the bottom of a terminal that are drawn anew again and again, while others scroll up above them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO

from cerebelum.cli.look import Look
from cerebelum.cli.outlet import Outlet
from cerebelum.render.width import columns

_FALLBACK = os.terminal_size((80, 24))
# A terminal that knows it shows everything in between at once; others ignore it.
_BEGIN, _END = b"\x1b[?2026h", b"\x1b[?2026l"


class Region:
    """The bottom lines. Not thread-safe; the cursor rests behind the last of them."""

    def __init__(self, outlet: Outlet, terminal: int, look: Look) -> None:
        self._outlet = outlet
        self._terminal = terminal
        self._look = look
        self._drawn: list[int] = []
        """Columns of each line that is on the screen."""
        self._last: tuple[object, ...] = ()

    def size(self) -> os.terminal_size:
        """Columns and rows of the terminal, now."""
        try:
            size = os.get_terminal_size(self._terminal)
        except OSError:
            return _FALLBACK
        return size if size.columns > 0 and size.lines > 0 else _FALLBACK

    def draw(self, lines: Sequence[tuple[str, str]], *above: bytes | IO[bytes]) -> None:
        """Show these lines (text and colour, each fitting the width) instead of the present ones, under `above`.

        Nothing is drawn while the terminal has not taken what came before, unless there is something above.
        """
        size = self.size()
        if not any(above) and (self._outlet.pending or (self._last == (size, *lines))):
            return
        self._last = (size, *lines)
        erased = self._erased(size.columns)
        below = b"\n".join(self._line(text, colour) for text, colour in lines)
        self._drawn = [columns(text) for text, _ in lines]
        self._outlet.put(_BEGIN + erased, *above, below + _END)

    def clear(self) -> None:
        """Take the lines away."""
        self.draw((), self._erased(self.size().columns))

    def _line(self, text: str, colour: str) -> bytes:
        return self._look.paint(text, colour).encode(self._look.encoding, "backslashreplace")

    def _erased(self, width: int) -> bytes:
        # Where the terminal has become narrower, lines take more rows than they did.
        rows = sum(max(1, -(-taken // width)) for taken in self._drawn)
        self._drawn = []
        if not rows:
            return b""
        return b"\r" + (f"\x1b[{rows - 1}A".encode() if rows > 1 else b"") + b"\x1b[J"
