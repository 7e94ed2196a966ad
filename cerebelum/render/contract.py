"""What `--json` prints, as types: the type checker holds the code to them, and `schema --output` is made from them.

Nothing is imported from here when a verb runs: they are annotations there. The events are the structs of core.events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NotRequired, TypedDict

from cerebelum.core.error_facts import ErrorFacts, Finding
from cerebelum.core.events import Skip, Why
from cerebelum.core.model import Group, Policy
from cerebelum.core.plan import Action
from cerebelum.core.status import Status as ExecutionStatus
from cerebelum.core.step_state import StepStatus
from cerebelum.render.pool_contract import HandedOver, LeftBy, Placed, Pool, PoolWorker, Schedules
from cerebelum.render.store_contract import Backup, Exported, Head, Pruning, StoreInfo, Transfer, Verification
from cerebelum.store.contract import Stream


class Failure(TypedDict):
    """Why an attempt or an execution failed."""

    kind: str
    message: str
    exit_code: int | None
    traceback: str | None
    tail: str | None


class Wait(TypedDict):
    """A sleep or an approval of a step."""

    kind: Literal["sleep", "approval"]
    since: datetime
    due_at: datetime | None
    message: str | None
    data: Any
    result: Literal["slept", "granted", "rejected", "timed_out"] | None
    by: str | None
    comment: str | None
    response: Mapping[str, Any]


class StepOfStatus(TypedDict):
    """One of the steps that `status --json` shows."""

    id: str
    group: Group
    executor: str
    description: str | None
    status: StepStatus
    attempt: int
    host: str | None
    """Where its last attempt ran."""
    handed_over: HandedOver | None
    output: Any
    error: Failure | None
    started_at: datetime | None
    ended_at: datetime | None
    duration: float | None
    total_duration: float | None
    diverted: str | None
    retry_at: datetime | None
    skipped: Skip | None
    interrupted: Why | None
    verified: bool
    waits: Sequence[Wait]


class Step(StepOfStatus):
    """What `status ID STEP --json` prints."""

    execution_id: str


class SourceFile(TypedDict):
    """The workflow file that it came from, with the SHA-256 of its bytes."""

    kind: Literal["yaml", "python"]
    path: str
    digest: str


class Surroundings(TypedDict):
    """Where an execution was started, and by which version of cerebelum."""

    host: str
    cwd: str
    platform: str
    version: str
    git_commit: str | None
    user: str | None


class Owner(TypedDict):
    """The process that drives an execution."""

    runner: str
    epoch: int
    host: str | None
    pid: int | None
    since: datetime | None


class Limit(TypedDict):
    """The group of an execution, whose lock only one at a time has: `ahead` counts who comes before it, 0 if it has it,
    null if it is not in line; `holder` is the first in line.
    """

    group: str
    policy: Policy
    held_since: datetime | None
    holder: str | None
    ahead: int | None


class LockClaim(TypedDict):
    """An execution that has a lock or waits for it; null for what is not known because it is just about to start."""

    execution_id: str
    workflow: str | None
    status: ExecutionStatus | None
    since: datetime
    owner: Owner | None


class Lock(TypedDict):
    """A lock: the first in line has it."""

    group: str
    line: Sequence[LockClaim]


class Locks(TypedDict):
    """What `locks --json` prints."""

    locks: Sequence[Lock]


class PreviewedGroup(TypedDict):
    """The group that a run would belong to."""

    group: str
    policy: Policy


class InQueue(TypedDict):
    """The queue that an execution was submitted to, and how it stands there while it waits."""

    name: str
    priority: int
    not_before: datetime | None
    workers: int | None
    ahead: int | None
    left: Sequence[LeftBy]


class Known(TypedDict):
    """What is told of an execution everywhere."""

    execution_id: str
    workflow: str
    status: ExecutionStatus
    reason: str | None
    version: int
    digest: str
    started_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    due_at: datetime | None
    tags: Sequence[str]
    correlation_id: str | None
    parent: str | None
    steps_total: int
    steps_done: int


class Status(Known):
    """What `status --json` prints."""

    inputs: Mapping[str, Any]
    queue: InQueue | None
    scheduled_for: datetime | None
    resumes: int
    source: SourceFile
    environment: Surroundings
    steps: Sequence[StepOfStatus]
    failed_steps: Sequence[str]
    output: Any
    error: Failure | None
    owner: Owner | None
    concurrency: Limit | None


class Row(Known):
    """An execution in a list, and what `pause`, `cancel`, `approve` and `reject` print with --json."""

    current: Sequence[str]


class List(TypedDict):
    """What `list --json` and `active --json` print."""

    executions: Sequence[Row]
    total: int | None
    total_is_exact: bool
    has_more: bool
    limit: int
    offset: int


class PlannedStep(TypedDict):
    """What a resume would do with a step, and why."""

    step: str
    action: Action
    why: str


class LeftElsewhere(TypedDict):
    """Completed steps whose files are on another machine than the one that asks."""

    host: str
    steps: Sequence[str]


class Plan(TypedDict):
    """What `resume --plan --json` prints, and `resume` and `fork` where completed steps have changed."""

    execution_id: str
    changed: bool
    steps: Sequence[PlannedStep]
    blocked: Sequence[str]
    accepted: Sequence[str]
    rerun: Sequence[str]
    handlers_ran: Sequence[str]
    continues_handlers: bool
    elsewhere: Sequence[LeftElsewhere]


class PreviewedStep(TypedDict):
    """A step that would run."""

    id: str
    group: Group
    executor: str
    needs: Sequence[str]
    when: str | bool | None
    runs_on: Placed | None


class Preview(TypedDict):
    """What `run --dry-run --json` prints."""

    workflow: str
    inputs: Mapping[str, Any]
    secrets: Sequence[str]
    max_parallel: int
    concurrency: PreviewedGroup | None
    steps: Sequence[PreviewedStep]


class Detached(TypedDict):
    """What `run`, `resume` and `fork` print with --detach --json."""

    execution_id: str


class LogLine(TypedDict):
    """A line of `logs --json`: a piece of output as it was read, in `text` or, if that is not UTF-8, in `base64`."""

    step: str
    attempt: int
    stream: Stream
    at: datetime
    offset: int
    text: NotRequired[str]
    base64: NotRequired[str]


class CheckedFile(TypedDict):
    """A workflow file that was checked. One that is wrong has neither `workflow` nor `steps`."""

    file: str
    ok: bool
    workflow: str | None
    steps: int | None
    problems: Sequence[Finding]


class Validation(TypedDict):
    """What `validate --json` prints."""

    files: Sequence[CheckedFile]


class AddedExecutor(TypedDict):
    """An executor that a plugin adds."""

    key: str
    summary: str


class FoundPlugin(TypedDict):
    """A plugin, and what is wrong with it."""

    name: str
    origin: Literal["built-in", "installed", "folder", "file"]
    where: str
    hooks: Sequence[str]
    executors: Sequence[AddedExecutor]
    backends: Sequence[str]
    problem: str | None


class Plugins(TypedDict):
    """What `plugins --json` prints."""

    plugins: Sequence[FoundPlugin]


class Examined(TypedDict):
    """Something that `doctor` looked at."""

    topic: str
    grade: Literal["ok", "warning", "problem"]
    text: str
    hint: str | None


class Diagnosis(TypedDict):
    """What `doctor --json` prints."""

    ok: bool
    version: str
    findings: Sequence[Examined]


class Version(TypedDict):
    """What `--version --json` prints."""

    version: str
    commit: str | None
    build: str | None
    form: str
    python: str
    sqlite: str
    psycopg: str | None
    libpq: str | None
    file: str | None


class Serving(TypedDict):
    """What `serve --json` prints once it listens: `HOST:PORT`, null for what it does not serve."""

    grpc: str | None
    http: str | None


class StepInside(TypedDict):
    """What `shell --print-env --json` prints: a step as its process would find it."""

    execution_id: str
    step: str
    attempt: int
    working_dir: str
    env: dict[str, str]
    secrets_left_out: list[str]
    unset: list[str]
    """Why variables are missing."""


class Error(TypedDict):
    """What any verb prints on standard error with --json when it cannot do what it was told."""

    error: ErrorFacts


PRINTED: Mapping[str, tuple[str, ...]] = {
    "--version": ("version",),
    "run": ("event", "preview", "detached"),
    "resume": ("event", "plan", "detached"),
    "fork": ("event", "plan", "detached"),
    "watch": ("event",),
    "history": ("event",),
    "status": ("status", "step"),
    "active": ("list",),
    "list": ("list",),
    "logs": ("logLine",),
    "locks": ("locks",),
    "pause": ("row",),
    "cancel": ("row",),
    "approve": ("row",),
    "reject": ("row",),
    "validate": ("validation",),
    "plugins": ("plugins",),
    "shell": ("stepInside",),
    "supervise": ("event",),
    "schedules": ("schedules",),
    "submit": ("detached",),
    "worker": ("event",),
    "worker list": ("pool",),
    "worker drain": ("poolWorker",),
    "serve": ("serving",),
    "store info": ("storeInfo",),
    "store verify": ("verification",),
    "store export": ("exported",),
    "store import": ("transfer",),
    "store copy": ("transfer",),
    "store backup": ("backup",),
    "store prune": ("pruning",),
    "store heads": ("head",),
    "doctor": ("diagnosis",),
}
"""The definitions in the schema for what each verb prints; any may print `error` instead."""

OUTPUTS: tuple[type[Any], ...] = (
    Status,
    Step,
    List,
    Row,
    Locks,
    Plan,
    Preview,
    Detached,
    LogLine,
    StepInside,
    Validation,
    Plugins,
    Verification,
    StoreInfo,
    Exported,
    Transfer,
    Backup,
    Pruning,
    Head,
    Diagnosis,
    Pool,
    PoolWorker,
    Schedules,
    Version,
    Serving,
    Error,
)
"""Everything that is printed as it is, but the events."""
