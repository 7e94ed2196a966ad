"""What is told about attempts, times and decisions that are not there, not yet there, or over."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from cerebelum.core.events import StepCompleted
from cerebelum.definition import patterns
from tests.cli.conftest import Home
from tests.engine.harness import in_thread
from tests.lifecycle.world import World, wait_until

pytestmark = pytest.mark.usefixtures("store_url")

RETRIED = """
steps:
  - id: a
    retry: {attempts: 3, delay: 50ms}
    run: 'echo try $CEREBELUM_ATTEMPT; test "$CEREBELUM_ATTEMPT" = 3'
  - {id: b, run: 'false', continue_on_error: true}
  - {id: never, when: false, run: echo never}
"""


def test_an_attempt_that_has_not_been_is_said_with_how_many_there_were(world: World) -> None:
    assert world.run(RETRIED).code == 0
    assert world("logs", "x", "a", "--attempt", "3").out == "try 3\n"
    for arguments, said in (
        (["a", "--attempt", "9"], "step a has had 3 attempts"),
        (["b", "--attempt", "2"], "step b has had 1 attempt\n"),
        (["never", "--attempt", "1"], "step never has had no attempt"),
        (["--attempt", "9"], "no step has had more than 3 attempts"),
    ):
        refused = world("logs", "x", *arguments)
        assert (refused.code, said in refused.err) == (3, True), refused


def test_a_misspelt_step_is_said_before_a_secret_is_missed(world: World) -> None:
    assert world.run("secrets: [TOKEN]\nsteps: [{id: build, run: exit 1}]", env={"TOKEN": "abcdefgh"}).code == 1
    for verb in (["resume", "x"], ["fork", "x"]):
        refused = world(*verb, "--from", "biuld")
        assert (refused.code, "biuld" in refused.err, "TOKEN" in refused.err) == (2, True, False), refused


def test_the_time_of_the_first_event_is_local(world: World) -> None:
    assert world.run("steps: [{id: a, run: 'true'}]").code == 0
    began = world.state().started_at.astimezone()
    refused = world("status", "x", "--at", "2001-01-01", env={"TZ": "Asia/Tokyo"})
    assert f"{began.astimezone(ZoneInfo('Asia/Tokyo')):%Y-%m-%d %H:%M:%S}" in refused.err


def test_lines_of_the_output_file_may_end_in_a_carriage_return(world: World) -> None:
    done = world.run(r"""
        steps:
          - id: a
            run: 'printf "one=1\r\ntwo<<END\r\nx\r\ny\r\nEND\r\n" >> "$CEREBELUM_OUTPUT"'
        """)
    assert done.code == 0, done
    assert world.last(StepCompleted).output == {"one": "1", "two": "x\ny"}


ASKED = """
steps:
  - {id: go, approval: {message: 'Go?', timeout: 100ms, on_timeout: %s}}
