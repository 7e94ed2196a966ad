"""Where plugins come from, and what a broken one gets."""

import json
import re
import signal

import pytest

from tests.cli.conftest import Home

ECHO = """
from cerebelum import hookimpl
from cerebelum.core.outcome import Completed

class Echo:
    key = "{key}"
    summary = "says it"
    body = str
    options = None
    literal = ()

    def run(self, call):
        call.sink.write("stdout", call.body.encode())
        return Completed(call.body)

    def fingerprint(self, step, folder):
        return None

@hookimpl
def cerebelum_executors():
    return [Echo()]
"""

WATCH = """
from cerebelum import hookimpl

@hookimpl
def cerebelum_event(event):
    with open("seen", "a") as seen:
        seen.write(type(event).__name__ + "\\n")
    raise RuntimeError("I cannot cope")
"""


def test_plugins_come_from_option_environment_and_folder_but_not_from_the_project(cli: Home) -> None:
    option = str(cli.write("a/one.py", ECHO.format(key="one")))
    variable = str(cli.write("b/two.py", ECHO.format(key="two")))
    cli.write("home/.config/cerebelum/plugins/three.py", ECHO.format(key="three"))
    cli.write("plugins/four.py", ECHO.format(key="four"))
    cli.write("cerebelum_plugin.py", ECHO.format(key="five"))
    cli.write("use.yaml", "steps:\n" + "".join(f"  - {{id: {k}, {k}: hi {k}}}\n" for k in ("one", "two", "three")))

    run = cli("run", "use.yaml", "--plugin", option, env={"CEREBELUM_PLUGINS": variable})
    assert run.code == 0, run.err
    assert "three │ hi three" in run.out

    found = cli("plugins", "--json", "--plugin", option, env={"CEREBELUM_PLUGINS": variable}).json()["plugins"]
    names = {p["name"]: (p["origin"], [e["key"] for e in p["executors"]]) for p in found}
    assert names["shell"] == ("built-in", ["run"])
    assert names["one"] == ("file", ["one"])
    assert names["two"] == ("file", ["two"])
    assert names["three"] == ("folder", ["three"])
    assert not {"four", "cerebelum_plugin"} & set(names)
    assert '"one"' in cli("schema", "--plugin", option).out


def test_a_listener_that_fails_is_reported_once_and_harms_nobody(cli: Home) -> None:
    cli.write("two.yaml", "steps:\n  - {id: a, run: 'true'}\n  - {id: b, run: 'true'}\n")
    run = cli("run", "two.yaml", "--plugin", str(cli.write("watch.py", WATCH)))
    assert run.code == 0
    assert run.err.count("I cannot cope") == 1
    assert "watch.py:8" in run.err
    seen = (cli.folder / "seen").read_text().split()
    assert (seen[0], seen[-1], len(seen)) == ("ExecutionStarted", "ExecutionCompleted", 6)


HOOK = "from cerebelum import hookimpl\n"
BROKEN = {
    "misspelt": (HOOK + "@hookimpl\ndef cerebelum_exectors(): ...\n", "did you mean cerebelum_executors?", True),
    "unmarked": ("def cerebelum_executors(): return []\n", "@cerebelum.hookimpl", True),
    "taken": (ECHO.format(key="run"), "plugin shell", True),
    "no hook": ("x = 1\n", "has no hook", False),
    "not Python": ("x = = 1\n", "broken.py:1", False),
    "raises": (HOOK + "\n1 / 0\n", "broken.py:3: ZeroDivisionError", False),
    "exits": ("raise SystemExit(0)\n", "SystemExit", False),
    "arguments": (
        HOOK + "@hookimpl\ndef cerebelum_event(execution, event): ...\n",
        "can not be found in the hookspec",
        False,
    ),
    "a class": (ECHO.format(key="x").replace("[Echo()]", "[Echo]"), "not an instance", False),
    "lacking": (ECHO.format(key="x").replace("literal", "literally"), "lacks literal", False),
}


