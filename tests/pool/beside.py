"""A pool beside whatever a test does in a store: its tables in the schema, and a worker that serves an empty queue."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from cerebelum.backends.postgres import open_store
from cerebelum.store import Runner
from cerebelum.store.pooling import Job, Later, Worker, pool_of

PATIENCE = 30.0


@contextmanager
def pool_beside(url: str) -> Iterator[None]:
    """While this lasts, a worker of another machine serves a queue of the store at `url`, and looks after the jobs."""
    store, failed, performed = open_store(url), list[BaseException](), list[str]()
    runner = Runner(
        "w-beside", "beside", "another", 1, "pid:[1]", 1, datetime.now(UTC), "/nonexistent/w-beside", silent=None
    )

    def perform(job: Job) -> Later | None:
        performed.append(job.key)
        return None

    store.beat(runner)
    worker = Worker(runner, ("nobody-submits-to-this",), (), 1, "1.0")
    service = pool_of(store).service(worker, perform, lambda: None, lambda text: None)

    def serve() -> None:
        try:
            service.run(once=False)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=serve, name="beside")
    thread.start()
    try:
        ready = threading.Event()
        while not failed and not [each for each in pool_of(store).workers() if each.runner.id == runner.id]:
            ready.wait(0.01)
        yield
    finally:
        service.stop()
        thread.join(PATIENCE)
        store.close()
    assert not failed, failed
    assert not thread.is_alive()
    assert performed == []
