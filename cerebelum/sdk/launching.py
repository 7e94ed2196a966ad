"""Starting executions, and going on with them, in processes of their own that outlive whoever asked."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from cerebelum.core.error_facts import raised
from cerebelum.core.errors import UsageError
from cerebelum.sdk import wiring

_PATIENCE = 60.0
"""Seconds until a process has said whether it has started."""


def launch(
    words: Sequence[str],
    *,
    store: str | None = None,
    inputs: Mapping[str, Any] | None = None,
) -> str:
    """Perform `cerebelum WORDS --detach`, with `inputs` on its standard input; the id of the execution that goes on.

    Returns once the first event is recorded. Raises what the command line met with, as the error that it was there.
    """
    command = [*wiring.program(), *words, "--detach", "--json"]
    command += [] if store is None else ["--store", store]
    command += [] if inputs is None else ["--inputs-file", "-"]
    given = b"" if inputs is None else json.dumps(inputs).encode()
    try:
        done = subprocess.run(
            command,
            input=given,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except ValueError:
        raise UsageError("a NUL, or half of a surrogate pair, cannot be handed to a process") from None
    except OSError as error:
        raise UsageError(f"no process can be started with this: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"the process has not said within {_PATIENCE:g} s that it has started", hint="see: cerebelum list"
        ) from None
    if done.returncode != 0:
        raise _error(done.returncode, done.stderr.decode(errors="replace"))
    execution_id: str = json.loads(done.stdout)["execution_id"]
    return execution_id


def _error(code: int, said: str) -> Exception:
    """What the process said last on standard error; before it come warnings."""
    last = said.strip().rpartition("\n")[2]
    try:
        return raised(json.loads(last)["error"])
    except (ValueError, KeyError, TypeError):
        return UsageError(said.strip() or f"the process ended with exit code {code}")
