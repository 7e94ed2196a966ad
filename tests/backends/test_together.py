"""Appends of several threads that are written together: each ends as it would have ended alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any

import pytest
from msgspec.structs import replace

from cerebelum.backends.conformance.kit import MINE, create, entry, log, ownership, sound, summary, until
from cerebelum.core.errors import StoreError
from cerebelum.store import Conflict, EventStore, Fenced, Ownership
from tests.lifecycle.world import PATIENCE
from tests.stores import only_sqlite, open_store


@pytest.fixture
def store(store_url: str) -> Iterator[EventStore]:
    with closing(open_store(store_url)) as opened:
        yield opened


class Held:
    """Keeps the first append of a store from being written, so that all that come meanwhile are written together."""

    def __init__(self, store: Any) -> None:
        self.writer = store._writer
        self.batches: list[int] = []
        self.ended: dict[int, str] = {}
        self._commit, self.writer._commit = self.writer._commit, self._held
        self._go_on = threading.Event()
        self._threads: list[threading.Thread] = []

    def _held(self, batch: Sequence[Any]) -> None:
        self.batches.append(len(batch))
        self._go_on.wait()
        self._commit(batch)

    def append(self, store: EventStore, *given: Any, **options: Any) -> None:
        """Begin an append in a thread of its own, after those before it."""
        number = len(self._threads)

        def work() -> None:
            try:
                store.append(*given, **options)
            except (Conflict, Fenced, StoreError) as error:
                self.ended[number] = type(error).__name__
            else:
                self.ended[number] = "written"

        self._threads.append(threading.Thread(target=work))
        self._threads[-1].start()
        until(lambda: len(self.writer._waiting) == number if number else self.batches)

    def go_on(self) -> list[str]:
        """How each of them ended."""
        self._go_on.set()
        for thread in self._threads:
            thread.join()
        return [self.ended[number] for number in range(len(self._threads))]


def test_each_ends_as_it_would_have_ended_alone(store: EventStore) -> None:
    names = [f"deploy-{number}" for number in range(12)]
    logs = {name: log(name, 4) for name in names}
    for name in names:
        create(store, name, MINE)
    nobody = Ownership(None, 0)
    create(store, "nobodys", nobody)
    theirs = Ownership("somebody else", MINE.epoch)
    unstorable = replace(logs["deploy-6"][1], text="\ud800")
    held = Held(store)
    for at in range(6):
        held.append(store, names[at], 1, logs[names[at]][1:2], summary(names[at], logs[names[at]][:2]), fence=MINE)
    held.append(store, "deploy-6", 1, [unstorable], summary("deploy-6", logs["deploy-6"][:2]), fence=MINE)
    held.append(store, "deploy-7", 1, logs["deploy-7"][1:2], summary("deploy-7", logs["deploy-7"][:2]), fence=theirs)
    held.append(store, "deploy-8", 2, logs["deploy-8"][2:3], summary("deploy-8", logs["deploy-8"][:3]), fence=MINE)
    held.append(store, "deploy-9", 1, logs["deploy-9"][1:3], summary("deploy-9", logs["deploy-9"][:3]), fence=MINE)
    held.append(
        store, "deploy-10", 1, logs["deploy-10"][1:2], summary("deploy-10", logs["deploy-10"][:2]), fence=MINE,
        release=True,
    )  # fmt: skip
    # Somebody who asks for something, without owning it, and comes too late; and an execution that is there already.
    asked = [entry("deploy-0", 2, logs["deploy-0"][0].digest)]
    held.append(store, "deploy-0", 1, asked, summary("deploy-0", asked))
    held.append(store, "deploy-11", 0, logs["deploy-11"][:1], summary("deploy-11", logs["deploy-11"][:1]), fence=MINE)
    free = log("nobodys", 2)
    held.append(store, "nobodys", 1, free[1:], summary("nobodys", free), fence=nobody)
    held.append(store, "new", 0, log("new", 1), summary("new", log("new", 1)), fence=MINE)
    assert held.go_on() == [
        *["written"] * 6, "StoreError", "Fenced", "Conflict", "written", "written",
        "Conflict", "Conflict", "written", "written",
    ]  # fmt: skip
    assert held.batches[0] == 1
    assert max(held.batches) >= 6
    assert [sound(store, name) for name in names] == [2, 2, 2, 2, 2, 2, 1, 1, 1, 3, 2, 1]
    assert (sound(store, "nobodys"), sound(store, "new")) == (2, 1)
    assert ownership(store, "deploy-10").owner is None
    assert ownership(store, "deploy-7") == MINE


def test_one_execution_twice_goes_in_the_order_of_asking(store: EventStore) -> None:
    names = [f"deploy-{number}" for number in range(6)]
    logs = {name: log(name, 3) for name in names}
    for name in names:
        create(store, name, MINE)
    held = Held(store)
    for name in names:
        held.append(store, name, 1, logs[name][1:2], summary(name, logs[name][:2]), fence=MINE)
    for name in names[1:]:
        held.append(store, name, 2, logs[name][2:3], summary(name, logs[name][:3]), fence=MINE)
    assert held.go_on() == ["written"] * 11
    assert [sound(store, name) for name in names] == [2, 3, 3, 3, 3, 3]


@only_sqlite
def test_new_owners_are_written_together_too(store: EventStore) -> None:
    names = [f"deploy-{number}" for number in range(4)]
    for name in names:
        create(store, name, MINE)
    held = Held(store)
    held.append(store, names[0], 1, log(names[0], 2)[1:], summary(names[0], log(names[0], 2)), fence=MINE)
    with ThreadPoolExecutor() as threads:
        expected = [MINE, MINE, Ownership("somebody else", MINE.epoch)]
        taken = [threads.submit(store.own, *given) for given in zip(names[1:], ["a", None, "c"], expected, strict=True)]
        until(lambda: len(held.writer._waiting) == 3)
        assert held.go_on() == ["written"]
    assert [each.result() for each in taken] == [Ownership("a", 2), Ownership(None, 2), None]
    assert [ownership(store, name) for name in names] == [MINE, Ownership("a", 2), Ownership(None, 2), MINE]
    assert held.batches == [1, 3]


def test_who_is_forked_in_the_middle_of_a_write_does_not_wait_for_it(store: EventStore) -> None:
    entries = log("deploy-1", 2)
    create(store, "deploy-1", MINE)
    held = Held(store)
    held.append(store, "deploy-1", 1, entries[1:], summary("deploy-1", entries), fence=MINE)
    pid = os.fork()
    if pid == 0:
        signal.alarm(round(PATIENCE))
        codes = []
        with suppress(BaseException):
            held._go_on.set()
            for write in (lambda: create(store, "deploy-2", MINE), lambda: store.own("deploy-1", None, MINE)):
                try:
                    write()
                except StoreError as error:
                    codes.append("forked" in error.message)
        os._exit(0 if codes == [True, True] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert held.go_on() == ["written"]
    assert sound(store, "deploy-1") == 2


@pytest.mark.parametrize("leads", [True, False], ids=["while it writes for others", "while it waits for another"])
def test_an_append_that_is_interrupted_leaves_none_of_the_others_waiting(store_url: str, leads: bool) -> None:
    command = [sys.executable, "-c", INTERRUPTED.replace("LEADS", str(leads)), store_url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.stdout, done.stderr) == ("interrupted\n2 2 2\n", "")


INTERRUPTED = """
import signal, sys, threading
from cerebelum.backends.conformance.kit import MINE, create, log, summary
from tests.stores import open_store

