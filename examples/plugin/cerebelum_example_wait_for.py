"""A cerebelum plugin whose executor blocks on the network: `wait_for:` waits until something listens on a TCP port.

It shows what an executor owes the run while it waits for others: it looks at `call.stop` at least twice a second, so
that a time limit, `cancel` and Ctrl-C end it at once, and it never blocks without a limit of its own.
"""

import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec

from cerebelum import hookimpl
from cerebelum.steps import Completed, Duration, Executor, Interrupted, Invocation, Outcome, Step, convert

PATIENCE = 0.5
"""Seconds that one attempt to connect may block: as long as a request to stop may go unheard."""


class WaitFor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands under `wait_for:`."""

    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    host: str = "127.0.0.1"
    every: Duration = Duration(1)
    """The pause between two attempts, such as 500ms."""


class WaitForPort:
    key = "wait_for"
    summary = "wait until something listens on a TCP port"
    body: Any = WaitFor
    options: Any = None
    literal: tuple[str, ...] = ()

    def run(self, call: Invocation) -> Outcome:
        """Try to connect until it works. The step's `timeout:` is the limit; cerebelum watches it."""
        wanted = convert(call.body, WaitFor)
        attempts = 0
        while not call.stop.requested:
            attempts += 1
            try:
                with socket.create_connection((wanted.host, wanted.port), PATIENCE):
                    return Completed({"attempts": attempts})
            except OSError as error:
                call.sink.write("stdout", f"{wanted.host}:{wanted.port}: {error}\n".encode())
            # Not time.sleep: this one returns as soon as the step is to end.
            call.stop.wait(wanted.every)
        # Why is in call.stop.reason; that it was a time limit is said by cerebelum.
        return Interrupted()

    def fingerprint(self, step: Step, folder: Path) -> str | None:
        """There is no code outside the definition that this step depends on."""
        return None


@hookimpl
def cerebelum_executors() -> Iterable[Executor]:
    """The hook: cerebelum calls it once and adds what it returns to the built-in executors."""
    return [WaitForPort()]
