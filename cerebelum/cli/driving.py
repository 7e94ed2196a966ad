"""The options of verbs that drive an execution, or show one while it goes on."""

from __future__ import annotations

import click

from cerebelum.cli.options import QUIET, Duration
from cerebelum.cli.step_output import OUTPUTS


class Size(click.ParamType[int]):
    """A number of bytes such as 500K, 16M or 1G."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes."""
        text = str(value).strip().upper().removesuffix("B").removesuffix("I")
        factor = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(text[-1:], 1)
        digits = text[:-1] if factor > 1 else text
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 12 or int(digits) * factor < 2:
            self.fail(f"{value!r} is no size; write it like 500K, 16M or 1G", param, ctx)
        return int(digits) * factor


OUTPUT: list[click.Parameter] = [
    click.Option(
        ["--output"],
        type=click.Choice(OUTPUTS),
        help="What of the steps' output is shown: the last line of each (live, the default on a terminal), all as it"
        " comes (stream, the default elsewhere), a block for each step once it is over (grouped), or that only for"
        " failed attempts (failed).",
    ),
    click.Option(["-v", "--verbose"], is_flag=True, help="The same as --output stream."),
]
"""Options of every verb that shows an execution while it goes on."""

MANNER: list[click.Parameter] = [
    click.Option(["--by"], metavar="NAME", help="In whose name, for the log, if not in yours."),
    click.Option(["--json", "as_json"], is_flag=True, help="Print each event as a line of JSON, and nothing else."),
    QUIET,
    *OUTPUT,
    click.Option(
        ["--summary/--no-summary"], default=True, help="Whether the end shows each step's time, attempts and outcome."
    ),
    click.Option(["--junit"], metavar="FILE", help="Write how each step ended into FILE, as a JUnit report."),
    click.Option(["--log-limit"], type=Size(), help="Bytes of output kept per attempt, such as 16M."),
    click.Option(["--park"], is_flag=True, help="Exit with 75 instead of waiting for a sleep, a retry or an approval."),
    click.Option(
        ["--park-after"],
        type=Duration(),
        metavar="TIME",
        help="The same, if the wait is longer than this.",
    ),
    click.Option(["--here"], is_flag=True, help="Perform here, too, what `runs_on` says a worker is to perform."),
    click.Option(["--detach"], is_flag=True, help="Go on in the background; print the id and return once it started."),
]
"""Options of every verb that drives an execution."""
