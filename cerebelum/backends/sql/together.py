"""Writes of several threads, put into one transaction: what waits for the disk anyway goes there together."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar

from cerebelum.core.errors import StoreError
from cerebelum.core.summary import Summary
from cerebelum.store import Ownership

_MOST = 64
"""How many writes go into one transaction."""


class Write:
    """What one thread wants to be written, and how it ended."""

    # What few of them need is not made for each.
    done = False
    leads = False
    """Whether its thread has to write what waits."""
    turn: threading.Lock | None = None
    """What its thread waits for: let go of, once, when it is done or leads."""
    others: list[Write] | None = None
    """Those that were done together with it, and whose threads still wait."""
    _error: Exception | None = None

    def settle(self, error: Exception | None = None) -> None:
        """It was written, or ended with `error`."""
        self.done = True
        if error is not None:
            self._error = error

    def result(self) -> None:
        """Raises what it ended with."""
        if self._error is not None:
            raise self._error


class Append(Write):
    """The end of a log, with the summary that follows from it."""

    def __init__(
        self,
        expected: int,
        rows: Sequence[tuple[Any, ...]],
        summary: Summary,
        fence: Ownership | None,
        release: bool,
        lean: bool,
    ) -> None:
        self._expected = expected
        self._rows = rows
        self._summary = summary
        self._fence = fence
        self._release = release
        self._lean = lean
        """Whether of the summary only what changes with every event has to be written."""


W = TypeVar("W", bound=Write)


def _wake(write: Write) -> None:
    turn, write.turn = write.turn, None
    if turn is not None:
        turn.release()


class Writer(Generic[W]):
    """Takes writes from any thread. One of them writes what is waiting; then one of those that came meanwhile does.

    `commit` settles each of those it is given, or raises StoreError for all that it has not settled.
    """

    def __init__(self, commit: Callable[[Sequence[W]], None]) -> None:
        self._commit = commit
        self._lock = threading.Lock()
        self._waiting: list[W] = []
        self._busy = False
        self._pid = os.getpid()

    def write(self, write: W) -> None:
        """Returns once it is on the disk. Raises what it was settled with."""
        if self._pid != os.getpid():
            # Whoever writes for the others is in the process that this one was forked from.
            self._commit([write])
            write.result()
            return
        turn = None
        batch: list[W] = []
        try:
            with self._lock:
                if self._busy:
                    turn = write.turn = threading.Lock()
                    turn.acquire()
                    self._waiting.append(write)
                else:
                    write.leads = self._busy = True
                    batch.append(write)
            if turn is not None:
                turn.acquire()
            if write.leads:
                self._lead(batch)
        finally:
            if write.leads or write.turn is not None:
                self._leave(write, batch)
            # Each wakes one more: woken all at once, they would contend for the interpreter.
            if write.others:
                with suppress(IndexError):
                    _wake(write.others.pop())
        write.result()

    def _lead(self, batch: list[W]) -> None:
        if not batch:
            with self._lock:
                batch += self._waiting[:_MOST]
                del self._waiting[:_MOST]
        try:
            self._commit(batch)
        except StoreError as error:
            for each in batch:
                if not each.done:
                    each.settle(error)

    def _leave(self, write: W, batch: list[W]) -> None:
        """Also where somebody pressed Ctrl-C, the others' writes are not left lying."""
        with self._lock:
            write.done, write.turn = True, None
            if write.leads and len(batch) == 1 and not self._waiting:
                self._busy = False
                return
            self._waiting = [each for each in (*batch, *self._waiting) if not each.done]
            if not write.leads:
                return
            self._busy = bool(self._waiting)
            following = self._waiting[0] if self._waiting else None
            if following is not None:
                following.leads = True
            write.others = [each for each in batch if each.done and each.turn is not None]
            for each in write.others:
                each.others = write.others
        if following is not None:
            # Before those that are done, so that the server has something to do while they prepare what comes next.
            _wake(following)
