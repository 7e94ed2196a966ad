"""What follows from what happened: ordering, retries, waits, cancellation and handlers, as one pure function.

`decide` never looks at a clock, a store or a process. Time, chance, conditions and the runner's wish to stop come in
through `Circumstances`, so the same state and happening always give the same events.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import assert_never

import msgspec

from cerebelum.core import admission, handover, phases, withdrawal
from cerebelum.core.admission import Admission
from cerebelum.core.diversions import budget, diverted
from cerebelum.core.errors import CerebelumError
from cerebelum.core.events import (
    ApprovalRequested,
    ApprovalTimedOut,
    ExecutionPaused,
    ExecutionResumed,
    ExecutionStarted,
    SleepCompleted,
    SleepStarted,
    StepCompleted,
    StepError,
    StepFailed,
    StepHandedOver,
    StepInterrupted,
    StepSkipped,
    StepStarted,
    Why,
)
from cerebelum.core.finishing import finish
from cerebelum.core.model import Group, Retry, Step
from cerebelum.core.outcome import Approval, Completed, Failed, Interrupted, Outcome, Sleep
from cerebelum.core.state import Call, State, StepState, refused
from cerebelum.core.step_state import BUSY
from cerebelum.core.turn import MOST_DEATHS, Circumstances, Stopping, Turn

__all__ = [
    "MOST_DEATHS",
    "Circumstances",
    "Ended",
    "Happening",
    "Nudge",
    "Opened",
    "Stopping",
    "Turn",
    "decide",
    "delay",
]


class Opened(msgspec.Struct, frozen=True):
    """The execution was started or is taken up again; `event` is the first fact of that."""

    event: ExecutionStarted | ExecutionResumed
    died: bool = True
    """For a resume: attempts that the log calls running were cut off by their runner's death."""


class Ended(msgspec.Struct, frozen=True):
    """An attempt came to an end."""

    step: str
    outcome: Outcome
    duration: float = 0.0
    why: Why = "stopped"
    """For Interrupted: what cut the attempt off."""
    verified: bool = False


class Nudge(msgspec.Struct, frozen=True):
    """Time passed, somebody else appended, or the runner wants to stop: look again at what may go on."""


Happening = Opened | Ended | Admission | Nudge
_STARTS: frozenset[type] = frozenset({StepStarted, StepHandedOver})
_WAITS = (StepFailed, SleepStarted, ApprovalRequested)


def decide(state: State | None, happening: Happening, circumstances: Circumstances, execution_id: str = "") -> Turn:
    """The events that follow from `happening`, and the state after them.

    `state` is None (and `execution_id` needed) only for the very first happening of an execution.
    """
    turn = Turn(state, circumstances, execution_id)
    recover = isinstance(happening, Opened)
    match happening:
        case Opened():
            # Somebody may have appended since the event was made.
            turn.add(msgspec.structs.replace(happening.event, version=turn.stamp["version"]))
            for step_id in turn.state.active.at("running") if happening.died else ():
                attempt = turn.state.steps[step_id].attempt
                turn.add(StepInterrupted(step=step_id, attempt=attempt, why="runner_died", **turn.stamp))
        case Ended():
            recover = isinstance(happening.outcome, Interrupted)
            _attempt_ended(turn, happening)
        case Admission():
            # What was cut off before it waited is taken up once it has the lock.
            recover = not happening.ahead
            if (found := admission.outcome(turn.state, happening.ahead, turn.stamp)) is not None:
                turn.add(found)
        case Nudge():
            pass
        case _:
            assert_never(happening)
    _advance(turn, recover)
    return turn


# -- the end of an attempt --------------------------------------------------------------------------------------------


def _attempt_ended(turn: Turn, ended: Ended) -> None:
    at = turn.state.steps.get(ended.step)
    if at is None or not (
        at.status in ("running", "reported") or (at.status == "on_worker" and ended.why == "runner_died")
    ):
        return
    common = {"step": ended.step, "attempt": at.attempt, **turn.stamp}
    match ended.outcome:
        case Completed(output):
            turn.add(StepCompleted(output=output, duration=ended.duration, verified=ended.verified, **common))
        case Failed(error, retryable):
            step = turn.state.graph.step(ended.step)
            retry_at = _retry_at(turn, step, at, error) if retryable else None
            to = diverted(step, error)
            turn.add(StepFailed(error=error, retry_at=retry_at, duration=ended.duration, diverted=to, **common))
        case Sleep() | Approval():
            try:
                _wait(turn, ended.step, at, ended.outcome)
            except (TypeError, ValueError, OverflowError) as problem:
                error = StepError("invalid", f"asked to wait for a time that cannot be: {problem}")
                turn.add(StepFailed(error=error, duration=ended.duration, **common))
        case Interrupted():
            turn.add(StepInterrupted(why=ended.why, **common))
        case _:
            assert_never(ended.outcome)


