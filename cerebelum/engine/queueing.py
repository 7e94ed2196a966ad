"""Waiting for the lock of a group: who comes first, who comes no more, and when it is one's own turn.

The first claim of a group has its lock, so nothing is ever handed over: whoever leaves makes the next one the first. An
execution that ends or is paused takes its claim away. Where it could not, because its process died, those who wait do,
together with the ownership: whatever the dead process may still want to write, should it only have stood still, is
refused from then on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Literal

from cerebelum.core.admission import Admission
from cerebelum.core.errors import NotFound, OwnedElsewhere
from cerebelum.core.events import ExecutionResumed, ExecutionStarted
from cerebelum.core.model import Concurrency
from cerebelum.core.state import State
from cerebelum.core.status import GOING_ON
from cerebelum.engine.leftovers import clear_leftovers
from cerebelum.engine.outside import POLL_SECONDS
from cerebelum.host import faults
from cerebelum.host.clock import Clock
from cerebelum.store import Change, Claim, EventStore, Ownership, Query, Row, lookup
from cerebelum.store.liveness import DEAD_SECONDS, judge
from cerebelum.store.news import SELDOM


class Line:
    """The queues of a store as one process sees them, with its memory of whose beat stands still since when."""

    def __init__(self, store: EventStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._beats: dict[str, tuple[int, float]] = {}

    def still_ahead(self, ids: Sequence[str]) -> list[str]:
        """Those of the executions that come first that have not lost their claims, which this sees to.

        Raises StoreError.
        """
        return [each for each in ids if not self._let_lapse(each)]

    def _let_lapse(self, execution_id: str) -> bool:
        """Take away the claim of an execution that is over, or whose process died; whether it has none any more."""
        rows = self._store.find(Query(id=execution_id, limit=1)).rows
        if not rows:
            # Whoever made it is about to record its execution, or died before that.
            return self._stands_still(execution_id, 0) and self._store.unclaim(execution_id, None)
        [row] = rows
        if row.ownership.owner is None:
            # What was parked, or handed over, goes on some day.
            return row.summary.status not in GOING_ON and self._store.unclaim(execution_id, row.ownership)
        return self._is_dead(row) and self._dispossess(row)

    def _is_dead(self, row: Row) -> bool:
        if row.runner is None:
            return True
        verdict = judge(row.runner)
        if verdict != "unknown":
            return verdict == "dead"
        return self._stands_still(row.runner.id, row.runner.beat)

    def _stands_still(self, name: str, beat: int) -> bool:
        """Whether a counter has not moved for so long by this process's own clock that nobody moves it any more."""
        now = self._clock.elapsed()
        seen, since = self._beats.get(name, (-1, now))
        if seen != beat:
            since = now
        self._beats[name] = beat, since
        return now - since >= DEAD_SECONDS

    def _dispossess(self, row: Row) -> bool:
        """Take the claim of an execution whose process died in the middle of something, or in line. It stays that
        process's, which may write no more. One that only waits, for time or a decision, goes on some day.

        Before the claim is gone, so is what is left of its steps: whoever dies here is followed by one who does it.
        """
        execution_id = row.summary.execution_id
        try:
            state = lookup.read(self._store, execution_id).state
        except NotFound:
            return False
        if row.summary.status in GOING_ON and state.awaiting_lock is None and not state.active.count("running"):
            return False
        if state.active.count("on_worker"):
            # That goes on without it, and nobody can end it from here.
            return False
        fenced = self._store.own(execution_id, row.ownership.owner, row.ownership)
        faults.point("after-fence")
        if fenced is None:
            return False
        clear_leftovers(self._store, state)
        return self._store.unclaim(execution_id, fenced)


class Replacing:
    """Has what comes before an execution cancelled by `cancel(id)`, which may take long: in threads of their own."""

    def __init__(self, cancel: Callable[[str], None]) -> None:
        self._cancel = cancel
        self._seen: set[str] = set()
        self._at_work: set[str] = set()
        self._first: str | None = None

    def heed(self, ids: Sequence[str]) -> None:
        """See to these, which come first; also to one that becomes the first, in case nobody drives it any more."""
        for at, each in enumerate(ids):
            if each not in self._at_work and (each not in self._seen or (at == 0 and each != self._first)):
                self._at_work.add(each)
                threading.Thread(target=self._work, args=(each,), name="cerebelum-cancel", daemon=True).start()
        self._seen.update(ids)
        self._first = ids[0] if ids else None

    def _work(self, execution_id: str) -> None:
        try:
            self._cancel(execution_id)
        finally:
            self._at_work.discard(execution_id)

    def leaves(self, ids: Sequence[str]) -> list[str]:
        """Those that are not being cancelled here and now."""
        return [each for each in ids if each not in self._at_work]


