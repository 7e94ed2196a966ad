"""Which process drives an execution, and whether that process is still alive.

A runner holds a lock on a file of its own and moves a counter on in the store. On the same machine its death is known
at once, from the lock or the process table; from another machine only by watching the counter stand still, on the
watcher's own clock, since the wall clocks of two machines may disagree by hours.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self

import msgspec

from cerebelum.core.errors import OwnedElsewhere, StoreError, UsageError
from cerebelum.host import faults
from cerebelum.host.clock import Clock
from cerebelum.host.process_tree import boot_id, host_name, is_stopped, pid_namespace, start_ticks
from cerebelum.store import EventStore, Ownership, Query, Row, Runner, lookup
from cerebelum.store.liveness import DEAD_SECONDS, judge

BEAT_SECONDS = 5.0
FENCE_SECONDS = 20.0
"""A runner that could not beat for this long stops by itself, before anybody may take over."""

_ANEW_SECONDS = 1.0
"""Until the next try of a beat that failed."""

if TYPE_CHECKING:
    from pathlib import Path


def _lock_file(environ: Mapping[str, str], runner_id: str) -> tuple[Path, int]:
    """A locked file of the runner's own, and its descriptor: in the user's state folder, or in a temporary one.

    Raises UsageError if it can be made in neither.
    """
    from pathlib import Path

    state = environ.get("XDG_STATE_HOME") or str(Path(environ.get("HOME", "/nonexistent")) / ".local" / "state")
    temporary = environ.get("TMPDIR") or "/tmp"
    why = ""
    for parent in (Path(state) / "cerebelum" / "runners", Path(temporary) / f"cerebelum-{os.getuid()}"):
        try:
            parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if parent.stat().st_uid != os.getuid():
                import tempfile

                parent = Path(tempfile.mkdtemp(prefix="cerebelum-"))
            path = parent / f"{runner_id}.lock"
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            why = f"{error.filename}: {error.strerror}"
            continue
        fcntl.flock(fd, fcntl.LOCK_EX)
        return path, fd
    raise UsageError(
        f"no lock file can be made ({why})", hint="name a folder that can be written to with XDG_STATE_HOME or TMPDIR"
    )


def lost_store() -> StoreError:
    """The error of a runner that stops by itself."""
    return StoreError(
        f"the store could not be reached for {FENCE_SECONDS:g} s, so that others may take over; the steps were ended",
        hint="resume once it can be reached",
    )


class Registration:
    """This process as a runner: registered in the store, locked, and beating until `close`."""

    def __init__(self, store: EventStore, clock: Clock, environ: Mapping[str, str]) -> None:
        runner_id = os.urandom(8).hex()
        lock, self._lock_fd = _lock_file(environ, runner_id)
        _registered.add(self)
        pid = os.getpid()
        self.runner = Runner(
            id=runner_id,
            host=host_name(),
            boot_id=boot_id(),
            pid=pid,
            pid_namespace=pid_namespace(),
            start_ticks=start_ticks(pid) or 0,
            started_at=clock.now(),
            lock=str(lock),
        )
        self._store = store
        self._clock = clock
        self._lost: list[Callable[[], None]] = []
        self._woken: list[Callable[[], None]] = []
        self._closing = threading.Event()
        self._confirmed = clock.elapsed()
        try:
            store.beat(self.runner)
        except BaseException:
            lock.unlink(missing_ok=True)
            self._close_lock()
            raise
        self._thread = threading.Thread(target=self._work, name="cerebelum-beat", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        awake, look = self._clock.elapsed(), False
        pause = BEAT_SECONDS
        while not self._closing.wait(pause):
            self.runner = msgspec.structs.replace(self.runner, beat=self.runner.beat + 1)
            began = self._clock.elapsed()
            if began - awake > FENCE_SECONDS:
                # Stopped, with the machine or alone. That is no loss by itself: the store knows who owns what by now.
                self._confirmed, look = began, True
            awake = began
            try:
                self._store.beat(self.runner)
                self._confirmed, pause = began, BEAT_SECONDS
            except StoreError:
                if self._clock.elapsed() - self._confirmed > FENCE_SECONDS:
                    _tell(self._lost)
                    return
                pause = _ANEW_SECONDS
                continue
            if look:
                look = False
                _tell(self._woken)

    def on_lost(self, tell: Callable[[], None]) -> None:
        """Call `tell()`, from another thread, when this runner could not beat in time and has to stop."""
        self._lost.append(tell)

    def on_woken(self, tell: Callable[[], None]) -> None:
        """Call `tell()`, from another thread, when this runner stood still for so long that others may own
        what it drove."""
        self._woken.append(tell)

    def no_longer(self, *told: Callable[[], None]) -> None:
        """Take back `on_lost` and `on_woken`."""
        for listeners in (self._lost, self._woken):
            listeners[:] = [tell for tell in listeners if tell not in told]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Stop beating and let go of the lock."""
        # If the store failed, it may still name this runner as an owner: the lock that nobody holds any more says
        # that it is gone, although its process may live on.
        self.close(keep_file=isinstance(error, StoreError))

    def close(self, *, keep_file: bool = False) -> None:
        """Stop beating and let go of the lock; its file stays if `keep_file`."""
        self._closing.set()
        self._thread.join()
        if not keep_file:
            with suppress(FileNotFoundError):
                os.unlink(self.runner.lock)
        self._close_lock()

    def _close_lock(self) -> None:
        _registered.discard(self)
        fd, self._lock_fd = self._lock_fd, -1
        if fd >= 0:
            os.close(fd)


