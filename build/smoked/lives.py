"""What people do with executions: every verb, failures, kills, signals, and a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import termios
from pathlib import Path

from contents import sqlite
from smoked.desk import PATIENCE, Desk, Skipped, expect, open_terminal, read_all, wait_for

ROOT = Path(__file__).resolve().parent.parent.parent
FLAKY = """
name: flaky
steps:
  - {id: one, run: 'echo one >> effects'}
  - {id: two, run: 'test -e mended'}
  - {id: three, run: 'echo three >> effects'}
"""
SLOW = """
name: slow
steps:
  - {id: one, run: 'echo one >> effects'}
  - {id: two, run: 'test -e mended || { touch started; exec sleep 600; }'}
"""
ASKS = "name: asks\nsteps:\n  - {id: go, approval: {message: 'Go?'}}\n  - {id: gone, run: 'echo gone >> gone'}\n"
NAPS = "name: naps\nsteps:\n  - {id: nap, sleep: 200ms}\n  - {id: up, run: 'echo up >> up'}\n"


def it_says_what_it_is(desk: Desk) -> None:
    expect(desk("--version").startswith("cerebelum "), "--version")
    facts = json.loads(desk("--version", "--json"))
    expect(facts["file"] == str(desk.binary.resolve()), f"it takes itself for {facts['file']}")
    licences = desk("--licenses")
    expect("psycopg" in licences and "PYTHON SOFTWARE FOUNDATION" in licences.upper(), "--licenses")


def its_sqlite_is_the_promised_one(desk: Desk) -> None:
    version, packed = json.loads(desk("--version", "--json"))["sqlite"], sqlite()
    expect(tuple(map(int, version.split("."))) >= packed.least, f"SQLite {version}")
    if not packed.promised:
        raise Skipped(f"pysqlite3 has no wheel for this machine, SQLite {version} is Python's")


def every_verb_explains_itself(desk: Desk) -> None:
    verbs = desk("--help").partition("Verbs:\n")[2].partition("\n\n")[0].splitlines()
    names = {line.split()[0] for line in verbs if not line.startswith("   ")}
    used = {"run", "resume", "status", "list", "logs", "history", "pause", "cancel", "approve", "reject", "fork"}
    used |= {
        "supervise",
        "locks",
        "validate",
        "schema",
        "plugins",
        "store",
        "doctor",
        "watch",
        "active",
        "init",
        "graph",
    }
    used |= {"report", "shell", "completion", "serve", "locks", "submit", "worker", "schedules"}
    expect(names == used, f"these checks know {used}, but there are {names}")
    for name in sorted(names):
        expect("Usage" in desk(name, "--help"), f"{name} --help")


def a_failed_execution_is_resumed(desk: Desk) -> None:
    desk.write("flaky.yaml", FLAKY)
    desk("validate", "flaky.yaml")
    desk("run", "flaky.yaml", "--id", "f", code=1)
    desk("resume", "f", code=1)
    desk.write("mended", "")
    expect("three" in desk("resume", "f", "--plan"), "the plan does not name what is left")
    desk("resume", "f")
    expect((desk.folder / "effects").read_text() == "one\nthree\n", "a step ran twice")
    for verb in ("status", "logs", "history", "watch", "graph"):
        desk(verb, "f")
    expect("</html>" in desk("report", "f", "-o", "-"), "the report is not a page")
    expect("CEREBELUM_STEP=" in desk("shell", "f", "--step", "three", "--print-env"), "shell does not know the step")
    expect("_CEREBELUM_COMPLETE" in desk("completion", "bash"), "there is no script for bash")
    expect("nothing is going on" in desk("active"), "active shows what is over")
    desk("init", "mine.yaml")
    desk("run", "mine.yaml")
    expect("f" in desk("list"), "list does not show it")
    desk("store", "verify")
    desk("store", "backup", "kept.db")
    desk("store", "export", "--all", "-o", "kept.jsonl")
    desk("store", "import", "kept.jsonl", "--store", "copy.db")
    expect("there already" in desk("store", "copy", "kept.db", "copy.db"), "copy does not know what was imported")
    expect("f" in desk("store", "prune", "--older-than", "0", "--dry-run"), "prune finds nothing")
    expect("digest" in desk("store", "heads"), "there are no heads")
    expect("SQLite" in desk("store", "info"), "info does not name the kind of store")
    desk("fork", "f", "--from", "three", "--id", "g")
    expect((desk.folder / "effects").read_text() == "one\nthree\nthree\n", "the fork did something else")


def questions_are_answered(desk: Desk) -> None:
    (desk.folder / "bad.yaml").write_text("steps: [{id: a, rnu: x}]\n")
    expect("bad.yaml:1:" in desk("validate", "bad.yaml", code=2), "validate names no line")
    expect("$schema" in json.loads(desk("schema")), "schema prints none")
    expect("built-in" in desk("plugins"), "plugins lists none")
    desk("list")
    desk("status", "nobody", code=3)
    expect("sqlite" in desk("doctor").lower(), "doctor does not look at SQLite")


def people_decide(desk: Desk) -> None:
    desk.write("asks.yaml", ASKS)
    for name, verb in (("a", "approve"), ("r", "reject")):
        desk("run", "asks.yaml", "--park", "--id", name, code=75)
        desk(verb, name, "--comment", "because")
        desk("supervise", "--once")
    expect((desk.folder / "gone").read_text() == "gone\n", "the wrong one went on")
    statuses = [json.loads(desk("status", name, "--json"))["status"] for name in "ar"]
    expect(statuses == ["completed", "failed"], f"they are {statuses}")


def a_supervisor_wakes_what_sleeps(desk: Desk) -> None:
    desk.write("naps.yaml", NAPS)
    desk("run", "naps.yaml", "--park", "--id", "n", code=75)
    watching = desk.start("supervise")
    wait_for(desk.folder / "up", watching)
    watching.send_signal(signal.SIGTERM)
    _, err = watching.communicate(timeout=PATIENCE)
    expect(watching.returncode in (0, 143), f"supervise: exit code {watching.returncode}: {err}")


def what_runs_is_paused_and_cancelled(desk: Desk) -> None:
    running = _started(desk)
    expect("no execution" in desk("locks"), "a lock that nobody asked for")
    desk("pause", "s")
    running.communicate(timeout=PATIENCE)
    (desk.folder / "started").unlink()
    again = desk.start("resume", "s")
    wait_for(desk.folder / "started", again)
    desk("cancel", "s", "--why", "enough")
    again.communicate(timeout=PATIENCE)
    expect(again.returncode == 6, f"cancelled: exit code {again.returncode}")
    expect("CANCELLED" in desk("status", "s").upper(), "status does not say so")


def _started(desk: Desk) -> subprocess.Popen[str]:
    desk.write("slow.yaml", SLOW)
    process = desk.start("run", "slow.yaml", "--id", "s", start_new_session=True)
    wait_for(desk.folder / "started", process)
    return process


def _goes_on(desk: Desk) -> None:
    desk.write("mended", "")
    desk("resume", "s")
    expect((desk.folder / "effects").read_text() == "one\n", "a step ran twice")


def a_killed_runner_is_resumed(desk: Desk) -> None:
    process = _started(desk)
    process.kill()
    process.communicate(timeout=PATIENCE)
    # The pid that was started is the program: with it, nobody drives the execution any more.
    _goes_on(desk)


def signals_end_it_in_order(desk: Desk) -> None:
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        process = _started(desk)
        process.send_signal(number)
        process.communicate(timeout=PATIENCE)
        expect(process.returncode == code, f"{number.name}: exit code {process.returncode}")
        _goes_on(desk)
        for name in ("effects", "started", "mended"):
            (desk.folder / name).unlink()
        shutil.rmtree(desk.home / ".local")


def ctrl_c_in_a_terminal_is_heard_once(desk: Desk) -> None:
    desk.write("slow.yaml", SLOW)
    ours, theirs = open_terminal()
    process = desk.start(
        *("run", "slow.yaml", "--id", "s"), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    wait_for(desk.folder / "started", process)
    os.write(ours, b"\x03")
    shown = read_all(ours)
    expect(process.wait(PATIENCE) == 130, f"exit code {process.returncode}: {shown}")
    _goes_on(desk)


def ten_columns_are_enough(desk: Desk) -> None:
    desk.write("flaky.yaml", FLAKY)
    for arguments, code in (
        (("run", "flaky.yaml"), 1), (("status", "last"), 0), (("list",), 0), (("logs", "last"), 0), (("--help",), 0),
        (("plugins",), 0), (("doctor",), 0),
    ):  # fmt: skip
        ours, theirs = open_terminal(columns=10)
        process = desk.start(*arguments, stdin=theirs, stdout=theirs, stderr=theirs, env={"TERM": "xterm"})
        os.close(theirs)
        shown = read_all(ours)
        expect(process.wait(PATIENCE) == code, f"{arguments}: exit code {process.returncode}: {shown}")
        # Its steps print nothing.
        expect(bool(shown.strip()) or arguments[0] == "logs", f"{arguments} shows nothing")
        expect("Traceback" not in shown, f"{arguments}: {shown}")


def the_example_deploys(desk: Desk) -> None:
    tree = desk.folder / "project"
    shutil.copytree(ROOT / "examples", tree / "examples", ignore=shutil.ignore_patterns("__pycache__", ".mypy_cache"))
    desk.make("bin")
    (desk.folder / "bin" / "cerebelum").symlink_to(desk.binary)
    if desk.user is not None:
        subprocess.run(["chown", "-R", str(desk.user), tree], check=True)
    # The example's own steps want Python 3.11 as `python3`.
    python = str(Path(sys.executable).parent.resolve()) if desk.user is None else "/usr/bin"
    path = f"{desk.folder / 'bin'}:{python}:{desk.env['PATH']}"
    said = desk(cwd=tree, program=tree / "examples/deploy/demo.sh", env={"PATH": path})
    expect("Everything went as described" in said, said)


def the_example_releases(desk: Desk) -> None:
    """The whole release, failed first by a damaged tool and then resumed."""
    if desk.user is not None:
        raise Skipped("needs the development environment, which belongs to somebody else")
    if not (ROOT / ".venv" / ".dev").exists():
        raise Skipped("needs the development environment: make dev")
    version = json.loads(desk("--version", "--json"))["version"]
    # pip's settings, such as which index to use, are in the home of whoever runs this.
    env = {name: os.environ[name] for name in ("HOME", "XDG_CONFIG_HOME") if name in os.environ}
    env |= {"CEREBELUM_STORE": str(desk.folder / "store.db")}
    inputs = {"version": version, "tests": "tests/test_architecture.py", "dist": str(desk.folder / "dist")}
    given = [part for name, value in inputs.items() for part in ("--input", f"{name}={value}")]
    run = ("run", str(ROOT / "examples" / "release.yaml"), *given, "--id", "r")
    # A file where the folder is to be made stops the first step.
    (desk.folder / "dist").touch()
    desk(*run, code=1, env=env, cwd=ROOT)
    (desk.folder / "dist").unlink()
    desk("resume", "r", env=env, cwd=ROOT)
    made = {path.name for path in (desk.folder / "dist").iterdir()}
    expect({"SHA256SUMS", f"cerebelum-{version}.tar.gz"} <= made, f"it made {made}")


CHECKS = [
    it_says_what_it_is,
    its_sqlite_is_the_promised_one,
    every_verb_explains_itself,
    a_failed_execution_is_resumed,
    questions_are_answered,
    people_decide,
    a_supervisor_wakes_what_sleeps,
    what_runs_is_paused_and_cancelled,
    a_killed_runner_is_resumed,
    signals_end_it_in_order,
    ctrl_c_in_a_terminal_is_heard_once,
    ten_columns_are_enough,
    the_example_deploys,
    the_example_releases,
]
