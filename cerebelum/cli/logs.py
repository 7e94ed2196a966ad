"""`cerebelum logs`: what the steps printed."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, datetime

import click

from cerebelum.cli import terminal
from cerebelum.cli.lines import Lines
from cerebelum.cli.list import since
from cerebelum.cli.options import ID, STEP
from cerebelum.cli.tools import Tools
from cerebelum.cli.words import unicode_text
from cerebelum.core.errors import UsageError
from cerebelum.render.display import ASCII, UNICODE, size
from cerebelum.render.shapes import log_line
from cerebelum.store import Chunk


class Printer:
    """Puts chunks together to lines again, each with its step's name where several steps are shown."""

    def __init__(self, *, named: bool, timestamps: bool, symbols: bool) -> None:
        self._named = named
        self._timestamps = timestamps
        self._symbols = UNICODE if symbols else ASCII
        self._lines: dict[tuple[str, int, str], Lines] = {}
        self._ends: dict[tuple[str, int], int] = {}

    def text(self, chunk: Chunk) -> bytes:
        """The whole lines that a chunk completes; a note where output before it was left out."""
        attempt = (chunk.step, chunk.attempt)
        end = self._ends.get(attempt)
        self._ends[attempt] = chunk.offset + len(chunk.data)
        gap = chunk.offset - (end or 0)
        shown = b""
        if gap > 0:
            shown += self._flush(attempt) + self._note(chunk, f"{size(gap)} left out here")
        lines = self._lines.get((*attempt, chunk.stream))
        if lines is None:
            lines = self._lines[(*attempt, chunk.stream)] = Lines(b"")
        # The time is that of the moment a line was completed, so the prefix is a chunk's and not the stream's.
        lines.prefix(self._prefix(chunk))
        return shown + lines.feed(chunk.data)

    def rest(self) -> bytes:
        """Lines that never ended."""
        return b"".join([lines.flush() for lines in self._lines.values()])

    def _flush(self, attempt: tuple[str, int]) -> bytes:
        return b"".join([lines.flush() for (*of, _), lines in self._lines.items() if tuple(of) == attempt])

    def _prefix(self, chunk: Chunk) -> bytes:
        at = f"{chunk.at.astimezone():%Y-%m-%dT%H:%M:%S.%f}"[:-3] + " " if self._timestamps else ""
        attempt = f" (attempt {chunk.attempt})" if chunk.attempt > 1 else ""
        return (at + (f"{chunk.step}{attempt} {self._symbols.bar} " if self._named else "")).encode()

    def _note(self, chunk: Chunk, text: str) -> bytes:
        return self._prefix(chunk) + f"{self._symbols.ellipsis} {text}\n".encode()


def logs(
    tools: Tools,
    execution_id: str,
    step: str | None,
    follow: bool,
    attempt: int | None,
    tail: int | None,
    failed: bool,
    since_text: str | None,
    timestamps: bool,
    raw: bool,
    as_json: bool,
) -> int:
    """The verb; returns the exit code."""
    if raw + as_json + timestamps > 1:
        raise UsageError("--raw, --json and --timestamps exclude each other")
    chunks: Iterable[Chunk] = tools.client().logs(
        unicode_text(execution_id, "the id"),
        step=None if step is None else unicode_text(step, "the step"),
        attempt=attempt,
        follow=follow,
    )
    if follow and (tail is not None or failed):
        raise UsageError("--follow goes on and on: --tail and --failed look back")
    if failed:
        wanted = _failed(tools, execution_id)
        chunks = (chunk for chunk in chunks if (chunk.step, chunk.attempt) in wanted)
    if since_text is not None:
        begin = since(since_text, datetime.now(UTC))
        chunks = (chunk for chunk in chunks if chunk.at >= begin)
    if tail is not None:
        chunks = _last(chunks, tail, anew=not as_json)
    printer = Printer(named=step is None, timestamps=timestamps, symbols=terminal.takes_symbols(sys.stdout))
    for data in _rendered(chunks, printer, raw=raw, as_json=as_json):
        terminal.show_data(data, as_is=raw or as_json)
        if follow:
            sys.stdout.flush()
    return 0


def _failed(tools: Tools, execution_id: str) -> set[tuple[str, int]]:
    """The last attempt of each step that failed."""
    state = tools.client().status(execution_id).state
    return {(step_id, at.attempt) for step_id, at in state.steps.items() if at.status == "failed"}


def _last(chunks: Iterable[Chunk], lines: int, *, anew: bool) -> list[Chunk]:
    """The chunks of the last lines of each attempt; the first of them is cut where its lines begin.

    With `anew`, their offsets begin at 0, so that what is before is not taken for something that is missing.
    """
    import msgspec

    by_stream: dict[tuple[str, int], list[Chunk]] = {}
    for chunk in chunks:
        by_stream.setdefault((chunk.step, chunk.attempt), []).append(chunk)
    kept: list[Chunk] = []
    for every in by_stream.values():
        data = b"".join(chunk.data for chunk in every)
        at = len(data.rstrip(b"\n"))
        for _ in range(lines):
            at = data.rfind(b"\n", 0, at)
            if at < 0:
                break
        skip, base = at + 1, None
        for chunk in every:
            if skip < len(chunk.data):
                begin = chunk.offset + skip
                base = begin if base is None and anew else base or 0
                kept.append(msgspec.structs.replace(chunk, data=chunk.data[skip:], offset=begin - base))
            skip = max(0, skip - len(chunk.data))
    return kept


def _rendered(chunks: Iterable[Chunk], printer: Printer, *, raw: bool, as_json: bool) -> Iterable[bytes]:
    if raw:
        yield from (chunk.data for chunk in chunks)
    elif as_json:
        import msgspec

        yield from (msgspec.json.encode(log_line(chunk)) + b"\n" for chunk in chunks)
    else:
        for chunk in chunks:
            yield printer.text(chunk)
        yield printer.rest()


HELP = """Show what the steps of an execution printed, or one STEP, of all attempts or of one.

\b
  cerebelum logs last
  cerebelum logs deploy-k3 unit --attempt 2
  cerebelum logs last image --raw > image.log
  cerebelum logs last --failed --tail 20

Terminal escapes are made visible and invalid UTF-8 is replaced, except with --raw, which gives the bytes as they were.
Secrets are masked before anything is kept.
"""

command = click.Command(
    "logs",
    callback=click.pass_obj(logs),
    help=HELP,
    params=[
        ID,
        STEP,
        click.Option(["-f", "--follow"], is_flag=True, help="Go on until the execution no longer runs."),
        click.Option(["--attempt"], type=click.IntRange(1), metavar="N", help="Of this attempt only."),
        click.Option(["--tail"], type=click.IntRange(1), metavar="N", help="Only the last N lines of each step."),
        click.Option(["--failed"], is_flag=True, help="Only of steps that failed."),
        click.Option(["--since", "since_text"], metavar="WHEN", help="Printed since then: 10m, 2h, or a moment."),
        click.Option(["--timestamps"], is_flag=True, help="Put the local time before each line."),
        click.Option(["--raw"], is_flag=True, help="The bytes as they were, without names."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print each piece as a line of JSON."),
    ],
)
