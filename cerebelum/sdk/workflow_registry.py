"""`WorkflowRegistry`: which workflows there are, in a store and in this process, and how their executions stand."""

from __future__ import annotations

import os
from collections.abc import Generator
from datetime import datetime
from functools import wraps
from typing import ParamSpec, Self, TypeVar

import msgspec

from cerebelum.sdk.both_ways import Closing, Rest, Threads, Verb, verb
from cerebelum.sdk.client import ExecutionClient

P = ParamSpec("P")
T = TypeVar("T")

imported: dict[str, str] = {}
"""Workflows that were defined in this process, by name: where each comes from."""


def register(name: str, where: str) -> None:
    """Note that this process has imported a workflow; `where` is its file, or `module:name`. The last one counts."""
    imported[name] = where


class WorkflowInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow that is known."""

    name: str
    executions: int = 0
    """How many there are of it in the store."""
    last_started_at: datetime | None = None
    """UTC; when the newest of them started."""
    imported_from: str | None = None
    """Where this process imported it from; None if it did not."""


def _asked(method: Verb[ExecutionClient, P, T]) -> Verb[WorkflowRegistry, P, T]:
    """The method of the registry's client."""

    @wraps(method.body)
    def course(registry: WorkflowRegistry, /, *args: P.args, **kwargs: P.kwargs) -> Generator[Rest, None, T]:
        return method.body(registry.client, *args, **kwargs)

    return Verb(course)


class WorkflowRegistry(Closing):
    """The index of the workflows known to a store, and of those imported in this process.

    `store` is what ExecutionClient takes. Every method can be awaited, and is blocking as
    `registry.method.blocking(…)`. It is closed by `async with`, `with`, or `close`.
    """

    def __init__(self, store: str | os.PathLike[str] | None = None, *, core_url: str | None = None) -> None:
        self.client = ExecutionClient(store, core_url=core_url)
        self._lent = False

    @classmethod
    def over(cls, client: ExecutionClient) -> Self:
        """A registry of a client's store; the client stays open when it is closed."""
        registry = cls.__new__(cls)
        registry.client, registry._lent = client, True
        return registry

    @property
    def threads(self) -> Threads:
        """Where it looks."""
        return self.client.threads

    @verb
    def workflows(self) -> list[WorkflowInfo]:
        """All workflows of which there are executions in the store, or which this process has imported, by name.

        Executions that were pruned are not counted. Raises StoreError.
        """
        here = dict(imported)
        known = {name: WorkflowInfo(name=name, imported_from=where) for name, where in here.items()}
        for found in self.client.verbs.store.workflows():
            known[found.workflow] = WorkflowInfo(
                name=found.workflow,
                executions=found.executions,
                last_started_at=found.last,
                imported_from=here.get(found.workflow),
            )
        return [known[name] for name in sorted(known)]

    get_execution_status = _asked(ExecutionClient.get_execution_status)
    list_executions = _asked(ExecutionClient.list_executions)
    get_active_workflows = _asked(ExecutionClient.list_active_workflows)

    @verb
    def close(self) -> None:
        """Let go of the store. Closing twice is allowed."""
        if not self._lent:
            self.client.close.blocking()
