"""All hooks. A plugin is a module (or object) with functions of these names, marked with `@cerebelum.hookimpl`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

from cerebelum.core.events import AnyEvent
from cerebelum.steps.executor import Executor
from cerebelum.store import EventStore

if TYPE_CHECKING:
    import click

PROJECT = "cerebelum"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def cerebelum_executors() -> Iterable[Executor]:  # type: ignore[empty-body]
    """Executors this plugin adds. A key that is taken already is an error."""


@hookspec
def cerebelum_backends() -> Mapping[str, Callable[[str], EventStore]]:  # type: ignore[empty-body]
    """URL schemes this plugin can open, each with a function from the whole URL to an open store."""


@hookspec
def cerebelum_commands(group: click.Group, client: Callable[[], Any], renderer: Callable[[], Any]) -> None:
    """Add verbs to the command line; `client()` and `renderer()` give the ones that the built-in verbs use."""


@hookspec
def cerebelum_event(execution_id: str, event: AnyEvent) -> None:
    """Called after an event was recorded, in a thread of the runner's process, one event at a time and in order.

    Nobody waits for it: it may take 5 seconds for one event, and when the command ends, all observers together have 5
    seconds for what is left. An exception here is reported, nothing more.
    """