def _tell(listeners: list[Callable[[], None]]) -> None:
    for tell in list(listeners):
        tell()


_registered: set[Registration] = set()
"""Those that hold a lock."""


def _forked() -> None:
    """A fork holds its parent's locks as long as it has their descriptors."""
    for registration in list(_registered):
        registration._close_lock()


os.register_at_fork(after_in_child=_forked)


def is_taken(store: EventStore, execution_id: str, fence: Ownership) -> bool:
    """Whether the execution belongs to somebody else by now. Raises StoreError."""
    rows = store.find(Query(id=execution_id, limit=1)).rows
    return not rows or rows[0].ownership != fence


def refuse_if_alive(row: Row) -> None:
    """Raises OwnedElsewhere if a runner known to be alive drives the execution."""
    if row.ownership.owner is not None and row.runner is not None and judge(row.runner) == "alive":
        raise owned(row, row.runner)


def owned(row: Row, runner: Runner) -> OwnedElsewhere:
    """The error that says who drives the execution, and what can be done about it."""
    execution_id = row.summary.execution_id
    since = runner.started_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    what = f"{execution_id} is being driven by process {runner.pid} on {runner.host} since {since}"
    here = runner.boot_id == boot_id() and runner.pid_namespace == pid_namespace()
    if here and is_stopped(runner.pid):
        hint = f"continue it with: kill -CONT {runner.pid}, or end it: cerebelum resume {execution_id} --take-over"
        return OwnedElsewhere(f"{what}, and that process is stopped", hint=hint)
    hint = f"see what it does with: cerebelum logs -f {execution_id}"
    if here:
        hint += f"; if it hangs, end it: cerebelum resume {execution_id} --take-over"
    return OwnedElsewhere(what, hint=hint)


def take(store: EventStore, row: Row, registration: Registration, clock: Clock) -> Ownership:
    """Become the owner, waiting up to 30 s where only the beat of the present owner can tell whether it is dead.

    Raises OwnedElsewhere if a live runner is, or has just become, the owner; NotFound if it has just been pruned.
    """
    while True:
        refuse_if_alive(row)
        if row.ownership.owner and row.runner and judge(row.runner) == "unknown":
            _observe_death(store, row, row.runner, clock)
        fence = store.own(row.summary.execution_id, registration.runner.id, row.ownership)
        faults.point("after-own")
        if fence is not None:
            return fence
        row = lookup.present(store, row.summary.execution_id)


@contextmanager
def taken(store: EventStore, row: Row, registration: Registration, clock: Clock) -> Iterator[Ownership]:
    """`take`, and give it up again if what follows raises."""
    fence = take(store, row, registration, clock)
    try:
        yield fence
    except BaseException:
        with suppress(StoreError):
            store.own(row.summary.execution_id, None, fence)
        raise


def _observe_death(store: EventStore, row: Row, runner: Runner, clock: Clock) -> None:
    """Return once the runner's beat has stood still for 30 s of this machine's own clock. Raises OwnedElsewhere."""
    pause = threading.Event()
    began = clock.elapsed()
    while clock.elapsed() - began < DEAD_SECONDS:
        pause.wait(1.0)
        now = lookup.present(store, row.summary.execution_id)
        if now.ownership != row.ownership:
            return
        if now.runner is not None and now.runner.beat != runner.beat:
            raise owned(row, runner)
