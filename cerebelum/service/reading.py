"""Looks at the store from an event loop: in a few threads, so that nobody waits for a store but who asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from cerebelum.core.errors import StoreError
from cerebelum.sdk.both_ways import Threads
from cerebelum.sdk.verbs import Verbs

T = TypeVar("T")


def _nobody(seconds: float, failed: bool) -> None:
    return None


class Reader:
    """Calls what looks at the store in threads of its own. `took(seconds, failed)`, if set, is told in the thread."""

    def __init__(self, verbs: Verbs) -> None:
        self.took: Callable[[float, bool], None] = _nobody
        self._verbs = verbs
        self._threads = Threads()

    async def __call__(self, look: Callable[[Verbs], T]) -> T:
        """What `look(verbs)` gives, or raises. Who is cancelled leaves a look behind whose result nobody wants."""
        return await asyncio.wrap_future(self._threads.submit(lambda: self._timed(look)))

    def _timed(self, look: Callable[[Verbs], T]) -> T:
        began, failed = time.perf_counter(), False
        try:
            return look(self._verbs)
        except StoreError:
            failed = True
            raise
        finally:
            self.took(time.perf_counter() - began, failed)

    def close(self) -> None:
        """Let the threads end, each after what it has begun."""
        self._threads.close()
