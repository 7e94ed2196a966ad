"""`Verbs`: what can be done with executions, one blocking method each. Every way in goes through it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

import msgspec

from cerebelum.core.events import AnyEvent, decode
from cerebelum.core.resume_options import ResumeOptions
from cerebelum.core.step_kind import Defines
from cerebelum.host.clock import Clock, SystemClock
from cerebelum.host.environment import clean_environment
from cerebelum.store import Chunk, Claim, EventStore, Page, Query, Row, Tombstone, every, every_tombstone, lookup
from cerebelum.store.lookup import Log, View

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

    from cerebelum.core.decide import Stopping
    from cerebelum.core.plan import Plan
    from cerebelum.core.summary import Summary

    # What drives executions is imported where it is used: most commands only look.
    from cerebelum.engine import requests
    from cerebelum.engine.driver import Driver
    from cerebelum.engine.inside import Inside
    from cerebelum.engine.preflight import Checked
    from cerebelum.engine.session import Result
    from cerebelum.engine.settings import Listener
    from cerebelum.sdk.course import Course, How
    from cerebelum.steps.executor import Executor
    from cerebelum.store.copying import Outcome
    from cerebelum.store.heads import Heads
    from cerebelum.store.pruning import Rule
    from cerebelum.store.verify import Verified
    from cerebelum.store.views import Views


_LOOK_SECONDS = 0.2
"""Between two looks for new output, where the store does not tell."""


class Verbs:
    """Starts, resumes and shows executions. All methods block.

    `open_store`, `executors` and `observers`, which hear every event that is recorded here, are called when first
    needed. `environ` is the user's environment: secrets, and what steps inherit, come from it.
    """

    def __init__(
        self,
        open_store: Callable[[], EventStore],
        executors: Callable[[], Mapping[str, Executor]],
        *,
        environ: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        observers: Callable[[], tuple[Listener, ...]] = tuple,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._open_store = open_store
        self._executors = executors
        self._environ = clean_environment(os.environ if environ is None else environ)
        self.clock = clock or SystemClock()
        self._observers = observers
        self._on_close = on_close
        self._opened: EventStore | None = None
        self._opening = threading.Lock()
        self._views: Views | None = None

    @property
    def store(self) -> EventStore:
        """The store, opened on first use. Raises StoreError."""
        with self._opening:
            if self._opened is None:
                self._opened = self._open_store()
            return self._opened

    def executors(self) -> Mapping[str, Executor]:
        """Executors by their key."""
        return self._executors()

    def performing(self, workflow: Path | Defines | None, loop: asyncio.AbstractEventLoop | None = None) -> Verbs:
        """The same on the same store, for a workflow in Python with its functions as they are here, in a file or not.

        Coroutines run on `loop`, or on an event loop of their own.
        """
        if not isinstance(workflow, Defines):
            return self
        bound = self.executors()["python"].bound(workflow.functions, loop)  # type: ignore[attr-defined]
        return Verbs(
            lambda: self.store,
            lambda: {**self._executors(), "python": bound},
            environ=self._environ,
            clock=self.clock,
            observers=self._observers,
        )

    def close(self) -> None:
        """Release the store; whoever still has work for it is told that it is closed."""
        self._on_close()
        with self._opening:
            opened = self._opened
        if opened is not None:
            opened.close()

    # -- looking ------------------------------------------------------------------------------------------------------

    def resolve(self, name: str) -> str:
        """The id that `name` means: an exact id, `last`, or a unique prefix. Raises NotFound, UsageError."""
        return lookup.resolve(self.store, name)

    def status(self, name: str, at: int | datetime | None = None) -> View:
        """One execution: its state, and its status as far as it can be known now.

        With `at`, as it was at that version or moment. Raises NotFound, also if there was nothing yet then.
        """
        execution_id = self.resolve(name)
        if self._views is not None and at is None:
            return self._views.view(self.store, execution_id)
        return lookup.view(self.store, execution_id, at)

    def remember(self) -> None:
        """Keep the states of executions that are asked for, since they will be asked for again."""
        from cerebelum.store.views import Views

        self._views = Views()

    def verify(self, name: str | None = None, heads: Heads | None = None) -> Iterator[Verified]:
        """Check the logs of one execution, or of all of them, for damage, and against `heads` that were kept elsewhere.

        Raises NotFound, StoreError.
        """
        from cerebelum.store.verify import verify

        return verify(self.store, None if name is None else self.resolve(name), heads)

    def locks(self) -> tuple[tuple[Claim, Row | None], ...]:
        """The claims to locks by group, in their order, each with its execution; the first of a group has its lock."""
        claims = self.store.claims()
        rows = (next(iter(self.store.find(Query(id=claim.execution_id, limit=1)).rows), None) for claim in claims)
        return tuple((c, row and lookup.as_shown(row, claims)) for c, row in zip(claims, rows, strict=True))

    def list(self, query: Query) -> Page:
        """Executions that match, newest first. One whose runner is dead counts, and is shown, as paused."""
        dead = lookup.dead_runners(self.store)
        page = self.store.find(msgspec.structs.replace(query, dead_runners=dead))
        waiting = any(row.summary.status == "waiting_for_lock" for row in page.rows)
        claims = self.store.claims() if waiting else []
        return msgspec.structs.replace(
            page, rows=[lookup.as_shown(lookup.as_known(row, dead), claims) for row in page.rows]
        )

    def history(self, name: str, after: int = 0) -> tuple[AnyEvent, ...]:
        """The events of an execution after version `after`, in order. Raises NotFound."""
        execution_id = self.resolve(name)
        return tuple(decode(e.text, where=execution_id) for e in self.store.read(execution_id, after))

    def logs(
        self,
        name: str,
        *,
        step: str | None = None,
        attempt: int | None = None,
        follow: bool = False,
        wait: Callable[[], None] | None = None,
    ) -> Iterator[Chunk]:
        """Output of an execution's attempts, in the order it was written.

        With `follow`, goes on until the execution no longer runs; `wait()` is called between looks. Raises
        NotFound if the execution or the step is not there.
        """
        execution_id = self.resolve(name)
        if step is not None or attempt is not None:
            lookup.check_attempt(lookup.read(self.store, execution_id).state, step, None if follow else attempt)
        if not follow:
            return lookup.chunks(self.store, execution_id, step, attempt, None)
        return self._followed(execution_id, step, attempt, wait)

    def _followed(
        self, execution_id: str, step: str | None, attempt: int | None, wait: Callable[[], None] | None
    ) -> Iterator[Chunk]:
        from cerebelum.store.news import News

        with News(self.store, execution_id, _LOOK_SECONDS) as news:
            yield from lookup.chunks(self.store, execution_id, step, attempt, wait or news.wait)

    def inside(self, name: str, step: str | None = None, *, with_secrets: bool = False) -> Inside:
        """What a step's process would find: environment and folder. Changes nothing, whoever drives the execution.

        Without `step`, of the one that failed or was interrupted. Secrets are left out unless `with_secrets`. Raises
        NotFound; UsageError if it is not one step, a secret is not set, or the folder is gone.
        """
        from cerebelum.engine.inside import inside, the_stuck_one

        view = self.status(name)
        if step is not None:
            lookup.check_step(view.state, step)
        chosen = the_stuck_one(view) if step is None else step
        return inside(view, chosen, self.executors(), self._environ, with_secrets=with_secrets)

    # -- looking after the store --------------------------------------------------------------------------------------

    def export(self, names: Iterable[str] | None, write: Callable[[bytes], object]) -> Iterator[Outcome]:
        """Write a bundle of these executions as they stand, or (None) of all and the tombstones.

        Gives what became of each; one whose log is damaged is refused. Raises NotFound, UsageError before anything is
        written, StoreError, and what `write` raises.
        """
        from cerebelum import __version__
        from cerebelum.store.bundle import export

        rows: Iterable[Row] = every(self.store)
        if names is not None:
            rows = [lookup.present(self.store, self.resolve(name)) for name in dict.fromkeys(names)]
        return export(self.store, rows, write, tombstones=names is None, version=__version__)

    def take_in(self, lines: Iterable[bytes], name: str) -> Iterator[Outcome]:
        """Take in the executions of a bundle that is called `name`, each whole or not at all.

        Gives what became of each. Raises UsageError if it is no bundle or of a newer format, StoreError.
        """
        from cerebelum.store.bundle import take_in

        return take_in(self.store, lines, name)

    def back_up(self, file: str, open_file: Callable[[str], EventStore], heed: Callable[[], None]) -> Iterator[Outcome]:
        """Write the store as it is now into a new SQLite store file, durable and whole when this ends.

        `open_file(path)` opens such a file. Where the store itself writes the backup, `heed` is called now and then,
        otherwise this gives what became of each execution. Raises UsageError if there is a file already, StoreError.
        """
        from cerebelum.store.backing import back_up

        return back_up(self.store, file, open_file, heed)

    def prunable(self, rule: Rule) -> Iterator[Row]:
        """The executions that a rule chooses, newest start first; they may be pruned while this goes on."""
        from cerebelum.store.pruning import chosen

        return chosen(self.store, rule)

    def prune(self, row: Row) -> Tombstone | None:
        """Remove an execution as `prunable` gave it; None if somebody has taken it up since. Raises StoreError."""
        from cerebelum.store.pruning import prune

        return prune(self.store, row, self.clock.now())

    def heads(self) -> Iterator[Summary | Tombstone]:
        """The summaries of executions that have ended, newest first, and the tombstones."""
        from cerebelum.store.pruning import ENDED

        yield from (row.summary for row in every(self.store, Query(status=ENDED)))
        yield from every_tombstone(self.store)

    # -- driving ------------------------------------------------------------------------------------------------------

    def preview(self, path: Path, inputs: Mapping[str, Any], lock: str | None = None) -> Checked:
        """Everything `run` checks before it starts, without starting. Raises what `run` raises.

        Secrets need not be there; those that are must not be in the definition or the inputs.
        """
        from cerebelum.engine import preflight

        return preflight.check(path, inputs, (), self.executors(), self._environ, lenient=True, lock=lock)

    def run(
        self,
        path: Path | Defines,
        inputs: Mapping[str, Any],
        *,
        execution_id: str | None = None,
        or_resume: bool = False,
        tags: Iterable[str] = (),
        lock: str | None = None,
        **how: Unpack[How],
    ) -> Result:
        """Start an execution of the workflow in `path` and drive it.

        `inputs` holds typed values, or `Text` for what came from a command line. With `or_resume`, an execution with
        that id is resumed, or left alone if it has completed. With `lock`, it waits for the lock of that name. Raises
        UsageError (DefinitionError for the file) before anything is recorded, OwnedElsewhere (also if its lock is held
        and its policy is to fail), DefinitionChanged (for `or_resume`), StoreError.
        """
        return self.driver(how).run(path, inputs, execution_id, or_resume, tuple(dict.fromkeys(tags)), lock)

    def fork(
        self,
        name: str,
        from_step: str,
        inputs: Mapping[str, Any],
        *,
        execution_id: str | None = None,
        file: Path | None = None,
        recorded: bool = False,
        accept_changes: bool = False,
        **how: Unpack[How],
    ) -> Result:
        """Start a new execution that takes over the outputs of what `name` completed before `from_step`.

        `inputs` replace recorded ones. Raises what `resume` raises, but works on any execution.
        """
        choice = ResumeOptions(from_step, accept_changes, file, recorded)
        return self.driver(how).fork(self.resolve(name), inputs, execution_id, choice)

    def plan(
        self,
        name: str,
        *,
        from_step: str | None = None,
        anew: bool = False,
        accept_changes: bool = False,
        file: Path | None = None,
        recorded: bool = False,
    ) -> Plan:
        """What `resume` with the same arguments would do to each step. Changes nothing."""
        choice = ResumeOptions(from_step, accept_changes, file, recorded, anew=anew)
        return self.driver({}).plan(self.resolve(name), choice)

    def resume(
        self,
        name: str,
        *,
        from_step: str | None = None,
        anew: bool = False,
        accept_changes: bool = False,
        file: Path | Defines | None = None,
        recorded: bool = False,
        working_dir: Path | None = None,
        take_over: bool = False,
        **how: Unpack[How],
    ) -> Result:
        """Go on with an execution that failed, was paused or interrupted, and drive it.

        With `anew`, every step runs again. With `working_dir`, it goes on in that folder, now and later. With
        `take_over`, the process of this machine that drives it is killed first. Raises NotFound, OwnedElsewhere,
        DefinitionChanged, UsageError (among others for one that has completed, or was cancelled and no step is to run
        again), StoreError.
        """
        choice = ResumeOptions(from_step, accept_changes, file, recorded, working_dir, take_over, anew)
        return self.driver(how).resume(self.resolve(name), choice)

    def supervise(
        self,
        *,
        once: bool,
        most: int,
        tell: Callable[[str], None] = lambda text: None,
        files: Sequence[Path] = (),
        **how: Unpack[Course],
    ) -> Stopping | None:
        """Take up what nobody drives: executions of dead runners, waits that are over, approvals that were decided; and
        start what the schedules of `files` say.

        With `once`, return when nothing is due any more; otherwise when stopped, with what stopped it. Raises
        UsageError for a file that cannot be scheduled, StoreError.
        """
        return self.driver(how).supervise(once=once, most=most, tell=tell, files=files)

    def driver(self, how: How | Course) -> Driver:
        """What drives executions of this store in this process."""
        from cerebelum.engine.driver import Driver

        driver = Driver(self.store, self.executors(), self._environ, self.clock, **how)
        listeners = (*driver.settings.listeners, *self._observers())
        return msgspec.structs.replace(driver, settings=msgspec.structs.replace(driver.settings, listeners=listeners))

    # -- asking -------------------------------------------------------------------------------------------------------

    def cancel(self, name: str, *, by: str, why: str | None = None, **how: Unpack[Course]) -> Row:
        """Cancel an execution: whoever drives it stops its steps; if nobody does, this process finishes it.

        Returns how it stands. Raises NotFound, UsageError if it has ended.
        """
        from cerebelum.engine import requests

        return self._ask(name, partial(requests.cancel, by=by, why=why), how)

    def pause(self, name: str, *, by: str, why: str | None = None, **how: Unpack[Course]) -> Row:
        """Have an execution paused, to be resumed later. Raises NotFound, UsageError if it has ended."""
        from cerebelum.engine import requests

        return self._ask(name, partial(requests.pause, by=by, why=why), how)

    def approve(
        self,
        name: str,
        step: str | None = None,
        *,
        by: str,
        comment: str | None = None,
        response: Mapping[str, Any] | None = None,
    ) -> Row:
        """Grant what a step waits for; `response` becomes its output. `step` may be left out if only one waits.

        Raises NotFound, UsageError if nothing waits, it was decided already, or the time is over.
        """
        from cerebelum.engine import requests

        make = partial(requests.approve, step=step, by=by, comment=comment, response=dict(response or {}))
        return lookup.as_shown(self._request(name, make).row)

    def reject(self, name: str, step: str | None = None, *, by: str, comment: str | None = None) -> Row:
        """Refuse what a step waits for: the step fails. Raises what `approve` raises."""
        from cerebelum.engine import requests

        make = partial(requests.reject, step=step, by=by, comment=comment)
        return lookup.as_shown(self._request(name, make).row)

    def _ask(self, name: str, make: requests.Make, how: Course) -> Row:
        """Ask, and finish what was asked for if nobody else is there to do it."""
        log = self._request(name, make)
        if log.state.ended is None and (log.state.cancel or log.state.pausing):
            self.driver(how).finish(log.row)
        return lookup.as_shown(lookup.present(self.store, log.state.execution_id))

    def _request(self, name: str, make: requests.Make) -> Log:
        from cerebelum.engine import requests

        return requests.request(self.store, self.clock, self.resolve(name), make)
