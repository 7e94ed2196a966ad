"""What the service does when it is asked to change something, whichever way it was asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import msgspec

from cerebelum.core.errors import UsageError
from cerebelum.sdk.client import ExecutionClient
from cerebelum.sdk.launching import launch
from cerebelum.sdk.statuses import ExecutionStatus
from cerebelum.service.access import Forbidden
from cerebelum.service.workflows import Workflows

_SOMEBODY = "service"
"""In whose name things are done where nobody said."""


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """How to go on with an execution."""

    skip_completed_steps: bool = True
    from_step: str | None = None
    accept_changes: bool = False
    recorded: bool = False


class Operations:
    """Starts and steers executions. What is started goes on in a process of its own, whatever becomes of the service.

    `client` looks at the store, `store` is how other processes are told which one it is; `by` is always who asks. All
    methods raise what those of ExecutionClient raise, and Forbidden if `read_only`.
    """

    def __init__(self, client: ExecutionClient, *, store: str, workflows: Workflows, read_only: bool = False) -> None:
        self.client = client
        self.workflows = workflows
        self.read_only = read_only
        self._store = store

    async def start(
        self,
        workflow: str,
        inputs: Mapping[str, Any],
        *,
        texts: Mapping[str, str] | None = None,
        execution_id: str | None = None,
        correlation_id: str | None = None,
        tags: Iterable[str] = (),
        lock: str | None = None,
        by: str | None = None,
    ) -> str:
        """Start a workflow that the service was given; the id. Raises NotFound if it was not.

        `texts` are inputs as they are typed on a command line.
        """
        self._check()
        words = ["run", self.workflows.file(workflow), *_typed(texts)]
        words += [] if execution_id is None else [f"--id={execution_id}"]
        words += [] if correlation_id is None else [f"--correlation-id={correlation_id}"]
        words += [f"--tag={tag}" for tag in tags]
        words += [] if lock is None else [f"--lock={lock}"]
        return await self._launch(words, by, inputs)

    async def resume(self, execution_id: str, how: Again, *, by: str | None = None) -> str:
        """Go on with an execution; its whole id."""
        self._check()
        name = await self._known(execution_id)
        if how.from_step is not None and not how.skip_completed_steps:
            raise UsageError("from_step says which steps are skipped", hint="leave out skip_completed_steps")
        words = ["resume"]
        words += [] if how.skip_completed_steps else ["--from-start"]
        words += [] if how.from_step is None else [f"--from={how.from_step}"]
        words += ["--accept-changes"] if how.accept_changes else []
        words += ["--recorded"] if how.recorded else []
        return await self._launch([*words, name], by)

    async def fork(
        self,
        execution_id: str,
        from_step: str,
        inputs: Mapping[str, Any],
        *,
        texts: Mapping[str, str] | None = None,
        new_id: str | None = None,
        accept_changes: bool = False,
        recorded: bool = False,
        by: str | None = None,
    ) -> str:
        """Start a new execution in the middle of an old one; its id."""
        self._check()
        name = await self._known(execution_id)
        words = ["fork", f"--from={from_step}", *_typed(texts)]
        words += [] if new_id is None else [f"--id={new_id}"]
        words += ["--accept-changes"] if accept_changes else []
        words += ["--recorded"] if recorded else []
        return await self._launch([*words, name], by, inputs)

    async def approve(
        self,
        execution_id: str,
        step: str | None = None,
        *,
        comment: str | None = None,
        response: Mapping[str, Any] | None = None,
        by: str | None = None,
    ) -> ExecutionStatus:
        """Grant what a step waits for."""
        self._check()
        return await self.client.approve(execution_id, step, by=by or _SOMEBODY, comment=comment, response=response)

    async def reject(
        self, execution_id: str, step: str | None = None, *, comment: str | None = None, by: str | None = None
    ) -> ExecutionStatus:
        """Refuse what a step waits for."""
        self._check()
        return await self.client.reject(execution_id, step, by=by or _SOMEBODY, comment=comment)

    async def cancel(self, execution_id: str, *, why: str | None = None, by: str | None = None) -> ExecutionStatus:
        """Cancel an execution."""
        self._check()
        return await self.client.cancel(execution_id, by=by or _SOMEBODY, why=why)

    async def pause(self, execution_id: str, *, why: str | None = None, by: str | None = None) -> ExecutionStatus:
        """Have an execution paused."""
        self._check()
        return await self.client.pause(execution_id, by=by or _SOMEBODY, why=why)

    def _check(self) -> None:
        if self.read_only:
            raise Forbidden("this service only shows executions", hint="it was started with --read-only")

    async def _known(self, execution_id: str) -> str:
        """The whole id. Raises NotFound, UsageError, before a process is started for nothing."""
        return (await self.client.get_execution_status(execution_id)).execution_id

    async def _launch(self, words: list[str], by: str | None, inputs: Mapping[str, Any] | None = None) -> str:
        import asyncio

        named = [words[0], f"--by={by or _SOMEBODY}", *words[1:]]
        return await asyncio.to_thread(partial(launch, named, store=self._store, inputs=inputs))


def _typed(texts: Mapping[str, str] | None) -> list[str]:
    return [f"--input={name}={value}" for name, value in (texts or {}).items()]
