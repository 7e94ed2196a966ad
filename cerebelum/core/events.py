"""Every fact that can be recorded about an execution, defined once, with the only encoder and decoder.

An event's recorded form is one canonical JSON text (fields in a fixed order, keys sorted, no spaces). Each text's
SHA-256 covers the digest of the event before it, so that a log that was changed, cut in the middle or reordered no
longer verifies.
"""

from datetime import datetime
from functools import cache
from typing import Any, Literal

import msgspec

from cerebelum.core.digests import sha256
from cerebelum.core.errors import StoreError
from cerebelum.core.model import Concurrency, Source, Workflow
from cerebelum.core.typed import decoder

GENESIS = "0" * 64
"""The digest before the first event."""

Why = Literal["runner_died", "cancelled", "stopped", "operator", "fenced", "withdrawn"]
"""`withdrawn`: a step that no worker had taken yet is not wanted any more."""
Skip = Literal["condition", "dependency", "operator"]
ResumeReason = Literal["manual", "resurrected", "woken", "taken"]
"""`taken`: from a queue, by the first who drives it."""


class StepError(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an attempt or an execution failed."""

    kind: str
    """exit, signal, timeout, exception, expression, output, secret, not_found, interrupted, rejected, internal …"""
    message: str
    exit_code: int | None = None
    traceback: str | None = None
    tail: str | None = None
    """The last lines the attempt printed."""
    classes: tuple[str, ...] = ()
    """For a Python exception: the names of its class and of those that it is derived from, up to `Exception`."""


class Environment(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where an execution was started."""

    host: str
    cwd: str
    platform: str
    version: str
    """Version of cerebelum."""
    git_commit: str | None = None
    user: str | None = None


class Queued(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where an execution was put that any worker of a queue may take."""

    name: str
    priority: int = 0
    """The higher, the sooner."""
    at: datetime | None = None
    """Not before then."""


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """What all events share. `at` is UTC with microseconds; `version` counts 1, 2, 3 … within one execution."""

    version: int
    at: datetime


class ExecutionStarted(Event, frozen=True, kw_only=True, tag="ExecutionStarted"):
    workflow: str
    definition: Workflow
    source: Source
    inputs: dict[str, Any]
    environment: Environment
    tags: tuple[str, ...] = ()
    correlation_id: str | None = None
    parent: str | None = None
    reused: dict[str, Any] = {}
    """For a fork: outputs taken over from the parent, by step id."""
    queue: Queued | None = None
    """For one that was submitted: nobody drives it until a worker takes it."""
    by: str | None = None
    """Who asked for it, where that is not the user of `environment`."""
    concurrency: Concurrency | None = None
    """The group that it belongs to, with the name evaluated."""
    scheduled_for: datetime | None = None
    """The tick of the workflow's schedule that it was started for."""


class ExecutionResumed(Event, frozen=True, kw_only=True, tag="ExecutionResumed"):
    reason: ResumeReason
    from_step: str | None = None
    rerun: tuple[str, ...] = ()
    """Settled steps that run again, with a new generation."""
    definition: Workflow | None = None
    """The definition from here on, where it changed."""
    source: Source | None = None
    """The file it came from, where that is another one or has changed."""
    inputs: dict[str, Any] | None = None
    """The inputs from here on, where a changed definition added some."""
    accepted: tuple[str, ...] = ()
    """Completed steps whose changed definition was accepted with the old output."""
    epoch: int = 0
    environment: Environment | None = None
    continues: bool = False
    """True where the segment that was cut off goes on; False where a new one begins, with failures forgotten."""
    by: str | None = None
    """Who asked for it, where that is not the user of `environment`."""


class LockAwaited(Event, frozen=True, kw_only=True, tag="LockAwaited"):
    """Others of its group come first: nothing starts before they are over."""

    group: str
    holder: str
    """The execution that has the lock."""
    ahead: int = 1
    """How many come first, the holder included."""


class LockAcquired(Event, frozen=True, kw_only=True, tag="LockAcquired"):
    """From here on it is the only one of its group that goes on."""

    group: str


class StepStarted(Event, frozen=True, kw_only=True, tag="StepStarted"):
    step: str
    attempt: int
    executor: str


class StepHandedOver(Event, frozen=True, kw_only=True, tag="StepHandedOver"):
    """Where StepStarted would be: a worker of the queue that has all the labels is to perform the attempt."""

    step: str
    attempt: int
    executor: str
    queue: str
    labels: tuple[str, ...] = ()


class StepTaken(Event, frozen=True, kw_only=True, tag="StepTaken"):
    """A worker performs what was handed over."""

    step: str
    attempt: int
    handover: int
    """Version of the StepHandedOver that it is about."""
    worker: str
    host: str


class Asked(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a step on a worker waits for: a time, or a person."""

    kind: Literal["sleep", "approval"]
    seconds: float | None = None
    """Of a sleep, or the time there is to decide."""
    until: datetime | None = None
    message: str = ""
    approval: str = "manual"
    data: Any = None
    on_timeout: Literal["fail", "reject", "approve"] = "fail"


class StepReported(Event, frozen=True, kw_only=True, tag="StepReported"):
    """How it went, as the worker says. What follows from that, whoever drives the execution records."""

    step: str
    attempt: int
    handover: int
    worker: str
    host: str
    outcome: Literal["completed", "failed", "waits", "interrupted"]
    output: Any = None
    error: StepError | None = None
    final: bool = False
    """For `failed`: another attempt makes no sense."""
    asked: Asked | None = None
    """For `waits`."""
    why: Why | None = None
    """For `interrupted`."""
    verified: bool = False
    duration: float = 0.0
    """Seconds, by a monotonic clock."""
    refused: str | None = None
    """Why it counts for nothing: the attempt had been given up. Then the output is not recorded either."""


class StepCompleted(Event, frozen=True, kw_only=True, tag="StepCompleted"):
    step: str
    attempt: int
    output: Any = None
    duration: float = 0.0
    """Seconds, by a monotonic clock."""
    verified: bool = False


class StepFailed(Event, frozen=True, kw_only=True, tag="StepFailed"):
    step: str
    attempt: int
    error: StepError
    retry_at: datetime | None = None
    """When the next attempt is due; None: this failure is final."""
    duration: float = 0.0
    diverted: str | None = None
    """Where the workflow leads this failure to: `continue`, or a step that runs instead of what follows."""


class StepInterrupted(Event, frozen=True, kw_only=True, tag="StepInterrupted"):
    step: str
    attempt: int
    why: Why


class StepSkipped(Event, frozen=True, kw_only=True, tag="StepSkipped"):
    step: str
    why: Skip
    detail: str | None = None


class SleepStarted(Event, frozen=True, kw_only=True, tag="SleepStarted"):
    step: str
    call: int
    until: datetime
    seconds: float
    """The original length, which caps a wait when the wall clock was set back."""


class SleepCompleted(Event, frozen=True, kw_only=True, tag="SleepCompleted"):
    step: str
    call: int


class ApprovalRequested(Event, frozen=True, kw_only=True, tag="ApprovalRequested"):
    step: str
    call: int
    approval: str = "manual"
    message: str = ""
    data: Any = None
    expires_at: datetime | None = None
    seconds: float | None = None
    on_timeout: Literal["fail", "reject", "approve"] = "fail"


class ApprovalGranted(Event, frozen=True, kw_only=True, tag="ApprovalGranted"):
    step: str
    call: int
    by: str
    comment: str | None = None
    response: dict[str, Any] = {}


class ApprovalRejected(Event, frozen=True, kw_only=True, tag="ApprovalRejected"):
    step: str
    call: int
    by: str
    comment: str | None = None


class ApprovalTimedOut(Event, frozen=True, kw_only=True, tag="ApprovalTimedOut"):
    step: str
    call: int


class ExecutionPaused(Event, frozen=True, kw_only=True, tag="ExecutionPaused"):
    why: Literal["signal", "operator"]
    signal: str | None = None
    by: str | None = None


class PauseRequested(Event, frozen=True, kw_only=True, tag="PauseRequested"):
    """Somebody asks the runner to pause; a request may be appended by anybody, ExecutionPaused by the owner alone."""

    by: str
    why: str | None = None
    signal: str | None = None
    """The signal that the runner was told to stop by, where steps on workers have to hear of that."""


class CancelRequested(Event, frozen=True, kw_only=True, tag="CancelRequested"):
    by: str
    why: str | None = None


class ExecutionCancelled(Event, frozen=True, kw_only=True, tag="ExecutionCancelled"):
    by: str
    why: str | None = None


class ExecutionFailed(Event, frozen=True, kw_only=True, tag="ExecutionFailed"):
    error: StepError
    failed_steps: tuple[str, ...] = ()


class ExecutionCompleted(Event, frozen=True, kw_only=True, tag="ExecutionCompleted"):
    output: Any = None


StepEvent = (
    StepStarted
    | StepHandedOver
    | StepTaken
    | StepReported
    | StepCompleted
    | StepFailed
    | StepInterrupted
    | StepSkipped
    | SleepStarted
    | SleepCompleted
    | ApprovalRequested
    | ApprovalGranted
    | ApprovalRejected
    | ApprovalTimedOut
)
AnyEvent = (
    ExecutionStarted
    | ExecutionResumed
    | LockAwaited
    | LockAcquired
    | StepEvent
    | ExecutionPaused
    | PauseRequested
    | CancelRequested
    | ExecutionCancelled
    | ExecutionFailed
    | ExecutionCompleted
)


class Entry(msgspec.Struct, frozen=True):
    """An event as it is stored: what every backend keeps, unchanged and in order."""

    version: int
    type: str
    at: datetime
    text: str
    """The canonical JSON of the event."""
    digest: str
    """SHA-256 (hex) over the previous entry's digest, the execution's id and `text`."""


_encoder = msgspec.json.Encoder(order="deterministic")


@cache
def _decoder() -> msgspec.json.Decoder[AnyEvent]:
    return decoder(AnyEvent)


def chain(previous: str, execution_id: str, text: bytes) -> str:
    """The digest (hex) of an entry whose predecessor's digest is `previous`."""
    return sha256(b"\n".join((previous.encode(), execution_id.encode(), text)))


def encode(execution_id: str, events: list[AnyEvent], previous: str) -> list[Entry]:
    """The stored forms of `events`, chained to the entry whose digest is `previous` (GENESIS before the first)."""
    entries = []
    for event in events:
        text = _encoder.encode(event)
        previous = chain(previous, execution_id, text)
        entries.append(Entry(event.version, type(event).__name__, event.at, text.decode(), previous))
    return entries


def decode(text: str, *, where: str | None = None) -> AnyEvent:
    """The event of a stored text; fields that a newer minor version added are ignored.

    Raises StoreError for an event type this version does not know, and for text that is no event.
    """
    try:
        return _decoder().decode(text)
    except msgspec.ValidationError as error:
        raise _undecodable(text, error, where) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise StoreError(f"an event is damaged: {error}", where=where, hint="run 'cerebelum store verify'") from None


def _undecodable(text: str, error: Exception, where: str | None) -> StoreError:
    from cerebelum import __version__

    try:
        raw = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raw = {}
    kind = raw.get("type") if isinstance(raw, dict) else None
    known = {t.__struct_config__.tag for t in AnyEvent.__args__}
    if isinstance(kind, str) and kind not in known:
        return StoreError(
            f"this is cerebelum {__version__}, which does not know the event type {kind!r}",
            where=where,
            hint="a newer version wrote it; use that version or a newer one to read this execution",
        )
    return StoreError(f"an event is damaged: {error}", where=where, hint="run 'cerebelum store verify'")
