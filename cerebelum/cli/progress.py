"""What somebody at a terminal sees of work that takes long: how far it has come, on standard error; else nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cerebelum.cli import terminal
from cerebelum.cli.tools import Tools

Advance = Callable[[int, int], None]


@contextmanager
def progress(tools: Tools, what: str, total: Callable[[], int | None] = lambda: None) -> Iterator[Advance]:
    """Gives what is told how many executions, and how many events of them, were done since.

    `total` says how many executions there are, and is only asked where that is shown. What interrupts the work
    (Ctrl-C) goes through.
    """
    stream = terminal.stderr()
    if not terminal.can_live(stream, tools.environ):
        yield lambda executions, events: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from cerebelum.render.display import harmless

    # A link or a mark in a name is not to be taken for one of ours.
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[events]:,} events", markup=False),
        TimeElapsedColumn(),
    )
    console = Console(file=stream, no_color=not terminal.colours(stream, tools.environ))
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as bar:
        task = bar.add_task(harmless(what), total=total(), events=0)
        done = 0

        def advance(executions: int, events: int) -> None:
            nonlocal done
            done += events
            bar.update(task, advance=executions, events=done)

        yield advance


@contextmanager
def interruptible(text: str) -> Iterator[None]:
    """Within it, Ctrl-C ends with `text`, which says what is done and what is not."""
    try:
        yield
    except KeyboardInterrupt:
        terminal.complain(f"cerebelum: interrupted: {text}")
        raise
