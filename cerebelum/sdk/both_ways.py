"""One body, two ways to call it: awaited, with the work in threads and the waiting in the caller's loop; or blocking.

A body looks at the store and returns, or it is a generator that yields a `Rest` where it has to wait. Nobody waits in a
thread: a call that is cancelled leaves nothing behind but a look that is under way, whose result nobody wants.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import closing, suppress
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

import msgspec

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_MOST_THREADS = 8


class Bell:
    """Rung from any thread, as often as one likes; whoever rests on it hears of it once."""

    def __init__(self) -> None:
        self._rung = threading.Event()
        self._tell: Callable[[], None] | None = None

    def ring(self) -> None:
        """Have whoever rests on it, or the next one who does, go on."""
        self._rung.set()
        tell = self._tell
        if tell is not None:
            tell()

    def wait(self, most: float) -> None:
        """Return when it has rung, at the latest after `most` seconds."""
        self._rung.wait(most)
        self._rung.clear()

    async def heard(self, most: float) -> None:
        """`wait`, in the running loop."""
        import asyncio

        loop, rung = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            # The loop of somebody who has gone may be closed.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(rung.set)

        self._tell = tell
        try:
            if not self._rung.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(most):
                        await rung.wait()
        finally:
            self._tell = None
        self._rung.clear()


class Rest(msgspec.Struct, frozen=True):
    """What a body yields to wait: until the bell rings, at the most so many seconds."""

    bell: Bell
    most: float


class Threads:
    """A few threads for the looks of one client, which begin when they are needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._pid = os.getpid()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Have `work()` called in a thread."""
        from concurrent.futures import ThreadPoolExecutor

        with self._lock:
            if self._pool is None or self._pid != os.getpid():
                # A fork has none of its parent's threads.
                self._pool, self._pid = ThreadPoolExecutor(_MOST_THREADS, "cerebelum-client"), os.getpid()
            return self._pool.submit(work)

    def close(self) -> None:
        """Let the threads end, each after what it has begun; may be called in one of them."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)


class Threaded(Protocol):
    """Whoever has bodies."""

    @property
    def threads(self) -> Threads: ...


S = TypeVar("S", bound=Threaded)
P = ParamSpec("P")
T = TypeVar("T")
Y = TypeVar("Y")


class _Done(Generic[T]):
    """That a body has come to its end, and what it returned."""

    def __init__(self, value: T) -> None:
        self.value = value


def _turn(course: Generator[Y, None, T]) -> Y | _Done[T]:
    try:
        return next(course)
    except StopIteration as end:
        return _Done(end.value)


class _Turns(Generic[Y, T]):
    """A body under way whose every turn is made in a thread; one that is cancelled is not lost."""

    def __init__(self, threads: Threads, course: Generator[Y, None, T]) -> None:
        self._threads = threads
        self._course = course
        self._coming: Future[Y | _Done[T]] | None = None

    async def next(self) -> Y | _Done[T]:
        """What the body yields next, or its end. Raises what it raises."""
        import asyncio

        if self._coming is None or self._coming.cancelled():
            course = self._course
            self._coming = self._threads.submit(lambda: _turn(course))
        try:
            turn = await asyncio.wrap_future(self._coming)
        except asyncio.CancelledError:
            raise
        except BaseException:
            self._coming = None
            raise
        self._coming = None
        return turn

    def close(self) -> None:
        """End the body, after the turn that is under way if there is one; returns at once."""
        coming, course = self._coming, self._course
        if coming is None:
            self._threads.submit(course.close)
        else:
            coming.add_done_callback(lambda _: course.close())


class Verb(Generic[S, P, T]):
    """A method that is awaited, or called as `client.method.blocking(…)`."""

    def __init__(self, body: Callable[Concatenate[S, P], Generator[Rest, None, T]]) -> None:
        self.body = body
        self.__doc__ = body.__doc__

    @overload
    def __get__(self, client: None, owner: type[Any]) -> Self: ...
    @overload
    def __get__(self, client: S, owner: type[Any]) -> BoundVerb[P, T]: ...
    def __get__(self, client: S | None, owner: type[Any]) -> Self | BoundVerb[P, T]:
        if client is None:
            return self
        body = self.body.__get__(client)
        return BoundVerb(body, client.threads)


