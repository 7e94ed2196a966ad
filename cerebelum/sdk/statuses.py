"""How executions stand, as programs are told: made from the fold of the events, or from what a list knows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Self

import msgspec

from cerebelum.core.errors import UsageError
from cerebelum.core.events import StepError
from cerebelum.core.order import settled
from cerebelum.core.phases import awaited
from cerebelum.core.state import State
from cerebelum.core.status import GOING_ON, STATUSES, Status
from cerebelum.core.step_state import Call, StepState
from cerebelum.core.step_state import StepStatus as Standing
from cerebelum.core.summary import Summary
from cerebelum.host.clock import remaining
from cerebelum.store import Page, Row
from cerebelum.store.liveness import reported_dead
from cerebelum.store.lookup import View

COUNT_TO = 10_000
"""Totals are exact up to here."""
_NOT_YET = 99.9
"""The most progress of what has not completed."""


class ExecutionState(StrEnum):
    """Where an execution stands. One whose process was killed is PAUSED.

    QUEUED waits for a worker to take it, SLEEPING for time (a sleep, or the next attempt of a step),
    WAITING_FOR_WORKER for one that takes or performs a step, WAITING_FOR_APPROVAL for a person, WAITING_FOR_LOCK for
    others of its group. No execution is UNSPECIFIED: in a filter it stands for any.
    """

    UNSPECIFIED = "unspecified"
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    SLEEPING = "sleeping"
    WAITING_FOR_WORKER = "waiting_for_worker"
    WAITING_FOR_APPROVAL = "waiting_for_approval"
    WAITING_FOR_LOCK = "waiting_for_lock"
    PAUSED = "paused"
    CANCELLED = "cancelled"


_NAMES = tuple(state.value for state in ExecutionState)


class ErrorInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Why a step or an execution failed."""

    kind: str
    """exit, signal, timeout, exception, rejected …"""
    message: str
    stacktrace: str | None = None
    """Of a Python function."""
    exit_code: int | None = None
    """Of a script."""
    output_tail: str | None = None
    """The last lines that were printed."""


class StepStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How one step stands."""

    step_name: str
    step_index: int
    """Its place among all steps: those of the main graph from 0 on, then the handlers."""
    status: Standing
    started_at: datetime | None = None
    """UTC; when its first attempt began, since it last had its turn."""
    completed_at: datetime | None = None
    """UTC; when it ended, whichever way."""
    duration_seconds: float | None = None
    """From the one to the other: with retries, sleeps and approvals."""
    output: Any = None
    error: ErrorInfo | None = None
    """Of its last attempt, if that failed."""
    attempts: int = 0


class SleepInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A step that waits for time to pass; of several, the one whose time comes first."""

    step_name: str
    duration_ms: int
    sleep_started_at: datetime
    """UTC."""
    remaining_ms: int
    """By this machine's clock; never negative, and never more than `duration_ms`."""
    data: Any = None
    """Where the wait is for the next attempt of a step that failed: {"retry": attempts so far, "error": message}."""


class ApprovalInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A step that waits for a person; of several, the one that has waited longest."""

    step_name: str
    approval_type: str
    message: str
    data: Any = None
    requested_at: datetime
    """UTC."""
    timeout_ms: int | None = None
    """How long there is to decide, in all; None: for ever."""
    remaining_timeout_ms: int | None = None
    """By this machine's clock; never negative."""


class OwnerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The process that drives an execution."""

    runner: str
    host: str | None = None
    pid: int | None = None
    since: datetime | None = None
    """UTC."""


class ExecutionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How an execution stood when it was asked for. Times are in UTC.

    In lists, which read no events, these are None or empty: `steps`, `completed_steps`, `inputs`, `step_outputs`,
    `output`, `error` (`reason` has its message), `sleep_info` and `approval_info`.
    """

    execution_id: str
    workflow_name: str
    status: ExecutionState
    reason: str | None = None
    """Why, where the status alone does not say: `interrupted` (its process died), the message of the error …"""
    started_at: datetime
    updated_at: datetime
    """When the last event was recorded."""
    completed_at: datetime | None = None
    """When it ended, whichever way."""
    total_steps: int = 0
    """Of the main graph; handlers are not counted."""
    current_step_index: int = 0
    """The place of the current step; `total_steps` when it has completed, or only handlers are left. In lists: how many
    steps are settled, which is the same where one follows the other."""
    current_step_name: str | None = None
    """The step that is at work or waits (of several, the first that began); otherwise the one it is stuck at."""
    completed_steps: list[StepStatus] = []
    """Those that completed, in the order of the file."""
    steps: list[StepStatus] = []
    """All, in the order of the file; the handlers come last."""
    inputs: dict[str, Any] = {}
    step_outputs: dict[str, Any] = {}
    """By name, of the steps that completed."""
    output: Any = None
    """What the workflow returns, once it has completed."""
    error: ErrorInfo | None = None
    sleep_info: SleepInfo | None = None
    approval_info: ApprovalInfo | None = None
    progress_percentage: float = 0.0
    """The share of steps that are settled, from 0 to 100; 100 only when it has completed."""
    elapsed_seconds: float = 0.0
    """From its start to its end, to now while it goes on, or to the last event of one that is paused."""
    tags: list[str] = []
    owner: OwnerInfo | None = None
    """None if no living process drives it."""
    parent: str | None = None
    """The execution that this one is a fork of."""


