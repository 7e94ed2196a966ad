"""What `run` and `resume` have in common: a display while it runs, and a last word with what to do next."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

from cerebelum.cli import displays, terminal
from cerebelum.cli.detach import detached
from cerebelum.cli.interrupts import ignore_late_signals, say_stopping
from cerebelum.cli.outlet import Outlet
from cerebelum.cli.reports import junit_path, tell_build_system, write_junit
from cerebelum.cli.tools import Tools
from cerebelum.cli.words import unicode_text
from cerebelum.core import errors
from cerebelum.core.errors import UsageError
from cerebelum.render.display import harmless, one_line
from cerebelum.render.failures import failures_text
from cerebelum.render.summary import summary_lines, took
from cerebelum.render.text import Style, resume_command, value

if TYPE_CHECKING:
    from pathlib import Path

    from cerebelum.cli.manner import Manner
    from cerebelum.cli.step_output import Output
    from cerebelum.core.state import State
    from cerebelum.engine.session import Result
    from cerebelum.render import contract
    from cerebelum.sdk.course import How


def see_through(tools: Tools, drive: Callable[[How], Result], manner: Manner) -> int:
    """Drive an execution with a display, say how it ended, and return the exit code."""
    report = junit_path(manner["junit"])
    if manner["detach"]:
        if tools.store_url().startswith("memory:"):
            raise UsageError(
                "a store in memory is seen by this process alone, and --detach starts another one",
                hint="leave out --detach, or name a store file with --store",
            )
        return detached(partial(_see_through, tools, drive, manner, report), partial(_tell, manner))
    return _see_through(tools, drive, manner, report, lambda execution_id: None)


def _tell(manner: Manner, execution_id: str) -> None:
    if manner["as_json"]:
        detached_as: contract.Detached = {"execution_id": execution_id}
        terminal.show_json(detached_as)
    else:
        terminal.show(execution_id)


def _see_through(
    tools: Tools,
    drive: Callable[[How], Result],
    manner: Manner,
    report: Path | None,
    on_start: Callable[[str], None],
) -> int:
    from cerebelum.engine.settings import Settings
    from cerebelum.steps.log import DEFAULT_LIMIT

    terminal.own_process()
    sys.stdout.flush()
    outlet = Outlet(sys.stdout.fileno())
    as_json, quiet = manner["as_json"], manner["quiet"]
    output = chosen_output(manner["output"], verbose=manner["verbose"])
    live = displays.live(tools, outlet, output, as_json=as_json, quiet=quiet)
    display = live or displays.plain(tools, outlet, output, as_json=as_json, quiet=quiet)
    settings = Settings(
        listeners=(display.event,),
        live=display,
        log_limit=manner["log_limit"] or DEFAULT_LIMIT,
        park=manner["park"],
        park_after=manner["park_after"],
        here=manner["here"],
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
            result = drive(
                {
                    "settings": settings,
                    "heed_signals": True,
                    "on_start": begin,
                    "on_note": terminal.warn,
                    "by": None if manner["by"] is None else unicode_text(manner["by"], "the name"),
                }
            )
    finally:
        display.close()
        stopped = result is None or result.state.paused is not None
        outlet.close(1.0 if stopped else None)
        if outlet.broken:
            terminal.silence_stdout()
    last_word(tools, result, outlet, as_json=as_json, summary=manner["summary"] and not quiet)
    if not as_json:
        again = partial(resume_command, result.execution_id, tools.store, tools.plugin_files)
        tell_build_system(result.state, again, tools.environ)
    reported = errors.OK if report is None else write_junit(report, result.state)
    return result.exit_code or unwritten(outlet.broken) or reported


def chosen_output(output: Output | None, *, verbose: bool) -> Output | None:
    """How output of steps is to be shown, if somebody has said so. Raises UsageError."""
    if output not in (None, "stream") and verbose:
        raise UsageError(f"--verbose means --output stream, which is not {output}")
    return "stream" if verbose else output


def unwritten(error: OSError | None) -> int:
    """The exit code of a run of which not all could be shown: nobody misses what they closed or left themselves."""
    if error is None or error.errno in (errno.EPIPE, errno.EBADF):
        return errors.OK
    terminal.complain(f"cerebelum: error: the output cannot be written: {error.strerror}")
    return errors.STORE


def last_word(tools: Tools, result: Result, outlet: Outlet, *, as_json: bool, summary: bool) -> None:
    """How it ended: good news on standard output, everything else on standard error."""
    if outlet.dropped:
        terminal.warn(f"output was left out here since nobody read it; see: cerebelum logs {result.execution_id}")
    good = result.exit_code == errors.OK
    if good and as_json:
        return
    style = terminal.style(terminal.stdout() if good else terminal.stderr(), tools.environ)
    table = summary_lines(result.state, style) if summary and not (as_json or result.already) else []
    said = [*(["", *table, ""] if table else []), *(_good_news(result, style) if good else _news(tools, result, style))]
    if not good:
        # What went wrong was said when it did, unless only events were shown; the table says it again.
        failed = result.state.ended == "failed" and not table
        problems = failures_text(result.state, style.symbols, details=as_json) if failed else []
        terminal.complain("\n".join([*(["", *problems, ""] if problems else []), *said]))
        return
    try:
        terminal.show("\n".join(said))
        terminal.stdout().flush()
    except OSError as error:
        terminal.silence_stdout()
        outlet.broken = outlet.broken or error


def _good_news(result: Result, style: Style) -> list[str]:
    state = result.state
    how = "has completed already; nothing was done" if result.already else f"completed in {took(state)}"
    lines = [style.paint(f"{style.symbols.completed} {result.execution_id}: {how}", "completed")]
    return lines if state.output is None else [*lines, f"output: {value(state.output)}"]


def _news(tools: Tools, result: Result, style: Style) -> list[str]:
    state, symbols = result.state, style.symbols
    head = f"{result.execution_id}: "
    again = resume_command(result.execution_id, tools.store, tools.plugin_files)
    if result.end == "fenced":
        return [f"{head}another runner has taken over; this one has stopped"]
    if result.end == "parked" and state.pausing is not None and (left := state.active.at("on_worker")):
        hosts = ", ".join(dict.fromkeys(one_line(state.steps[step].host or "?") for step in left))
        what = f"pausing; the worker on {hosts} was told, and has not answered yet"
        return [style.paint(f"{symbols.waiting} {head}{what}", "sleeping"), "", f"go on with: {again}"]
    if result.end == "parked":
        return [style.paint(f"{symbols.waiting} {head}parked", "sleeping"), "", f"go on with: {again}"]
    if state.paused is not None:
        why = f"paused ({state.paused.signal or state.paused.why}) after {took(state)}; nothing is lost"
        return [style.paint(f"{symbols.interrupted} {head}{why}", "paused"), "", f"resume with: {again}"]
    if state.ended == "cancelled":
        return [style.paint(f"{symbols.interrupted} {head}cancelled after {took(state)}", "cancelled")]
    line = style.paint(f"{symbols.failed} {head}failed after {took(state)}{_root(state)}", "failed")
    return [line, "", f"resume with: {again}"]


def _root(state: State) -> str:
    """What failed first."""
    first = next((s for s in state.failed if s in state.steps and state.steps[s].error is not None), None)
    return "" if first is None else f" in {harmless(first)}"
