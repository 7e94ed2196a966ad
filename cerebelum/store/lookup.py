"""Finding executions in a store and telling how they stand, the death of their runners included."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from cerebelum.core.errors import NotFound, UsageError
from cerebelum.core.events import AnyEvent, Entry, decode
from cerebelum.core.evolve import evolve, reconstruct
from cerebelum.core.state import State, status
from cerebelum.core.status import GOING_ON, Status
from cerebelum.core.summary import summarise
from cerebelum.store import Chunk, Claim, EventStore, Ownership, Query, Row, Tombstone
from cerebelum.store.liveness import reported_dead

if TYPE_CHECKING:
    from cerebelum.store.pooling import Standing, Takers

INTERRUPTED = "interrupted"
NOT_DRIVEN = "waits for a runner"
_NEWEST = 100
"""How many executions are looked at for an id that might have been meant."""
_MOST_AMBIGUOUS = 10
_MOST_RUNNING = 10_000
_LOG_PAGE = 500


class Log(msgspec.Struct, frozen=True):
    """The log of an execution, read and folded."""

    state: State
    digest: str
    """Digest of its last entry."""
    row: Row


class View(msgspec.Struct, frozen=True):
    """An execution as `status` shows it: the fold of its events, and what is known of its runner right now."""

    state: State
    status: Status
    reason: str | None
    row: Row
    claims: tuple[Claim, ...] = ()
    """To the lock of its group, in their order: the first has it."""
    standing: Standing | None = None
    """In its queue, while it waits there, be it to be gone on with."""
    takers: Mapping[str, Takers] = {}
    """By step that waits for a worker: who could take it."""


def resolve(store: EventStore, name: str) -> str:
    """The id that `name` means: an exact id, `last`, or a unique prefix. Raises NotFound, UsageError if ambiguous."""
    given: object = name
    if not isinstance(given, str):
        hint = "it has one, as its execution_id" if hasattr(given, "execution_id") else "an id is a text"
        raise UsageError(f"{given!r:.80} is no id of an execution", hint=hint)
    if store.find(Query(id=name, limit=1)).rows:
        return name
    if name == "last":
        rows = store.find(Query(limit=1)).rows
        if not rows:
            raise NotFound("there is no execution yet", hint="start one with: cerebelum run FILE")
        return rows[0].summary.execution_id
    if store.tombstones(name):
        raise missing(store, name)
    if not name:
        raise UsageError("an empty id names no execution", hint="see: cerebelum list")
    page = store.find(Query(id_prefix=name, limit=_MOST_AMBIGUOUS))
    if len(page.rows) == 1:
        return page.rows[0].summary.execution_id
    if not page.rows:
        raise missing(store, name)
    ids = ", ".join(r.summary.execution_id for r in page.rows) + (", …" if page.has_more else "")
    raise UsageError(f"{name!r} could be {ids}", hint="give more of the id")


def missing(store: EventStore, name: str) -> NotFound:
    """The error for an execution that is not there, which says when it was pruned if it was."""
    stones = store.tombstones(name) or [
        t for t in store.tombstones(after=name, limit=2) if t.execution_id.startswith(name)
    ]
    if len(stones) != 1:
        return NotFound(f"there is no execution {name!r}", hint=_nearest(store, name))
    [stone] = stones
    return NotFound(f"{stone.execution_id} {buried(stone)}", hint="its head is among those of: cerebelum store heads")


def buried(stone: Tombstone) -> str:
    """That an execution was pruned, when, and what it was."""
    pruned, of = f"{stone.pruned_at.astimezone():%Y-%m-%d %H:%M:%S}", f"{stone.started_at.astimezone():%Y-%m-%d}"
    return f"was pruned at {pruned}; it was of {of}, {stone.status}, with {stone.version} events"


def present(store: EventStore, execution_id: str) -> Row:
    """The execution with exactly this id, as it is now. Raises NotFound."""
    found_dead: tuple[int, Ownership] | None = None
    while True:
        rows = store.find(Query(id=execution_id, limit=1)).rows
        if not rows:
            raise missing(store, execution_id)
        [row] = rows
        if row.summary.status != "running":
            return row
        if found_dead == (row.summary.version, row.ownership):
            return msgspec.structs.replace(row, dead=True)
        if not reported_dead(row):
            return msgspec.structs.replace(row, dead=False)
        # Its runner may have written the end after this was read; what is read from now on has that.
        found_dead = row.summary.version, row.ownership


def check_unused(store: EventStore, execution_id: str) -> None:
    """Raises UsageError if there was an execution with this id, which has been pruned."""
    for stone in store.tombstones(execution_id):
        raise UsageError(
            f"{execution_id} {buried(stone)}", hint="an id is not used again after that; choose another one"
        )


def _nearest(store: EventStore, name: str) -> str:
    """What might have been meant, among the newest executions."""
    import difflib

    newest = [row.summary.execution_id for row in store.find(Query(limit=_NEWEST)).rows]
    near = difflib.get_close_matches(name, newest, 1, 0.75)
    return f"did you mean {near[0]}?" if near else "see: cerebelum list"


def read(store: EventStore, execution_id: str, at: int | datetime | None = None, *, level: bool = False) -> Log:
    """The log of the execution with exactly this id, up to and with version or moment `at`.

    With `level`, no further than the row, although more was appended between the two looks. Raises NotFound if there
    is no such execution, or there was nothing of it yet.
    """
    row = present(store, execution_id)
    entries = [e for e in store.read(execution_id) if not level or e.version <= row.summary.version]
    if not entries:
        raise missing(store, execution_id)
    if at is not None:
        began = entries[0].at
        entries = [e for e in entries if (e.version <= at if isinstance(at, int) else e.at <= at)]
        if not entries:
            raise NotFound(
                f"{execution_id} had not started then",
                hint=f"its first event is of {began.astimezone():%Y-%m-%d %H:%M:%S}",
            )
    state = reconstruct(execution_id, events_of(execution_id, entries))
    assert state is not None
    return Log(state, entries[-1].digest, row)


def read_on(store: EventStore, log: Log) -> Log:
    """The log with what was appended since it was read; its row stays as it was."""
    name, state = log.state.execution_id, log.state
    entries = store.read(name, state.version)
    for event in events_of(name, entries):
        state = evolve(state, event)
    return Log(state, entries[-1].digest, log.row) if entries else log


def events_of(execution_id: str, entries: Iterable[Entry]) -> Iterator[AnyEvent]:
    """What is stored in the entries. Raises StoreError, which says where, when it comes to one that is damaged."""
    return (decode(entry.text, where=f"{execution_id} version {entry.version}") for entry in entries)


def check_step(state: State, step: str) -> None:
    """Raises NotFound, with the nearest one, if there is no such step."""
    if step in state.steps:
        return
    import difflib

    near = difflib.get_close_matches(step, list(state.steps), 1)
    hint = f"did you mean {near[0]}?" if near else f"see: cerebelum status {state.execution_id}"
    raise NotFound(f"{state.execution_id} has no step {step!r}", hint=hint)


def check_attempt(state: State, step: str | None, attempt: int | None) -> None:
    """Raises NotFound if there is no such step, or it (or, without one, every step) has had fewer attempts."""
    hint = f"see: cerebelum status {state.execution_id}"
    if step is not None:
        check_step(state, step)
    had = max((state.steps[s].attempt for s in ([step] if step else state.steps)), default=0)
    if attempt is not None and attempt > had:
        who = f"step {step}" if step else "no step"
        count = f"{had} attempt{'' if had == 1 else 's'}" if had else "no attempt"
        most = f"has had {count}" if step else f"has had more than {count}" if had else "has started"
        raise NotFound(f"{state.execution_id}: {who} {most}", hint=hint)


def shown(row: Row) -> tuple[Status, str | None]:
    """The status to show, and why: an execution that nobody drives although its log says running is paused."""
    if row.summary.status == "running" and reported_dead(row):
        return "paused", INTERRUPTED if row.ownership.owner else NOT_DRIVEN
    return row.summary.status, row.summary.reason


def as_known(row: Row, dead: Collection[str]) -> Row:
    """The row, with `dead` being the runners that were found dead before it was read."""
    if row.summary.status != "running":
        return row
    return msgspec.structs.replace(row, dead=(row.ownership.owner or "") in dead)


def as_shown(row: Row, claims: Sequence[Claim] = ()) -> Row:
    """The row with the status to show; `claims` are those to all locks, where it waits for one."""
    now, reason = shown(row)
    if claims and now == "waiting_for_lock":
        reason = waits_for(claims, row)
    return msgspec.structs.replace(row, summary=msgspec.structs.replace(row.summary, status=now, reason=reason))


def view(store: EventStore, execution_id: str, at: int | datetime | None) -> View:
    """The execution as `status` shows it, now or `at` a version or moment. Raises NotFound."""
    log = read(store, execution_id, at, level=at is None)
    if at is not None:
        # Who drove it then is not in the log.
        log = msgspec.structs.replace(
            log, row=Row(summarise(log.state, log.digest), Ownership(None, log.row.ownership.epoch), None)
        )
        return View(log.state, status(log.state), log.row.summary.reason, log.row)
    return seen(store, log.state, log.row)


def seen(store: EventStore, state: State, row: Row) -> View:
    """The execution with this state and row, as it is to be shown now."""
    now, reason = shown(row)
    if now == "queued" or (now == "paused" and reason in (INTERRUPTED, NOT_DRIVEN)):
        return View(state, now, reason, row, standing=_standing(store, state))
    found = _takers(store, state) if now in GOING_ON else {}
    if state.concurrency is None or now not in GOING_ON:
        return View(state, now, reason, row, takers=found)
    claims = store.claims(state.concurrency.group)
    if now == "waiting_for_lock":
        reason = waits_for(claims, row)
    return View(state, now, reason, row, tuple(claims), takers=found)


def waits_for(claims: Iterable[Claim], row: Row) -> str:
    """What an execution waits for that has not got the lock of its group; `claims` may be of other groups, too."""
    name = row.summary.execution_id
    driven = "" if not reported_dead(row) else "; nobody drives it"
    groups: dict[str, list[str]] = {}
    for claim in claims:
        line = groups.setdefault(claim.group, [])
        if claim.execution_id != name:
            line.append(claim.execution_id)
            continue
        if not line:
            return f"{claim.group}: it is its turn{driven}"
        others = "" if len(line) == 1 else f", {len(line)} before it"
        return f"{claim.group}: held by {line[0]}{others}{driven}"
    return f"not in line any more{driven}"


def _standing(store: EventStore, state: State) -> Standing | None:
    """None if the store has no queues (any more), as after it was copied."""
    from cerebelum.store.pooling import HasPool

    if state.queue is None or not isinstance(store, HasPool):
        return None
    try:
        found = store.pool().standing(state.execution_id, state.queue.name)
    except UsageError:
        return None
    return found if found.there or state.queued else None


def _takers(store: EventStore, state: State) -> dict[str, Takers]:
    """Who could take what waits for a worker, or has one; none where the store has no queues (any more)."""
    handed = [state.steps[step_id] for kind in ("waiting_for_worker", "on_worker") for step_id in state.active.at(kind)]
    if not handed:
        return {}
    from cerebelum.store.pooling import HasPool, alive, step_key, takers

    if not isinstance(store, HasPool):
        return {}
    try:
        workers = store.pool().workers()
    except UsageError:
        return {}
    there = {worker.runner.id for worker in workers if alive(worker)}
    found = {}
    for at in handed:
        if (event := at.handed) is not None:
            lost = at.taken is not None and at.taken.worker not in there
            key = step_key(state.execution_id, event.step, event.version)
            found[event.step] = msgspec.structs.replace(takers(workers, event.queue, event.labels, key), lost=lost)
    return found


def dead_runners(store: EventStore) -> tuple[str, ...]:
    """Ids of the runners that are dead although executions of theirs are stored as running, and "" for nobody."""
    running = store.find(Query(status=("running",), limit=_MOST_RUNNING)).rows
    owners = {r.ownership.owner: r for r in running if r.ownership.owner}
    # What nobody owns is not running either: a decision that was taken on it waits for a runner.
    return ("", *(owner for owner, row in owners.items() if reported_dead(row)))


def chunks(
    store: EventStore,
    execution_id: str,
    step: str | None,
    attempt: int | None,
    wait: Callable[[], None] | None,
) -> Iterator[Chunk]:
    """Output in the order it was written; with `wait`, which is called between looks, until it no longer runs."""
    for found in pages(store, execution_id, step, attempt, follow=wait is not None):
        yield from found
        if wait is not None and not found:
            wait()


def pages(
    store: EventStore, execution_id: str, step: str | None, attempt: int | None, *, follow: bool
) -> Iterator[list[Chunk]]:
    """Output in the order it was written, page by page. With `follow`, until it no longer runs, with an empty page
    whenever there is nothing new.
    """
    position = 0
    while True:
        # Looked at first: what is written by then is still read.
        over = shown(present(store, execution_id))[0] not in GOING_ON or not follow
        while (
            page := store.read_log(execution_id, step=step, attempt=attempt, after=position, limit=_LOG_PAGE)
        ).chunks:
            position = page.position
            yield page.chunks
        if over:
            return
        yield []