class _Page(NamedTuple):
    executions: list[ExecutionStatus]
    total_count: int
    has_more: bool


class ExecutionPage(_Page):
    """Executions of a list, newest first; also a tuple of the three.

    `total_count` is exact up to 10,000; where `total_is_exact` is False, there are at least so many. `has_more` is
    always exact.
    """

    total_is_exact: bool

    def __new__(
        cls, executions: list[ExecutionStatus], total_count: int, has_more: bool, total_is_exact: bool = True
    ) -> Self:
        page = super().__new__(cls, executions, total_count, has_more)
        page.total_is_exact = total_is_exact
        return page


def wanted(status: ExecutionState | str | Iterable[ExecutionState | str] | None) -> tuple[Status, ...]:
    """The statuses that a filter means; empty for any. Raises UsageError for one that there is not."""
    several = isinstance(status, Iterable) and not isinstance(status, str)
    given: list[object] = [] if status is None else list(status) if several else [status]
    names = [str(name).lower() for name in given]
    for name in names:
        if name not in _NAMES:
            raise _unknown(name)
    return () if ExecutionState.UNSPECIFIED in names else tuple(s for s in STATUSES if s in names)


def _unknown(name: str) -> UsageError:
    import difflib

    near = difflib.get_close_matches(name, STATUSES, 1)
    hint = f"did you mean {near[0].upper()}?" if near else "one of " + ", ".join(s.upper() for s in STATUSES)
    return UsageError(f"there is no status {name!r}", hint=hint)


def page_of(page: Page, offset: int, now: datetime) -> ExecutionPage:
    """A page of the store, whose matches were counted to one more than COUNT_TO."""
    total, exact = page.total or 0, True
    if total > COUNT_TO:
        # Who has come to the end of the list has counted it.
        exact = bool(page.rows) and not page.has_more
        passed = offset + len(page.rows) + page.has_more if page.rows else 0
        total = passed if exact else max(total, passed)
    return ExecutionPage([of_row(row, now) for row in page.rows], total, page.has_more, exact)


def of_row(row: Row, now: datetime) -> ExecutionStatus:
    """How an execution stands as far as its row in a list says, which is `as_shown`."""
    return ExecutionStatus(**_known(row, row.summary.status, row.summary.reason, now))


def _known(row: Row, status: Status, reason: str | None, now: datetime) -> dict[str, Any]:
    """What rows and views have in common."""
    summary = row.summary
    completed = status == "completed"
    return {
        "execution_id": summary.execution_id,
        "workflow_name": summary.workflow,
        "status": ExecutionState(status),
        "reason": reason,
        "started_at": summary.started_at,
        "updated_at": summary.updated_at,
        "completed_at": summary.ended_at,
        "total_steps": summary.steps_total,
        "current_step_index": summary.steps_total if completed else summary.steps_done,
        "current_step_name": next(iter(summary.current), None),
        "progress_percentage": progress(summary.steps_done, summary.steps_total, completed=completed),
        "elapsed_seconds": _elapsed(summary, status, now),
        "tags": list(summary.tags),
        "owner": _owner(row),
        "parent": summary.parent,
    }


def progress(done: int, total: int, *, completed: bool) -> float:
    """Percent of the steps that are settled: 100 only if `completed`, and 0 where there are no steps."""
    if total <= 0:
        return 0.0
    return 100.0 if completed else min(100.0 * max(0, done) / total, _NOT_YET)


def _elapsed(summary: Summary, status: Status, now: datetime) -> float:
    end = summary.ended_at or (now if status in GOING_ON else summary.updated_at)
    return max(0.0, (end - summary.started_at).total_seconds())


def _owner(row: Row) -> OwnerInfo | None:
    if row.ownership.owner is None or row.runner is None or reported_dead(row):
        return None
    runner = row.runner
    return OwnerInfo(runner=runner.id, host=runner.host, pid=runner.pid, since=runner.started_at)


