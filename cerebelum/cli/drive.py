"""What `run` and `resume` have in common: a display while it runs, and a last word with what to do next."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, TypedDict

import click

from cerebelum.cli import displays, terminal
from cerebelum.cli.detach import detached
from cerebelum.cli.interrupts import ignore_late_signals, say_stopping
from cerebelum.cli.options import QUIET, Duration
from cerebelum.cli.outlet import Outlet
from cerebelum.cli.tools import Tools
from cerebelum.core import errors
from cerebelum.render.display import ASCII, UNICODE, length
from cerebelum.render.text import failures_text, resume_command, value

if TYPE_CHECKING:
    from cerebelum.engine.session import Result
    from cerebelum.sdk.client import How


class Manner(TypedDict):
    """What the options of `MANNER` say."""

    as_json: bool
    quiet: bool
    verbose: bool
    log_limit: int | None
    park: bool
    park_after: float | None
    detach: bool


def see_through(tools: Tools, drive: Callable[[How], Result], manner: Manner) -> int:
    """Drive an execution with a display, say how it ended, and return the exit code."""
    if manner["detach"]:
        return detached(lambda on_start: _see_through(tools, drive, manner, on_start), partial(_tell, manner))
    return _see_through(tools, drive, manner, lambda execution_id: None)


def _tell(manner: Manner, execution_id: str) -> None:
    if manner["as_json"]:
        terminal.show_json({"execution_id": execution_id})
    else:
        terminal.show(execution_id)


def _see_through(tools: Tools, drive: Callable[[How], Result], manner: Manner, on_start: Callable[[str], None]) -> int:
    from cerebelum.engine.settings import Settings
    from cerebelum.steps.log import DEFAULT_LIMIT

    terminal.own_process()
    sys.stdout.flush()
    outlet = Outlet(sys.stdout.fileno())
    as_json, quiet = manner["as_json"], manner["quiet"]
    live = displays.live(tools, outlet, as_json=as_json, quiet=quiet, verbose=manner["verbose"])
    display = live or displays.plain(tools, outlet, as_json=as_json, quiet=quiet)
    settings = Settings(
        listeners=(display.event, *tools.listeners()),
        live=display,
        log_limit=manner["log_limit"] or DEFAULT_LIMIT,
        park=manner["park"],
        park_after=manner["park_after"],
        on_stopping=say_stopping,
    )
    started: list[str] = []

    def begin(execution_id: str) -> None:
        started.append(execution_id)
        on_start(execution_id)

    ignore_late_signals(started)
    result: Result | None = None
    try:
        with terminal.spoken_by(live.say) if live else nullcontext():
            result = drive({"settings": settings, "heed_signals": True, "on_start": begin})
    finally:
        if live:
            live.close()
        stopped = result is None or result.state.paused is not None
        outlet.close(1.0 if stopped else None)
        if outlet.broken:
            terminal.silence_stdout()
    last_word(tools, result, outlet, as_json=as_json, details=live is None)
    return result.exit_code or unwritten(outlet.broken)


def unwritten(error: OSError | None) -> int:
    """The exit code of a run of which not all could be shown: nobody misses what they closed or left themselves."""
    if error is None or error.errno in (errno.EPIPE, errno.EBADF):
        return errors.OK
    terminal.complain(f"cerebelum: error: the output cannot be written: {error.strerror}")
    return errors.STORE


def last_word(tools: Tools, result: Result, outlet: Outlet, *, as_json: bool, details: bool = True) -> None:
    """How it ended: good news on standard output, everything else on standard error."""
    if outlet.dropped:
        terminal.warn(f"output was left out here since nobody read it; see: cerebelum logs {result.execution_id}")
    if result.exit_code == errors.OK:
        if not as_json:
            _good_news(result, outlet)
        return
    symbols = UNICODE if terminal.takes_symbols(terminal.stderr()) else ASCII
    state = result.state
    again = resume_command(result.execution_id, tools.store, tools.plugin_files)
    took = length((state.updated_at - (state.segment_at or state.started_at)).total_seconds())
    if result.end == "fenced":
        text = f"{result.execution_id}: another runner has taken over; this one has stopped"
    elif result.end == "parked":
        text = f"{symbols.waiting} {result.execution_id}: parked\n\ngo on with: {again}"
    elif state.paused is not None:
        text = f"{symbols.interrupted} {result.execution_id}: paused ({state.paused.signal or state.paused.why})"
        text += f" after {took}; nothing is lost\n\nresume with: {again}"
    elif state.ended == "cancelled":
        text = f"{symbols.interrupted} {result.execution_id}: cancelled after {took}"
    else:
        problems = failures_text(state, symbols, details=details)
        text = "\n".join(["", *problems, "", f"{symbols.failed} {result.execution_id}: failed after {took}"])
        text += f"\n\nresume with: {again}"
    terminal.complain(text)


def _good_news(result: Result, outlet: Outlet) -> None:
    symbols = UNICODE if terminal.takes_symbols(terminal.stdout()) else ASCII
    state = result.state
    took = length((state.updated_at - (state.segment_at or state.started_at)).total_seconds())
    how = "has completed already; nothing was done" if result.already else f"completed in {took}"
    text = f"{symbols.completed} {result.execution_id}: {how}"
    if state.output is not None:
        text += f"\noutput: {value(state.output)}"
    try:
        terminal.show(text)
        terminal.stdout().flush()
    except OSError as error:
        terminal.silence_stdout()
        outlet.broken = outlet.broken or error


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


MANNER: list[click.Parameter] = [
    click.Option(["--json", "as_json"], is_flag=True, help="Print each event as a line of JSON, and nothing else."),
    QUIET,
    click.Option(
        ["-v", "--verbose"], is_flag=True, help="On a terminal, show all output of the steps, not the last line."
    ),
    click.Option(["--log-limit"], type=Size(), help="Bytes of output kept per attempt, such as 16M."),
    click.Option(["--park"], is_flag=True, help="Exit with 75 instead of waiting for a sleep, a retry or an approval."),
    click.Option(
        ["--park-after"],
        type=Duration(),
        metavar="TIME",
        help="The same, if the wait is longer than this.",
    ),
    click.Option(["--detach"], is_flag=True, help="Go on in the background; print the id and return once it started."),
]
"""Options of every verb that drives an execution."""