@pytest.mark.parametrize(("source", "message", "fatal"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_plugin_that_was_named_is_an_error(cli: Home, source: str, message: str, fatal: bool) -> None:
    cli.write("one.yaml", "steps:\n  - {id: a, run: 'true'}\n")
    named = cli("run", "one.yaml", "--plugin", str(cli.write("broken.py", source)))
    assert named.code == 2
    assert message in named.err
    assert "broken" in named.err
    assert "Traceback" not in named.err

    cli.write("home/.config/cerebelum/plugins/broken.py", source)
    found = cli("run", "one.yaml")
    assert found.code == (2 if fatal else 0)
    assert message in found.err
    assert found.err.count(message) == 1
    listed = cli("plugins")
    assert listed.code == 0
    assert message in listed.err


def test_a_plugin_may_bring_a_store(cli: Home) -> None:
    source = (
        HOOK
        + """
@hookimpl
def cerebelum_backends():
    def open_it(url):
        from cerebelum.core.errors import StoreError
        raise StoreError("out of order", where=url)
    return {"volatile": open_it}
"""
    )
    path = str(cli.write("memory.py", source))
    answered = cli("list", "--store", "volatile://x", "--plugin", path)
    assert answered.code == 74
    assert "volatile://x: out of order" in answered.err
    assert "volatile:// (store)" in cli("plugins", "--plugin", path).out


def test_a_verb_of_ours_cannot_be_replaced(cli: Home) -> None:
    source = (
        HOOK
        + """
@hookimpl
def cerebelum_commands(group):
    @group.command("list")
    def mine(): ...
"""
    )
    path = str(cli.write("greedy.py", source))
    assert cli("list", "--plugin", path).out == "no executions\n"
    refused = cli("--help", "--plugin", path)
    assert refused.code == 2
    assert "'list' is taken" in refused.err


def test_an_observer_that_wants_to_end_the_process_ends_nothing(cli: Home) -> None:
    cli.write("one.yaml", "steps:\n  - {id: a, run: 'true'}\n")
    plugin = cli.write("quits.py", HOOK + "@hookimpl\ndef cerebelum_event(event): raise SystemExit(3)\n")
    said = cli("run", "one.yaml", "--plugin", str(plugin))
    assert said.code == 0
    assert "SystemExit: 3" in said.err
    assert re.search(r"cerebelum_event failed (\d+) times of \1; the first failure was shown above", said.err)


HANGS = """
import logging, threading
from cerebelum import hookimpl

class Stuck(logging.Handler):
    def emit(self, record):
        open("hangs", "w").close()
        threading.Event().wait()

logging.getLogger().addHandler(Stuck())

@hookimpl
def cerebelum_event(event):
    logging.getLogger().warning("x")
"""


def test_an_observer_that_hangs_neither_holds_up_the_run_nor_its_end(cli: Home) -> None:
    """It hangs with a lock in its hands that the end of the process wants too."""
    cli.write("two.yaml", "steps:\n  - {id: a, run: 'until test -e hangs; do :; done'}\n  - {id: b, run: echo b}\n")
    said = cli("run", "two.yaml", "--plugin", str(cli.write("hangs.py", HANGS)))
    assert said.code == 0, said
    assert "b │ b" in said.out
    assert "cerebelum_event has not returned, and was not told of 5 more; `history` has all events" in said.err


def test_a_run_with_a_hanging_observer_is_stopped_as_any_other(cli: Home) -> None:
    cli.write("long.yaml", "steps: [{id: a, run: 'echo > reached; exec sleep 600'}]")
    runner = cli.start("run", "long.yaml", "--id", "x", "--plugin", str(cli.write("hangs.py", HANGS)))
    try:
        while not ((cli.folder / "reached").exists() and (cli.folder / "hangs").exists()):
            assert runner.poll() is None
        runner.send_signal(signal.SIGTERM)
        out, err = runner.communicate(timeout=30)
    finally:
        runner.kill()
    assert runner.returncode == 143, (out, err)
    assert cli("status", "x", "--json").json()["status"] == "paused"


def test_a_slow_observer_is_told_everything_in_order_before_the_process_ends(cli: Home) -> None:
    slow = """
import time
from cerebelum import hookimpl

@hookimpl
def cerebelum_event(execution_id, event):
    time.sleep(0.02)
    with open("told", "a") as told:
        print(execution_id, event.version, type(event).__name__, file=told)
"""
    cli.write("some.yaml", "steps:\n" + "".join(f"  - {{id: s{n}, run: 'true'}}\n" for n in range(5)))
    said = cli("run", "some.yaml", "--id", "x", "--plugin", str(cli.write("slow.py", slow)))
    assert (said.code, said.err) == (0, "")
    told = [line.split() for line in (cli.folder / "told").read_text().splitlines()]
    log = [json.loads(line) for line in cli("history", "x", "--json").out.splitlines()]
    assert told == [["x", str(event["version"]), event["type"]] for event in log]
