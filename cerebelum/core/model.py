"""What YAML and Python definitions both become: plain frozen data, ready to be recorded, hashed and run."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from cerebelum.core.digests import sha256

Value = Any
"""Anything JSON can say: None, bool, int, float, str, list, or dict with str keys."""

InputType = Literal["string", "integer", "number", "boolean", "list", "object"]
OnInterrupt = Literal["rerun", "verify", "fail"]
OutputKind = Literal["none", "text", "json"]
Group = Literal["steps", "on_failure", "on_success", "on_cancel", "finally"]
Policy = Literal["queue", "fail", "cancel_running"]
Overlap = Literal["skip", "queue", "allow"]
Missed = Literal["once", "skip"]
MAX_PARALLEL = 1024
"""How many steps of a workflow may run at once, at most."""
GROUPS: tuple[Group, ...] = ("steps", "on_failure", "on_success", "on_cancel", "finally")


class Retry(msgspec.Struct, frozen=True, omit_defaults=True):
    """How often and when a failed attempt is tried again. Times are seconds."""

    attempts: int = 1
    """Attempts in all, the first one included."""
    delay: float = 1.0
    """Seconds before the second attempt."""
    backoff: float = 1.0
    """Each further delay is the one before it times this."""
    max_delay: float | None = None
    jitter: float = 0.0
    """Fraction of the delay (0 to 1) by which it is spread at random, up or down."""
    on: tuple[int, ...] = ()
    """Exit codes worth a retry; empty: every failure is."""


class Input(msgspec.Struct, frozen=True, omit_defaults=True):
    """A declared input of a workflow."""

    type: InputType = "string"
    required: bool = False
    default: Any = None
    has_default: bool = False
    description: str | None = None
    pattern: str | None = None
    choices: tuple[Any, ...] = ()
    minimum: float | int | None = None
    maximum: float | int | None = None


class RunsOn(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which workers of a pool may perform a step."""

    queue: str
    labels: tuple[str, ...] = ()
    """What a worker has to have, all of it."""


