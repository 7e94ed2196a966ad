"""What a worker thread does with one attempt: get it ready, perform it, and say how it went."""

from __future__ import annotations

import msgspec

from cerebelum.core.errors import StoreError
from cerebelum.core.outcome import Failed, Interrupted, Outcome
from cerebelum.core.state import State
from cerebelum.engine import prepare
from cerebelum.engine.prepare import Surroundings
from cerebelum.engine.settings import Settings
from cerebelum.steps.attempt import Attempt, ProcessRecord, attempt_token
from cerebelum.steps.executor import Stop
from cerebelum.steps.log import AttemptOutput, LogWriter
from cerebelum.steps.perform import interrupted, perform
from cerebelum.store import EventStore


class Performed(msgspec.Struct, frozen=True):
    """How an attempt went."""

    outcome: Outcome
    verified: bool
    broken: StoreError | None
    """Why what it had to record could not be."""


def begin(state: State, step_id: str, around: Surroundings, settings: Settings, log: LogWriter) -> Attempt:
    """An attempt at the step, which the state says is running; its time runs from now."""
    step, number, now = state.graph.step(step_id), state.steps[step_id].attempt, around.clock.elapsed()
    return Attempt(
        step=step,
        number=number,
        stop=Stop(),
        token=attempt_token(state, step_id, number),
        output=AttemptOutput(
            log,
            step_id,
            number,
            masker=around.masker,
            clock=around.clock,
            live=settings.live,
            limit=settings.log_limit,
        ),
        scratch=around.scratch.lease(),
        started=now,
        deadline=None if step.timeout is None else now + step.timeout,
    )


def perform_attempt(attempt: Attempt, state: State, store: EventStore, around: Surroundings) -> Performed:
    """Prepare and perform the attempt; nothing of its output is left to be written, nor of its folder, afterwards."""
    tracker = ProcessRecord(store, state.execution_id, attempt)
    call = prepare.prepared(state, attempt.step, attempt=attempt, around=around, tracker=tracker)
    outcome: Outcome = call if isinstance(call, Failed) else Interrupted()
    verified, broken = False, None
    try:
        if not isinstance(call, Failed):
            outcome, verified = perform(call, around.executors, around.masker, state.steps[attempt.step.id])
            outcome = interrupted(outcome, attempt.stop, attempt.overrun, attempt.output.tail)
        attempt.output.close()
    except StoreError as error:
        broken = error
    finally:
        attempt.scratch.end()
    return Performed(outcome, verified, broken)
