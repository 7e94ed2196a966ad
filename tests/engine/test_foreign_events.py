"""What others append while a runner drives is folded and heeded; listeners hear of everything once it is recorded."""

from datetime import UTC, datetime
from typing import Any

import pytest

from cerebelum.core.errors import UsageError
from cerebelum.core.events import AnyEvent, CancelRequested, ExecutionCancelled, StepCompleted, StepInterrupted, encode
from cerebelum.core.evolve import evolve
from cerebelum.core.summary import summarise
from cerebelum.sdk.verbs import Verbs
from cerebelum.store import Conflict
from cerebelum.store.lookup import read
from tests.engine.harness import Lab, await_words, in_thread, left_of, said, with_listener


def request_cancel(client: Verbs, name: str) -> None:
    """Append CancelRequested as anybody may, from a connection of its own."""
    while True:
        log = read(client.store, name)
        event = CancelRequested(version=log.state.version + 1, at=datetime.now(UTC), by="somebody", why="enough")
        entries = encode(name, [event], log.digest)
        summary = summarise(evolve(log.state, event), entries[-1].digest)
        try:
            client.store.append(name, log.state.version, entries, summary)
        except Conflict:
            continue
        return


def test_a_cancellation_ends_the_steps_runs_its_handlers_and_closes_the_log(lab: Lab) -> None:
    ready = lab.fifo("ready")
    path = lab.write("""
        steps:
          - parallel:
              - {id: a, run: 'trap "echo goodbye >> done; exit 0" TERM; echo x > ready; sleep 600 & wait'}
              - {id: b, run: sleep 600, retry: {attempts: 3, delay: 1ms}}
          - {id: c, run: echo c >> done}
        on_failure: [{id: f, run: echo failure >> done}]
        on_cancel: [{id: h, run: 'echo "$CEREBELUM_STATUS" >> done'}]
        finally: [{id: z, run: echo finally >> done}]
        """)
    wait = in_thread(lambda: lab.run(path))
    await_words(ready)
    client = lab.client()
    name = client.resolve("last")
    request_cancel(client, name)
    result = wait()
    assert (result.state.ended, result.exit_code) == ("cancelled", 6)
    assert lab.lines("done") == ["goodbye", "cancelled", "finally"]
    events = lab.events(name)
    assert [e.version for e in events] == list(range(1, len(events) + 1))
    assert isinstance(events[-1], ExecutionCancelled)
    assert events[-1].by == "somebody"
    whys = [e.why for e in events if isinstance(e, StepInterrupted)]
    assert set(whys) == {"cancelled"}
    assert left_of(f"CEREBELUM_EXECUTION_ID={name}") == []


def test_an_append_by_others_between_two_of_ours_loses_neither(lab: Lab) -> None:
    """The request comes in the very moment a step completes: the runner's own append conflicts and is decided again."""
    other = lab.client()

    def listener(name: str, event: AnyEvent) -> None:
        if isinstance(event, StepCompleted) and event.step == "a":
            request_cancel(other, name)

    result = lab.run(
        """
        steps:
          - {id: a, run: echo a >> done}
          - {id: b, run: 'echo b >> done; sleep 600'}
          - {id: c, run: echo c >> done}
        finally: [{id: z, run: echo finally >> done}]
        """,
        settings=with_listener(listener),
    )
    assert result.state.ended == "cancelled"
    assert "c" not in lab.lines("done")
    assert lab.lines("done")[-1] == "finally"
    versions = [e.version for e in lab.events()]
    assert versions == list(range(1, len(versions) + 1))


def test_a_cancelled_execution_is_resumed_only_with_a_step_to_go_on_from(lab: Lab) -> None:
    test_an_append_by_others_between_two_of_ours_loses_neither(lab)
    lab.write("steps: [{id: a, run: echo a >> done}, {id: b, run: 'echo b2 >> done'}]")
    with pytest.raises(UsageError, match="--from"):
        lab.resume()
    assert lab.resume(from_step="b").exit_code == 0
    assert lab.lines("done")[-1] == "b2"


def test_listeners_hear_of_an_event_only_when_it_is_recorded(lab: Lab) -> None:
    other = lab.client()
    heard: list[tuple[int, int]] = []

    def listener(name: str, event: AnyEvent) -> None:
        heard.append((event.version, other.history(name)[-1].version))

    lab.run("steps: [{id: a, run: 'true'}, {id: b, run: 'true'}]", settings=with_listener(listener))
    assert [version for version, _ in heard] == [e.version for e in lab.events()]
    assert all(version <= recorded for version, recorded in heard)


def test_the_id_is_told_when_the_execution_is_recorded_and_before_any_step_ends(lab: Lab) -> None:
    told: list[list[str]] = []
    other = lab.client()
    lab.run("steps: [{id: a, run: 'true'}]", on_start=lambda name: told.append(said(other.history(name))))
    assert told == [["ExecutionStarted", "StepStarted a"]]


def test_a_request_that_comes_just_before_the_first_append_of_a_resume_does_not_stop_it(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = lab.run("steps: [{id: a, run: 'echo a >> done; test -e mended'}]").execution_id
    (lab.folder / "mended").touch()
    client, others = lab.client(), [lab.client()]
    append = client.store.append

    def meddled(*arguments: Any, **options: Any) -> None:
        while others:
            request_cancel(others.pop(), name)
        append(*arguments, **options)

    monkeypatch.setattr(client.store, "append", meddled)
    assert client.resume(name).end == "ended"
    events = lab.events(name)
    assert [e.version for e in events] == list(range(1, len(events) + 1))
    assert said(events).count("ExecutionResumed") == 1
