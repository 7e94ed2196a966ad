"""The recorded form of events: what is written is what is read, byte for byte, and tampering shows."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cerebelum import __version__
from cerebelum.core.errors import StoreError
from cerebelum.core.events import (
    GENESIS,
    AnyEvent,
    Entry,
    ExecutionPaused,
    ExecutionStarted,
    SleepCompleted,
    StepCompleted,
    chain,
    decode,
    encode,
)
from cerebelum.core.evolve import evolve, reconstruct
from cerebelum.core.model import Input, Retry, Step, Workflow
from tests.core.scenarios import Scenario, scenarios
from tests.core.world import ENVIRONMENT, ID, SOURCE, START, World, step, workflow
from tests.core.world import chain as timeline

TYPES: tuple[type[AnyEvent], ...] = get_args(AnyEvent)

quick = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    Any: json_values,
    str: st.text(max_size=10),
    int: st.integers(-(2**40), 2**40),
    float: st.floats(-1e12, 1e12),
    bool: st.booleans(),
    type(None): st.none(),
    datetime: st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis wants it naive
}


@cache
def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of an annotated type, as far as events and definitions use types."""
    if kind in SIMPLE:
        return SIMPLE[kind]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return st.builds(kind, **{n: values_of(t) for n, t in get_type_hints(kind).items() if n in fields_of(kind)})
    arguments = get_args(kind)
    match get_origin(kind):
        case origin if origin in (Union, types.UnionType):
            return st.one_of([values_of(a) for a in arguments])
        case origin if origin is Literal:
            return st.sampled_from(arguments)
        case origin if origin is tuple:
            return st.lists(values_of(arguments[0]), max_size=2).map(tuple)
        case origin if origin is dict:
            return st.dictionaries(st.text(max_size=5), values_of(arguments[1]), max_size=2)
    raise TypeError(kind)


def fields_of(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    return kind.__struct_fields__


def recorded(*events: AnyEvent, execution_id: str = ID) -> list[Entry]:
    return encode(execution_id, list(events), GENESIS)


def intact(entries: list[Entry], execution_id: str = ID) -> bool:
    """Whether the entries are a chain from the beginning."""
    previous = GENESIS
    for entry in entries:
        previous = chain(previous, execution_id, entry.text.encode())
        if previous != entry.digest:
            return False
    return True


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
def test_what_is_written_is_what_is_read(kind: type[AnyEvent]) -> None:
    @quick
    @given(values_of(kind))
    def holds(event: AnyEvent) -> None:
        (entry,) = recorded(event)
        assert decode(entry.text) == event
        assert (entry.version, entry.type, entry.at) == (event.version, kind.__name__, event.at)

    holds()


@quick
@given(values_of(StepCompleted))
def test_the_text_is_canonical(event: StepCompleted) -> None:
    text = recorded(event)[0].text
    assert recorded(decode(text))[0].text == text
    assert "\n" not in text
    assert text.startswith('{"type":"StepCompleted","version":')


def test_the_order_of_keys_does_not_matter() -> None:
    one = StepCompleted(version=1, at=START, step="a", attempt=1, output={"x": 1, "y": {"b": 2, "a": 3}})
    other = StepCompleted(version=1, at=START, step="a", attempt=1, output={"y": {"a": 3, "b": 2}, "x": 1})
    assert recorded(one) == recorded(other)
    assert recorded(one)[0].text == (
        '{"type":"StepCompleted","version":1,"at":"2026-03-01T12:00:00Z",'
        '"step":"a","attempt":1,"output":{"x":1,"y":{"a":3,"b":2}}}'
    )


def test_moments_keep_their_microseconds() -> None:
    event = SleepCompleted(version=1, at=START + timedelta(microseconds=1), step="a", call=0)
    assert decode(recorded(event)[0].text).at == event.at


def test_a_moment_of_another_zone_is_the_same_moment() -> None:
    at = START.astimezone(timezone(timedelta(hours=5, minutes=30)))
    event = SleepCompleted(version=1, at=at, step="a", call=0)
    assert decode(recorded(event)[0].text).at == START


# -- the chain --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def log() -> list[Entry]:
    world = World(timeline("a", "b")).start()
    world.completes("a", "b")
    return recorded(*world.log)


def test_an_untouched_log_is_intact(log: list[Entry]) -> None:
    assert intact(log)
    assert len({entry.digest for entry in log}) == len(log)


def test_any_changed_byte_shows(log: list[Entry]) -> None:
    for index, entry in enumerate(log):
        for position in range(0, len(entry.text), 7):
            changed = "0" if entry.text[position] != "0" else "1"
            text = entry.text[:position] + changed + entry.text[position + 1 :]
            assert not intact([*log[:index], msgspec.structs.replace(entry, text=text), *log[index + 1 :]])


def test_an_entry_that_is_missing_or_out_of_order_shows(log: list[Entry]) -> None:
    for index in range(len(log) - 1):
        assert not intact([*log[:index], *log[index + 1 :]])
        assert not intact([*log[:index], log[index + 1], log[index], *log[index + 2 :]])


def test_a_log_given_to_another_execution_shows(log: list[Entry]) -> None:
    assert not intact(log, "release-9876543210")


def test_encoding_in_pieces_gives_the_same_chain(log: list[Entry]) -> None:
    events = [decode(entry.text) for entry in log]
    first = encode(ID, events[:3], GENESIS)
    assert first + encode(ID, events[3:], first[-1].digest) == log


# -- other versions, and damage ---------------------------------------------------------------------------------------


def test_fields_of_a_newer_version_are_ignored() -> None:
    event = SleepCompleted(version=1, at=START, step="a", call=0)
    newer = {**json.loads(recorded(event)[0].text), "mood": "good", "nested": {"x": [1]}}
    assert decode(json.dumps(newer)) == event


def test_fields_of_a_newer_version_inside_a_definition_are_ignored() -> None:
    event = World(timeline("a")).start().log[0]
    newer = json.loads(recorded(event)[0].text)
    newer["definition"]["steps"][0]["colour"] = "red"
    assert decode(json.dumps(newer)) == event


def test_an_unknown_type_is_an_error_that_names_it_and_this_version() -> None:
    with pytest.raises(StoreError) as caught:
        decode('{"type":"StepTeleported","version":7,"at":"2026-03-01T12:00:00Z"}', where=ID)
    assert "'StepTeleported'" in caught.value.message
    assert __version__ in caught.value.message
    assert caught.value.where == ID
    assert "newer version" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "7",
        "{}",
        '{"type":7}',
        '{"type":null}',
        '{"type":"StepStarted"}',
        '{"type":"StepStarted","version":"one","at":"2026-03-01T12:00:00Z","step":"a","attempt":1,"executor":"run"}',
        '{"type":"SleepCompleted","version":1,"at":"yesterday","step":"a","call":0}',
        '{"type":"ExecutionPaused","version":1,"at":"2026-03-01T12:00:00Z","why":"boredom"}',
        '\x00{"type":"StepStarted"}',
        "[" * 100_000,
    ],
)
def test_a_damaged_text_is_a_store_error(text: str) -> None:
    with pytest.raises(StoreError, match="damaged"):
        decode(text, where=ID)


