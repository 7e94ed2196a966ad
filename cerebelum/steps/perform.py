"""Performing an attempt that is prepared: its executor is called, and what comes back is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from cerebelum.core.errors import CerebelumError, StoreError
from cerebelum.core.events import StepError
from cerebelum.core.outcome import Approval, Completed, Failed, Interrupted, Outcome
from cerebelum.core.step_state import StepState
from cerebelum.steps.executor import Executor, Invocation, Stop
from cerebelum.steps.masking import Masker
from cerebelum.steps.output_values import OutputError, one_line, to_output

_encoder = msgspec.json.Encoder()

MAX_OUTPUT = 1 << 20
"""Bytes of JSON one step's output may take."""


def perform(call: Invocation, executors: Mapping[str, Executor], masker: Masker, at: StepState) -> tuple[Outcome, bool]:
    """Run the attempt; its outcome, checked and free of secrets, and whether `verify:` found it done already.

    `at` is the state of the step. What goes wrong is an outcome; raises only StoreError, when what is to be recorded
    cannot be.
    """
    try:
        if call.step.on_interrupt == "verify" and at.interrupted not in (None, "operator"):
            found = _verify(call, executors["run"])
            if isinstance(found, Completed):
                return checked(found, masker), True
            if call.stop.requested:
                return found, False
        return checked(_run(executors[call.step.executor], call), masker), False
    except StoreError:
        raise
    except CerebelumError as error:
        return Failed(masked(StepError("invalid", error.text(), tail=call.sink.tail() or None), masker)), False
    except BaseException as error:
        # Also SystemExit: a thread that ended without an outcome would be waited for for ever.
        import traceback

        text = "".join(traceback.format_exception(error))
        kind = StepError("exception", f"{type(error).__name__}: {error}", traceback=text)
        return Failed(masked(kind, masker)), False


def _run(executor: Executor, call: Invocation) -> Outcome:
    if getattr(executor, "captures_output", False):
        return executor.run(call)
    from cerebelum.steps.capture import Captured

    with Captured(call.sink):
        return executor.run(call)


def _verify(call: Invocation, shell: Executor) -> Outcome:
    """How the step's `verify:` command went: success says that the attempt that was cut off did take effect."""
    import tempfile

    command = call.step.verify
    step = msgspec.structs.replace(call.step, body=command)
    with tempfile.TemporaryDirectory(dir=call.scratch) as scratch:
        # What it wrote to its output file is no output of the step if it says that there was no effect.
        there = msgspec.structs.replace(call, step=step, body=command, options={}, make_scratch=lambda: Path(scratch))
        return shell.run(there)


def checked(outcome: Outcome, masker: Masker) -> Outcome:
    """The outcome, or the failure that it really is: an output too large, not JSON, or holding a secret."""
    match outcome:
        case Completed(None):
            return outcome
        case Completed(output):
            try:
                # What JSON has for dates, dataclasses, durations and the like.
                output = to_output(output)
            except OutputError as error:
                return Failed(StepError("output", one_line(error)), retryable=False)
            problem = output_problem(output, masker)
            return Failed(problem, retryable=False) if problem else Completed(output)
        case Failed(error, retryable):
            return Failed(masked(error, masker), retryable)
        case Approval(message, kind, data):
            # Types are what an executor says, which may be anybody's.
            said: tuple[tuple[str, Any], ...] = (("message", message), ("type", kind))
            for name, text in said:
                if not isinstance(text, str):
                    wrong = f"the {name} of an approval is text, and not {text!r:.80}"
                    return Failed(StepError("invalid", wrong), retryable=False)
            try:
                asked = to_output({"message": message, "data": data}, "approval")
            except OutputError as error:
                return Failed(StepError("output", one_line(error)), retryable=False)
            if found := masker.find(asked):
                return Failed(StepError("secret", f"the approval contains the secret {found}"), retryable=False)
            return msgspec.structs.replace(outcome, **asked)
        case _:
            return outcome


def output_problem(output: Any, masker: Masker) -> StepError | None:
    try:
        size = len(_encoder.encode(output))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        return StepError("output", f"the output is not JSON: {error}")
    if size > MAX_OUTPUT:
        hint = "write large results to a file and output its path"
        return StepError("output", f"the output is {size:,} bytes of JSON, more than {MAX_OUTPUT:,}; {hint}")
    for key, value in output.items() if isinstance(output, dict) else [("output", output)]:
        name = masker.find(value) or masker.find(key)
        if name:
            return StepError("secret", f"output {masker.text(str(key))!r} contains the secret {name}")
    return None


def masked(error: StepError, masker: Masker) -> StepError:
    """The error without any secret in it."""
    return msgspec.structs.replace(
        error,
        message=masker.text(error.message),
        traceback=masker.text(error.traceback) if error.traceback else None,
        tail=masker.text(error.tail) if error.tail else None,
    )


def interrupted(outcome: Outcome, stop: Stop, overrun: str, tail: Callable[[], str] = str) -> Outcome:
    """What an attempt that was asked to end amounts to: a timeout (`overrun`) is a failure, else an interruption."""
    if not stop.requested or isinstance(outcome, Completed):
        return outcome
    if stop.reason == "timeout":
        said = outcome.error.tail if isinstance(outcome, Failed) else tail()
        return Failed(StepError("timeout", overrun, tail=said or None))
    return Interrupted()
