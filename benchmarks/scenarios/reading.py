"""How fast the past is taken up: events folded into a state, and `status` of an execution with many.

In this process, as a resume does it: from events in memory, from their stored text, and from the SQLite file.
"""

from __future__ import annotations

import gc
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.harness import PACKAGE, Bench, Row, Target, interleaved, per, rates
from cerebelum.app import COLLECTED_AFTER
from cerebelum.backends.sqlite import open_store
from cerebelum.core.events import decode
from cerebelum.core.evolve import reconstruct
from cerebelum.store import lookup
from tests.executions import execution


def measure(bench: Bench) -> Iterator[Row]:
    steps = bench.pick(50_000, 5_000)
    whole = execution(0, steps)
    name, texts = whole.summary.execution_id, [entry.text for entry in whole.entries]
    events = [decode(text) for text in texts]
    store = open_store(f"sqlite:///{bench.path}/long.db")
    store.restore([whole])

    def timed(work: Callable[[], object]) -> Callable[[], float]:
        def once() -> float:
            began = time.perf_counter()
            work()
            return time.perf_counter() - began

        return once

    cases = {
        "folded": timed(lambda: reconstruct(name, events)),
        "decoded and folded": timed(lambda: reconstruct(name, map(decode, texts))),
        "read, checked, decoded and folded": timed(lambda: lookup.read(store, name)),
    }
    with _collecting_as_the_program_does():
        runs = rates(interleaved(cases, bench.pick(7, 3)), len(texts))
    yield Row(f"{len(texts):,} events", "events/s", runs, True, (Target(500_000, factor="at least"),))
    store.close()
    yield _status(bench)


@contextmanager
def _collecting_as_the_program_does() -> Iterator[None]:
    """Within it garbage is looked for as seldom as cerebelum/app.py has it looked for."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*COLLECTED_AFTER)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _status(bench: Bench) -> Row:
    """Whole processes, beside an execution of few events."""
    path = bench.path / "status.db"
    store = open_store(f"sqlite:///{path}")
    for number, steps in enumerate((4_999, 4)):
        store.restore([execution(number, steps)])
    store.close()
    program = (bench.binary,) if bench.binary else PACKAGE
    cases = {
        what: lambda number=number: bench.seconds([*program, "--store", str(path), "status", f"made-{number:07}"])
        for number, what in enumerate(("10,000 events", "10 events"))
    }
    subprocess.run([*program, "--version"], env=bench.environment(), check=True, stdout=subprocess.DEVNULL)
    runs = interleaved(cases, bench.pick(15, 5))
    return Row("`status` of an execution of", "ms", per(runs, 1e3))