def _wait(turn: Turn, step_id: str, at: StepState, asked: Sleep | Approval) -> None:
    """Note the beginning of a sleep or of an approval. Raises what `datetime` does for a time that cannot be."""
    now = turn.circumstances.now
    common = {"step": step_id, "call": len(at.calls), **turn.stamp}
    if isinstance(asked, Sleep):
        seconds = float(asked.seconds or 0.0) if asked.until is None else (asked.until - now).total_seconds()
        seconds = max(0.0, seconds)
        turn.add(SleepStarted(until=now + timedelta(seconds=seconds), seconds=seconds, **common))
        return
    turn.add(
        ApprovalRequested(
            approval=asked.approval,
            message=asked.message,
            data=asked.data,
            expires_at=now + timedelta(seconds=asked.timeout) if asked.timeout is not None else None,
            seconds=None if asked.timeout is None else float(asked.timeout),
            on_timeout=asked.on_timeout,
            **common,
        )
    )


def _retry_at(turn: Turn, step: Step, at: StepState, error: StepError) -> datetime | None:
    retry = budget(step, error)
    group = turn.state.graph.group_of(step.id)
    if at.used + 1 >= retry.attempts or phases.abandoned(turn.state, group, turn.circumstances.overtime):
        return None
    if retry.on and error.exit_code not in retry.on:
        return None
    return turn.circumstances.now + timedelta(seconds=delay(retry, at.used, turn.circumstances.chance))


_YEAR = 365 * 86400.0


def delay(retry: Retry, failures_before: int, chance: float) -> float:
    """Seconds to wait before the next attempt; `chance` in [0, 1) spreads it by up to ± `retry.jitter`."""
    longest = _YEAR if retry.max_delay is None else min(retry.max_delay, _YEAR)
    try:
        base = min(retry.delay * retry.backoff**failures_before, longest)
    except OverflowError:
        base = longest
    return base * (1 + retry.jitter * (2 * chance - 1))


# -- what may go on ---------------------------------------------------------------------------------------------------


def _advance(turn: Turn, recover: bool) -> None:
    """Start, skip, wake and finish until nothing more follows; `recover`: attempts have just been interrupted."""
    if turn.state.ended or turn.state.paused:
        return
    if turn.state.active.away():
        recover |= _heed_reports(turn)
    _give_up_on_refused(turn)
    stopping = _stopping(turn)
    if stopping is not None:
        if not stopping.hand_over:
            _pause(turn, stopping)
        return
    if turn.state.cancel and not turn.state.steps.begun():
        # Handlers belong to what was begun.
        finish(turn)
        return
    if turn.state.awaiting_lock is not None:
        return
    while not turn.state.ended:
        if turn.state.active.away():
            withdrawal.withdraw(turn, turn.circumstances.overtime)
        group = phases.turn_of(turn.state, turn.circumstances.overtime)
        if group is None:
            finish(turn)
            return
        before = len(turn.events)
        _go_on(turn, group, recover)
        # Starts take what is free, and make nothing possible that was not before.
        if _STARTS.issuperset(map(type, turn.events[before:])):
            return


def _heed_reports(turn: Turn) -> bool:
    """Go by what workers have reported; whether attempts were interrupted among that."""
    before = len(turn.events)
    for step_id in turn.state.active.at("reported"):
        told = turn.state.steps[step_id].reported
        assert told is not None
        outcome = handover.outcome_of(told)
        _attempt_ended(turn, Ended(step_id, outcome, told.duration, told.why or "stopped", told.verified))
    return any(isinstance(event, StepInterrupted) for event in turn.events[before:])


def _stopping(turn: Turn) -> Stopping | None:
    # Who cancels what is being paused wants no more of it.
    asked, told = turn.state.pausing if turn.state.cancel is None else None, turn.circumstances.stopping
    if asked and (told is None or told.hand_over):
        return Stopping("operator", by=asked.by)
    return told


def _pause(turn: Turn, stopping: Stopping) -> None:
    withdrawal.wind_down(turn, stopping)
    if turn.state.running() == 0:
        turn.add(ExecutionPaused(why=stopping.why, signal=stopping.signal, by=stopping.by, **turn.stamp))


def _give_up_on_refused(turn: Turn) -> None:
    """Turn rejections and approvals that ran out of time into failures of their steps."""
    for step_id in turn.state.active.at("answered"):
        at = turn.state.steps[step_id]
        if refused(at.calls[-1]):
            error = _refusal(at.calls[-1])
            to = diverted(turn.state.graph.step(step_id), error)
            turn.add(StepFailed(step=step_id, attempt=at.attempt, error=error, diverted=to, **turn.stamp))


def _refusal(call: Call) -> StepError:
    if call.result == "rejected":
        comment = f": {call.comment}" if call.comment else ""
        return StepError("rejected", f"rejected by {call.by}{comment}")
    strict = call.request is not None and call.request.on_timeout == "reject"
    return StepError("rejected" if strict else "timeout", "nobody decided in time")


def _go_on(turn: Turn, group: Group, recover: bool) -> None:
    """Take up what was cut off, then what has waited long enough, then what is new, as far as may be."""
    late = turn.circumstances.overtime
    ending = phases.doomed(turn.state, group, late)
    if ending and phases.abandoned(turn.state, group, late):
        return
    if (recover or ending) and not _start_all(turn, group, phases.cut_off(turn.state, group)):
        return
    _wake(turn, group)
    _start_all(turn, group, phases.ready(turn.state, group))


