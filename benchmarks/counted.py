"""Fixed work in one thread, whose instructions are counted: `python -m benchmarks.counted NAME TIMES`.

The work is done TIMES times. What one of them takes is the difference between doing it twice and doing it once, so that
neither the start of the interpreter nor what is prepared counts.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
Work = Callable[[], object]


def fold() -> Work:
    """5,000 events of 2,500 steps, decoded and folded into a state."""
    from cerebelum.core.events import decode
    from cerebelum.core.evolve import reconstruct
    from tests.executions import execution

    texts = [entry.text for entry in execution(0, 2_499).entries]
    return lambda: reconstruct("made-0000000", map(decode, texts))


def decisions() -> Work:
    """A chain of 300 steps, from its start to its end: decided and folded, without a store."""
    from msgspec.structs import replace

    from cerebelum.core.decide import Circumstances, Ended, Opened, decide
    from cerebelum.core.events import ExecutionStarted, decode
    from cerebelum.core.outcome import Completed
    from tests.executions import execution

    first = decode(execution(0, 300).entries[0].text)
    assert isinstance(first, ExecutionStarted)
    names = [step.id for step in first.definition.steps]
    needs = ((), *((name,) for name in names))
    steps = tuple(replace(step, needs=need) for step, need in zip(first.definition.steps, needs, strict=False))
    first = replace(first, definition=replace(first.definition, steps=steps))

    def work() -> None:
        turn = decide(None, Opened(first), Circumstances(now=NOW), "made-0000000")
        for number, name in enumerate(names):
            at = Circumstances(now=NOW + timedelta(seconds=number))
            turn = decide(turn.state, Ended(name, Completed(None), 0.25), at)
        assert turn.state.ended == "completed"

    return work


def appends() -> Work:
    """1,000 events, encoded and appended one by one to a store in memory."""
    from cerebelum.backends.sqlite import open_memory
    from cerebelum.core.events import GENESIS, StepCompleted, encode
    from cerebelum.core.summary import Summary
    from cerebelum.store import Ownership

    number = 0

    def work() -> None:
        nonlocal number
        number += 1
        store, fence, digest, name = open_memory("memory:"), Ownership("bench", 1), GENESIS, f"bench-{number}"
        for version in range(1, 1_001):
            event = StepCompleted(version=version, at=NOW, step="build", attempt=1, output="x" * 180, duration=0.25)
            [entry] = encode(name, [event], digest)
            digest = entry.digest
            summary = Summary(
                execution_id=name, workflow="bench", status="running", version=version, digest=digest, started_at=NOW,
                updated_at=NOW, steps_total=1_000, steps_done=version, current=("build",),
            )  # fmt: skip
            store.append(name, version - 1, [entry], summary, fence=fence)
        store.close()

    return work


def loading() -> Work:
    """A YAML file of 100 steps, read, checked and made a workflow."""
    from pathlib import Path

    from cerebelum.app import App
    from cerebelum.definition.workflows import parse

    steps = "".join(
        f"  - id: s{n}\n    run: make part-{n}\n    env: {{PART: '${{{{ inputs.part }}}}'}}\n    timeout: 10m\n"
        for n in range(100)
    )
    text = f"name: loaded\ninputs:\n  part: {{type: string, default: x}}\nsteps:\n{steps}"
    executors = App({}).executors()
    return lambda: parse(text, "loaded.yaml", Path("/"), executors)


def tables() -> Work:
    """A table of 200 steps as a terminal shows it."""
    from cerebelum.core.events import decode
    from cerebelum.core.evolve import reconstruct
    from cerebelum.render.tables import table
    from tests.executions import execution

    whole = execution(0, 200)
    state = reconstruct("made-0000000", (decode(entry.text) for entry in whole.entries))
    assert state is not None
    rows = [("✓", name, f"{at.attempt}", f"→ {at.output}") for name, at in state.steps.items()]
    return lambda: table(rows, width=100, giving=(3, 1))


WORKS: dict[str, Callable[[], Work]] = {
    "fold": fold,
    "decide": decisions,
    "append": appends,
    "load": loading,
    "table": tables,
}


def main() -> None:
    work = WORKS[sys.argv[1]]()
    gc.disable()
    for _ in range(int(sys.argv[2])):
        work()


if __name__ == "__main__":
    main()
