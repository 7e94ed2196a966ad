"""`ExecutionClient`: what Python programs start, watch and steer executions with, from a loop or without one."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from cerebelum.core.errors import UsageError
from cerebelum.core.events import AnyEvent, decode
from cerebelum.core.status import GOING_ON
from cerebelum.core.step_kind import Defines
from cerebelum.host.surroundings import who
from cerebelum.sdk.arguments import count, moment, named_execution, named_store, tag_list, workflow_file
from cerebelum.sdk.background import Background
from cerebelum.sdk.both_ways import Bell, Closing, Rest, Threads, stream, verb, waiting
from cerebelum.sdk.core_url import VARIABLE, store_of
from cerebelum.sdk.input_types import plain
from cerebelum.sdk.statuses import COUNT_TO, ExecutionPage, ExecutionState, ExecutionStatus, of_row, of_view, page_of
from cerebelum.sdk.statuses import wanted as statuses
from cerebelum.store import Chunk, EventStore, Query, Row, every, every_entry, lookup
from cerebelum.store.liveness import driven
from cerebelum.store.news import News

if TYPE_CHECKING:
    from cerebelum.core.plan import Plan
    from cerebelum.sdk.verbs import Verbs

_LOOK_SECONDS = 0.2
"""Between two looks, where the store does not tell."""
_MOST_SECONDS = 1.0
"""Between two looks, where it does: the death of a runner is never told."""


def _nothing(text: str) -> None:
    return None


class ExecutionClient(Closing):
    """Executions of one store. Every method can be awaited, and is blocking as `client.method.blocking(…)`.

    `store` is a URL or the path of an SQLite file; without it, CEREBELUM_STORE or the user's default store is meant.
    `core_url`, such as `host:9090`, or else CEREBELUM_CORE_URL if no store is given, names a service (`cerebelum
    serve`) that is asked instead: what is started or gone on with is driven there, and stays so when this client is
    closed. `on_note(text)` is told, in another thread, what the user should know when an execution goes on: that its
    file is gone, or that files are elsewhere.

    Wherever an id is taken, it may be a unique prefix, or `last`. An id that means nothing raises NotFound. What cannot
    be done raises a `CerebelumError`; an execution that fails is no error. One client can be used from several threads
    and loops at once. It is closed by `async with`, `with`, or `close`.

    Example:
        >>> from cerebelum import ExecutionClient
        >>> with ExecutionClient("memory:nothing-yet") as client:
        ...     client.list_executions.blocking().total_count
        0
    """

    def __init__(
        self,
        store: str | os.PathLike[str] | None = None,
        *,
        core_url: str | None = None,
        on_note: Callable[[str], None] = _nothing,
    ) -> None:
        from cerebelum.sdk import wiring

        self._begin(wiring.verbs(_store(store, core_url)), on_note, lent=False)

    @classmethod
    def over(cls, verbs: Verbs, *, on_note: Callable[[str], None] = _nothing) -> Self:
        """A client of these verbs, which stay open when it is closed."""
        client = cls.__new__(cls)
        client._begin(verbs, on_note, lent=True)
        return client

    def _begin(self, verbs: Verbs, on_note: Callable[[str], None], *, lent: bool) -> None:
        self._opened: Verbs | None = verbs
        self._lent = lent
        self._background = Background(on_note)
        self.threads = Threads()

    @property
    def verbs(self) -> Verbs:
        """What this client stands on, one blocking method for each verb. Raises UsageError if it is closed."""
        if self._opened is None:
            raise _closed()
        return self._opened

    # -- looking ------------------------------------------------------------------------------------------------------

    @verb
    def get_execution_status(self, execution_id: str) -> ExecutionStatus:
        """How an execution stands now, with its steps. Raises NotFound, UsageError for a prefix of several."""
        return self._status(execution_id)

    @verb
    def list_executions(
        self,
        workflow_name: str | None = None,
        status: ExecutionState | str | Iterable[ExecutionState | str] | None = None,
        limit: int = 50,
        offset: int = 0,
        tags: str | Iterable[str] | None = None,
        since: datetime | None = None,
    ) -> ExecutionPage:
        """A page of executions, newest first, which also unpacks as (executions, total_count, has_more).

        `status`: one or several, as ExecutionState or its name; all of `tags` must be there; started at or after
        `since`, which has a time zone. No events are read: ExecutionStatus says what is left out. Raises UsageError.
        """
        query = Query(
            workflow=workflow_name,
            status=statuses(status),
            limit=count("limit", limit),
            offset=count("offset", offset),
            tag=tag_list(tags),
            since=moment("since", since),
            count_to=COUNT_TO + 1,
        )
        return page_of(self.verbs.list(query), offset, self.verbs.clock.now())

    @verb
    def list_active_workflows(self) -> list[ExecutionStatus]:
        """All executions that are running, sleeping or waiting for approval, newest first, without their steps.

        One whose process died while it was running is not among them: it is paused.
        """
        store, now = self.verbs.store, self.verbs.clock.now()
        dead = lookup.dead_runners(store)
        query = Query(status=GOING_ON, dead_runners=dead)
        claims = store.claims()
        rows = (lookup.as_shown(lookup.as_known(row, dead), claims) for row in every(store, query))
        return [of_row(row, now) for row in rows if row.summary.status in GOING_ON]

    @stream
    def events(
        self, execution_id: str, after: int = 0, follow: bool = False
    ) -> Generator[list[AnyEvent] | Rest, None, None]:
        """The events of an execution after version `after`, in order.

        With `follow`, those to come as well, until it has ended or is paused, also by the death of its process. Raises
        NotFound.
        """
        verbs = self.verbs
        name, bell = verbs.resolve(execution_id), Bell()
        if not follow:
            yield from _pages(verbs.store, name, after)
            return
        with News(verbs.store, name, _LOOK_SECONDS, bell.ring) as news:
            while True:
                # Looked at first: what is recorded by then is still read.
                over = lookup.shown(lookup.present(verbs.store, name))[0] not in GOING_ON
                for new in _pages(verbs.store, name, after):
                    after = new[-1].version
                    yield new
                if over:
                    return
                yield self._rest(bell, news)

    @stream
    def logs(
        self, execution_id: str, step: str | None = None, attempt: int | None = None, follow: bool = False
    ) -> Generator[list[Chunk] | Rest, None, None]:
        """What the steps of an execution printed, masked, in the order it was written: `.data` is bytes.

        With `follow`, what is still to come as well, until it no longer goes on. Raises NotFound, also for a step or an
        attempt that is not there.
        """
        verbs = self.verbs
        name, bell = verbs.resolve(execution_id), Bell()
        if step is not None or attempt is not None:
            lookup.check_attempt(lookup.read(verbs.store, name).state, step, None if follow else attempt)
        if not follow:
            yield from lookup.pages(verbs.store, name, step, attempt, follow=False)
            return
        with News(verbs.store, name, _LOOK_SECONDS, bell.ring) as news:
            for chunks in lookup.pages(verbs.store, name, step, attempt, follow=True):
                yield chunks or self._rest(bell, news)

    @waiting
    def wait(self, execution_id: str, timeout: float | None = None) -> Generator[Rest, None, ExecutionStatus]:
        """Wait until an execution has ended, or rests; and give how it stands then.

        It rests when it is paused, and also when it sleeps or waits for approval and no process drives it: nothing
        comes of that by itself, unless somebody supervises the store. Raises TimeoutError after `timeout` seconds,
        NotFound, and what ended the driving if this client drove it and could not go on.
        """
        verbs = self.verbs
        name, bell = verbs.resolve(execution_id), Bell()
        end = None if timeout is None else verbs.clock.elapsed() + timeout
        with News(verbs.store, name, _LOOK_SECONDS, bell.ring) as news:
            while not _rests(lookup.present(verbs.store, name)):
                left = _MOST_SECONDS if end is None else end - verbs.clock.elapsed()
                if left <= 0:
                    raise TimeoutError(f"{name} still goes on after {timeout:g} s")
                yield self._rest(bell, news, left)
        self._background.check(name)
        return self._status(name)

    # -- driving ------------------------------------------------------------------------------------------------------

    @waiting
    def start_execution(
        self,
        workflow: str | os.PathLike[str] | Defines,
        inputs: Any = None,
        *,
        execution_id: str | None = None,
        tags: str | Iterable[str] = (),
        or_resume: bool = False,
        lock: str | None = None,
    ) -> Generator[Rest, None, str]:
        """Start an execution of a workflow, or of a file with one, and return its id once its first event is recorded.

        It is driven in the background of this process, until it has ended or the client is closed. With `or_resume`, an
        execution that has this `execution_id` already goes on, or is left as it is if it has completed. With `lock`, it
        waits until no other one has the lock of that name. A start whose await is cancelled may have taken place.
        Raises UsageError (DefinitionError for the file), OwnedElsewhere, DefinitionChanged, StoreError: then nothing
        was started.
        """
        origin = workflow if isinstance(workflow, Defines) else workflow_file(workflow)
        named_execution(execution_id)
        verbs, given = self.verbs.performing(origin), plain(inputs)
        run = partial(
            verbs.run, origin, given, execution_id=execution_id, or_resume=or_resume, tags=tag_list(tags), lock=lock
        )
        job = self._background.start(lambda how: run(**how))
        return (yield from job.begun())

    @waiting
    def resume_execution(
        self,
        execution_id: str,
        skip_completed_steps: bool = True,
        *,
        from_step: str | None = None,
        accept_changes: bool = False,
        recorded: bool = False,
        workflow: Defines | None = None,
    ) -> Generator[Rest, None, str]:
        """Go on with an execution that failed or is paused, and return its whole id once that is recorded.

        It is driven in the background, as by `start_execution`. Without `skip_completed_steps`, every step runs again;
        `from_step`: that one and what follows from it. `accept_changes` keeps the outputs of completed steps whose
        definition has changed since, `recorded` goes on with the definition as it was, `workflow` with that object.

        Raises NotFound, OwnedElsewhere, DefinitionChanged, StoreError, and UsageError, among others for one that has
        completed.
        """
        verbs = self.verbs.performing(workflow)
        if from_step is not None and not skip_completed_steps:
            raise UsageError("from_step says which steps are skipped", hint="leave out skip_completed_steps")
        job = self._background.start(
            lambda how: verbs.resume(
                execution_id,
                from_step=from_step,
                anew=not skip_completed_steps,
                accept_changes=accept_changes,
                recorded=recorded,
                file=workflow,
                **how,
            )
        )
        return (yield from job.begun())

    @waiting
    def fork_execution(
        self,
        execution_id: str,
        from_step: str,
        inputs: Any = None,
        *,
        new_id: str | None = None,
        accept_changes: bool = False,
        recorded: bool = False,
        workflow: Defines | None = None,
    ) -> Generator[Rest, None, str]:
        """Start a new execution that takes over what an old one completed before `from_step`; its id.

        `inputs` replace recorded ones. It is driven in the background, and raises what `resume_execution` raises, but
        works on any execution.
        """
        verbs, given = self.verbs.performing(workflow), plain(inputs)
        job = self._background.start(
            lambda how: verbs.fork(
                execution_id,
                from_step,
                given,
                execution_id=new_id,
                accept_changes=accept_changes,
                recorded=recorded,
                **how,
            )
        )
        return (yield from job.begun())

    @verb
    def plan_resume(
        self,
        execution_id: str,
        skip_completed_steps: bool = True,
        *,
        from_step: str | None = None,
        accept_changes: bool = False,
        recorded: bool = False,
    ) -> Plan:
        """What `resume_execution` with the same arguments would do to each step. Changes nothing."""
        return self.verbs.plan(
            execution_id,
            from_step=from_step,
            anew=not skip_completed_steps,
            accept_changes=accept_changes,
            recorded=recorded,
        )

    # -- asking -------------------------------------------------------------------------------------------------------

    @verb
    def approve(
        self,
        execution_id: str,
        step: str | None = None,
        *,
        by: str | None = None,
        comment: str | None = None,
        response: Mapping[str, Any] | None = None,
    ) -> ExecutionStatus:
        """Grant what a step waits for; `response` becomes its output. `step` may be left out if only one waits.

        Whoever drives the execution goes on with it; if nobody does, it has to be resumed. `by` is this user if left
        out. Returns how it stands. Raises NotFound, UsageError if nothing waits, it was decided already, or the time is
        over.
        """
        row = self.verbs.approve(execution_id, step, by=by or who(), comment=comment, response=response)
        return self._status(row.summary.execution_id)

    @verb
    def reject(
        self, execution_id: str, step: str | None = None, *, by: str | None = None, comment: str | None = None
    ) -> ExecutionStatus:
        """Refuse what a step waits for: the step fails. Otherwise like `approve`."""
        row = self.verbs.reject(execution_id, step, by=by or who(), comment=comment)
        return self._status(row.summary.execution_id)

    @waiting
    def cancel(
        self, execution_id: str, *, by: str | None = None, why: str | None = None
    ) -> Generator[Rest, None, ExecutionStatus]:
        """Cancel an execution. Whoever drives it ends its steps: see `wait`; if nobody does, this process finishes it.

        Returns how it stands. Raises NotFound, UsageError if it has ended.
        """
        verbs = self.verbs
        job = self._background.start(
            lambda how: verbs.cancel(execution_id, by=by or who(), why=why, on_engine=how["on_engine"])
        )
        row: Row = yield from job.ended()
        return self._status(row.summary.execution_id)

    @waiting
    def pause(
        self, execution_id: str, *, by: str | None = None, why: str | None = None
    ) -> Generator[Rest, None, ExecutionStatus]:
        """Have an execution paused, to be resumed later; otherwise like `cancel`."""
        verbs = self.verbs
        job = self._background.start(
            lambda how: verbs.pause(execution_id, by=by or who(), why=why, on_engine=how["on_engine"])
        )
        row: Row = yield from job.ended()
        return self._status(row.summary.execution_id)

    # -- the end ------------------------------------------------------------------------------------------------------

    @verb
    def close(self) -> None:
        """Pause, in an orderly way, what this client drives, and let go of the store. Closing twice is allowed."""
        self._background.close()
        opened, self._opened = self._opened, None
        if opened is not None and not self._lent:
            opened.close()
        self.threads.close()

    def _rest(self, bell: Bell, news: News, most: float = _MOST_SECONDS) -> Rest:
        """Until there is news, or it is time to look. Raises UsageError if nobody is to wait any more."""
        if self._opened is None:
            raise _closed()
        return Rest(bell, min(news.every, _MOST_SECONDS, most))

    def _status(self, name: str) -> ExecutionStatus:
        return of_view(self.verbs.status(name), self.verbs.clock.now())


def _closed() -> UsageError:
    return UsageError("this client is closed", hint="make another one")


def _rests(row: Row) -> bool:
    """Whether nothing comes of it by itself."""
    return lookup.shown(row)[0] not in GOING_ON or not driven(row)


def _store(store: str | os.PathLike[str] | None, core_url: str | None) -> str | None:
    """The store that is meant, or the service; None for the default one. Raises UsageError."""
    if store is not None and core_url is not None:
        raise UsageError("store and core_url exclude each other", hint="a service knows which store it is of")
    if core_url is not None:
        return store_of(core_url, "core_url")
    if store is None and (named := os.environ.get(VARIABLE)):
        return store_of(named, VARIABLE)
    return named_store(store)


def _pages(store: EventStore, execution_id: str, after: int) -> Iterator[list[AnyEvent]]:
    for page in every_entry(store, execution_id, after):
        yield [decode(entry.text, where=execution_id) for entry in page]