def _free(turn: Turn) -> int:
    return turn.state.workflow.max_parallel - turn.state.running()


def _wake(turn: Turn, group: Group) -> None:
    """Let steps go on whose wait is over, the longest overdue first, as far as `max_parallel` allows."""
    graph = turn.state.graph
    active = turn.state.active
    if active.kinds(group) <= BUSY:
        return
    # Whose wait has just begun may be due although no timer says so.
    new = [event.step for event in turn.events if isinstance(event, _WAITS)]
    in_question = {*turn.circumstances.due, *active.at("answered"), *new}
    if not in_question:
        return
    due = [
        (_moment(turn.state.steps[step_id]), graph.position[step_id], step_id)
        for step_id in in_question
        if active.get(step_id, "running") not in BUSY and graph.group_of(step_id) == group and _is_due(turn, step_id)
    ]
    free = _free(turn)
    for _, _, step_id in sorted(due):
        at = turn.state.steps[step_id]
        if free <= 0 and at.status != "waiting_for_approval":
            continue
        if at.status != "retrying" and phases.doomed(turn.state, group, turn.circumstances.overtime):
            continue
        if at.status == "waiting_for_approval":
            turn.add(ApprovalTimedOut(step=step_id, call=len(at.calls) - 1, **turn.stamp))
            _give_up_on_refused(turn)
            at = turn.state.steps[step_id]
        if free > 0 and at.status in ("answered", "retrying", "sleeping"):
            _continue(turn, graph.step(step_id), at)
            free -= 1


def _is_due(turn: Turn, step_id: str) -> bool:
    """Whether a step's wait is over; one of no length is over as soon as it begins."""
    at = turn.state.steps[step_id]
    length = at.retry_in if at.status == "retrying" else at.calls[-1].seconds
    return at.status == "answered" or step_id in turn.circumstances.due or length == 0


def _moment(at: StepState) -> datetime:
    """When this step's wait was over."""
    if at.status == "retrying" and at.retry_at is not None:
        return at.retry_at
    call = at.calls[-1]
    return (call.due_at if call.result == "timed_out" else call.decided_at) or call.due_at or call.at


def _continue(turn: Turn, step: Step, at: StepState) -> None:
    match at.status:
        case "answered":
            # The same attempt goes on: the step is called again and finds the answer.
            _start(turn, step, at.attempt)
        case "retrying":
            _start(turn, step, at.attempt + 1)
        case "sleeping":
            turn.add(SleepCompleted(step=step.id, call=len(at.calls) - 1, **turn.stamp))
            if step.runs_on is not None and not turn.circumstances.here:
                _start(turn, step, at.attempt)
        case _:
            pass


def _start(turn: Turn, step: Step, attempt: int) -> None:
    if step.runs_on is not None and not turn.circumstances.here:
        common = {"step": step.id, "attempt": attempt, "executor": step.executor, **turn.stamp}
        turn.add(StepHandedOver(queue=step.runs_on.queue, labels=step.runs_on.labels, **common))
        return
    turn.add(StepStarted(step=step.id, attempt=attempt, executor=step.executor, **turn.stamp))


def _start_all(turn: Turn, group: Group, positions: Iterable[int]) -> bool:
    """Start these steps in order until no attempt is free; once a failure is final, only those that were cut off.

    Breaks off and returns False where a step was settled instead, since what that freed may come before the rest.
    """
    free, doomed = _free(turn), phases.doomed(turn.state, group, turn.circumstances.overtime)
    for position in positions:
        step = turn.state.graph.steps[position]
        at = turn.state.steps[step.id]
        if doomed and at.status != "interrupted":
            break
        if _skip_or_fail(turn, step, at):
            return False
        if free <= 0:
            break
        _start(turn, step, at.attempt + 1)
        free -= 1
    return True


def _skip_or_fail(turn: Turn, step: Step, at: StepState) -> bool:
    """Settle a ready step that need not or cannot run; True if it was."""
    if step.explicit_needs:
        missing = [n for n in step.needs if turn.state.steps[n].status == "skipped"]
        if missing:
            turn.add(StepSkipped(step=step.id, why="dependency", detail=", ".join(missing), **turn.stamp))
            return True
    if step.when is not None:
        try:
            wanted = turn.circumstances.condition(turn.state, step)
        except CerebelumError as problem:
            error = StepError("expression", f"when: {problem.text()}")
            turn.add(StepFailed(step=step.id, attempt=at.attempt + 1, error=error, **turn.stamp))
            return True
        if not wanted:
            turn.add(StepSkipped(step=step.id, why="condition", **turn.stamp))
            return True
    if late := handover.given_up(step, at, turn.circumstances.most_deaths):
        to = diverted(step, late)
        long = (at.ended_at - at.started_at).total_seconds() if at.ended_at and at.started_at else 0.0
        turn.add(
            StepFailed(step=step.id, attempt=at.attempt, error=late, duration=max(0.0, long), diverted=to, **turn.stamp)
        )
        return True
    return False
