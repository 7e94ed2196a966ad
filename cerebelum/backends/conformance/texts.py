"""That texts come back as they were given, odd ones and long ones, and that much can be written at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from cerebelum.backends.conformance.kit import (
    MINE,
    START,
    StoreTests,
    create,
    entry,
    ids,
    log,
    sound,
    summary,
    tombstone_of,
    whole,
)
from cerebelum.core.events import GENESIS, Entry
from cerebelum.store import Chunk, EventStore, LogPage, Process, Query, Runner

ODD = {
    "nul": "a\0b\0",
    "only nul": "\0",
    "backslashes": "\\ \\\\ \\0 \\\\0 \\x00 \\",
    "nul and backslash": "\\\0\\0\0\\",
    "quotes": "'\"`´ '' \"\" '; DROP TABLE events; --",
    "placeholders": "%s %% %(a)s {} {s} {0} ? ?1 $1 :a @a $$",
    "patterns": "_ % * [a] ^ . \\d+",
    "json": '["a", null] {"a":1} \\u0000 \\ud800',
    "controls": "\x01\x1b[31m\x7f\x85\t\r\n\v\f ",
    "blanks": "  a  b  ",
    "emoji": "🧠👩‍👩‍👧🏳️‍🌈",
    "right to left": "שלום \u202eعربى\u202c",
    "forms": "é e\u0301 ﬁ ß ſ İ ı",
    "last ones": "\ud7ff\ue000\ufeff\ufffe\uffff\U0010ffff",
    "arrays": "{a,b} {NULL} NULL",
}


class TextConformance(StoreTests):
    """The tests of texts and sizes. Ids of executions and steps are plain ASCII; everything else may be anything."""

    @pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
    def test_odd_text_comes_back_everywhere(self, store: EventStore, odd: str) -> None:
        given: dict[str, Any] = {
            "workflow": odd,
            "reason": odd,
            "tags": (odd, f"{odd}+", "plain"),
            "correlation_id": odd,
            "parent": odd,
            "current": (odd, "plain"),
            "status": "failed",
        }
        # Events are JSON, in which NUL is an escape.
        text = odd.replace("\0", "\\u0000")
        entries: list[Entry] = []
        for version in range(1, 10):
            previous = entries[-1].digest if entries else GENESIS
            entries.append(entry("deploy-1", version, previous, text=text * version))
        for low, high in ((0, 1), (1, 2), (2, 9)):
            now = summary("deploy-1", entries[:high], **given)
            store.append("deploy-1", low, entries[low:high], now)
        store.restore([whole("deploy-2", 2, **given)])
        create(store, "deploy-3", workflow="other", tags=("other",))
        assert store.read("deploy-1") == entries
        assert store.find(Query(id="deploy-1")).rows[0].summary == summary("deploy-1", entries, **given)
        both = ["deploy-2", "deploy-1"]
        assert ids(store, workflow=odd) == ids(store, tag=(odd,)) == ids(store, tag=("plain", f"{odd}+")) == both
        assert ids(store, workflow=f"{odd}+") == ids(store, tag=(f"+{odd}",)) == []
        assert store.find(Query(tag=(odd,), workflow=odd, status=("failed",), count_to=9)).total == 2
        tombstone = tombstone_of(store, "deploy-2")
        store.prune(tombstone)
        assert store.tombstones() == [tombstone]
        assert tombstone.workflow == odd
        assert ids(store, tag=(odd,)) == ["deploy-1"]

    @pytest.mark.parametrize("odd", [odd for odd in ODD.values() if "\0" not in odd], ids=repr)
    def test_odd_names_of_machines_and_tokens_come_back(self, store: EventStore, odd: str) -> None:
        runner = Runner("runner-1", odd, odd, 1, odd, 1, START, f"/run/{odd}")
        store.beat(runner)
        create(store, "deploy-1", MINE)
        registered = store.find(Query()).rows[0].runner
        assert registered is not None
        assert replace(registered, silent=None) == runner
        process = Process("build", 1, 100, odd, 5, odd, 100, odd)
        store.note_process("deploy-1", process)
        store.note_process("deploy-1", process)
        assert store.processes("deploy-1") == [process]
        store.note_process("deploy-1", process, gone=True)
        assert store.processes("deploy-1") == []

    @pytest.mark.parametrize("escape", ["\\u0000", "\\ud83d", "\\udc00\\ud800", "\\u0000\\\\u0000", "\\\\ud800"])
    def test_escapes_in_the_json_of_an_event_stay_escapes(self, store: EventStore, escape: str) -> None:
        entries = [entry("deploy-1", 1, text=f'{{"output":"{escape}"}}')]
        entries.append(entry("deploy-1", 2, entries[0].digest, text=f'["{escape}","\U0001f9e0"]'))
        store.append("deploy-1", 0, entries, summary("deploy-1", entries))
        assert store.read("deploy-1") == entries
        assert sound(store, "deploy-1") == 2

    @pytest.mark.parametrize("text", ["'; DROP TABLE events; --", "\0", "\udcff", "", "%", "\\", "x" * 100_000])
    def test_a_search_for_strange_text_finds_nothing(self, store: EventStore, text: str) -> None:
        create(store, "deploy-1")
        assert ids(store, id=text) == ids(store, workflow=text) == ids(store, tag=(text,)) == []
        assert ids(store, status=("paused",), dead_runners=(text,)) == ([] if text else ["deploy-1"])
        assert store.read(text) == []
        assert store.processes(text) == []
        assert store.tombstones(text) == []
        assert store.read_log(text, step=text) == LogPage([], 0)

    # Sizes

    def test_long_texts_come_back(self, store: EventStore) -> None:
        tag, other = "🧠" * 255, "🧠" * 254 + "x"
        given: dict[str, Any] = {
            "reason": "ü" * 100_000,
            "correlation_id": "c" * 10_000,
            "parent": "p" * 64,
            "workflow": "w" * 64,
            "tags": (tag, *(f"tag {number}" for number in range(200))),
            "current": tuple(f"step-{number}" * 20 for number in range(10)),
        }
        create(store, "d" * 64, **given)
        create(store, "d" * 63, tags=(other,))
        [row] = store.find(Query(id="d" * 64)).rows
        assert row.summary == summary("d" * 64, log("d" * 64, 1), **given)
        assert ids(store, tag=(tag,)) == ids(store, tag=("tag 7", "tag 199")) == ["d" * 64]
        assert ids(store, tag=(other,)) == ["d" * 63]
        assert ids(store, id_prefix="d" * 63) == ["d" * 64, "d" * 63]

    def test_an_entry_may_have_megabytes(self, store: EventStore) -> None:
        entries = [entry("deploy-1", 1, text='"' + "ü🧠\\n" * (16 << 20 >> 3) + '"')]
        entries.append(entry("deploy-1", 2, entries[0].digest))
        store.append("deploy-1", 0, entries, summary("deploy-1", entries))
        assert len(entries[0].text.encode()) >= 16 << 20
        # Not a comparison that pytest explains when it fails.
        assert (store.read("deploy-1") == entries) is True

    def test_thousands_of_entries_are_appended_at_once(self, store: EventStore) -> None:
        entries = log("deploy-1", 10_001)
        store.append("deploy-1", 0, entries[:1], summary("deploy-1", entries[:1]))
        store.append("deploy-1", 1, entries[1:], summary("deploy-1", entries))
        assert sound(store, "deploy-1") == 10_001
        assert [e.version for e in store.read("deploy-1", after=9_999)] == [10_000, 10_001]

    def test_numbers_may_be_large(self, store: EventStore) -> None:
        first = entry("deploy-1", 1, GENESIS)
        far = START + timedelta(days=365_000)
        given = summary("deploy-1", [first], steps_total=1_000_000, steps_done=999_999, due_at=far, ended_at=far)
        store.append("deploy-1", 0, [first], given)
        assert store.find(Query()).rows[0].summary == given
        chunk = Chunk("build", 10_000, 2**48, "stdout", far, b"x")
        store.write_log("deploy-1", [chunk])
        assert store.read_log("deploy-1", attempt=10_000).chunks == [chunk]
        assert store.read_log("deploy-1", after=2**62) == LogPage([], 2**62)
        assert store.read("deploy-1", after=2**62) == []
        process = Process("build", 1, 2**22, "pid:[4026531836]", 2**52, "boot", 2**22, "token")
        store.note_process("deploy-1", process)
        assert store.processes("deploy-1") == [process]
