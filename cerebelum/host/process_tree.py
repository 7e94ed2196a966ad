"""Finding and ending every process that belongs to an attempt, however it tried to get away.

A process belongs to an attempt if it descends from the attempt's first process, is in its session, or carries the
attempt's token in its environment. It is identified by its pid and start time, because pids are used again.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

import msgspec

from cerebelum.host import libc

TOKEN = "CEREBELUM_TOKEN"
"""Name of the environment variable that marks the processes of one attempt."""

_PROC = sys.platform == "linux"
_FORKNOEXEC = 0x40
_spawned: dict[int, int] = {}
"""The start of each child that was given to `own`, by its pid."""


_spawning = 0
_reaping = threading.Lock()


def _forked() -> None:
    global _spawning, _reaping
    _spawning, _reaping = 0, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


@contextlib.contextmanager
def spawning() -> Iterator[None]:
    """Within it a child is started: one that cannot execute its program is whose who starts it, and is not adopted."""
    global _spawning
    with _reaping:
        _spawning += 1
    try:
        yield
    finally:
        with _reaping:
            _spawning -= 1


class ProcessId(msgspec.Struct, frozen=True):
    """One process for good: `start_ticks` is its start in clock ticks since boot (without /proc: since 1970)."""

    pid: int
    start_ticks: int


class _Row(msgspec.Struct, frozen=True):
    parent: int
    session: int
    start_ticks: int
    zombie: bool
    only_forked: bool
    """Never executed a program of its own."""
    stopped: bool


def own(pid: int) -> ProcessId:
    """The identity of a child of ours that was not waited for yet; `reap_adopted` leaves it alone until `disown`."""
    _spawned[pid] = 0
    row = _row(pid)
    if row is not None:
        _spawned[pid] = row.start_ticks
    return ProcessId(pid, _spawned[pid])


def started(pid: int) -> int:
    """When a process started that was just spawned, in clock ticks since boot; 0 if it is dead already."""
    return _spawned.get(pid) or start_ticks(pid) or 0


def disown(pid: int) -> None:
    """Forget a pid given to `own`, after its exit status was taken."""
    _spawned.pop(pid, None)


def process_id(pid: int) -> ProcessId | None:
    """The identity of a process; None if there is none (a zombie counts as dead)."""
    ticks = start_ticks(pid)
    return None if ticks is None else ProcessId(pid, ticks)


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None if it is dead or a zombie."""
    row = _row(pid)
    return None if row is None or row.zombie else row.start_ticks


def is_gone(process: ProcessId) -> bool:
    """Whether this process has ended, or is a zombie; one that is there and may not be looked at is not gone."""
    if (ticks := start_ticks(process.pid)) is not None:
        return ticks != process.start_ticks
    if _row(process.pid) is not None:
        return True
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def is_stopped(pid: int) -> bool:
    """Whether the process is there and stopped (SIGSTOP, Ctrl-Z)."""
    row = _row(pid)
    return row is not None and row.stopped


def host_name() -> str:
    """What this machine is called: CEREBELUM_HOST where it is set, or else its node name.

    Machines that are called the same are taken to have the same files.
    """
    given = os.environ.get("CEREBELUM_HOST", "").strip() or os.uname().nodename
    return given.encode("utf-8", "replace").decode()


@functools.cache
def boot_id() -> str:
    """What tells this boot of the machine from any other."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        import psutil

        return f"boot-{int(psutil.boot_time())}"


@functools.cache
def pid_namespace() -> str:
    """What tells the set of pids this process sees from another container's; empty where there is only one."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def become_subreaper() -> bool:
    """On Linux, have daemonised descendants handed to this process instead of to init; False if it cannot be done."""
    set_child_subreaper = 36
    return _PROC and libc.call("prctl", set_child_subreaper, 1, 0, 0, 0) == 0


def reap_adopted() -> int:
    """Take the exit status of dead processes that were handed to this subreaper; returns how many.

    Only of those that cannot be anybody's `Popen`: such a child is in this process's session, or leads its own and has
    executed a program (a daemon's short-lived parent leads its own and has not).
    """
    if not _PROC:
        return 0
    try:
        if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return 0
    except (AttributeError, ChildProcessError):
        return 0
    us, session, count = os.getpid(), os.getsid(0), 0
    with _reaping:
        # Some other time.
        for pid, row in _table().items() if not _spawning else ():
            if row.zombie and row.parent == us and row.session != session and (row.session != pid or row.only_forked):
                count += _reap(pid)
    return count


def send_signal(process: ProcessId, number: int) -> None:
    """Send a signal to exactly this process; nothing happens if it is gone or not ours to signal."""
    try:
        if not hasattr(os, "pidfd_open"):
            if start_ticks(process.pid) == process.start_ticks:
                os.kill(process.pid, number)
            return
        fd = os.pidfd_open(process.pid)
    except OSError:
        return
    try:
        if start_ticks(process.pid) == process.start_ticks:
            signal.pidfd_send_signal(fd, number)
    except OSError:
        pass
    finally:
        os.close(fd)


