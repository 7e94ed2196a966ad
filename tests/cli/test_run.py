"""`run`, `resume`, and what can be seen of an execution afterwards."""

import json
import os
import signal
import subprocess
from collections.abc import Callable

import pytest

from tests.binary.program import BINARY
from tests.cli.conftest import Home
from tests.stores import is_there

pytestmark = pytest.mark.usefixtures("store_url")


def test_a_failed_run_is_seen_and_resumed_where_it_failed(cli: Home, flaky: Callable[[], None]) -> None:
    failed = cli("run", "flaky.yaml", "--input", "who=a=b", "--tag", "nightly", "--store", "here.db")
    execution_id = failed.id()
    assert failed.code == 1
    assert "hello │ hello a=b\n" in failed.out
    assert "✓ left" in failed.out
    assert "right │ right\n" in failed.out
    assert "✗ right  exit code 1" in failed.out
    assert "▶ end" not in failed.out
    assert f"resume with: cerebelum resume {execution_id} --store here.db\n" in failed.err
    assert "failed: exit code 1" in failed.err

    at_here = {"CEREBELUM_STORE": "here.db"}
    seen = cli("status", env=at_here)
    assert seen.code == 0
    assert f"{execution_id}  ✗ failed" in seen.out
    assert "✗ right  exit code 1" in seen.out
    assert "· end    pending" in seen.out
    assert f"resume with: cerebelum resume {execution_id}\n" in seen.out

    plan = cli("resume", execution_id[:8], "--plan", "--json", env=at_here).json()
    assert [(row["step"], row["action"]) for row in plan["steps"]] == [
        ("hello", "KEEP"),
        ("left", "KEEP"),
        ("right", "RERUN"),
        ("end", "RERUN"),
    ]

    flaky()
    resumed = cli("resume", "last", env=at_here)
    assert resumed.code == 0
    assert "hello │" not in resumed.out
    assert "▶ right  attempt 2" in resumed.out
    assert f"✓ {execution_id}: completed" in resumed.out
    assert resumed.err == ""

    shape = cli("status", "--json", env=at_here).json()
    assert shape["status"] == "completed"
    assert shape["inputs"] == {"who": "a=b"}
    assert shape["tags"] == ["nightly"]
    assert shape["owner"] is None
    assert shape["started_at"].endswith("Z")
    assert {s["id"]: s["attempt"] for s in shape["steps"]} == {"hello": 1, "left": 1, "right": 2, "end": 1}
    assert shape["steps"][0]["output"] == "hello a=b"
    assert cli("list").out == "no executions\n"

    done = cli("resume", "last", env=at_here)
    assert done.code == 2
    assert "has completed" in done.err


def test_json_lines_are_the_recorded_events(cli: Home, flaky: Callable[[], None]) -> None:
    run = cli("run", "flaky.yaml", "--json")
    execution_id = run.lines()[0]["execution_id"]
    history = cli("history", execution_id, "--json").lines()

    assert run.code == 1
    assert [event["type"] for event in run.lines()][::99] == ["ExecutionStarted"]
    assert run.lines()[-1]["type"] == "ExecutionFailed"
    assert [{k: v for k, v in event.items() if k != "digest"} for event in history] == run.lines()
    assert all(len(event["digest"]) == 64 for event in history)
    text = cli("history", execution_id).out
    assert [line.split()[0] for line in text.splitlines()] == [str(e["version"]) for e in history]
    assert "StepFailed  right  exit: exit code 1" in text


def test_quiet_shows_failures_and_the_last_line_only(cli: Home, flaky: Callable[[], None]) -> None:
    failed = cli("run", "flaky.yaml", "-q")
    assert failed.out == "✗ right  exit code 1\n  │ right\n"
    flaky()
    completed = cli("resume", "last", "-q")
    assert completed.out.startswith("✓ flaky-")
    assert completed.out.count("\n") == 1


def test_a_change_to_a_completed_step_is_refused_with_the_plan(cli: Home, flaky: Callable[[], None]) -> None:
    cli("run", "flaky.yaml")
    path = cli.folder / "flaky.yaml"
    path.write_text(path.read_text().replace("echo left", "echo other"))
    flaky()

    refused = cli("resume", "last")
    assert refused.code == 5
    assert "CHANGED  left" in refused.out
    assert "--accept-changes" in refused.err
    assert json.loads(cli("resume", "last", "--json").err)["error"]["exit_code"] == 5
    assert cli("resume", "last", "--accept-changes").code == 0


def test_or_resume_starts_resumes_and_leaves_alone(cli: Home, flaky: Callable[[], None]) -> None:
    again = ("run", "flaky.yaml", "--id", "job-1", "--or-resume")
    assert cli(*again).code == 1
    flaky()
    assert "job-1: resumed" in cli(*again).out
    assert cli(*again).code == 0
    taken = cli("run", "flaky.yaml", "--id", "job-1")
    assert taken.code == 2
    assert "--or-resume" in taken.err


