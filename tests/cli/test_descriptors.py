"""What in-process steps send past `sys.stdout`: by descriptor, by processes, by threads, by libraries in C."""

import json
import os
import subprocess
import sys

import pytest

from tests.cli.conftest import ROOT, Done, Home

TASKS = """
import ctypes, multiprocessing, os, subprocess, sys, threading, time

def order():
    print("one")
    os.write(1, b"two\\n")
    print("thr", end="")
    os.write(1, b"ee\\n")
    subprocess.run(["sh", "-c", "echo four; echo five >&2"])
    print("six")
    os.system("echo seven")
    thread = threading.Thread(target=print, args=("eight",))
    thread.start(); thread.join()
    sys.__stdout__.write("nine\\n"); sys.__stdout__.flush()
    subprocess.run(["echo", "ten"], stdout=sys.stdout)
    sys.stdout.buffer.write(b"eleven\\n")

def leaks(secret):
    os.write(1, secret[:5].encode()); os.write(1, secret[5:].encode() + b"\\n")
    subprocess.run(["sh", "-c", "echo $T; echo $T >&2"], env={"T": secret})
    thread = threading.Thread(target=lambda: print(secret))
    thread.start(); thread.join()

def leaks_own(context):
    leaks(context.secrets["TOKEN"])

def by_printf():
    ctypes.CDLL(None).printf(b"from C\\n")

def by_fork():
    process = multiprocessing.get_context("fork").Process(target=print, args=("from a child",))
    process.start(); process.join()

def leaves_a_thread(context):
    secret = context.secrets["TOKEN"]
    def late():
        while not os.path.exists("late"): time.sleep(0.001)
        print("late " + secret, flush=True)
        open("said", "w").close()
    threading.Thread(target=late, daemon=True).start()

def much():
    for _ in range(64): os.write(1, b"x" * 65535 + b"\\n")

def waits(name, other):
    open(name, "w").close()
    while not os.path.exists(other): time.sleep(0.001)
    os.system(f"echo from {name}")

def shell_sees():
    subprocess.run(["sh", "-c", "echo to > /dev/stdout; echo err | tee /dev/stderr"])
"""
SECRET = "hunter2-of-the-hill"


def run(cli: Home, *steps: str, json_lines: bool = False, **options: str) -> Done:
    cli.write("tasks.py", TASKS)
    head = "name: raw\nsecrets: [TOKEN]\n" if "TOKEN" in options else "name: raw\n"
    cli.write("raw.yaml", head + "steps:\n" + "".join(f"  - {step}\n" for step in steps))
    done = cli("run", "raw.yaml", "--id", "x", *(["--json"] if json_lines else []), env=options)
    assert done.code == 0, done
    return done


def test_everything_is_logged_in_the_order_in_which_it_was_written(cli: Home) -> None:
    done = run(cli, "{id: a, python: 'tasks.py:order'}")
    words = ["one", "two", "three", "four", "six", "seven", "eight", "nine", "ten", "eleven"]
    log = cli("logs", "x", "a").out.splitlines()
    assert [line for line in log if line != "five"] == [f"{w}" for w in words]
    assert "five" in log
    assert [line.partition("│ ")[2] for line in done.out.splitlines() if "│ " in line] == log
    assert done.err == ""


@pytest.mark.parametrize("json_lines", [False, True])
def test_no_secret_gets_past_the_mask(cli: Home, json_lines: bool) -> None:
    done = run(cli, "{id: a, python: 'tasks.py:leaks_own'}", TOKEN=SECRET, json_lines=json_lines)
    assert SECRET not in done.out + done.err
    assert "hunter2" not in done.out + done.err
    assert cli("logs", "x").out.count("***") == 4
    assert SECRET.encode() not in b"".join(p.read_bytes() for p in cli.store.parent.iterdir() if p.is_file())
    if json_lines:
        assert all(json.loads(line)["execution_id"] == "x" for line in done.out.splitlines())


def test_what_a_library_in_c_and_a_forked_child_print_is_logged(cli: Home) -> None:
    run(cli, "{id: a, python: 'tasks.py:by_printf'}", "{id: b, python: 'tasks.py:by_fork'}")
    assert cli("logs", "x", "a").out == "from C\n"
    assert cli("logs", "x", "b").out == "from a child\n"


