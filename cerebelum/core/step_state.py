"""Where one step of an execution stands: what its attempts, sleeps and approvals have come to so far."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal, assert_never

import msgspec

from cerebelum.core.chunks import Chunks
from cerebelum.core.events import (
    ApprovalGranted,
    ApprovalRejected,
    ApprovalRequested,
    ApprovalTimedOut,
    Skip,
    StepError,
    StepHandedOver,
    StepReported,
    StepTaken,
    Why,
)

StepStatus = Literal[
    "pending",
    "running",
    "waiting_for_worker",
    "on_worker",
    "reported",
    "retrying",
    "sleeping",
    "waiting_for_approval",
    "answered",
    "interrupted",
    "completed",
    "failed",
    "skipped",
]
"""`answered`: somebody decided an approval, and the step has not been called again yet. `reported`: a worker has said
how an attempt went, and whoever drives the execution has not seen that yet."""

NEW: tuple[StepStatus, ...] = ("pending", "interrupted")
"""What a step is at that may be started when what it needs is settled."""
BUSY: frozenset[StepStatus] = frozenset({"running", "waiting_for_worker", "on_worker", "reported"})
"""What an attempt is at that has begun, here or on a worker, and not ended as far as the log goes."""


class Call(msgspec.Struct, frozen=True):
    """A sleep or an approval that a step asked for."""

    kind: Literal["sleep", "approval"]
    at: datetime
    due_at: datetime | None
    """End of the sleep, or of the time there is to decide."""
    seconds: float | None
    request: ApprovalRequested | None = None
    result: Literal["slept", "granted", "rejected", "timed_out"] | None = None
    response: dict[str, Any] = {}
    by: str | None = None
    comment: str | None = None
    decided_at: datetime | None = None


# Nothing in one leads back to it, and among many steps the collector of garbage would look at each again and again.
class StepState(msgspec.Struct, frozen=True, gc=False):
    """Where one step stands."""

    status: StepStatus = "pending"
    attempt: int = 0
    """Number of the latest attempt; goes on over resumes."""
    used: int = 0
    """Failed attempts that count against the retry budget."""
    generation: int = 1
    """Grows when a settled step is run again; part of the idempotency key."""
    host: str | None = None
    """Where its latest attempt ran; None if it has had none, or the log does not say."""
    output: Any = None
    error: StepError | None = None
    diverted: str | None = None
    """Where its failure led to: `continue`, or a step; None if it is the execution's failure too."""
    retry_at: datetime | None = None
    retry_in: float | None = None
    """Original length of the wait for a retry, in seconds."""
    began_at: datetime | None = None
    """Start of the first attempt since the step last had its turn: retries, sleeps and approvals count from there."""
    started_at: datetime | None = None
    """Start of the latest attempt."""
    ended_at: datetime | None = None
    duration: float | None = None
    """Seconds that the latest attempt took."""
    interrupted: Why | None = None
    """Why the latest attempt was cut off, until another one ends."""
    skipped: Skip | None = None
    verified: bool = False
    handed: StepHandedOver | None = None
    """For an attempt that is a worker's business: that it was handed over."""
    taken: StepTaken | None = None
    reported: StepReported | None = None
    deaths: int = 0
    """How many workers in a row died of it, or with it."""
    calls: tuple[Call, ...] = ()

    def whole(self, now: datetime | None = None) -> float | None:
        """Seconds from the step's beginning to its end; to `now`, if that is given, while it goes on."""
        end = self.ended_at if self.status in ("completed", "failed", "interrupted") else now
        if self.began_at is None or end is None or self.status == "pending":
            return None
        return max(0.0, (end - self.began_at).total_seconds())


class Steps(Mapping[str, StepState]):
    """All steps' standings by id. Never changed once it is made."""

    __slots__ = ("_position", "_steps")

    def __init__(self, position: Mapping[str, int], steps: Chunks[StepState]) -> None:
        self._position = position
        self._steps = steps

    @classmethod
    def of(cls, position: Mapping[str, int], steps: Iterable[StepState]) -> Steps:
        """The steps whose places are in `position`, given in the order of their places."""
        return cls(position, Chunks.of(steps))

    def replaced(self, place: int, step: StepState) -> Steps:
        """The same with another standing for the step at a place."""
        return Steps(self._position, self._steps.replaced(place, step))

    def in_order(self) -> Iterator[StepState]:
        """Where all of them stand, by their places."""
        return iter(self._steps)

    def begun(self) -> bool:
        """Whether any step has ever begun, so that there may be something for handlers to tidy up."""
        return any(at.attempt for at in self.in_order())

    def at(self, place: int) -> StepState:
        """Where the step at a place stands."""
        # As Chunks does, without another call: this is asked for ten times an event.
        steps = self._steps
        size = steps.size
        return steps.rows[place // size][place % size]

    def __getitem__(self, step_id: str) -> StepState:
        place, steps = self._position[step_id], self._steps
        size = steps.size
        return steps.rows[place // size][place % size]

    def __contains__(self, step_id: object) -> bool:
        return step_id in self._position

    def __iter__(self) -> Iterator[str]:
        return iter(self._position)

    def __len__(self) -> int:
        return len(self._position)


def refused(call: Call) -> bool:
    """Whether this approval was rejected, or ran out of time where that does not count as a yes."""
    lenient = call.request is not None and call.request.on_timeout == "approve"
    return call.result == "rejected" or (call.result == "timed_out" and not lenient)


def answered(call: Call, event: ApprovalGranted | ApprovalRejected | ApprovalTimedOut) -> Call:
    """The call with what came of it."""
    match event:
        case ApprovalGranted():
            return msgspec.structs.replace(
                call, result="granted", decided_at=event.at, by=event.by, comment=event.comment, response=event.response
            )
        case ApprovalRejected():
            return msgspec.structs.replace(
                call, result="rejected", decided_at=event.at, by=event.by, comment=event.comment
            )
        case ApprovalTimedOut():
            return msgspec.structs.replace(call, result="timed_out", decided_at=event.at)
        case _:
            assert_never(event)