class Place:
    """One execution's place in the queue of its group, kept by the process that drives it."""

    def __init__(
        self,
        store: EventStore,
        clock: Clock,
        execution_id: str,
        group: str,
        fence: Ownership,
        replacing: Replacing | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._execution_id = execution_id
        self._group = group
        self._fence = fence
        self._replacing = replacing
        self._line = Line(store, clock)
        self._waits = False
        self._look_at = 0.0
        self._every = POLL_SECONDS
        self._end: Callable[[], None] | None = None

    def ahead(self, *, alone: bool = False) -> list[str]:
        """The executions that come first, having claimed the lock; with `alone` only if there is none.

        Raises StoreError, Fenced.
        """
        while True:
            claims = self._store.claims(self._group)
            if not _among(self._execution_id, claims):
                at = self._clock.now()
                claims = self._store.claim(self._execution_id, self._group, at, self._fence, alone=alone)
                faults.point("after-claim")
            first = _before(self._execution_id, claims)
            dead = first
            if self._replacing is not None:
                self._replacing.heed(first)
                dead = self._replacing.leaves(first)
            gone = {*dead}.difference(self._line.still_ahead(dead))
            first = [each for each in first if each not in gone]
            if not first and _among(self._execution_id, claims):
                return []
            # Whoever left by himself meanwhile does not come first any more.
            if first and {c.execution_id for c in self._store.claims(self._group)}.issuperset(first):
                return first

    def listen(self, put: Callable[[Literal["turn"]], None]) -> None:
        """Begin to hear of claims that are taken away. Raises StoreError."""

        def hear(change: Change) -> None:
            if change.kind in ("owner", "unknown"):
                self._look_at = 0.0
                put("turn")

        self._end = self._store.subscribe(hear)
        self._every = POLL_SECONDS if self._end is None else SELDOM

    def look(self) -> list[Admission]:
        """What is new about its place, if it is time to look: that it is its turn, or that others come first."""
        now = self._clock.elapsed()
        if now < self._look_at:
            return []
        self._look_at = now + self._every
        first = self.ahead()
        known, self._waits = self._waits, bool(first)
        return [] if first and known else [Admission(tuple(first))]

    def leave(self, ownership: Ownership) -> None:
        """Take the claim away, which makes the next one the first. Raises StoreError."""
        faults.point("before-unclaim")
        self._store.unclaim(self._execution_id, ownership)

    def close(self) -> None:
        """Hear no more."""
        if self._end is not None:
            self._end()


def concurrency_of(event: ExecutionStarted | ExecutionResumed, state: State | None) -> Concurrency | None:
    """The group of an execution whose segment begins with this event."""
    if isinstance(event, ExecutionStarted):
        return event.concurrency
    return None if state is None else state.concurrency


def _among(execution_id: str, claims: Sequence[Claim]) -> bool:
    return any(claim.execution_id == execution_id for claim in claims)


def _before(execution_id: str, claims: Sequence[Claim]) -> list[str]:
    """The executions that come before this one: all, if it is not among them."""
    ids = [claim.execution_id for claim in claims]
    return ids[: ids.index(execution_id)] if execution_id in ids else ids


def refuse_if_held(place: Place, concurrency: Concurrency) -> None:
    """Where the policy is to fail, claim the lock or raise OwnedElsewhere, which names who has it."""
    if concurrency.policy != "fail":
        return
    if first := place.ahead(alone=True):
        raise OwnedElsewhere(
            f"the lock {concurrency.group} is held by {first[0]}",
            hint=f"policy: fail does not wait for it; see what that does with: cerebelum status {first[0]}",
        )


def whose_turn_it_is(store: EventStore, line: Line, rows: Sequence[Row]) -> list[Row]:
    """Of executions that wait for a lock, those whose turn it is, and those that lost their place when their process
    died. Raises StoreError.
    """
    groups: dict[str, list[Claim]] = {}
    group_of: dict[str, str] = {}
    for claim in store.claims() if rows else ():
        groups.setdefault(claim.group, []).append(claim)
        group_of[claim.execution_id] = claim.group
    return [
        row
        for row in rows
        if (group := group_of.get(row.summary.execution_id)) is None
        or not line.still_ahead(_before(row.summary.execution_id, groups[group]))
    ]