def test_a_dry_run_checks_everything_and_stores_nothing(cli: Home, flaky: Callable[[], None]) -> None:
    shown = cli("run", "flaky.yaml", "--dry-run")
    assert shown.code == 0
    assert "right  run  after hello" in shown.out
    shape = cli("run", "flaky.yaml", "--dry-run", "--json", "--inputs-file", "-", stdin='{"who": "me"}').json()
    assert shape["inputs"] == {"who": "me"}
    assert [s["id"] for s in shape["steps"]] == ["hello", "left", "right", "end"]
    assert not is_there(cli.url)


BAD_STARTS = {
    "no such file": (["nope.yaml"], "there is no such file"),
    "a folder": (["."], "folder"),
    "an unknown input": (["flaky.yaml", "-i", "whom=x"], "who"),
    "no value": (["flaky.yaml", "-i", "who"], "--input name=value"),
    "twice": (["flaky.yaml", "-i", "who=1", "-i", "who=2"], "given twice"),
    "not UTF-8": (["flaky.yaml", "-i", b"who=\xff"], "not UTF-8"),
    "broken JSON": (["flaky.yaml", "--inputs-file", "broken.json"], "broken.json:1:"),
    "no inputs file": (["flaky.yaml", "--inputs-file", "none.json"], "none.json"),
    "a tag that is too long": (["flaky.yaml", "--tag", "x" * 256], "a tag has 256 characters"),
    "an id with slashes": (["flaky.yaml", "--id", "../x"], "cannot be the id"),
    "or-resume alone": (["flaky.yaml", "--or-resume"], "needs --id"),
    "a bad size": (["flaky.yaml", "--log-limit", "many"], "16M"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD_STARTS.values(), ids=BAD_STARTS.keys())
def test_a_bad_start_is_exit_2_and_leaves_nothing(
    cli: Home, flaky: Callable[[], None], arguments: list[str | bytes], message: str
) -> None:
    cli.write("broken.json", "{")
    refused = cli("run", *arguments)
    assert refused.code == 2
    assert message in refused.err
    assert "Traceback" not in refused.err
    assert not is_there(cli.url)


def test_problems_of_a_definition_are_shown_one_per_line_and_counted(cli: Home) -> None:
    cli.write("bad.yaml", "steps:\n  - {id: a, rum: x}\n  - {id: a, run: x}\n")
    for verb in ("run", "validate"):
        refused = cli(verb, "bad.yaml")
        assert refused.code == 2
        assert refused.err.startswith("bad.yaml:2:")
        assert "problems found" in refused.err.splitlines()[-1]
    error = json.loads(cli("run", "bad.yaml", "--json").err)["error"]
    assert error["problems"][0]["where"].startswith("bad.yaml:2:")
    cli.write("good.yaml", "steps:\n  - {id: a, run: x}\n")
    both = cli("validate", "good.yaml", "bad.yaml", "--json")
    assert both.code == 2
    assert [f["ok"] for f in both.json()["files"]] == [True, False]
    assert cli("validate", "good.yaml").out == "good.yaml: ok: good, 1 step\n"


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_pauses_and_names_the_resume_command(cli: Home, name: str, code: int) -> None:
    cli.write("wait.yaml", "steps:\n  - {id: wait, run: 'echo now; exec sleep 60'}\n")
    with cli.start("run", "wait.yaml") as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if b" now" in line)
        process.send_signal(getattr(signal, name))
        _, err = process.communicate(timeout=30)
    assert line == "wait │ now\n".encode()
    assert process.returncode == code
    assert b"resume with: cerebelum resume wait-" in err
    assert cli("list", "--json").json()["executions"][0]["status"] == "paused"


def test_an_audience_that_leaves_does_not_stop_the_execution(cli: Home) -> None:
    cli.write("loud.yaml", "steps:\n  - {id: loud, run: seq 20000}\n  - {id: after, run: touch done}\n")
    with cli.start("run", "loud.yaml") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        process.wait(timeout=30)
        assert process.stderr is not None
        err = process.stderr.read()
    assert (process.returncode, err) == (0, b"")
    assert (cli.folder / "done").exists()
    with open(os.devnull) as nothing, cli.start("schema", stdout=subprocess.PIPE, stdin=nothing) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_output_that_cannot_be_written_is_an_error_and_the_run_goes_on(cli: Home) -> None:
    cli.write("one.yaml", "steps:\n  - {id: one, run: echo one}\n  - {id: two, run: touch done}\n")
    for more in ([], ["--json"], ["--quiet"]):
        (cli.folder / "done").unlink(missing_ok=True)
        with open("/dev/full", "w") as full:
            ran = cli("run", "one.yaml", *more, stdout=full)
        assert (ran.code, ran.err.count("No space left")) == (74, 1), ran
        assert (cli.folder / "done").exists()
        assert cli("status", "last", "--json").json()["status"] == "completed"
    with open("/dev/full", "w") as full:
        for verb in (
            ["list"],
            ["status", "last"],
            ["logs", "last"],
            ["history", "last"],
            ["list", "--json"],
            ["watch", "last"],
            ["watch", "last", "--json"],
            ["--help"],
        ):
            refused = cli(*verb, stdout=full)
            assert (refused.code, refused.err.count("No space left")) == (74, 1), verb


