"""What the suite has other processes do: they open the store, say that they are ready, and begin when they are told to.

Each function here gets the store and texts, and returns what goes back as JSON; `say` tells something in between.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from cerebelum.backends.conformance.kit import (
    CHURNED,
    MINE,
    START,
    create,
    drive,
    log,
    output_of,
    push,
    summary,
    tombstone_of,
    whole,
)
from cerebelum.core.errors import StoreError
from cerebelum.store import Chunk, Conflict, EventStore


def say(what: Any) -> None:
    """One line for whoever started this process."""
    sys.stdout.write(msgspec.json.encode(what).decode() + "\n")
    sys.stdout.flush()


def push_all(store: EventStore, count: str, *names: str) -> dict[str, list[int]]:
    """Append `count` entries to each execution; the versions that were ours."""
    won: dict[str, list[int]] = {name: [] for name in names}
    for _ in range(int(count)):
        for name in names:
            won[name] += push(store, name, 1)
    return won


def own_all(store: EventStore, owner: str, *names: str) -> list[str]:
    """Take over each execution from runner-1 in epoch 1; those that we got."""
    return [name for name in names if store.own(name, owner, MINE) is not None]


def pursue(store: EventStore, *names: str) -> dict[str, int]:
    """Drive one execution after the other until somebody takes it over; the versions that we came to."""
    came: dict[str, int] = {}
    for name in names:
        first = create(store, name, MINE)
        say(name)
        came[name] = drive(store, name, [first], MINE)
    return came


def write(store: EventStore, execution_id: str, writer: str, count: str) -> None:
    """Write so many chunks, small and large ones, while another execution gets some as well."""
    for chunk in output_of(int(writer), int(count)):
        store.write_log(execution_id, [chunk])
        store.write_log("other-1", [Chunk("build", 1, 0, "stdout", START, b"other")])


def churn(store: EventStore, name: str) -> None:
    """Append to three executions in batches, restore and prune others, and say how far that is; until killed."""
    logs = {f"{name}-{number}": log(f"{name}-{number}", CHURNED * 1000) for number in range(3)}
    for turn in itertools.count():
        for execution_id, entries in logs.items():
            expected = turn * CHURNED
            batch = entries[expected : expected + CHURNED]
            # One tag stays, the other one says which batch was the last.
            tags = (name, f"{execution_id} {turn}")
            store.append(execution_id, expected, batch, summary(execution_id, batch, tags=tags), fence=MINE)
        gone = f"{name}-gone-{turn}"
        store.restore([whole(gone, CHURNED, tags=("gone",))])
        store.write_log(gone, [Chunk("build", 1, 0, "stdout", START, b"x" * 1000)])
        store.prune(tombstone_of(store, gone))
        say(turn)


def fork(store: EventStore, execution_id: str) -> dict[str, Any]:
    """Fork with the store open: what the child is answered, and whether the parent can go on, during and after it."""
    push(store, execution_id, 1)
    store.read_log(execution_id)
    reads, writes = os.pipe()
    waits, goes = os.pipe()
    child = os.fork()
    if child == 0:
        answers = [_answer(lambda: store.read(execution_id)), _answer(lambda: push(store, execution_id, 1))]
        os.write(writes, msgspec.json.encode(answers))
        os.close(writes)
        os.read(waits, 1)
        # Ending in the usual way, which lets go of everything that the process has.
        with contextlib.suppress(StoreError):
            store.close()
        sys.exit(0)
    os.close(writes)
    with open(reads, "rb") as answered:
        answers = msgspec.json.decode(answered.read())
    during = push(store, execution_id, 1)
    os.write(goes, b"x")
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {"answers": answers, "code": code, "during": during, "after": push(store, execution_id, 1)}


def _answer(call: Callable[[], Any]) -> str:
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return "no error"


def create_all(store: EventStore, *names: str) -> list[str]:
    """Create each execution; those that were not there yet."""
    made = []
    for name in names:
        with contextlib.suppress(Conflict):
            create(store, name)
            made.append(name)
    return made


def claim_all(store: EventStore, execution_id: str, turns: str, alone: str) -> dict[str, list[str]]:
    """Claim one group after the other for an execution of ours; who came before it, and with itself at the end, if it
    got a place there.
    """
    came: dict[str, list[str]] = {}
    for turn in range(int(turns)):
        name, group = f"{execution_id}-{turn}", f"group-{turn}"
        create(store, name, MINE)
        claims = store.claim(name, group, START, MINE, alone=alone == "alone")
        ids = [claim.execution_id for claim in claims]
        came[group] = ids[: ids.index(name) + 1] if name in ids else ids
    return came


DEEDS: dict[str, Callable[..., Any]] = {
    deed.__name__: deed for deed in (push_all, own_all, pursue, write, churn, fork, create_all, claim_all)
}


def main() -> None:
    """`MODULE:OPENER URL DEED ARGUMENT…`, then a line on stdin."""
    opener, url, deed, *arguments = sys.argv[1:]
    module, _, name = opener.partition(":")
    store: EventStore = getattr(importlib.import_module(module), name)(url)
    try:
        say("ready")
        sys.stdin.readline()
        say(DEEDS[deed](store, *arguments))
    finally:
        store.close()