store, main = open_store(sys.argv[1]), threading.get_ident()
names = ["deploy-0", "deploy-1", "deploy-2", "deploy-3"]
for name in names:
    create(store, name, MINE)
commit, sending, go_on = store._writer._commit, threading.Event(), threading.Event()

def held(batch):
    if not sending.is_set():
        sending.set()
        if threading.get_ident() == main:
            signal.pause()
        go_on.wait()
    return commit(batch)

def append(name):
    entries = log(name, 2)
    store.append(name, 1, entries[1:], summary(name, entries), fence=MINE)

def until_waiting(count):
    while len(store._writer._waiting) < count:
        pass

def others():
    if LEADS:
        sending.wait()
        for number, thread in enumerate(threads, 1):
            thread.start()
            until_waiting(number)
    else:
        until_waiting(1)
        for number, thread in enumerate(threads[1:], 2):
            thread.start()
            until_waiting(number)
    signal.pthread_kill(main, signal.SIGINT)

store._writer._commit = held
threads = [threading.Thread(target=append, args=(name,), daemon=True) for name in names[1:]]
if not LEADS:
    threads[0].start()
    sending.wait()
interrupter = threading.Thread(target=others)
interrupter.start()
try:
    append(names[0])
except KeyboardInterrupt:
    print("interrupted")
go_on.set()
interrupter.join()
for thread in threads:
    thread.join()
print(*(len(store.read(name)) for name in names[1:]))
"""
