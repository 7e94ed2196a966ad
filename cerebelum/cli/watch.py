"""`cerebelum watch`: see an execution that somebody else drives, from any terminal, until it is over."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext

import click

from cerebelum.cli import displays, terminal
from cerebelum.cli.drive import chosen_output, last_word, unwritten
from cerebelum.cli.driving import OUTPUT
from cerebelum.cli.options import Duration, complete_ids
from cerebelum.cli.outlet import Outlet
from cerebelum.cli.screen import Display
from cerebelum.cli.step_output import Output
from cerebelum.cli.tools import Tools
from cerebelum.cli.words import unicode_text
from cerebelum.core import errors
from cerebelum.core.errors import NotFound
from cerebelum.core.events import decode
from cerebelum.core.evolve import evolve
from cerebelum.core.state import State
from cerebelum.core.status import GOING_ON
from cerebelum.store import EventStore, Query
from cerebelum.store.lookup import View
from cerebelum.store.news import News

_LOOK = 1.0
"""Seconds between two looks at whether somebody still drives it."""
_LEAST_INTERVAL = 0.01
_PAGE = 500


class _Follower:
    """What has been shown of an execution so far."""

    def __init__(self, store: EventStore, execution_id: str, display: Display, *, output: bool) -> None:
        self._store = store
        self._id = execution_id
        self._display = display
        self._output = output
        self._position = 0
        self.state: State | None = None

    def skip_output(self) -> None:
        """What was printed before is in `logs`."""
        while self._output and (page := self._store.read_log(self._id, after=self._position, limit=_PAGE)).chunks:
            self._position = page.position

    def look(self) -> bool:
        """Show what is new; whether there was anything."""
        new = self._show_output()
        entries = self._store.read(self._id, 0 if self.state is None else self.state.version)
        for entry in entries:
            event = decode(entry.text, where=self._id)
            self.state = evolve(self.state, event, self._id)
            self._display.recorded(self._id, event, entry.text)
        return bool(entries) or new

    def _show_output(self) -> bool:
        if not self._output:
            return False
        page = self._store.read_log(self._id, after=self._position, limit=_PAGE)
        self._position = page.position if page.chunks else self._position
        for chunk in page.chunks:
            self._display.output(chunk.step, chunk.attempt, chunk.stream, chunk.data)
        return bool(page.chunks)


def watch(
    tools: Tools,
    execution_id: str | None,
    interval: float,
    output: Output | None,
    verbose: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """The verb; returns the exit code of the execution."""
    shown = chosen_output(output, verbose=verbose)
    client = tools.client()
    name = _newest(tools) if execution_id is None else client.resolve(unicode_text(execution_id, "the id"))
    sys.stdout.flush()
    outlet = Outlet(sys.stdout.fileno())
    drawn = displays.live(tools, outlet, shown, as_json=as_json, quiet=quiet)
    display = drawn or displays.plain(tools, outlet, shown, as_json=as_json, quiet=quiet)
    follower = _Follower(client.store, name, display, output=not (as_json or quiet))
    view = None
    try:
        with terminal.spoken_by(drawn.say) if drawn else nullcontext():
            follower.skip_output()
            with News(client.store, name, max(interval, _LEAST_INTERVAL)) as news:
                view = _follow(tools, name, follower, news, outlet)
    finally:
        display.close()
        outlet.close(None if view else 1.0)
        if outlet.broken:
            terminal.silence_stdout()
    code = errors.OK if view is None else _last_word(tools, view, outlet, as_json=as_json, summary=not quiet)
    return code or unwritten(outlet.broken)


def _newest(tools: Tools) -> str:
    rows = tools.client().list(Query(status=GOING_ON, limit=1)).rows
    if not rows:
        raise NotFound("nothing is going on", hint="name an execution; see: cerebelum list")
    return rows[0].summary.execution_id


def _follow(tools: Tools, name: str, follower: _Follower, news: News, outlet: Outlet) -> View | None:
    """Show what happens until the execution is over or rests; None if nobody reads any more."""
    looked = 0.0
    while not outlet.broken:
        new = follower.look()
        now = time.monotonic()
        if not new and now - looked >= _LOOK:
            looked = now
            view = tools.client().status(name)
            if view.status in ("completed", "failed", "cancelled", "paused"):
                # What came between the last look and this one.
                follower.look()
                return view
        state = follower.state
        over = state is not None and (state.ended or state.paused)
        if over and not new:
            looked = 0.0
            continue
        if not over:
            news.wait(_LOOK)
    return None


def _last_word(tools: Tools, view: View, outlet: Outlet, *, as_json: bool, summary: bool) -> int:
    from cerebelum.engine.session import Result
    from cerebelum.render.text import resume_command

    if view.status == "paused" and view.state.paused is None:
        # Its runner is gone, which is not in the log.
        again = resume_command(view.state.execution_id, tools.store, tools.plugin_files)
        terminal.complain(f"{view.state.execution_id}: paused ({view.reason})\n\nresume with: {again}")
        return errors.PARKED
    result = Result(view.state.execution_id, "ended" if view.state.ended else "paused", view.state)
    last_word(tools, result, outlet, as_json=as_json, summary=summary)
    return result.exit_code


HELP = """Show an execution while it goes on, whoever drives it, and end with it, with its exit code.

\b
  cerebelum watch                 # the newest that is not over
  cerebelum watch deploy-k3f9q2xm7p
  cerebelum watch last --json

What happened before is shown first. On a terminal there is a line for each step that is going on; elsewhere, and with
--json, there are lines. Ctrl-C ends the watching, not the execution. An execution that was parked is watched until
somebody goes on with it; one that is paused, or whose process died, ends the watching with 75.
"""

command = click.Command(
    "watch",
    callback=click.pass_obj(watch),
    help=HELP,
    params=[
        click.Argument(["execution_id"], metavar="[ID]", required=False, shell_complete=complete_ids),
        click.Option(
            ["--interval"],
            type=Duration(),
            default="100ms",
            show_default=True,
            metavar="TIME",
            help="How often to look for news, where the store does not tell.",
        ),
        *OUTPUT,
        click.Option(["-q", "--quiet"], is_flag=True, help="Only failures and questions."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print each event as a line of JSON."),
    ],
)