def test_a_log_without_its_beginning_is_a_store_error() -> None:
    log = World(timeline("a")).start().log
    with pytest.raises(StoreError, match="begins with StepStarted"):
        reconstruct(ID, log[1:])
    with pytest.raises(StoreError, match="twice"):
        reconstruct(ID, [log[0], log[0]])


# -- definitions ------------------------------------------------------------------------------------------------------


@quick
@given(values_of(Workflow))
def test_a_definition_is_read_as_it_was_written(definition: Workflow) -> None:
    started = ExecutionStarted(
        version=1,
        at=START,
        workflow=definition.name,
        definition=definition,
        source=SOURCE,
        inputs={},
        environment=ENVIRONMENT,
    )
    event = decode(recorded(started)[0].text)
    assert isinstance(event, ExecutionStarted)
    assert event.definition == definition


def test_handlers_in_any_case_are_recorded_under_their_yaml_name() -> None:
    definition = workflow(
        step("a", retry=Retry(3, on=(1, 75))), finally_=(step("z"),), inputs={"n": Input("integer", choices=(1, 2))}
    )
    raw = json.loads(msgspec.json.encode(definition))
    assert [s["id"] for s in raw["finally"]] == ["z"]
    assert msgspec.json.decode(msgspec.json.encode(definition), type=Workflow) == definition


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(scenarios())
def test_a_log_that_went_through_its_recorded_form_adds_up_to_the_same(scenario: Scenario) -> None:
    world = scenario.run(scenario.world().start())
    again = [decode(entry.text) for entry in recorded(*world.log)]
    assert again == world.log
    assert reconstruct(ID, again) == world.state


def test_facts_of_every_type_can_be_folded() -> None:
    """A type that `evolve` forgot would raise here, and for the type checker."""
    state = World(timeline("a")).start().state
    for kind in TYPES:
        if kind is ExecutionStarted:
            continue
        fields: dict[str, Any] = {"version": 9, "at": START, "step": "a", "call": 0, "attempt": 1, "by": "ann"}
        fields |= {"executor": "run", "error": None, "why": "condition", "until": START, "seconds": 1.0}
        fields |= {"group": "production", "holder": "deploy-1"}
        fields |= {"queue": "gpu", "handover": 5, "worker": "w", "host": "agent", "outcome": "completed"}
        if kind is ExecutionPaused:
            fields["why"] = "signal"
        fields["reason"] = "manual"
        event = kind(**{name: value for name, value in fields.items() if name in fields_of(kind)})
        assert evolve(state, event).version == 9


WHILE_BUILDING = """
import sys, threading
from cerebelum.core import events
at_work, decoded = threading.Event(), threading.Event()

def notice(frame, kind, argument):
    if kind == "call" and frame.f_code.co_name == "get_class_annotations" and not at_work.is_set():
        if frame.f_locals["obj"].__name__ == "Workflow":
            at_work.set()
            decoded.wait(0.5)

def first():
    sys.setprofile(notice)
    events.decode(sys.argv[1])

thread = threading.Thread(target=first)
thread.start()
at_work.wait(30)
print(events.decode(sys.argv[1]).definition.name)
decoded.set()
thread.join()
"""


def test_the_first_events_may_be_decoded_by_two_threads_at_once() -> None:
    step = Step(id="a", executor="run", body="true")
    text = recorded(
        ExecutionStarted(
            version=1,
            at=START,
            workflow="w",
            definition=Workflow(name="w", steps=(step,)),
            source=SOURCE,
            inputs={},
            environment=ENVIRONMENT,
        )
    )[0].text
    done = subprocess.run(
        [sys.executable, "-c", WHILE_BUILDING, text], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "w\n"), done.stderr
