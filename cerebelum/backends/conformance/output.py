"""That output comes back as it was written, and that a follower misses nothing of it, however many write at once."""

from __future__ import annotations

import pytest

from cerebelum.backends.conformance.kit import (
    START,
    MakeStore,
    StartOther,
    StoreTests,
    output_of,
    together,
    until,
)
from cerebelum.store import Chunk, EventStore, LogPage


class OutputConformance(StoreTests):
    """The tests of `write_log` and `read_log`."""

    def test_output_comes_back_in_the_order_it_was_written(self, store: EventStore) -> None:
        chunks = [
            Chunk("build", 1, 0, "stdout", START, b"one\n\0\xff\x1b[1m"),
            Chunk("test", 1, 0, "stderr", START, b""),
            Chunk("build", 1, 9, "stderr", START, b"x" * 70_000),
            Chunk("build", 2, 0, "stdout", START, "grüße".encode()),
        ]
        store.write_log("deploy-1", chunks[:2])
        store.write_log("deploy-2", chunks[:1])
        store.write_log("deploy-1", chunks[2:])
        assert store.read_log("deploy-1").chunks == chunks
        assert store.read_log("deploy-1", step="build").chunks == [chunks[0], chunks[2], chunks[3]]
        assert store.read_log("deploy-1", step="build", attempt=2).chunks == [chunks[3]]
        assert store.read_log("deploy-1", attempt=1).chunks == chunks[:3]
        assert store.read_log("deploy-1", step="none").chunks == []

    def test_a_follower_gets_each_chunk_once(self, store: EventStore) -> None:
        chunks = [Chunk("build", 1, n, "stdout", START, b"%d" % n) for n in range(10)]
        store.write_log("deploy-1", chunks[:6])
        seen, position = [], 0
        for _ in range(3):
            page = store.read_log("deploy-1", after=position, limit=2)
            seen += page.chunks
            position = page.position
        assert store.read_log("deploy-1", after=position) == LogPage([], position)
        store.write_log("other-1", chunks)
        store.write_log("deploy-1", chunks[6:], drop=[("build", 1, 3, 6)])
        seen += store.read_log("deploy-1", after=position).chunks
        assert seen == chunks

    def test_dropped_chunks_are_gone_and_their_positions_are_not_used_again(self, store: EventStore) -> None:
        chunks = [Chunk("build", 1, n * 10, "stdout", START, b"0123456789") for n in range(4)]
        store.write_log("deploy-1", chunks[:2])
        store.write_log("deploy-1", [Chunk("build", 2, 10, "stdout", START, b"kept")])
        store.write_log("deploy-2", chunks[:2])
        position = store.read_log("deploy-1").position
        store.write_log("deploy-1", chunks[2:3], drop=[("build", 1, 10, 20), ("build", 2, 0, 10)])
        assert [(c.attempt, c.offset) for c in store.read_log("deploy-1").chunks] == [(1, 0), (2, 10), (1, 20)]
        position = store.read_log("deploy-1", after=position).position
        store.write_log("deploy-1", [], drop=[("build", 1, 0, 100)])
        store.write_log("deploy-1", chunks[3:])
        assert store.read_log("deploy-1", after=position).chunks == chunks[3:]
        assert len(store.read_log("deploy-2").chunks) == 2

    def test_output_is_there_when_the_store_is_opened_again(self, store: EventStore, url: str) -> None:
        chunk = Chunk("build", 1, 0, "stdout", START, b"hello")
        store.write_log("deploy-1", [chunk])
        store.close()
        again = self.opener(url)
        assert again.read_log("deploy-1").chunks == [chunk]
        again.close()

    def test_what_is_dropped_is_dropped_before_what_is_added(self, store: EventStore) -> None:
        old, new = (Chunk("build", 1, 0, "stdout", START, data) for data in (b"old", b"new"))
        store.write_log("deploy-1", [old])
        store.write_log("deploy-1", [new], drop=[("build", 1, 0, 1)])
        assert store.read_log("deploy-1").chunks == [new]
        store.write_log("deploy-1", [], drop=[("build", 1, 1, 9), ("build", 2, 0, 9), ("test", 1, 0, 9)])
        assert store.read_log("deploy-1").chunks == [new]
        store.write_log("deploy-1", [], drop=[("build", 1, 0, 1)])
        assert store.read_log("deploy-1").chunks == []

    def test_every_filter_can_be_paged_through(self, store: EventStore) -> None:
        chunks = [
            Chunk(("build", "test")[n % 2], n % 3, n, ("stdout", "stderr")[n % 2], START, b"%d" % n) for n in range(30)
        ]
        store.write_log("deploy-1", chunks)
        for step in (None, "build", "test"):
            for attempt in (None, 0, 2):
                wanted = [c for c in chunks if step in (None, c.step) and attempt in (None, c.attempt)]
                found, position = [], 0
                while (page := store.read_log("deploy-1", step=step, attempt=attempt, after=position, limit=4)).chunks:
                    assert len(page.chunks) <= 4
                    assert page.position > position
                    found += page.chunks
                    position = page.position
                assert page.position == position
                assert found == wanted

    def test_large_pieces_come_back(self, store: EventStore) -> None:
        data = bytes(range(256)) * (8 << 12)
        chunks = [Chunk("build", 1, 0, "stdout", START, data), Chunk("build", 1, len(data), "stderr", START, data)]
        store.write_log("deploy-1", chunks)
        assert store.read_log("deploy-1").chunks == chunks
        many = [Chunk("test", 1, n, "stdout", START, b"x") for n in range(10_000)]
        store.write_log("deploy-1", many)
        assert len(store.read_log("deploy-1", step="test", limit=20_000).chunks) == 10_000

    def test_a_follower_misses_nothing_of_writers_in_other_processes(
        self, make_store: MakeStore, other: StartOther
    ) -> None:
        reader = make_store()
        writers = [other("write", "deploy-1", str(number), "60") for number in range(3)]
        for each in writers:
            each.ready()
        for each in writers:
            each.begin()
        seen: list[Chunk] = []
        position = 0

        def all_there() -> bool:
            nonlocal position
            page = reader.read_log("deploy-1", after=position, limit=5)
            assert page.position > position or not page.chunks
            seen.extend(page.chunks)
            position = page.position
            return len(seen) >= 180

        until(all_there, 60)
        for each in writers:
            each.result()
        assert reader.read_log("deploy-1", after=position) == LogPage([], position)
        for number in range(3):
            assert [c for c in seen if c.attempt == number] == output_of(number, 60)
        assert reader.read_log("deploy-1", limit=1000).chunks == seen

    @pytest.mark.parametrize("shared", [True, False], ids=["one handle", "handles"])
    def test_threads_that_write_and_drop_at_once_keep_what_they_should(
        self, make_store: MakeStore, shared: bool
    ) -> None:
        handles = [make_store()] * 3 if shared else [make_store() for _ in range(3)]
        # What is dropped may be gone before a follower comes, but what stays is seen once.
        seen: list[Chunk] = []
        position = 0
        reader = make_store()

        def work(number: int) -> None:
            nonlocal position
            if number == 3:

                def last_ones() -> bool:
                    nonlocal position
                    page = reader.read_log("deploy-1", after=position, limit=3)
                    seen.extend(page.chunks)
                    position = page.position
                    return {c.attempt for c in seen if c.offset == 29} == {0, 1, 2}

                until(last_ones)
                return
            for turn in range(30):
                chunk = Chunk("build", number, turn, "stdout", START, b"%d" % turn)
                drop = [("build", number, turn - 5, turn - 4)] if turn >= 5 and turn % 2 else []
                handles[number].write_log("deploy-1", [chunk], drop)

        together(4, work)
        kept = {(number, turn) for number in range(3) for turn in range(30) if turn % 2 or turn >= 25}
        left = [(c.attempt, c.offset) for c in reader.read_log("deploy-1").chunks]
        assert len(left) == len(set(left))
        assert set(left) == kept
        followed = [(c.attempt, c.offset) for c in seen]
        assert len(followed) == len(set(followed))
        assert set(followed) >= kept