def find_tree(root: ProcessId, session: int, token: str, known: frozenset[ProcessId] = frozenset()) -> set[ProcessId]:
    """All living processes of an attempt whose first process was `root`, and of `known`, with what descends from them.

    Never this process, one of its ancestors, or init. `token` may be empty.
    """
    table = _table()
    untouchable = _lineage(table)
    leader = table.get(session)
    session_is_theirs = leader is None or session != root.pid or leader.start_ticks == root.start_ticks
    found: set[int] = set()
    for pid, row in table.items():
        if pid in untouchable or row.zombie or row.start_ticks < root.start_ticks:
            continue
        itself = ProcessId(pid, row.start_ticks)
        in_session = session_is_theirs and row.session == session
        if itself == root or itself in known or in_session or (token and _carries(pid, token)):
            found.add(pid)
    children: dict[int, list[int]] = {}
    for pid, row in table.items():
        children.setdefault(row.parent, []).append(pid)
    waiting = list(found)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found and child not in untouchable and not table[child].zombie:
                found.add(child)
                waiting.append(child)
    return {ProcessId(pid, table[pid].start_ticks) for pid in found}


def terminate_tree(root: ProcessId, session: int, token: str) -> frozenset[ProcessId]:
    """Ask all processes of an attempt to end (SIGTERM, and SIGCONT so that stopped ones hear it); returns them.

    The caller has not waited for `root` yet, which leads a process group: that is asked at once, so that no member can
    fork in between.
    """
    found = frozenset(find_tree(root, session, token))
    others = [process for process in found if not _in_group(process.pid, root.pid)]
    for number in (signal.SIGTERM, signal.SIGCONT):
        with contextlib.suppress(OSError):
            os.killpg(root.pid, number)
    for process in others:
        _ask(process)
    return found


def kill_leftovers(
    root: ProcessId,
    session: int,
    token: str,
    *,
    known: frozenset[ProcessId] = frozenset(),
    grace: float = 1.0,
    patience: float = 5.0,
) -> list[int]:
    """End all processes of an attempt: SIGTERM, after `grace` seconds SIGKILL, until none is left.

    `known` are processes that were asked to end already. A successor of a dead runner may call it only if boot id and
    pid namespace are those of the record. Returns the pids that were still there `patience` seconds after the first
    SIGKILL (stuck in the kernel, or another user's).
    """
    begun, pause = time.monotonic(), 0.001
    asked = set(known)
    alive: set[ProcessId] = set()
    while True:
        alive = find_tree(root, session, token, known)
        known |= alive
        elapsed = time.monotonic() - begun
        if not alive or elapsed > grace + patience:
            break
        for process in alive:
            if elapsed >= grace:
                send_signal(process, signal.SIGKILL)
            elif process not in asked:
                _ask(process)
        asked |= alive
        time.sleep(pause)
        pause = min(pause * 2, 0.02)
    for process in known:
        row = _row(process.pid)
        if row is not None and row.zombie and row.start_ticks == process.start_ticks:
            _reap(process.pid)
    if known:
        reap_adopted()
    return sorted(process.pid for process in alive)


def _in_group(pid: int, group: int) -> bool:
    try:
        return os.getpgid(pid) == group
    except OSError:
        return False


def _ask(process: ProcessId) -> None:
    send_signal(process, signal.SIGTERM)
    send_signal(process, signal.SIGCONT)


def _reap(pid: int) -> int:
    if pid in _spawned:
        return 0
    try:
        return int(os.waitpid(pid, os.WNOHANG)[0] == pid)
    except ChildProcessError:
        return 0


def _lineage(table: dict[int, _Row]) -> set[int]:
    """This process, its ancestors, and the processes nobody may touch."""
    lineage = {0, 1}
    pid = os.getpid()
    while pid not in lineage:
        lineage.add(pid)
        pid = table[pid].parent if pid in table else os.getppid()
    return lineage


def _carries(pid: int, token: str) -> bool:
    mark = f"{TOKEN}={token}"
    if _PROC:
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                return mark.encode() in file.read().split(b"\0")
        except OSError:
            return False
    import psutil

    try:
        return bool(psutil.Process(pid).environ().get(TOKEN) == token)
    except (psutil.Error, OSError):
        return False


def _row(pid: int) -> _Row | None:
    if not _PROC:
        return _psutil_row(pid)
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        stat = os.read(fd, 4096)
    except OSError:
        return None
    finally:
        os.close(fd)
    # The command's name stands in parentheses and may hold anything, parentheses and spaces too.
    fields = stat[stat.rindex(b")") + 2 :].split()
    return _Row(
        int(fields[1]),
        int(fields[3]),
        int(fields[19]),
        fields[0] in b"ZXx",
        bool(int(fields[6]) & _FORKNOEXEC),
        fields[0] in b"Tt",
    )


def _table() -> dict[int, _Row]:
    if _PROC:
        pids = [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]
    else:
        import psutil

        pids = psutil.pids()
    return {pid: row for pid in pids if (row := _row(pid)) is not None}


def _psutil_row(pid: int) -> _Row | None:
    import psutil

    try:
        process = psutil.Process(pid)
        with process.oneshot():
            status = process.status()
            started = int(process.create_time() * 100)
            parent = process.ppid()
        zombie, stopped = status == psutil.STATUS_ZOMBIE, status == psutil.STATUS_STOPPED
        return _Row(parent, os.getsid(pid), started, zombie, False, stopped)
    except (psutil.Error, OSError):
        return None