def test_what_comes_after_the_step_is_shown_masked_on_standard_error(cli: Home) -> None:
    done = run(
        cli,
        "{id: a, python: 'tasks.py:leaves_a_thread'}",
        "{id: b, run: 'touch late; until test -e said; do :; done'}",
        TOKEN=SECRET,
        json_lines=True,
    )
    assert done.err == "late ***\n"
    assert cli("logs", "x", "a").out == ""


def test_more_than_a_pipe_holds_comes_through(cli: Home) -> None:
    run(cli, "{id: a, python: 'tasks.py:much'}")
    assert cli("logs", "x", "a").out == ("x" * 65535 + "\n") * 64


def test_of_steps_at_once_the_one_that_started_last_gets_it_and_nothing_is_lost(cli: Home) -> None:
    steps = "".join(
        f"\n      - {{id: {a}, python: 'tasks.py:waits', with: {{name: {a}, other: {b}}}}}" for a, b in ("ab", "ba")
    )
    run(cli, "parallel:" + steps)
    said = cli("logs", "x", "a").out + cli("logs", "x", "b").out
    assert sorted(said.splitlines()) == ["from a", "from b"]


def test_dev_stdout_can_be_opened_again(cli: Home) -> None:
    run(cli, "{id: a, python: 'tasks.py:shell_sees'}")
    assert sorted(cli("logs", "x", "a").out.splitlines()) == ["err", "err", "to"]


PLUGIN = """
import subprocess
from cerebelum import hookimpl
from cerebelum.steps import Completed

class Loud:
    key = "loud"
    summary = "prints"
    body = str
    options = None
    literal = ()

    def run(self, call):
        print("printed", call.secrets["TOKEN"])
        subprocess.run(["echo", "echoed", call.secrets["TOKEN"]])
        return Completed()

    def fingerprint(self, step, folder):
        return None

@hookimpl
def cerebelum_executors():
    return [Loud()]

@hookimpl
def cerebelum_event(event):
    if type(event).__name__ == "StepStarted":
        print("noticed")
"""


def test_a_plugins_executor_is_caught_as_well_and_an_observer_is_not(cli: Home) -> None:
    cli.write("loud.py", PLUGIN)
    done = run(cli, "{id: a, loud: x}", "{id: b, loud: x}", TOKEN=SECRET, CEREBELUM_PLUGINS=str(cli.folder / "loud.py"))
    assert SECRET not in done.out + done.err
    plugin = ("--plugin", str(cli.folder / "loud.py"))
    for step in "ab":
        assert cli("logs", "x", step, *plugin).out == "printed ***\nechoed ***\n"
    assert done.out.splitlines().count("noticed") == 2


def test_a_supervisor_masks_the_secrets_of_all_that_it_drives(cli: Home) -> None:
    """Raw output may come to another execution's step than the one that wrote it."""
    cli.write("tasks.py", TASKS)
    for name in ("one", "two"):
        secret, other = f"secret-of-{name}", "two" if name == "one" else "one"
        cli.write(
            f"{name}.yaml",
            f"name: {name}\nsecrets: [{name.upper()}]\nsteps:\n"
            "  - {id: wait, approval: {message: 'Go?'}}\n"
            f"  - {{id: meet, run: 'touch {name}; until test -e {other}; do :; done'}}\n"
            f"  - {{id: a, python: 'tasks.py:leaks', with: {{secret: secret-of-{other}}}}}\n",
        )
        assert cli("run", f"{name}.yaml", "--id", name, "--park", env={name.upper(): secret}).code == 75
        assert cli("approve", name).code == 0
    done = cli("supervise", "--once", env={"ONE": "secret-of-one", "TWO": "secret-of-two"})
    assert done.code == 0, done
    assert "secret-of" not in done.out + done.err
    for name in ("one", "two"):
        assert cli("status", name, "--json").json()["status"] == "completed"
        assert "secret-of" not in cli("logs", name).out


def test_the_descriptors_of_somebody_elses_process_are_left_alone(cli: Home) -> None:
    cli.write("tasks.py", TASKS)
    cli.write("raw.yaml", "steps: [{id: a, python: 'tasks.py:leaks', with: {secret: x y}}]")
    script = """
import os
from pathlib import Path
from cerebelum.backends.sqlite import open_store
from cerebelum.plugins import python
from cerebelum.sdk.verbs import Verbs
before = os.fstat(1)
client = Verbs(lambda: open_store("sqlite:///x.db"), lambda: {e.key: e for e in python.cerebelum_executors()})
assert client.run(Path("raw.yaml"), {}).exit_code == 0
assert os.fstat(1) == before
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        cwd=cli.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("x y") == 3
