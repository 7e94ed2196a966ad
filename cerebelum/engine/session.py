"""A process driving one execution: registered as a runner, heeding signals, with the engine inside."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from types import FrameType
from typing import Protocol

import msgspec

from cerebelum.core import errors
from cerebelum.core.decide import Opened, Stopping
from cerebelum.core.events import GENESIS
from cerebelum.core.model import Workflow
from cerebelum.core.state import State
from cerebelum.engine.leftovers import clear_leftovers
from cerebelum.engine.loop import End, Engine
from cerebelum.engine.ownership import Registration
from cerebelum.engine.prepare import Surroundings, inheritable
from cerebelum.engine.queueing import Place, Replacing, concurrency_of
from cerebelum.engine.settings import Settings
from cerebelum.host.addresses import hidden
from cerebelum.host.clock import Clock
from cerebelum.host.process_tree import become_subreaper
from cerebelum.host.standstill import heeding_ctrl_z
from cerebelum.host.temporary_folder import private_folder
from cerebelum.steps.attempt import Scratch
from cerebelum.steps.descriptors import mask_with
from cerebelum.steps.executor import Executor
from cerebelum.steps.masking import Masker
from cerebelum.steps.secrets import gather
from cerebelum.store import EventStore, Ownership


class Result(msgspec.Struct, frozen=True):
    """How driving an execution ended, for now or for good."""

    execution_id: str
    end: End
    state: State
    already: bool = False
    """It had completed before, and nothing was done now."""

    @property
    def exit_code(self) -> int:
        """The exit code of a process that did nothing but this."""
        state = self.state
        if self.end == "fenced":
            return errors.OWNED
        if self.end == "parked":
            # Told to stop, it may have left a worker to whoever goes on.
            return errors.SIGNALS.get((state.pausing and state.pausing.signal) or "", errors.PARKED)
        if state.paused is not None:
            return errors.SIGNALS.get(state.paused.signal or "", errors.PARKED)
        if state.ended == "failed":
            rejected = state.error is not None and state.error.kind == "rejected"
            return errors.CANCELLED if rejected else errors.EXECUTION_FAILED
        return errors.CANCELLED if state.ended == "cancelled" else errors.OK


class Prepared(msgspec.Struct, frozen=True):
    """The secrets of a workflow, and the mask made of them."""

    secrets: Mapping[str, str]
    masker: Masker


def prepare(workflow: Workflow, environ: Mapping[str, str], needed: Collection[str] | None = None) -> Prepared:
    """Collect the workflow's secrets. Raises UsageError if one of the `needed` ones is missing, which are those of the
    steps that are not for workers, if nothing else is said.

    The password of a store in the environment, which steps inherit, is masked as they are.
    """
    needed = workflow.secrets_here() if needed is None else needed
    secrets = gather(workflow, environ, [n for n in workflow.every_secret() if n in needed or environ.get(n)])
    return Prepared(secrets, Masker({**hidden(environ), **secrets}))


def drive(
    store: EventStore,
    execution_id: str,
    opened: Opened,
    *,
    registration: Registration,
    fence: Ownership,
    executors: Mapping[str, Executor],
    environ: Mapping[str, str],
    prepared: Prepared,
    clock: Clock,
    settings: Settings,
    state: State | None = None,
    digest: str = GENESIS,
    heed_signals: bool = False,
    on_engine: Callable[[Engine], None] = lambda engine: None,
    replacing: Replacing | None = None,
) -> Result:
    """Append the first event of a segment and go on until the execution ends, pauses, parks, or is lost.

    `replacing` cancels executions that would have to be waited for. Raises StoreError when the store fails.
    """
    become_subreaper()
    mask_with(prepared.masker)
    if state is not None:
        clear_leftovers(store, state)
    with private_folder() as folder:
        inherited = inheritable(environ, prepared.secrets)
        around = Surroundings(executors, inherited, prepared.secrets, prepared.masker, clock, Scratch(folder))
        limit = concurrency_of(opened.event, state)
        place = Place(store, clock, execution_id, limit.group, fence, replacing) if limit else None
        engine = Engine(
            store, execution_id, around, fence=fence, settings=settings, state=state, digest=digest, place=place
        )
        registration.on_lost(engine.lost)
        registration.on_woken(engine.woken)
        on_engine(engine)
        try:
            with signals(engine) if heed_signals else nullcontext():
                end = engine.drive(opened)
            if place is not None and end in ("ended", "paused"):
                place.leave(Ownership(None, fence.epoch))
        except BaseException:
            # Whatever it was, nobody drives it from here on; where the store failed, the dead lock will say so.
            with suppress(errors.StoreError):
                if place is not None:
                    place.leave(fence)
                store.own(execution_id, None, fence)
            raise
        finally:
            registration.no_longer(engine.lost, engine.woken)
            if place is not None:
                place.close()
    return Result(execution_id, end, engine.state)


class Stoppable(Protocol):
    """What a signal can end: an engine, or a supervisor with many of them."""

    def stop(self, stopping: Stopping) -> None: ...

    def hurry(self) -> None: ...


@contextmanager
def signals(driver: Stoppable) -> Iterator[None]:
    """First SIGINT, SIGTERM or SIGHUP: an orderly end; a second SIGINT or SIGTERM: kill the steps at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told: list[int] = []

    def heed(number: int, frame: FrameType | None) -> None:
        if told:
            driver.hurry()
        told.append(number)
        driver.stop(Stopping("signal", signal.Signals(number).name))

    names = [n for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n)]
    before = {}
    for name in names:
        number = getattr(signal, name)
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, heed)
    try:
        with heeding_ctrl_z():
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
