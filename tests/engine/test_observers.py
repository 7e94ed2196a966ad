"""Observers beside the loop: what is left out, what is said, and that nobody waits for long."""

import threading
from datetime import UTC, datetime

import pytest

from cerebelum.core.events import AnyEvent, StepSkipped
from cerebelum.engine import observers
from cerebelum.engine.observers import Observer, Observers


def event(version: int) -> AnyEvent:
    return StepSkipped(version=version, at=datetime.now(UTC), step="a", why="condition")


def test_what_comes_while_too_much_waits_is_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observers, "MOST_WAITING", 3)
    begun, go, heard, said = threading.Event(), threading.Event(), list[int](), list[str]()

    def hear(execution_id: str, event: AnyEvent) -> None:
        begun.set()
        go.wait()
        heard.append(event.version)

    told = Observers([Observer("slow", hear, str)], said.append)
    told.hear("x", event(1))
    assert begun.wait(30)
    for version in range(2, 10):
        told.hear("x", event(version))
    go.set()
    told.close()
    assert heard == [1, 2, 3, 4]
    assert said == ["plugin slow: cerebelum_event was too slow, and was not told of 5 events; `history` has them all"]


def test_one_that_hangs_is_reported_once_during_the_run_and_keeps_nobody_from_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(observers, "PATIENCE", 0.0)
    begun, go, heard, said = threading.Event(), threading.Event(), list[int](), list[str]()

    def hang(execution_id: str, event: AnyEvent) -> None:
        begun.set()
        go.wait()

    def hear(execution_id: str, event: AnyEvent) -> None:
        heard.append(event.version)
        if event.version == 3:
            done.set()

    done = threading.Event()
    told = Observers([Observer("stuck", hang, str), Observer("sound", hear, str)], said.append)
    told.hear("x", event(1))
    assert begun.wait(30)
    told.hear("x", event(2))
    told.hear("x", event(3))
    assert done.wait(30)
    told.close()
    go.set()
    assert heard == [1, 2, 3]
    stuck = [text for text in said if "stuck" in text]
    assert stuck == [
        "plugin stuck: cerebelum_event has not returned for 0 s; nothing waits for it",
        "plugin stuck: cerebelum_event has not returned, and was not told of 2 more; `history` has all events",
    ]


def test_failures_of_any_kind_are_counted_and_the_first_is_explained() -> None:
    said = list[str]()

    def hear(execution_id: str, event: AnyEvent) -> None:
        raise KeyboardInterrupt(str(event.version)) if event.version == 1 else SystemExit(1)

    told = Observers([Observer("bad", hear, lambda error: f"{type(error).__name__} {error}")], said.append)
    for version in (1, 2, 3):
        told.hear("x", event(version))
    told.close()
    assert said == [
        "plugin bad: cerebelum_event: KeyboardInterrupt 1",
        "plugin bad: cerebelum_event failed 3 times of 3; the first failure was shown above",
    ]