def test_what_is_asked_without_a_standard_output_fails_and_a_run_does_not_mind(cli: Home) -> None:
    cli.write("one.yaml", "steps: [{id: one, run: echo one}]\n")
    assert cli("run", "one.yaml", stdout=None, preexec_fn=lambda: os.close(1)).code == 0
    for verb in ("list", "status", "history"):
        refused = cli(verb, *(["last"] if verb != "list" else []), stdout=None, preexec_fn=lambda: os.close(1))
        assert (refused.code, "the output cannot be written" in refused.err) == (74, True), refused


def test_a_group_of_verbs_alone_shows_its_help_once(cli: Home) -> None:
    said = cli("store")
    assert (said.code, said.err) == (2, "")
    assert said.out.count("Usage:") == 1


def test_too_little_memory_is_not_called_a_bug(cli: Home) -> None:
    cli.write("big.yaml", "steps: [{id: a, run: 'true'}]")
    plugin = cli.write(
        "greedy.py",
        "from cerebelum import hookimpl\n@hookimpl\ndef cerebelum_commands(group):\n"
        "    import click\n    group.add_command(click.Command('eat', callback=lambda: bytearray(1 << 62)))\n",
    )
    said = cli("eat", "--plugin", str(plugin))
    assert (said.code, "not enough memory" in said.err) == (71, True), said


NASTY = r"""
steps:
  - id: nasty
    run: |
      printf 'title \033]0;x\007 \033[31mred\033[0m nul\0 bad\377\n'
      printf '10%%\r99%%\r100%%\n'
      printf 'dos\r\n'
      printf 'no newline'
"""


def test_output_of_steps_cannot_command_the_terminal_but_is_kept_as_it_was(cli: Home) -> None:
    cli.write("nasty.yaml", NASTY)
    shown = cli("run", "nasty.yaml")
    expected = ["title ␛]0;x␇ red nul␀ bad\ufffd", "100%", "dos", "no newline"]
    assert [line for line in shown.out.splitlines() if "│" in line] == [f"nasty │ {line}" for line in expected]
    assert cli("logs").out.splitlines() == [f"nasty │ {line}" for line in expected]
    assert cli("logs", "last", "nasty").out.splitlines() == expected
    with cli.start("logs", "last", "--raw") as process:
        raw, _ = process.communicate()
    assert raw == (b"title \x1b]0;x\x07 \x1b[31mred\x1b[0m nul\0 bad\xff\n10%\r99%\r100%\ndos\r\nno newline")
    pieces = cli("logs", "last", "--json").lines()
    assert {(p["step"], p["attempt"], p["stream"]) for p in pieces} == {("nasty", 1, "stdout")}


@pytest.mark.skipif(BINARY is not None, reason="the binary writes UTF-8 always")
def test_what_the_interpreter_s_encoding_lacks_is_written_as_escapes(cli: Home) -> None:
    cli.write("nasty.yaml", NASTY)
    cli("run", "nasty.yaml")
    ascii_only = cli("logs", env={"PYTHONIOENCODING": "ascii"}).out
    assert ascii_only.isascii()
    assert r"nasty | title \x1b]0;x\x07 red nul\x00 bad\ufffd" in ascii_only


def test_logs_name_attempts_and_stamp_times(cli: Home, flaky: Callable[[], None]) -> None:
    cli("run", "flaky.yaml")
    cli("resume", "last")
    out = cli("logs", "--timestamps").out
    assert "right (attempt 2) │ right" in out
    assert all(line[:4].isdigit() and line[10] == "T" for line in out.splitlines())
    assert cli("logs", "last", "right", "--attempt", "2").out == "right\n"
    missing = cli("logs", "last", "rihgt")
    assert missing.code == 3
    assert "rihgt" in missing.err


def test_logs_follow_a_running_execution_to_its_end(cli: Home) -> None:
    cli.write("slow.yaml", "steps:\n  - {id: slow, run: 'echo first; read line < go; echo $line'}\n")
    os.mkfifo(cli.folder / "go")
    with cli.start("run", "slow.yaml", stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        next(line for line in running.stdout if b"first" in line)
        with cli.start("logs", "last", "slow", "-f") as following:
            assert following.stdout is not None
            assert following.stdout.readline() == b"first\n"
            (cli.folder / "go").write_text("second\n")
            rest, _ = following.communicate(timeout=30)
        running.communicate(timeout=30)
    assert rest == b"second\n"
    assert following.returncode == 0
