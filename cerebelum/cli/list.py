"""`cerebelum list`: executions, newest first."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import cast

import click

from cerebelum.cli import terminal
from cerebelum.cli.answers import COUNT_TO, LIMIT, show_list
from cerebelum.cli.options import JSON, Duration
from cerebelum.cli.tools import Tools
from cerebelum.cli.words import unicode_text
from cerebelum.core.errors import UsageError
from cerebelum.core.status import STATUSES, Status
from cerebelum.store import Query

_COUNT_ALL = 1 << 53
_LEAST_INTERVAL = 0.1


def statuses(given: tuple[str, ...]) -> tuple[Status, ...]:
    """Statuses from options, each of which may hold several. Raises UsageError."""
    names = [name.strip() for text in given for name in text.split(",") if name.strip()]
    for name in names:
        if name not in STATUSES:
            import difflib

            near = difflib.get_close_matches(name, STATUSES, 1)
            hint = f"did you mean {near[0]}?" if near else "one of " + ", ".join(STATUSES)
            raise UsageError(f"there is no status {unicode_text(name, 'the status')!r}", hint=hint)
    return cast(tuple[Status, ...], tuple(dict.fromkeys(names)))


def since(text: str, now: datetime) -> datetime:
    """The moment that a length of time before `now` (2h, 3d) or a date (in local time) means. Raises UsageError."""
    from cerebelum.core.durations import duration

    try:
        return now - timedelta(seconds=duration(text))
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"--since {text!r} is no moment", hint="write it like 2h, 3d, 2025-06-30 or 2025-06-30T12:00:00Z"
        ) from None


def list_(
    tools: Tools,
    status: tuple[str, ...],
    workflow: str | None,
    tags: tuple[str, ...],
    since_text: str | None,
    limit: int,
    offset: int,
    count: bool,
    form: str | None,
    watch: bool,
    interval: float,
    as_json: bool,
) -> int:
    """The verb; returns the exit code."""
    query = Query(
        status=statuses(status),
        workflow=None if workflow is None else unicode_text(workflow, "the workflow"),
        tag=tuple(unicode_text(tag, "the tag") for tag in tags),
        since=None if since_text is None else since(since_text, datetime.now(UTC)),
        limit=limit,
        offset=offset,
        count_to=_COUNT_ALL if count else COUNT_TO,
    )
    if form is not None:
        if as_json:
            raise UsageError("--format and --json exclude each other")
        if watch:
            raise UsageError("--watch draws a table, so there is nothing for --format to do")
        return _show_formatted(tools, query, unicode_text(form, "the format"))
    if watch:
        if as_json:
            raise UsageError(
                "--watch draws a table", hint="as JSON, ask again and again, or see: cerebelum watch --json"
            )
        return _watch(tools, query, interval)
    return show_list(tools, query, as_json=as_json)


def _watch(tools: Tools, query: Query, interval: float) -> int:
    """Draw the table anew whenever it has changed, until Ctrl-C."""
    from cerebelum import render
    from cerebelum.store.news import News

    stream = terminal.stdout()
    if not terminal.can_draw(stream, tools.environ):
        raise UsageError("--watch draws on a terminal, which this is not", hint="leave it out, and ask again")
    drawn: object = None
    # Deaths, and what is due, are not told: so now and then it looks all the same.
    with News(tools.client().store, None, max(interval, _LEAST_INTERVAL)) as news:
        while True:
            page = tools.client().list(query)
            how = terminal.style(stream, tools.environ)
            # How long ago things were is no news.
            if drawn != (page, how, terminal.height(stream)):
                drawn = (page, how, terminal.height(stream))
                lines = render.list_text(page, query, datetime.now(UTC), how).split("\n")[: terminal.height(stream) - 1]
                stream.write("\x1b[H\x1b[2J" + "\n".join(lines) + "\n")
                stream.flush()
            news.wait()
            time.sleep(_LEAST_INTERVAL)


def _show_formatted(tools: Tools, query: Query, form: str) -> int:
    from cerebelum import render

    for row in tools.client().list(query).rows:
        shape = render.summary_shape(row)
        fields = {"id": row.summary.execution_id, **{name: _as_text(given) for name, given in shape.items()}}
        try:
            line = form.format_map(fields)
        except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
            hint = "there is " + ", ".join(f"{{{name}}}" for name in fields)
            raise UsageError(f"--format {form!r} cannot be filled in: {error}", hint=hint) from None
        terminal.show(render.harmless(line))
    return 0


def _as_text(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return "" if value is None else str(value)


HELP = """List executions, newest first.

\b
  cerebelum list
  cerebelum list --status failed,paused --since 2d
  cerebelum list --workflow deploy --tag nightly --json
  cerebelum list --status running --watch
  cerebelum list --status failed --format '{id} {workflow} {started_at}'

Above 10,000 executions the total says "10000+"; --count counts them all.
"""

command = click.Command(
    "list",
    callback=click.pass_obj(list_),
    help=HELP,
    params=[
        click.Option(
            ["-s", "--status"], metavar="STATUS", multiple=True, help=f"One or more of {', '.join(STATUSES)}."
        ),
        click.Option(["-w", "--workflow"], metavar="NAME", help="Executions of this workflow."),
        click.Option(
            ["-t", "--tag", "tags"], metavar="TAG", multiple=True, help="With this tag; several: with all of them."
        ),
        click.Option(["--since", "since_text"], metavar="WHEN", help="Started since then: 2h, 3d, or a date."),
        click.Option(
            ["-n", "--limit"],
            type=click.IntRange(1, 10_000),
            default=LIMIT,
            show_default=True,
            help="How many.",
        ),
        click.Option(["--offset"], type=click.IntRange(0, 1 << 53), default=0, help="How many to leave out first."),
        click.Option(["--count"], is_flag=True, help="Count all, however many there are."),
        click.Option(
            ["--format", "form"], metavar="TEXT", help="A line for each, with {id}, {status} and so on filled in."
        ),
        click.Option(["--watch"], is_flag=True, help="Stay, and show what changes, until Ctrl-C."),
        click.Option(
            ["--interval"],
            type=Duration(),
            default="1s",
            show_default=True,
            metavar="TIME",
            help="With --watch: how often to look.",
        ),
        JSON,
    ],
)
