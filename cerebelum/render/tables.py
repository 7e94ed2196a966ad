"""Tables that fit: columns lined up by what a terminal shows, and cut where it is too narrow."""

from __future__ import annotations

from collections.abc import Sequence

from cerebelum.render.width import clipped, columns, padded

_LEAST = 6
"""Columns of the terminal that are left to what gives way."""
_KEPT = 2
"""Columns of the table that stay however narrow the terminal is."""


def table(
    rows: Sequence[Sequence[str]],
    gap: str = "  ",
    *,
    width: int | None = None,
    giving: Sequence[int] = (),
    colours: Sequence[Sequence[str]] | None = None,
) -> list[str]:
    """Rows with their columns lined up; the last column is not padded.

    Where the lines would be longer than `width`, the columns `giving` are cut, the first of them first. `colours` has
    an SGR code (or "") for each cell.
    """
    if not rows:
        return []
    taken = [[columns(cell) for cell in row] for row in rows]
    widths = [max(column) for column in zip(*taken, strict=True)]
    if width is not None:
        over = sum(widths) + len(gap) * (len(widths) - 1) - width
        for at in giving:
            cut = max(0, min(over, widths[at] - _LEAST))
            widths[at] -= cut
            over -= cut
        while over > 0 and len(widths) > _KEPT:
            over -= widths.pop() + len(gap)
        rows = [row[: len(widths)] for row in rows]
    lines = []
    for number, row in enumerate(rows):
        cells = [
            cell if takes <= most else clipped(cell, most)
            for cell, takes, most in zip(row, taken[number], widths, strict=False)
        ]
        shown = [padded(cell, most) for cell, most in zip(cells[:-1], widths, strict=False)] + cells[-1:]
        if not any(colours[number] if colours else ()):
            lines.append(gap.join(shown).rstrip())
            continue
        assert colours is not None
        coloured = [
            f"\x1b[{code}m{cell}\x1b[0m" if code and cell.strip() else cell
            for cell, code in zip(shown, colours[number], strict=False)
        ]
        lines.append(gap.join(coloured).rstrip())
    return lines