class Diversion(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a failure of a certain kind leads to."""

    match: str
    """The error's kind, the name of an exception's class, or a pattern with `*` for these and the message."""
    to: str
    """`retry`, `continue`, `fail`, or the id of a step."""


class Step(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A node of the graph, with everything inherited from `defaults` and the workflow already filled in."""

    id: str
    executor: str
    """The executor's key: `run`, `python`, …"""
    body: Any
    """What stands under the executor's key, validated by the executor's schema; may hold `${{ … }}`."""
    options: dict[str, Any] = {}
    """The executor's own keys beside it (`shell`, `with`, `isolated` …), validated; may hold `${{ … }}`."""
    needs: tuple[str, ...] = ()
    """Ids of the steps this one follows, by the timeline or by `needs:`."""
    explicit_needs: bool = False
    """True if `needs:` was written: such a step is skipped when one of its needs was skipped."""
    when: str | bool | None = None
    """A condition: a bool, or an expression text `${{ … }}`."""
    env: dict[str, Any] = {}
    """Own and inherited variables (inherited first); may hold `${{ … }}`."""
    secrets: tuple[str, ...] = ()
    """Names of the secrets this step gets in its environment: its own and the workflow's."""
    working_dir: str | None = None
    """Relative to the folder the execution was started in; may hold `${{ … }}`."""
    timeout: float | None = None
    """Seconds one attempt may take."""
    retry: Retry = Retry()
    continue_on_error: bool = False
    diverge: tuple[Diversion, ...] = ()
    """What failures lead to; the first that fits counts."""
    on_interrupt: OnInterrupt = "rerun"
    verify: str | None = None
    runs_on: RunsOn | None = None
    """None: it runs where the execution is driven."""
    output: OutputKind = "none"
    description: str | None = None
    undoes: tuple[str, ...] = ()
    """For handlers: steps whose effect is gone once this handler completed."""
    line: int = 0
    """Line in the source file (1-based); 0 if there is none. Not part of the digest."""
    fingerprint: str | None = None
    """What the executor says identifies code outside the definition (such as a function's source)."""
    digest: str = ""
    """SHA-256 (hex) of what makes a completed run of this step still valid; see `step_digest`."""


class Concurrency(msgspec.Struct, frozen=True, omit_defaults=True):
    """The group whose executions never overlap, which its lock is called as, and what one does that comes second."""

    group: str
    """In a definition it may hold `${{ inputs… }}`; of an execution it is the name that came out."""
    policy: Policy = "queue"


class Schedule(msgspec.Struct, frozen=True, omit_defaults=True):
    """When executions of a workflow start by themselves, where somebody looks after that."""

    cron: str
    timezone: str = "UTC"
    overlap: Overlap | None = None
    """What becomes of a tick while an execution of the one before goes on; None: what `concurrency` says, or else
    `skip`."""
    missed: Missed = "once"
    """What becomes of ticks at which nobody was there."""


class Workflow(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, rename={"finally_": "finally"}):
    """A named graph of steps, normalised."""

    name: str
    description: str | None = None
    inputs: dict[str, Input] = {}
    secrets: tuple[str, ...] = ()
    env: dict[str, Any] = {}
    free_inputs: bool = False
    """Whether inputs that are not declared are taken, as they are."""
    max_parallel: int = 16
    """How many attempts may run at once."""
    timeout: float | None = None
    """Seconds one segment (a run or a resume) may take in all."""
    concurrency: Concurrency | None = None
    schedule: tuple[Schedule, ...] = ()
    portable: bool = False
    """Whether completed steps leave nothing behind on the machine's disk that later steps need."""
    output: Any = None
    """The execution's output; may hold `${{ … }}`."""
    steps: tuple[Step, ...] = ()
    on_failure: tuple[Step, ...] = ()
    on_success: tuple[Step, ...] = ()
    on_cancel: tuple[Step, ...] = ()
    finally_: tuple[Step, ...] = ()

    def group(self, name: Group) -> tuple[Step, ...]:
        """The steps of one group, in file order."""
        return self.finally_ if name == "finally" else getattr(self, name)

    def every_step(self) -> tuple[Step, ...]:
        """All steps: the main graph, then the handlers in the order of `GROUPS`."""
        return tuple(step for name in GROUPS for step in self.group(name))

    def every_secret(self) -> tuple[str, ...]:
        """The names of all secrets: those of the workflow, then those of its steps."""
        of_steps = (name for step in self.every_step() for name in step.secrets)
        return tuple(dict.fromkeys([*self.secrets, *of_steps]))

    def secrets_here(self) -> tuple[str, ...]:
        """The names of those secrets that whoever drives it has to have: not what only workers' steps need."""
        if all(step.runs_on is None for step in self.every_step()):
            return self.every_secret()
        return tuple(dict.fromkeys(n for step in self.every_step() if step.runs_on is None for n in step.secrets))


class Source(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a definition came from."""

    kind: Literal["yaml", "python"]
    path: str
    """Absolute path of the file."""
    digest: str
    """SHA-256 (hex) of the file's bytes."""


class Loaded(msgspec.Struct, frozen=True):
    """A workflow as read from a file, and where it came from."""

    workflow: Workflow
    source: Source
    folder: Path
    """Absolute folder of the file."""
    refine: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None
    """Checks inputs beyond what is declared, and gives them as they are recorded. Raises UsageError."""


def step_digest(step: Step, *, with_body: bool = True) -> str:
    """SHA-256 (hex) over the executor, its body (or an empty text) and options, env, working_dir, output, fingerprint.

    Not over description, retry, timeout, when, continue_on_error, diverge, needs, or the position in the file: changing
    those does not make a completed step's result another one.
    """
    matter = {
        "executor": step.executor,
        "body": step.body if with_body else "",
        "options": step.options,
        "env": step.env,
        "working_dir": step.working_dir,
        "output": step.output,
        "fingerprint": step.fingerprint,
    }
    return sha256(msgspec.json.encode(matter, order="deterministic"))
