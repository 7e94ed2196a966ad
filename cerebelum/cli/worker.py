"""`cerebelum worker`: take executions and steps from queues and see to them; and look after those who do."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from cerebelum.cli import terminal
from cerebelum.cli.answers import style
from cerebelum.cli.options import JSON
from cerebelum.cli.supervise import serving, workflow_files
from cerebelum.cli.tools import Tools
from cerebelum.cli.words import unicode_text
from cerebelum.core.errors import UsageError


def worker(
    tools: Tools,
    queues: tuple[str, ...],
    concurrency: int,
    labels: tuple[str, ...],
    schedules: tuple[str, ...],
    most_resurrections: int,
    once: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """The verb; returns the exit code."""
    from cerebelum.sdk import pool

    context = click.get_current_context()
    if (other := context.invoked_subcommand) is not None:
        by_hand = click.core.ParameterSource.COMMANDLINE
        for option in context.command.params:
            if context.get_parameter_source(str(option.name)) is by_hand:
                hint = f"its own options stand behind it; see: cerebelum worker {other} --help"
                raise UsageError(f"worker {other} takes no {max(option.opts, key=len)}", hint=hint)
        return 0
    names = _several(queues, "the queue")
    if not names:
        raise UsageError("--queue is missing", hint="name what to take from: cerebelum worker --queue build,deploy")
    files = workflow_files(schedules)
    return serving(
        quiet,
        as_json,
        lambda settings, tell: pool.work(
            tools.client(),
            names,
            _several(labels, "the label"),
            concurrency=concurrency,
            most_resurrections=most_resurrections,
            once=once,
            files=files,
            settings=settings,
            tell=tell,
            heed_signals=True,
        ),
    )


def _several(given: tuple[str, ...], what: str) -> list[str]:
    parts = [part.strip() for text in given for part in unicode_text(text, what).split(",")]
    return list(dict.fromkeys(part for part in parts if part))


def list_(tools: Tools, as_json: bool) -> int:
    """`worker list`; returns the exit code."""
    from cerebelum.render import pool as shown
    from cerebelum.sdk import pool
    from cerebelum.store.pooling import pool_of

    pool_of(tools.client().store)
    found = pool.overview(tools.client())
    if as_json:
        terminal.show_json(shown.pool_shape(found))
    else:
        terminal.show(shown.pool_text(found, style(tools).width, datetime.now(UTC)))
    return 0


def drain(tools: Tools, worker_id: str, as_json: bool) -> int:
    """`worker drain`; returns the exit code."""
    from cerebelum.render import pool as shown
    from cerebelum.sdk import pool

    found = pool.drain(tools.client(), unicode_text(worker_id, "the id"))
    if as_json:
        terminal.show_json(shown.worker_shape(found))
    else:
        terminal.show(f"{found.runner.id} on {found.runner.host} takes nothing new, and hands over what it drives")
    return 0


HELP = """Take executions, and steps that run on workers, from queues, as many at once as told, until stopped.

\b
  cerebelum worker --queue build
  cerebelum worker --queue build,deploy --concurrency 4 --labels gpu,eu
  cerebelum worker --queue build --once
  cerebelum worker --queue build --schedule nightly.yaml
  cerebelum worker list
  cerebelum worker drain 3f

Start it on as many machines as you like, all on one PostgreSQL store: whoever is free takes the next one. When a worker
dies, another one goes on with what it drove, at the step that was interrupted. SIGTERM ends the steps and hands over;
`drain` lets the present steps come to their end first, and the exit code is 0. With --schedule, on as many workers as
you like, each tick is submitted once. What happens is on standard output with
--json, of all executions.
"""

_LIST = """Show the queues, and the workers with what each of them does.

\b
  cerebelum worker list
  cerebelum worker list --json
"""

_DRAIN = """Have a worker take nothing new, finish the steps that are running, hand over the rest, and end.

\b
  cerebelum worker drain 3f1a

The id is that of `worker list`, or a unique beginning of it. It works from any machine.
"""

command = click.Group(
    "worker",
    callback=click.pass_obj(worker),
    help=HELP,
    invoke_without_command=True,
    commands=[
        click.Command("list", callback=click.pass_obj(list_), help=_LIST, params=[JSON]),
        click.Command(
            "drain",
            callback=click.pass_obj(drain),
            help=_DRAIN,
            params=[click.Argument(["worker_id"], metavar="ID"), JSON],
        ),
    ],
    params=[
        click.Option(["--queue", "queues"], metavar="NAME[,NAME…]", multiple=True, help="Queues to take from."),
        click.Option(
            ["--concurrency"],
            type=click.IntRange(1, 1000),
            default=1,
            show_default=True,
            help="How many executions and steps are taken at once.",
        ),
        click.Option(
            ["--labels"],
            metavar="NAME[,NAME…]",
            multiple=True,
            help="What is special about this machine, and steps may ask for.",
        ),
        click.Option(
            ["--schedule", "schedules"],
            metavar="FILE",
            type=click.Path(),
            multiple=True,
            help="Submit what this workflow's `schedule` says into the first queue; several may be given.",
        ),
        click.Option(
            ["--resurrections", "most_resurrections"],
            type=click.IntRange(0, 1000),
            default=5,
            show_default=True,
            help="How often in a row an execution is taken over without a step completed, or one of its steps kills its"
            " worker; then it fails.",
        ),
        click.Option(["--once"], is_flag=True, help="Exit when there is nothing to take, and all has ended or waits."),
        click.Option(["-q", "--quiet"], is_flag=True, help="Say nothing about what is taken."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print each event as a line of JSON."),
    ],
)
