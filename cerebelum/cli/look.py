"""How lines look on one output: its encoding, and whether colours, symbols and times are welcome there."""

from __future__ import annotations

import msgspec

from cerebelum.render.build_systems import BuildSystem
from cerebelum.render.display import UNICODE, Symbols


class Look(msgspec.Struct, frozen=True):
    """How lines look."""

    symbols: Symbols = UNICODE
    encoding: str = "utf-8"
    colour: bool = False
    stamps: bool = False
    """Whether the time stands in front of every line."""

    system: BuildSystem | None = None
    """The build system that reads along."""

    def paint(self, text: str, code: str) -> str:
        """The text in a colour, which is the number of an escape sequence, such as 31 for red."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and code else text
