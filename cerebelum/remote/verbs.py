"""What can be done with executions behind a service: it is asked to, and what comes of it is seen through from here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Unpack

import msgspec

from cerebelum.core.errors import UsageError
from cerebelum.core.plan import Plan
from cerebelum.core.step_kind import Defines
from cerebelum.definition.inputs import Text
from cerebelum.host.surroundings import who
from cerebelum.remote.channel import Channel
from cerebelum.remote.store import RemoteStore
from cerebelum.sdk.verbs import Verbs
from cerebelum.store import Query, Row, Tombstone, lookup
from cerebelum.wire import execution_pb2 as wire

if TYPE_CHECKING:
    from cerebelum.engine.session import Result
    from cerebelum.remote.following import Following
    from cerebelum.sdk.course import Course, How


def verbs(url: str, environ: Mapping[str, str]) -> RemoteVerbs:
    """The verbs on a service. Raises UsageError for what is no address; it is reached when it is first needed."""
    return RemoteVerbs(Channel(url, environ), environ)


class RemoteVerbs(Verbs):
    """The same verbs, at a service."""

    def __init__(self, channel: Channel, environ: Mapping[str, str]) -> None:
        super().__init__(lambda: RemoteStore(channel), dict, environ=environ)
        self._channel = channel

    def performing(self, workflow: Path | Defines | None, loop: asyncio.AbstractEventLoop | None = None) -> Verbs:
        """The same: whatever is performed is performed there."""
        return self

    # -- driving ------------------------------------------------------------------------------------------------------

    def run(
        self,
        path: Path | Defines,
        inputs: Mapping[str, Any],
        *,
        execution_id: str | None = None,
        or_resume: bool = False,
        tags: Iterable[str] = (),
        lock: str | None = None,
        **how: Unpack[How],
    ) -> Result:
        """Have the service start the workflow of this name, which it was given, and see it through."""
        if or_resume:
            if execution_id is None:
                raise UsageError("--or-resume needs --id", hint="the id says which execution to go on with")
            if self.store.find(Query(id=execution_id, limit=1)).rows:
                return self._go_on(execution_id, how)
        name = path.name if isinstance(path, Defines) else str(path)
        request = wire.StartExecutionRequest(
            workflow_name=name,
            inputs_json=_json(_values(inputs)),
            inputs_text=_texts(inputs),
            execution_id=execution_id,
            tags=tuple(dict.fromkeys(tags)),
            by=how.get("by") or who(),
            correlation_id=how.get("correlation_id"),
            lock=lock,
        )
        started = self._channel.call("StartExecution", request, wire.ExecutionHandle)
        return self._seen(started.execution_id, how)

    def _go_on(self, execution_id: str, how: How) -> Result:
        from cerebelum.engine.session import Result

        state = lookup.read(self.store, execution_id).state
        if state.ended == "completed":
            how.get("on_start", _nothing)(execution_id)
            return Result(execution_id, "ended", state, already=True)
        return self.resume(execution_id, **how)

    def resume(
        self,
        name: str,
        *,
        from_step: str | None = None,
        anew: bool = False,
        accept_changes: bool = False,
        file: Path | Defines | None = None,
        recorded: bool = False,
        working_dir: Path | None = None,
        take_over: bool = False,
        **how: Unpack[How],
    ) -> Result:
        """Have the service go on with an execution, and see it through."""
        if take_over or working_dir is not None or isinstance(file, Path):
            raise _elsewhere("--file, --working-dir and --take-over")
        before = lookup.read(self.store, self.resolve(name)).state
        request = self._again(before.execution_id, from_step, anew, accept_changes, recorded)
        request.by = how.get("by") or who()
        following = self._following(before.execution_id, how, version=before.version)
        following.skip_output()
        self._channel.call("ResumeExecution", request, wire.ExecutionHandle)
        return self._see_through(following, before.execution_id, how)

    def plan(
        self,
        name: str,
        *,
        from_step: str | None = None,
        anew: bool = False,
        accept_changes: bool = False,
        file: Path | None = None,
        recorded: bool = False,
    ) -> Plan:
        """What a resume would do to each step."""
        if file is not None:
            raise _elsewhere("--file")
        request = self._again(name, from_step, anew, accept_changes, recorded)
        found = self._channel.call("PlanResume", request, wire.ResumePlan)
        said = json.loads(found.json)
        return msgspec.convert({**said, "rows": said["steps"]}, Plan)

    def _again(
        self, name: str, from_step: str | None, anew: bool, accept_changes: bool, recorded: bool
    ) -> wire.ResumeExecutionRequest:
        return wire.ResumeExecutionRequest(
            execution_id=name,
            skip_completed_steps=not anew,
            from_step=from_step,
            accept_changes=accept_changes,
            recorded=recorded,
        )

    def fork(
        self,
        name: str,
        from_step: str,
        inputs: Mapping[str, Any],
        *,
        execution_id: str | None = None,
        file: Path | None = None,
        recorded: bool = False,
        accept_changes: bool = False,
        **how: Unpack[How],
    ) -> Result:
        """Have the service start a new execution in the middle of an old one, and see it through."""
        if file is not None:
            raise _elsewhere("--file")
        request = wire.ForkRequest(
            execution_id=name,
            from_step=from_step,
            inputs_json=_json(_values(inputs)),
            inputs_text=_texts(inputs),
            new_execution_id=execution_id,
            accept_changes=accept_changes,
            recorded=recorded,
            by=how.get("by") or who(),
        )
        started = self._channel.call("Fork", request, wire.ExecutionHandle)
        return self._seen(started.execution_id, how)

    def _following(self, execution_id: str, how: How, version: int = 0) -> Following:
        from cerebelum.engine.settings import DEFAULTS
        from cerebelum.remote.following import Following

        return Following(self.store, execution_id, how.get("settings", DEFAULTS), version=version)

    def _seen(self, execution_id: str, how: How) -> Result:
        return self._see_through(self._following(execution_id, how), execution_id, how)

    def _see_through(self, following: Following, execution_id: str, how: How) -> Result:
        how.get("on_engine", _nothing)(following)
        how.get("on_start", _nothing)(execution_id)
        return following.see_through()

    # -- asking -------------------------------------------------------------------------------------------------------

    def approve(
        self,
        name: str,
        step: str | None = None,
        *,
        by: str,
        comment: str | None = None,
        response: Mapping[str, Any] | None = None,
    ) -> Row:
        """Grant what a step waits for."""
        request = wire.ApproveRequest(
            execution_id=name, step=step, by=by, comment=comment, response_json=_json(response or {})
        )
        return self._row("Approve", request)

    def reject(self, name: str, step: str | None = None, *, by: str, comment: str | None = None) -> Row:
        """Refuse what a step waits for."""
        return self._row("Reject", wire.RejectRequest(execution_id=name, step=step, by=by, comment=comment))

    def cancel(self, name: str, *, by: str, why: str | None = None, **how: Unpack[Course]) -> Row:
        """Cancel an execution; if nobody drives it, the service finishes it."""
        return self._row("Cancel", wire.CancelRequest(execution_id=name, by=by, why=why))

    def pause(self, name: str, *, by: str, why: str | None = None, **how: Unpack[Course]) -> Row:
        """Have an execution paused."""
        return self._row("Pause", wire.PauseRequest(execution_id=name, by=by, why=why))

    def _row(self, method: str, request: Any) -> Row:
        found = self._channel.call(method, request, wire.Execution)
        return msgspec.json.decode(found.row_json, type=Row)

    # -- what is not done from here -----------------------------------------------------------------------------------

    def supervise(self, *args: object, **kwargs: object) -> NoReturn:
        """Raises UsageError."""
        raise _elsewhere("supervise")

    def driver(self, how: Course) -> NoReturn:
        """Raises UsageError: who submits and who works needs the store itself."""
        raise UsageError(
            f"the service at {self._channel.address} does not do this", hint="do it where its store is, with --store"
        )

    def prune(self, row: Row) -> Tombstone | None:
        """Raises UsageError."""
        raise _elsewhere("store prune")

    def inside(self, *args: object, **kwargs: object) -> NoReturn:
        """Raises UsageError."""
        raise _elsewhere("shell")


def _nothing(told: object) -> None:
    return None


def _elsewhere(what: str) -> UsageError:
    return UsageError(f"{what}: this is about the machine where the steps run", hint="do it there, with --store")


def _json(values: Mapping[str, Any]) -> str:
    return msgspec.json.encode(values).decode()


def _values(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in inputs.items() if not isinstance(value, Text)}


def _texts(inputs: Mapping[str, Any]) -> dict[str, str]:
    """What came from a command line: the service finds out what is meant."""
    return {name: value for name, value in inputs.items() if isinstance(value, Text)}