def of_view(view: View, now: datetime) -> ExecutionStatus:
    """How an execution stands, with all that its events say."""
    state = view.state
    steps = [_step(state, place, step.id) for place, step in enumerate(state.graph.steps)]
    known = _known(view.row, view.status, view.reason, now)
    if view.status != "completed":
        name = known["current_step_name"] or _stuck_at(state)
        place = view.row.summary.steps_total if name is None else state.graph.position[name]
        known |= {"current_step_name": name, "current_step_index": min(place, view.row.summary.steps_total)}
    return ExecutionStatus(
        **known,
        steps=steps,
        completed_steps=[step for step in steps if step.status == "completed"],
        inputs=dict(state.inputs),
        step_outputs={step.step_name: step.output for step in steps if step.status == "completed"},
        output=state.output,
        error=_whole_error(state),
        sleep_info=_sleep(state, now),
        approval_info=_approval(state, now),
    )


def _step(state: State, place: int, name: str) -> StepStatus:
    at = state.steps[name]
    return StepStatus(
        step_name=name,
        step_index=place,
        status=at.status,
        started_at=at.began_at,
        completed_at=at.ended_at if at.status in ("completed", "failed", "skipped") else None,
        duration_seconds=at.whole(),
        output=at.output,
        error=_error(at.error),
        attempts=at.attempt,
    )


def _whole_error(state: State) -> ErrorInfo | None:
    """Why the execution failed, with what is known of the step whose failure it is."""
    found, failed = _error(state.error), state.main_failed() or state.failed
    step = state.steps.get(failed[0]) if failed else None
    if found is None or step is None or step.error is None:
        return found
    at = step.error
    return msgspec.structs.replace(found, stacktrace=at.traceback, exit_code=at.exit_code, output_tail=at.tail)


def _error(error: StepError | None) -> ErrorInfo | None:
    if error is None:
        return None
    return ErrorInfo(
        kind=error.kind,
        message=error.message,
        stacktrace=error.traceback,
        exit_code=error.exit_code,
        output_tail=error.tail,
    )


def _stuck_at(state: State) -> str | None:
    """The step whose failure ended it, or else the first one of the main graph that is not settled."""
    failed = [name for name in state.failed if name in state.graph.position]
    if failed:
        return failed[0]
    low, high = state.graph.bounds["steps"]
    main = state.graph.steps[low:high]
    return next((step.id for step in main if not settled(step, state.steps[step.id])), None)


def _waiting(state: State, *kinds: Standing) -> list[tuple[str, StepState]]:
    """The steps that wait in one of these ways, as far as the execution goes on when they have waited."""
    if state.ended is not None:
        return []
    return [(name, state.steps[name]) for name in awaited(state) if state.steps[name].status in kinds]


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def _sleep(state: State, now: datetime) -> SleepInfo | None:
    waits = [_retry(name, at, now) for name, at in _waiting(state, "retrying")]
    waits += [_slept(name, at.calls[-1], now) for name, at in _waiting(state, "sleeping")]
    return min(waits, key=lambda wait: wait.remaining_ms, default=None)


def _slept(name: str, call: Call, now: datetime) -> SleepInfo:
    seconds = call.seconds or 0.0
    left = seconds if call.due_at is None else remaining(call.due_at, call.seconds, now)
    return SleepInfo(step_name=name, duration_ms=_ms(seconds), sleep_started_at=call.at, remaining_ms=_ms(left))


def _retry(name: str, at: StepState, now: datetime) -> SleepInfo:
    seconds = at.retry_in or 0.0
    assert at.retry_at is not None
    assert at.ended_at is not None
    return SleepInfo(
        step_name=name,
        duration_ms=_ms(seconds),
        sleep_started_at=at.ended_at,
        remaining_ms=_ms(remaining(at.retry_at, at.retry_in, now)),
        data={"retry": at.attempt, "error": at.error.message if at.error else None},
    )


def _approval(state: State, now: datetime) -> ApprovalInfo | None:
    asked = [(name, at.calls[-1]) for name, at in _waiting(state, "waiting_for_approval")]
    if not asked:
        return None
    name, call = min(asked, key=lambda one: one[1].at)
    assert call.request is not None
    left = None if call.due_at is None else remaining(call.due_at, call.seconds, now)
    return ApprovalInfo(
        step_name=name,
        approval_type=call.request.approval,
        message=call.request.message,
        data=call.request.data,
        requested_at=call.at,
        timeout_ms=None if call.seconds is None else _ms(call.seconds),
        remaining_timeout_ms=None if left is None else _ms(left),
    )
