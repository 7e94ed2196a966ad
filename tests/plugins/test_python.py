"""`python:` calls functions by name in this process or in one of their own, and explains whatever goes wrong."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cerebelum.core.errors import CerebelumError
from cerebelum.core.model import Step
from cerebelum.core.outcome import Completed, Failed, Interrupted, Outcome
from cerebelum.plugins.python import Python, cerebelum_executors
from cerebelum.steps.executor import Stop
from cerebelum.steps.process import start_ticks
from tests.attempts import MemorySink, attempt, wait_until

TASKS = """
import asyncio, os, sys, threading, time, datetime, uuid, dataclasses
import sibling

def facts(context, inputs, extra=None):
    return [context.execution_id, context.workflow_name, context.step_name, context.attempt, context.idempotency_key,
            context.inputs, inputs, context.outputs, context.secrets, context.cancelled, extra]

def add(a, b=2, *, c=0):
    return a + b + c

def pos(a, /, b): return [a, b]
def anything(**given): return given
def spoil(inputs, context, items):
    inputs["x"].append(9); context.outputs["a"].append(9); items.append(9)

def sibling_value(): return sibling.VALUE

async def later(context):
    print("before")
    await asyncio.sleep(0)
    print("after", file=sys.stderr)
    return context.step_name

def prints():
    print("text", end=" "); print("more"); print("error", file=sys.stderr)
    sys.stdout.buffer.write(b"raw \\xff\\x00\\n"); sys.stdout.flush()
    print("lone \\udcff"); print("no newline", end="")

def fails(): deeper()
def deeper(): raise ValueError("it is wrong")
def chained():
    try: deeper()
    except ValueError as error: raise KeyError("k") from error
async def fails_later():
    await asyncio.sleep(0)
    deeper()
def leaves(): sys.exit(0)
async def leaves_later(): sys.exit(3)
def interrupts(): raise KeyboardInterrupt
class Odd(Exception):
    def __str__(self): raise RuntimeError
def odd(): raise Odd

def rich():
    @dataclasses.dataclass
    class Point:
        x: int
        when: datetime.datetime
    return {"p": Point(1, datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc)), "t": (1, 2),
            "u": uuid.UUID(int=1), "d": datetime.date(2024, 1, 2)}

VALUES = {"nan": [1, {"x": float("nan")}], "set": {"a": {object()}}, "big": 1 << 70, "object": [object()],
          "surrogate": "\\ud800", "key": {(1, 2): 2}, "large": "x" * 2_000_000, "generator": (x for x in ())}
VALUES["loop"] = loop = []
loop.append(loop)
def value(name): return VALUES[name]

def waits(context):
    print("ready")
    return context.wait(1000)

async def waits_later():
    print("ready")
    try:
        await asyncio.sleep(1000)
    finally:
        print("cleaned")

def stubborn():
    open("pid", "w").write(str(os.getpid()))
    print("ready")
    time.sleep(1000)

def crash(): os.kill(os.getpid(), 11)
def vanish(): print("last words"); os._exit(4)
def where(): return [os.getcwd(), os.environ["OWN"], os.getpid()]
def spawns():
    import subprocess
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    open("pid", "w").write(str(child.pid))
    raise ValueError("after spawning")