class BoundVerb(Generic[P, T]):
    """Called, it is awaited; `blocking` returns when it is done."""

    def __init__(self, body: Callable[P, Generator[Rest, None, T]], threads: Threads) -> None:
        self._body = body
        self._threads = threads
        self.__doc__ = body.__doc__

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        turns = _Turns(self._threads, self._body(*args, **kwargs))
        over = False
        try:
            while isinstance(turn := await turns.next(), Rest):
                await turn.bell.heard(turn.most)
            over = True
            return turn.value
        finally:
            if not over:
                turns.close()

    def blocking(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """The same, in this thread."""
        with closing(self._body(*args, **kwargs)) as course:
            while isinstance(turn := _turn(course), Rest):
                turn.bell.wait(turn.most)
            return turn.value


class Stream(Generic[S, P, T]):
    """A method for `async for`, or `for` as `client.method.blocking(…)`."""

    def __init__(self, body: Callable[Concatenate[S, P], Generator[list[T] | Rest, None, None]]) -> None:
        self._body = body
        self.__doc__ = body.__doc__

    @overload
    def __get__(self, client: None, owner: type[Any]) -> Self: ...
    @overload
    def __get__(self, client: S, owner: type[Any]) -> BoundStream[P, T]: ...
    def __get__(self, client: S | None, owner: type[Any]) -> Self | BoundStream[P, T]:
        if client is None:
            return self
        body = self._body.__get__(client)
        return BoundStream(body, client.threads)


class BoundStream(Generic[P, T]):
    """Called, it gives an async iterator; `blocking` gives a plain one."""

    def __init__(self, body: Callable[P, Generator[list[T] | Rest, None, None]], threads: Threads) -> None:
        self._body = body
        self._threads = threads
        self.__doc__ = body.__doc__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Following[T]:
        return Following(self._threads, self._body(*args, **kwargs))

    def blocking(self, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        """The same, in this thread."""
        course = self._body(*args, **kwargs)

        def items() -> Iterator[T]:
            with closing(course):
                for turn in course:
                    if isinstance(turn, Rest):
                        turn.bell.wait(turn.most)
                    else:
                        yield from turn

        return items()


class Following(AsyncIterator[T]):
    """What comes, one after the other. It may be left at any time, and a step of it that is cancelled loses nothing."""

    def __init__(self, threads: Threads, course: Generator[list[T] | Rest, None, None]) -> None:
        self._turns = _Turns(threads, course)
        self._came: deque[T] = deque()
        self._busy = self._over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if self._busy:
            raise RuntimeError("somebody else waits for the next item already")
        self._busy = True
        try:
            while not self._came and not self._over:
                turn = await self._turns.next()
                if isinstance(turn, _Done):
                    self._over = True
                elif isinstance(turn, Rest):
                    await turn.bell.heard(turn.most)
                else:
                    self._came.extend(turn)
        finally:
            self._busy = False
        if not self._came:
            raise StopAsyncIteration
        return self._came.popleft()

    async def aclose(self) -> None:
        """Nothing more comes; leaving the loop does the same."""
        self._came.clear()
        if not self._over:
            self._over = True
            self._turns.close()


def verb(body: Callable[Concatenate[S, P], T]) -> Verb[S, P, T]:
    """A method whose body looks, or does something short, and returns."""

    @wraps(body)
    def course(client: S, /, *args: P.args, **kwargs: P.kwargs) -> Generator[Rest, None, T]:
        yield from ()
        return body(client, *args, **kwargs)

    return Verb(course)


def waiting(body: Callable[Concatenate[S, P], Generator[Rest, None, T]]) -> Verb[S, P, T]:
    """A method whose body yields a `Rest` wherever it has to wait, and returns at last."""
    return Verb(body)


def stream(body: Callable[Concatenate[S, P], Generator[list[T] | Rest, None, None]]) -> Stream[S, P, T]:
    """A method whose body yields what has come, in lists, and a `Rest` wherever it has to wait for more."""
    return Stream(body)


class Closing:
    """`async with` and `with`, for who has a verb `close`."""

    close: ClassVar[Verb[Any, [], None]]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close.blocking()
