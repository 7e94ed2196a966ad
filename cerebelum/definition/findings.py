"""Collects everything wrong with a definition, so that its author sees it all at once, each with its place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from cerebelum.core.errors import DefinitionError, Problem

MAX_PROBLEMS = 200
"""A broken 10,000-step file should not answer with megabytes; what is beyond this is counted."""
MAX_SUGGESTIONS = 40
LONGEST_NAME = 64


class Place(Protocol):
    """Anything with a position in the file, both counted from 1."""

    @property
    def line(self) -> int: ...

    @property
    def column(self) -> int: ...


def quoted(name: object) -> str:
    """A name as it appears in messages: in backticks, shortened, and harmless to a terminal."""
    text = str(name)
    if len(text) > LONGEST_NAME:
        text = text[: LONGEST_NAME - 1] + "…"
    if not text.isprintable():
        text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return f"`{text}`"


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names as a sentence lists them; beyond `most` only the count is said."""
    every = list(names)
    shown = ", ".join(quoted(name) for name in every[:most])
    return f"{shown} and {len(every) - most} more" if len(every) > most else shown


def nearest(name: str, candidates: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The candidate that `name` most likely was meant to be; None if nothing is close."""
    if not name or len(name) > LONGEST_NAME:
        return None
    every = [c for c in candidates if len(c) <= LONGEST_NAME]
    folded = {c.lower().replace("-", "_"): c for c in every}
    if (same := folded.get(name.lower().replace("-", "_"))) is not None:
        return same if same != name else None
    import difflib

    close = difflib.get_close_matches(name.lower(), [c.lower() for c in every if c != name], n=1, cutoff=cutoff)
    return next((c for c in every if c.lower() == close[0]), None) if close else None


def did_you_mean(name: str, candidates: Iterable[str]) -> str | None:
    """`did you mean …?` or None."""
    near = nearest(name, candidates)
    return f"did you mean {quoted(near)}?" if near else None


class Findings:
    """The problems found so far in one file."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._found: dict[tuple[int, int, str, str], Problem] = {}
        self._suggestions = 0

    def __len__(self) -> int:
        return len(self._found)

    def add(self, place: Place, path: str, message: str, hint: str | None = None) -> None:
        """Note a problem; the same one at the same place (reached by an alias, say) is noted once."""
        key = (place.line, place.column, path, message)
        self._found.setdefault(key, Problem(self.where(place), path, message, hint))

    def where(self, place: Place) -> str:
        """`file:line:col` of a place."""
        return f"{self.name}:{place.line}:{place.column}"

    def suggest(self, name: str, candidates: Iterable[str]) -> str | None:
        """`did you mean …?` or None; comparing names is slow, so only the first few problems get one."""
        self._suggestions += 1
        return did_you_mean(name, candidates) if self._suggestions <= MAX_SUGGESTIONS else None

    def error(self) -> DefinitionError:
        """Everything found, in file order."""
        problems = [problem for _, problem in sorted(self._found.items(), key=lambda item: item[0][:2])]
        if len(problems) > MAX_PROBLEMS:
            rest = len(problems) - MAX_PROBLEMS
            problems[MAX_PROBLEMS:] = [Problem(self.name, "", f"… and {rest} more problems")]
        return DefinitionError(problems)

    def raise_if_any(self) -> None:
        """Raise DefinitionError if anything was found."""
        if self._found:
            raise self.error()