"""


def test_an_approval_that_time_grants_is_shown_as_granted(world: World) -> None:
    granted = world.run(ASKED % "approve", name="x")
    assert (granted.code, "✗" in granted.out) == (0, False)
    assert "nobody decided in time: approved" in granted.out
    refused = world.run(ASKED % "fail", name="y")
    assert (refused.code, "✗ go  nobody approved in time" in refused.out) == (1, True)


def test_status_counts_waits_and_all_attempts(world: World) -> None:
    done = world.run("""
        steps:
          - {id: nap, sleep: 300ms}
          - id: thrice
            retry: {attempts: 3, delay: 200ms}
            run: 'sleep 0.1; test "$CEREBELUM_ATTEMPT" = 3'
        """)
    assert done.code == 0
    nap, thrice = world("status", "x", "--json").json()["steps"]
    assert nap["total_duration"] - nap["duration"] > 0.29
    assert thrice["total_duration"] - thrice["duration"] > 0.59
    assert thrice["duration"] >= 0.1
    shown = {line.split()[1]: line for line in world("status", "x").out.splitlines() if "✓" in line}
    assert "0.0 s" not in shown["nap"]
    assert "the last attempt" not in shown["nap"]
    assert f"the last attempt {thrice['duration']:.1f} s (attempt 3)" in shown["thrice"]
    live = {line.split()[1]: line for line in done.out.splitlines() if line.startswith("✓")}
    assert "0.0 s" not in live["nap"]


def test_status_counts_an_approval_up_to_its_end_and_not_what_came_before_a_resume(world: World) -> None:
    world.run(
        """
        steps:
          - {id: go, approval: {message: 'Go?'}}
          - {id: b, run: test -e mended}
        """,
        "--park",
    )
    asked = world.state().steps["go"].began_at
    wait_until(lambda: asked and (datetime.now(UTC) - asked).total_seconds() > 0.3)
    assert world("approve", "x").code == 0
    assert world("resume", "x").code == 1
    go, b = world("status", "x", "--json").json()["steps"]
    assert go["total_duration"] > 0.3
    first = b["started_at"]
    world.write("mended", "")
    assert world("resume", "x").code == 0
    again = world("status", "x", "--json").json()["steps"][1]
    assert first < again["started_at"]
    assert again["total_duration"] < 0.3


def test_a_pattern_that_backtracks_for_ever_is_given_up(cli: Home) -> None:
    cli.write("x.yaml", "inputs: {a: {type: string, pattern: '(a+)+'}}\nsteps: [{id: s, run: 'true'}]")
    refused = cli("run", "x.yaml", "--input", "a=" + "a" * 40 + "b")
    assert (refused.code, "takes longer than 1 s" in refused.err) == (2, True), refused
    assert cli("run", "x.yaml", "--input", "a=aaaa").code == 0
    cli.write("y.yaml", f"inputs: {{a: {{type: string, pattern: '(a+)+', default: {'a' * 40}b}}}}\nsteps: []")
    assert "takes longer than 1 s" in cli("validate", "y.yaml").err


def test_a_pattern_is_also_bounded_in_a_thread() -> None:
    def hopeless() -> str:
        with pytest.raises(patterns.TooLong):
            patterns.matches("(a+)+", "a" * 40 + "b")
        return "given up"

    assert in_thread(hopeless)() == "given up"
    assert in_thread(lambda: patterns.matches("(a+)+", "aaa"))() is True
    assert in_thread(lambda: patterns.matches("(a+)+", "aab"))() is False


TALKS = """
steps:
  - {id: a, run: 'seq 1 30'}
  - {id: b, run: 'echo out; seq 100 105; exit 1'}
"""


def test_the_end_of_the_logs_and_those_of_what_failed(world: World) -> None:
    assert world.run(TALKS).code == 1
    assert world("logs", "x", "a", "--tail", "3").out == "28\n29\n30\n"
    assert world("logs", "x", "a", "--tail", "99").out == world("logs", "x", "a").out
    assert world("logs", "x", "--failed", "--tail", "2").out == "b │ 104\nb │ 105\n"
    assert world("logs", "x", "--tail", "1").out == "a │ 30\nb │ 105\n"
    assert world("logs", "x", "b", "--tail", "2", "--raw").out == "104\n105\n"
    assert world("logs", "x", "--since", "1h").out == world("logs", "x").out
    assert world("logs", "x", "--since", "2001-01-01").out == world("logs", "x").out
    assert world("logs", "x", "--since", "2100-01-01").out == ""
    refused = world("logs", "x", "-f", "--tail", "1")
    assert (refused.code, "look back" in refused.err) == (2, True)


def test_a_list_in_the_form_that_a_script_wants(world: World) -> None:
    assert world.run("name: n\nsteps: [{id: a, run: 'true'}]").code == 0
    started = world.state().started_at.replace(microsecond=0).isoformat().replace("+00:00", "Z")
    assert world("list", "--format", "{id}|{status}|{workflow}|{started_at}").out == f"x|completed|n|{started}\n"
    for wrong in ("{nope}", "{id", "{id.x}", "{0}"):
        refused = world("list", "--format", wrong)
        assert (refused.code, "{status}" in refused.err) == (2, True), refused
    assert world("list", "--format", "{id}", "--json").code == 2


def test_colours_can_be_forced_and_forbidden(world: World) -> None:
    assert world.run("steps: [{id: a, run: 'true'}]").code == 0
    for env, coloured in (
        ({"FORCE_COLOR": "1"}, True),
        ({"CLICOLOR_FORCE": "1"}, True),
        ({"FORCE_COLOR": "0"}, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ):
        assert ("\x1b[32m" in world("list", env=env).out) is coloured, env
