"""Has gRPC give back the memory of operations that failed, or that nobody waits for any more.

grpcio frees what it allocates for a batch of operations when whoever awaits the batch hears of its success
(`execute_batch`; https://github.com/grpc/grpc/issues/43360). So each stream that a client drops leaves 300 bytes
behind, and where a read was cancelled, the core writes the message into memory that is used for something else. Here
every batch is driven to its end, by the library's own code, and whoever awaits it is told from here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from grpc._cython import cygrpc  # type: ignore[attr-defined]

_Execute = Callable[[Any, Any, Any], Coroutine[Any, Any, None]]


def see_through() -> None:
    """Have every batch of this process end in the same way. Doing it twice is allowed; grpcio that has no such function
    is left alone.
    """
    execute: _Execute | None = getattr(cygrpc, "execute_batch", None)
    if execute is None or getattr(execute, "seen_through", False):
        return

    async def execute_batch(call: Any, operations: Any, loop: asyncio.AbstractEventLoop) -> None:
        await _Batch(loop).begin(lambda batch: execute(call, operations, batch))

    execute_batch.seen_through = True  # type: ignore[attr-defined]
    cygrpc.execute_batch = execute_batch


class _Batch:
    """What the library takes for its loop, and for the future that it waits on: one that never fails."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._told = loop.create_future()
        self._course: Coroutine[Any, Any, None] | None = None
        self._over = False

    def begin(self, execute: Callable[[_Batch], Coroutine[Any, Any, None]]) -> asyncio.Future[None]:
        """Start it; what tells how it ended, and may be cancelled. The core keeps this alive until the end."""
        course = execute(self)
        try:
            course.send(None)
        except StopIteration:
            self._told.set_result(None)
        else:
            self._course = course
        return self._told

    def create_future(self) -> _Batch:
        """The future of the batch."""
        return self

    def call_soon_threadsafe(self, call: Callable[..., None], *arguments: Any) -> None:
        """Have something done in the loop, at once if this is where it runs."""
        if asyncio._get_running_loop() is self._loop:
            call(*arguments)
        else:
            self._loop.call_soon_threadsafe(call, *arguments)

    def __await__(self) -> Generator[_Batch]:
        if not self._over:
            yield self

    def cancelled(self) -> bool:
        """It is heard to its end, whoever has gone."""
        return False

    def set_result(self, result: None) -> None:
        """It has succeeded."""
        self._end(None)

    def set_exception(self, error: Exception) -> None:
        """It has failed, which is told only after everything was freed."""
        self._end(error)

    def _end(self, error: Exception | None) -> None:
        self._over = True
        course, self._course = self._course, None
        if course is not None:
            try:
                course.send(None)
            except StopIteration:
                pass
            except Exception as other:
                error = error or other
        if self._told.done():
            return
        if error is None:
            self._told.set_result(None)
        else:
            self._told.set_exception(error)
