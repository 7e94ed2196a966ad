"""Executions as they are stored, the indexes that lead to them, and what a Query means for both."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec
from msgspec.msgpack import decode, encode

from cerebelum.core.summary import Summary
from cerebelum.store import Claim, Ownership, Query, Runner
from cerebelum_example_lmdb.shelf import LONGEST_ID, Transaction, at, digested, named

_TIME = 8
"""Bytes of a time in a key."""


class Kept(msgspec.Struct, frozen=True):
    """An execution as it is stored."""

    summary: Summary
    ownership: Ownership


def kept(t: Transaction, key: bytes) -> Kept | None:
    """The execution of that key."""
    value = t.get("executions", key)
    return None if value is None else decode(value, type=Kept)


def keep(t: Transaction, key: bytes, old: Kept | None, new: Kept | None) -> None:
    """Put `new` in the place of `old` (None: not there), in all indexes as well."""
    before, after = (set(_index_keys(key, each.summary)) if each else set() for each in (old, new))
    for name, each in before - after:
        t.delete(name, each)
    for name, each in after - before:
        t.put(name, each, b"")
    if new is None:
        t.delete("executions", key)
    else:
        t.put("executions", key, encode(new))


def _index_keys(key: bytes, s: Summary) -> Iterator[tuple[str, bytes]]:
    start = at(s.started_at) + key
    yield "starts", start
    for tag in s.tags:
        yield "tags", digested(tag) + start
    if s.due_at is not None:
        yield "dues", at(s.due_at) + key


def candidates(t: Transaction, query: Query) -> Iterator[Kept]:
    """The executions that an index leads to, newest start first: all that match are among them."""
    if query.id is not None:
        key = named(query.id)
        keys = iter([] if key is None else [key])
    elif query.due_before is not None:
        keys = _sorted(t, (key[_TIME:] for key in t.down("dues", b"", at(query.due_before))))
    elif query.id_prefix:
        keys = _sorted(t, (key for key, _ in t.up("executions", named(query.id_prefix) or b"\xff")))
    else:
        name, prefix = ("tags", digested(query.tag[0])) if query.tag else ("starts", b"")
        # No key is as great as this: ids are ASCII.
        end = b"\xff" * (_TIME + 1)
        if query.after is not None:
            end = at(query.after[0]) + query.after[1].encode("utf-8", "surrogatepass")[:LONGEST_ID]
        keys = (key[len(prefix) + _TIME :] for key in t.down(name, prefix, prefix + end))
    for key in keys:
        if (found := kept(t, key)) is not None:
            yield found


def _sorted(t: Transaction, keys: Iterator[bytes]) -> Iterator[bytes]:
    """The few that an index by something else has found, in the order of their starts."""
    found = [(each.summary.started_at, key) for key in keys if (each := kept(t, key)) is not None]
    return (key for _, key in sorted(found, reverse=True))


def matches(found: Kept, query: Query) -> bool:
    """Whether every condition holds."""
    s = found.summary
    driven = s.status == "running" and (found.ownership.owner or "") not in query.dead_runners
    status = "paused" if s.status == "running" and not driven else s.status
    return (
        query.id in (None, s.execution_id)
        and s.execution_id.startswith(query.id_prefix or "")
        and (not query.status or status in query.status)
        and query.workflow in (None, s.workflow)
        and set(query.tag) <= set(s.tags)
        and (query.since is None or s.started_at >= query.since)
        and (query.due_before is None or (s.due_at is not None and s.due_at < query.due_before))
        and (query.after is None or (s.started_at, s.execution_id) < query.after)
    )


def claims_in(t: Transaction) -> list[Claim]:
    """All claims by group, and of a group in the order in which they were made."""
    found = [decode(value, type=tuple[int, Claim]) for _, value in t.up("claims", b"")]
    return [claim for _, claim in sorted(found, key=lambda one: (one[1].group, one[0]))]


def put_claim(t: Transaction, key: bytes, claim: Claim) -> None:
    """Store a claim behind all others."""
    last = max((decode(value, type=tuple[int, Claim])[0] for _, value in t.up("claims", b"")), default=0)
    t.put("claims", key, encode((last + 1, claim)))


def put_runner(t: Transaction, key: bytes, runner: Runner) -> None:
    """Store a registration with the moment at which it came. One machine has one clock."""
    t.put("runners", key, encode((runner, time.time())))


def runner_of(t: Transaction, owner: str | None) -> Runner | None:
    """The registration of an owner, with its silence."""
    key = named(owner or "")
    value = None if key is None else t.get("runners", key)
    if value is None:
        return None
    runner, moment = decode(value, type=tuple[Runner, float])
    return msgspec.structs.replace(runner, silent=max(0.0, time.time() - moment))
