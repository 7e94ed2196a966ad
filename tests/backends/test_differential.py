"""SQLite and PostgreSQL do the same: whatever is asked of both, in any order, they answer alike and hold the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from psycopg import sql

from cerebelum.backends import postgres, sqlite
from cerebelum.backends.conformance import model
from cerebelum.backends.conformance.kit import START, entry, summary, whole
from cerebelum.backends.conformance.texts import ODD
from cerebelum.core.events import GENESIS, Entry
from cerebelum.core.status import STATUSES
from cerebelum.store import (
    Chunk,
    Conflict,
    EventStore,
    Fenced,
    Ownership,
    Process,
    Query,
    Row,
    Runner,
    Tombstone,
    every,
    every_tombstone,
)
from tests.servers.postgres import schema_of, without_schema

EXAMPLES = int(os.environ.get("CEREBELUM_DIFFERENTIAL_EXAMPLES", "40"))
NAMES = ("a", "b", "deploy-1", "deploy-10")
OWNERS = (None, *model.OWNERS)

names = st.sampled_from(NAMES)
owners = st.sampled_from(OWNERS)
steps = st.sampled_from(("build", "test"))
small = st.integers(0, 3)
seeds = st.integers(0, 2**32)
odd = st.sampled_from([*ODD.values(), "", "plain"])


@st.composite
def summaries(draw: st.DrawFn) -> dict[str, Any]:
    """The fields of a summary."""
    given: dict[str, Any] = model.fields(Random(draw(seeds)))
    if draw(st.booleans()):
        given["tags"] = (*given["tags"], draw(odd))
        given |= {name: draw(st.none() | odd) for name in ("reason", "correlation_id", "parent")}
        given |= {"steps_total": draw(small), "steps_done": draw(small)}
        given["current"] = tuple(draw(st.lists(odd, max_size=2)))
        given["ended_at"] = draw(st.none() | st.just(START + timedelta(hours=1)))
    return given


commands = st.one_of(
    # Which one, where relative to its end, how many, the summary; the fence: none, the right one, or another; release.
    st.tuples(
        st.just("append"), names, st.sampled_from((0, 0, 0, 0, -1, 1)), small, summaries(),
        st.sampled_from(("none", "right", "other", "older")), st.booleans(),
    ),
    st.tuples(st.just("create"), names, st.integers(1, 6), summaries(), owners, small),
    st.tuples(st.just("own"), names, owners, st.sampled_from((True, True, False))),
    st.tuples(st.just("prune"), names, st.sampled_from(("right", "right", "version", "digest"))),
    st.tuples(st.just("restore"), st.lists(st.tuples(names, st.integers(1, 4), small, summaries()), max_size=3)),
    st.tuples(
        st.just("write_log"), names, st.lists(st.tuples(steps, small, small, st.binary(max_size=9)), max_size=4),
        st.lists(st.tuples(steps, small, small, st.integers(0, 5)), max_size=2),
    ),
    st.tuples(st.just("read_log"), names, st.none() | steps, st.none() | small, st.integers(0, 5)),
    st.tuples(st.just("note"), names, steps, small, st.booleans()),
    st.tuples(st.just("beat"), st.sampled_from(model.OWNERS), st.integers(0, 2**40)),
    st.tuples(st.just("find"), seeds),
)  # fmt: skip


class Twins:
    """Two stores that are told the same."""

    def __init__(self, stores: tuple[EventStore, EventStore]) -> None:
        self.stores = stores

    def both(self, call: Callable[[EventStore], Any]) -> Any:
        """What both answer, or raise: it has to be the same."""
        one, two = (outcome(call, store) for store in self.stores)
        assert one == two
        return one

    def rows(self) -> list[Row]:
        rows: list[Row] = self.both(lambda store: [_without_silence(row) for row in every(store)])
        return rows

    def do(self, command: tuple[Any, ...]) -> None:
        getattr(self, command[0])(*command[1:])

    def _there(self, name: str) -> tuple[Entry | None, Row | None]:
        """The last entry and the row of an execution."""
        entries = self.both(lambda store: store.read(name))
        rows = self.both(lambda store: [_without_silence(r) for r in store.find(Query(id=name)).rows])
        assert len(rows) == bool(entries)
        return (entries[-1], rows[0]) if rows else (None, None)

    def append(self, name: str, off: int, count: int, fields: dict[str, Any], fenced: str, release: bool) -> None:
        last, row = self._there(name)
        expected = max(1, (last.version if last else 0) + off)
        mine = row.ownership if row else Ownership(None, 0)
        fences = {
            "none": None,
            "right": mine,
            "other": replace(mine, owner="runner-9"),
            "older": replace(mine, epoch=mine.epoch - 1),
        }
        entries: list[Entry] = []
        for version in range(expected + 1, expected + 1 + count):
            previous = entries[-1].digest if entries else last.digest if last else GENESIS
            entries.append(entry(name, version, previous, text=f'"{fields["status"]}{version}"'))
        end = entries[-1] if entries else Entry(expected, "x", START, "", last.digest if last else GENESIS)
        now = summary(name, [end], **fields)
        release = release and fenced != "none"
        self.both(lambda store: store.append(name, expected, entries, now, fence=fences[fenced], release=release))

    def create(self, name: str, count: int, fields: dict[str, Any], owner: str | None, epoch: int) -> None:
        given = whole(name, count, **fields)
        fence = None if owner is None else Ownership(owner, epoch)
        self.both(lambda store: store.append(name, 0, given.entries, given.summary, fence=fence))

    def own(self, name: str, owner: str | None, right: bool) -> None:
        _, row = self._there(name)
        expected = row.ownership if row else Ownership(None, 0)
        if not right:
            expected = replace(expected, epoch=expected.epoch + 1)
        self.both(lambda store: store.own(name, owner, expected))

    def prune(self, name: str, which: str) -> None:
        _, row = self._there(name)
        s = row.summary if row else whole(name, 2).summary
        pruned_at = START + timedelta(days=1)
        stone = Tombstone(name, s.workflow, s.status, s.started_at, s.ended_at, s.version, s.digest, pruned_at)
        wrong: dict[str, Any] = {"version": s.version + 1} if which == "version" else {"digest": "0" * 64}
        stone = stone if which == "right" else replace(stone, **wrong)
        self.both(lambda store: store.prune(stone))
        self.both(lambda store: store.tombstones(name))

    def restore(self, given: list[tuple[str, int, int, dict[str, Any]]]) -> None:
        wholes = [whole(name, count, epoch, **fields) for name, count, epoch, fields in given]
        self.both(lambda store: store.restore(wholes))

    def write_log(self, name: str, pieces: list[tuple[str, int, int, bytes]], drop: list[Any]) -> None:
        chunks = [Chunk(step, attempt, offset, "stdout", START, data) for step, attempt, offset, data in pieces]
        self.both(lambda store: store.write_log(name, chunks, drop))

    def read_log(self, name: str, step: str | None, attempt: int | None, limit: int) -> None:
        def paged(store: EventStore) -> list[list[Chunk]]:
            # Positions are each store's own.
            pages, position = [], 0
            while True:
                page = store.read_log(name, step=step, attempt=attempt, after=position, limit=limit)
                pages.append(page.chunks)
                if not page.chunks:
                    return pages
                position = page.position

        self.both(paged)

    def note(self, name: str, step: str, number: int, gone: bool) -> None:
        process = Process(step, number, 100 + number, "pid:[1]", 5, "boot", 7, "token")
        self.both(lambda store: store.note_process(name, process, gone=gone))

    def beat(self, name: str, beat: int) -> None:
        runner = Runner(name, "host", "boot", 1, "pid:[1]", 1, START, "/run/lock", beat)
        self.both(lambda store: store.beat(runner))

    def find(self, seed: int) -> None:
        rows = self.rows()
        if not rows:
            return
        query = model.query(Random(seed), rows)
        page = self.both(lambda store: _page(store, query))
        assert page == model.answer(rows, query)

    def compare(self) -> None:
        """Everything that is in them."""
        self.rows()
        for name in NAMES:
            self.both(partial(_belongings, name=name))
        self.both(lambda store: list(every_tombstone(store)))
        self.both(lambda store: replace(store.totals(), log_bytes=None))
        self.both(lambda store: store.workflows())
        self.both(lambda store: [fields for fields in (store.totals().log_bytes,) if fields])
        self.both(lambda store: list(store.check()))


def outcome(call: Callable[[EventStore], Any], store: EventStore) -> Any:
    """What a call returns, or what a refusal says."""
    try:
        return call(store)
    except Conflict as error:
        return "Conflict", error.where, error.expected, error.actual
    except Fenced as error:
        return "Fenced", error.where, error.owner, error.epoch


def _belongings(store: EventStore, name: str) -> tuple[list[Entry], list[Chunk], list[Process]]:
    return store.read(name), store.read_log(name).chunks, store.processes(name)


def _page(store: EventStore, query: Query) -> tuple[list[Row], bool, int | None]:
    page = store.find(query)
    return [_without_silence(row) for row in page.rows], page.has_more, page.total


def _without_silence(row: Row) -> Row:
    return row if row.runner is None else replace(row, runner=replace(row.runner, silent=None))


@pytest.fixture
def fresh(postgres_url: str, tmp_path: Path) -> Iterator[Callable[[], Twins]]:
    """Makes a pair of empty stores with each call."""
    made: list[tuple[EventStore, EventStore]] = []

    def make() -> Twins:
        with psycopg.connect(without_schema(postgres_url), autocommit=True) as connection:
            schema = sql.Identifier(schema_of(postgres_url))
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(schema))
        made.append((sqlite.open_store(f"sqlite:///{tmp_path}/{len(made)}.db"), postgres.open_store(postgres_url)))
        return Twins(made[-1])

    yield make
    for store in (store for pair in made for store in pair):
        store.close()


@settings(
    max_examples=EXAMPLES,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(told=st.lists(commands, min_size=5, max_size=40))
def test_whatever_is_asked_both_do_the_same(fresh: Callable[[], Twins], told: list[tuple[Any, ...]]) -> None:
    twins = fresh()
    try:
        for command in told:
            twins.do(command)
        twins.compare()
    finally:
        for store in twins.stores:
            store.close()


def test_a_difference_is_found(fresh: Callable[[], Twins]) -> None:
    twins = fresh()
    twins.create("a", 2, {"status": STATUSES[0]}, None, 0)
    twins.compare()
    given = whole("b", 1)
    twins.stores[0].append("b", 0, given.entries, given.summary)
    with pytest.raises(AssertionError):
        twins.compare()
