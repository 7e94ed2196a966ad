"""Executions that a program drives beside what else it does: each in a thread of its own, all paused at the end."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from cerebelum.core.errors import CerebelumError, OwnedElsewhere, UsageError
from cerebelum.sdk.both_ways import Bell, Rest

if TYPE_CHECKING:
    from cerebelum.engine.session import Stoppable
    from cerebelum.sdk.course import How

_LOOK_SECONDS = 60.0
"""A bell that was rung is heard at once; this is for none that was not."""


class Job:
    """Something that is being driven."""

    def __init__(self, background: Background, drive: Callable[[How], Any]) -> None:
        self._background = background
        self._drive = drive
        self._bell = Bell()
        self.execution_id: str | None = None
        """Once its first event is recorded."""
        self.engine: Stoppable | None = None
        self.over = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._work, name="cerebelum-background", daemon=True)

    def _work(self) -> None:
        how: How = {"on_start": self._started, "on_engine": self._entered, "on_note": self._background.on_note}
        try:
            self.result = self._drive(how)
        except BaseException as error:
            self.error = error
            if self.execution_id is not None and not isinstance(error, CerebelumError):
                # A bug, after everybody was told that all is well: the thread's end says so.
                raise
        finally:
            self.over = True
            self._background.forget(self)
            self._bell.ring()

    def _started(self, execution_id: str) -> None:
        self.execution_id = execution_id
        self._bell.ring()

    def _entered(self, engine: Stoppable) -> None:
        self.engine = engine
        self._background.heed(engine)

    def begun(self) -> Generator[Rest, None, str]:
        """Wait for the first event, and give the id of the execution. Raises what came in between."""
        while self.execution_id is None and not self.over:
            yield Rest(self._bell, _LOOK_SECONDS)
        if self.execution_id is not None:
            return self.execution_id
        if self.error is not None:
            raise self.error
        raise OwnedElsewhere("somebody else took the execution over at the same moment")

    def ended(self) -> Generator[Rest, None, Any]:
        """Wait until it is done, and give what came of it. Raises what went wrong."""
        while not self.over:
            yield Rest(self._bell, _LOOK_SECONDS)
        if self.error is not None:
            raise self.error
        return self.result


class Background:
    """The executions that are driven for one client. `on_note` is told what the user should know."""

    def __init__(self, on_note: Callable[[str], None]) -> None:
        self.on_note = on_note
        self._lock = threading.Lock()
        self._jobs: list[Job] = []
        self._failed: dict[str, CerebelumError] = {}
        self._closing = False

    def start(self, drive: Callable[[How], Any]) -> Job:
        """Have `drive(how)` called in a thread. Raises UsageError if this has been closed."""
        job = Job(self, drive)
        with self._lock:
            if self._closing:
                raise UsageError("this client is closed", hint="make another one")
            if not self._jobs:
                # A program that ends without a word pauses what it drives; its threads would just be gone.
                atexit.register(self.close)
            self._jobs.append(job)
            job.thread.start()
        return job

    def forget(self, job: Job) -> None:
        """It is over; an error that nobody is there to hear of is kept for `check`."""
        with self._lock:
            self._jobs.remove(job)
            if isinstance(job.error, CerebelumError) and job.execution_id is not None:
                self._failed[job.execution_id] = job.error
            if not self._jobs:
                atexit.unregister(self.close)

    def check(self, execution_id: str) -> None:
        """Raises, once, what ended the driving of this execution before its time."""
        with self._lock:
            error = self._failed.pop(execution_id, None)
        if error is not None:
            raise error

    def heed(self, engine: Stoppable) -> None:
        """Stop at once what has only begun when this is closed."""
        if self._closing:
            self._stop(engine)

    def _stop(self, engine: Stoppable) -> None:
        from cerebelum.core.decide import Stopping
        from cerebelum.host.surroundings import user

        engine.stop(Stopping("operator", by=user()))

    def close(self) -> None:
        """Pause everything, in an orderly way, and wait for that: some seconds at most where steps have to be ended."""
        with self._lock:
            self._closing = True
            jobs = list(self._jobs)
        for job in jobs:
            if job.engine is not None:
                self._stop(job.engine)
        for job in jobs:
            job.thread.join()