"""
EVERY_WAY = pytest.mark.parametrize("isolated", [False, True], ids=["in-process", "isolated"])


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / "sibling.py").write_text("VALUE = 'from a sibling'")
    yield tmp_path
    sys.modules.pop("sibling", None)
    while str(tmp_path) in sys.path:
        sys.path.remove(str(tmp_path))


def run(folder: Path, body: str, isolated: bool = False, given: dict[str, Any] | None = None, **more: Any) -> Outcome:
    options = {"with": given or {}, "isolated": isolated}
    return Python().run(attempt(folder, "python", body, options=options, **more))


def failure(outcome: Outcome) -> str:
    assert isinstance(outcome, Failed), outcome
    return f"{outcome.error.kind}: {outcome.error.message}"


def test_the_plugin_offers_python() -> None:
    assert [executor.key for executor in cerebelum_executors()] == ["python"]


@EVERY_WAY
@pytest.mark.parametrize("body", ["tasks.py:add", "tasks:add"])
def test_a_function_is_called_with_arguments_by_name(folder: Path, isolated: bool, body: str) -> None:
    assert run(folder, body, isolated, {"a": 1, "c": 10}) == Completed(13)


@EVERY_WAY
def test_context_and_inputs_are_given_to_who_asks_for_them(folder: Path, isolated: bool) -> None:
    more: dict[str, Any] = {"inputs": {"x": 1}, "outputs": {"a": [2]}, "secrets": {"T": "hunter2"}}
    facts = ["w-0123456789", "w", "s", 1, "key-1", {"x": 1}, {"x": 1}, {"a": [2]}, {"T": "hunter2"}, False, "e"]
    assert run(folder, "tasks.py:facts", isolated, {"extra": "e"}, **more) == Completed(facts)
    facts[6] = "mine"
    assert run(folder, "tasks.py:facts", isolated, {"extra": "e", "inputs": "mine"}, **more) == Completed(facts)


def test_every_kind_of_parameter_can_be_given(folder: Path) -> None:
    assert run(folder, "tasks.py:pos", given={"b": 2, "a": 1}) == Completed([1, 2])
    assert run(folder, "tasks.py:anything", given={"b": 2, "context": 1}) == Completed({"b": 2, "context": 1})
    assert run(folder, "math:sqrt", given={}) != Completed(None)


def test_a_function_cannot_change_what_others_see(folder: Path) -> None:
    x, a, items = [1], [2], [3]
    run(folder, "tasks.py:spoil", given={"items": items}, inputs={"x": x}, outputs={"a": a})
    assert (x, a, items) == ([1], [2], [3])


@EVERY_WAY
def test_arguments_that_do_not_fit_are_named_before_the_call(folder: Path, isolated: bool) -> None:
    outcome = run(folder, "tasks.py:add", isolated, {"bb": 1})
    assert failure(outcome).startswith("arguments: add cannot be called: there is no parameter bb; a is missing")
    assert isinstance(outcome, Failed)
    assert not outcome.retryable


@EVERY_WAY
def test_siblings_of_the_workflow_file_can_be_imported(folder: Path, isolated: bool) -> None:
    assert run(folder, "tasks.py:sibling_value", isolated) == Completed("from a sibling")


@EVERY_WAY
def test_an_async_function_is_awaited_and_its_output_caught(folder: Path, isolated: bool) -> None:
    sink = MemorySink()
    assert run(folder, "tasks.py:later", isolated, sink=sink) == Completed("s")
    assert (sink.out, sink.err) == (b"before\n", b"after\n")


@EVERY_WAY
def test_what_a_function_prints_goes_to_the_step(
    folder: Path, isolated: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    sink = MemorySink()
    assert run(folder, "tasks.py:prints", isolated, sink=sink) == Completed(None)
    assert sink.out == b"text more\nraw \xff\x00\nlone \\udcff\nno newline"
    assert sink.err == b"error\n"
    assert capsys.readouterr() == ("", "")
    print("outside")
    assert capsys.readouterr().out == "outside\n"


def test_parallel_steps_do_not_mix_their_output_and_a_printing_sink_does_not_loop(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal(MemorySink):
        def write(self, stream: Any, data: bytes) -> None:
            super().write(stream, data)
            print("shown")

    (folder / "many.py").write_text("def many(word):\n    for _ in range(100): print(word)\n")
    sinks = {word: Terminal() for word in ("one", "two", "three")}
    threads = [
        threading.Thread(target=run, args=(folder, "many.py:many", False, {"word": word}), kwargs={"sink": sink})
        for word, sink in sinks.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {word: sink.out.decode() for word, sink in sinks.items()} == {word: f"{word}\n" * 100 for word in sinks}
    assert capsys.readouterr().out == "shown\n" * 300


@EVERY_WAY
@pytest.mark.parametrize("function", ["fails", "fails_later"])
def test_an_exception_shows_the_users_frames_only(folder: Path, isolated: bool, function: str) -> None:
    outcome = run(folder, f"tasks.py:{function}", isolated)
    assert failure(outcome) == "exception: ValueError: it is wrong"
    assert isinstance(outcome, Failed)
    frames = [line for line in (outcome.error.traceback or "").splitlines() if line.startswith("  File")]
    assert [line.split(" in ")[1] for line in frames] == [function, "deeper"]
    assert all(str(folder / "tasks.py") in line for line in frames)


@EVERY_WAY
@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("leaves", "exception: SystemExit: the function tried to end the process (sys.exit(0))"),
        ("leaves_later", "exception: SystemExit: the function tried to end the process (sys.exit(3))"),
        ("interrupts", "exception: KeyboardInterrupt"),
        ("odd", "exception: Odd (its text cannot be made)"),
        ("chained", "exception: KeyError: 'k'"),
    ],
)
def test_whatever_a_function_raises_is_a_failure(folder: Path, isolated: bool, function: str, said: str) -> None:
    assert failure(run(folder, f"tasks.py:{function}", isolated)) == said
    assert run(folder, "tasks.py:later", isolated) == Completed("s")


@EVERY_WAY
def test_dates_uuids_and_dataclasses_are_recorded_as_json(folder: Path, isolated: bool) -> None:
    assert run(folder, "tasks.py:rich", isolated) == Completed(
        {
            "p": {"x": 1, "when": "2024-01-02T00:00:00Z"},
            "t": [1, 2],
            "u": "00000000-0000-0000-0000-000000000001",
            "d": "2024-01-02",
        }
    )


@EVERY_WAY
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nan", "output[1].x is nan"),
        ("set", "output.a{…} is of type object"),
        ("big", "output is an integer beyond 64 bits"),
        ("object", "output[0] is of type object"),
        ("surrogate", "output is text with a lone surrogate"),
        ("key", "output has the key (1, 2) of type tuple"),
        ("large", "the output has 2000002 bytes, the limit is 1048576"),
        ("generator", "output is of type generator"),
        ("loop", "nested deeper than 200 levels (or contains itself)"),
    ],
)
def test_what_json_cannot_say_is_refused_with_type_and_place(
    folder: Path, isolated: bool, name: str, said: str
) -> None:
    told = failure(run(folder, "tasks.py:value", isolated, {"name": name}))
    assert told.startswith("output: ")
    assert said in told


@EVERY_WAY
@pytest.mark.parametrize("function", ["waits", "waits_later"])
def test_a_stop_is_heard_by_context_and_by_cancellation(folder: Path, isolated: bool, function: str) -> None:
    stop = Stop()
    sink = MemorySink({b"ready": lambda: stop("timeout", 30)})
    begun = time.monotonic()
    assert run(folder, f"tasks.py:{function}", isolated, stop=stop, sink=sink) == Interrupted()
    assert ("cleaned" in sink.out.decode()) == (function == "waits_later")
    assert time.monotonic() - begun < 20


@EVERY_WAY
def test_a_stop_before_the_start_interrupts(folder: Path, isolated: bool) -> None:
    stop = Stop()
    stop("cancelled", 0.1)
    assert run(folder, "tasks.py:waits_later", isolated, stop=stop) == Interrupted()


def test_an_isolated_function_that_does_not_listen_is_killed(folder: Path) -> None:
    stop = Stop()
    sink = MemorySink({b"ready": lambda: stop("timeout", 0.5)})
    assert run(folder, "tasks.py:stubborn", True, stop=stop, sink=sink) == Interrupted()
    assert start_ticks(int((folder / "pid").read_text())) is None


def test_an_isolated_function_has_the_steps_environment_and_folder(folder: Path) -> None:
    (folder / "sub").mkdir()
    outcome = run(folder, "tasks.py:where", True, env={"OWN": "yes"}, cwd=folder / "sub")
    assert isinstance(outcome, Completed)
    assert outcome.output[:2] == [str(folder / "sub"), "yes"]
    assert outcome.output[2] != os.getpid()


def test_a_crash_of_an_isolated_function_is_a_clear_failure(folder: Path) -> None:
    outcome = run(folder, "tasks.py:crash", True)
    assert failure(outcome) == "signal: the process ended before the function had returned: killed by SIGSEGV"
    assert isinstance(outcome, Failed)
    assert "in crash" in (outcome.error.tail or "")
    outcome = run(folder, "tasks.py:vanish", True)
    assert failure(outcome) == "exit: the process ended before the function had returned: exit code 4"
    assert isinstance(outcome, Failed)
    assert outcome.error.tail == "last words\n"


def test_what_a_failed_isolated_function_started_is_killed(folder: Path) -> None:
    assert failure(run(folder, "tasks.py:spawns", True)) == "exception: ValueError: after spawning"
    assert start_ticks(int((folder / "pid").read_text())) is None


def test_a_changed_file_is_loaded_again_and_an_unchanged_one_is_not(folder: Path) -> None:
    file = folder / "again.py"
    file.write_text("import os\nTOKEN = os.urandom(8).hex()\ndef token(): return TOKEN\n")
    first = run(folder, "again.py:token")
    os.utime(file)
    assert run(folder, "again.py:token") == first
    stamp = file.stat()
    file.write_text("def token(): return 'changed'\n" + "#" * 39 + "\n")
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    assert run(folder, "again.py:token") == Completed("changed")


def test_equal_names_in_two_folders_are_two_modules(folder: Path) -> None:
    for name in ("one", "two"):
        (folder / name).mkdir()
        (folder / name / "same.py").write_text(f"def who(): return {name!r}")
    assert [run(folder / name, "same:who") for name in ("one", "two")] == [Completed("one"), Completed("two")]


def test_a_package_in_the_folder_can_be_used(folder: Path) -> None:
    (folder / "pack_of_test").mkdir()
    (folder / "pack_of_test" / "__init__.py").write_text("")
    (folder / "pack_of_test" / "work.py").write_text("from . import more\ndef f(): return more.X")
    (folder / "pack_of_test" / "more.py").write_text("X = 5")
    assert run(folder, "pack_of_test.work:f") == Completed(5)


@EVERY_WAY
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("task.py:add", "not_found: there is no file {folder}/task.py; did you mean tasks.py?"),
        ("tasks.py:adds", "not_found: there is no function adds in {folder}/tasks.py; did you mean add?"),
        ("nonesuch:f", "not_found: there is no module nonesuch in {folder}, and none is installed"),
        ("bad.py:f", "not_found: {folder}/bad.py:2:5: not Python: invalid syntax"),
        ("nul.py:f", "not_found: {folder}/nul.py: not Python: source code string cannot contain null bytes"),
        ("raises.py:f", "exception: ZeroDivisionError: division by zero"),
        ("tasks.py:VALUES", "not_found: VALUES in {folder}/tasks.py is not a function but of type dict"),
    ],
)
def test_what_cannot_be_called_is_explained(folder: Path, isolated: bool, body: str, said: str) -> None:
    (folder / "bad.py").write_text("def f():\n  x ! 1")
    (folder / "nul.py").write_bytes(b"x = 1\0")
    (folder / "raises.py").write_text("1 / 0\ndef f(): pass")
    assert failure(run(folder, body, isolated)).removeprefix("x") == said.format(folder=folder)


def fingerprint(folder: Path, body: str, **more: Any) -> str | None:
    return Python().fingerprint(Step(id="s", executor="python", body=body, **more), folder)


def test_the_fingerprint_follows_the_function_not_its_layout_or_neighbours(folder: Path) -> None:
    file = folder / "f.py"

    def of(source: str) -> str | None:
        file.write_text(source)
        return fingerprint(folder, "f.py:f")

    before = of("def f(a):\n    return a + 1\ndef g(): pass\n")
    assert of("# comment\ndef g(): return 5\n\n\ndef f( a ):  # why\n    return (a+1)\n") == before
    assert of("def f(a):\n    return a + 2\ndef g(): pass\n") != before
    assert of("@g\ndef f(a):\n    return a + 1\ndef g(): pass\n") != before
    assert of("async def f(a):\n    return a + 1\n") != before
    assert of("if 1:\n    def f(a):\n        return a + 1\n") == before
    assert of("def f(a):\n    return a + 2\ndef f(a):\n    return a + 1\n") == before
    assert fingerprint(folder, "f:f") == before


@pytest.mark.parametrize(
    "source", ["f = lambda: 1", "from os import getcwd as f", "from os import *", "f: int = print"]
)
def test_where_the_function_is_not_a_def_the_whole_file_counts(folder: Path, source: str) -> None:
    file = folder / "f.py"
    file.write_text(source)
    before = fingerprint(folder, "f.py:f")
    file.write_text(source + "\nX = 1\n")
    assert before is not None
    assert fingerprint(folder, "f.py:f") != before


def test_the_fingerprint_runs_nothing_of_the_file(folder: Path) -> None:
    (folder / "f.py").write_text("raise SystemExit('ran')\ndef f(): pass\n")
    assert fingerprint(folder, "f.py:f")
    assert fingerprint(folder, "f:f")


def test_a_function_without_source_has_no_fingerprint(folder: Path) -> None:
    assert fingerprint(folder, "math:sqrt") is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("task.py:add", "there is no file .*task.py\n.*did you mean tasks.py"),
        ("tasks.py:adds", "there is no function adds in .*tasks.py\n.*did you mean add"),
        ("tasks", "neither file.py:function nor module:function"),
        ("tasks.py:a.b", "names a step of a workflow in Python"),
        ("tasks/x:f", "not the name of a module"),
        ("nonesuch.deep:f", "there is no module nonesuch.deep"),
        ("bad.py:f", "bad.py:2:5: not Python"),
        ("latin.py:f", "latin.py:1:8: not Python"),
    ],
)
def test_code_that_cannot_be_found_is_a_problem_of_the_definition(folder: Path, body: str, said: str) -> None:
    (folder / "bad.py").write_text("def f():\n  x ! 1")
    (folder / "latin.py").write_bytes(b"x = '\xe4'\ndef f(): pass")
    with pytest.raises(CerebelumError, match=said):
        fingerprint(folder, body)


def test_a_working_dir_needs_a_process_of_its_own(folder: Path) -> None:
    with pytest.raises(CerebelumError, match="isolated: true"):
        fingerprint(folder, "tasks.py:add", working_dir="sub")
    assert fingerprint(folder, "tasks.py:add", working_dir="sub", options={"isolated": True})


def test_asyncio_is_imported_only_for_async_functions(folder: Path) -> None:
    import subprocess

    code = (
        "import sys; from pathlib import Path; from tests.attempts import attempt\n"
        "from cerebelum.plugins.python import Python\n"
        f"Python().run(attempt(Path({str(folder)!r}), 'python', 'math:sqrt', options={{'with': {{'x': 4}}}}))\n"
        "print([name for name in ('asyncio', 'psutil', 'ctypes', 'yaml', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_runner_may_give_up_on_a_thread_and_go_on(folder: Path) -> None:
    stop, ended = Stop(), threading.Event()
    (folder / "slow.py").write_text(
        "def slow(context, gate):\n    with open(gate) as file: file.read()\n    return 1\n"
    )
    gate = folder / "gate"
    os.mkfifo(gate)
    outcomes: list[Outcome] = []

    def work() -> None:
        outcomes.append(run(folder, "slow.py:slow", given={"gate": str(gate)}, stop=stop))
        ended.set()

    threading.Thread(target=work).start()
    stop("timeout", 0)
    assert not outcomes
    gate.write_text("go")
    wait_until(ended.is_set)
    assert outcomes == [Interrupted()]
