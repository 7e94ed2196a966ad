"""`shell`: one finds what the step found, and disturbs nothing."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.binary.program import program
from tests.cli.screens import Opens, Window, windows
from tests.lifecycle.world import World, crash, finish

FLOW = """
    name: look
    inputs: {who: {type: string, default: you & 'me'}}
    secrets: [TOKEN]
    env: {LEVEL: high}
    steps:
      - {id: build, run: 'echo "file=a b.tar" >> "$CEREBELUM_OUTPUT"'}
      - id: upload
        working_dir: sub
        env: {FILE: '${{ steps.build.output.file }}', WHOLE: '${{ env.LEVEL }} ${{ inputs.who }}'}
        run: |
          env -0 > ../seen-$CEREBELUM_ATTEMPT
          echo "no $FILE" >&2
          test -e ../mended || exit 7
      - {id: later, run: echo later}
    """
TOKEN = {"TOKEN": "s3cret-t0ken"}
OF_THE_ATTEMPT = {"CEREBELUM_TOKEN", "CEREBELUM_OUTPUT"}
OF_THE_SHELL = {"CEREBELUM_OUTPUT", "CEREBELUM_SCRIPT", "CEREBELUM_SHELL"}
OF_ANY_SHELL = {"_", "SHLVL", "OLDPWD"}
PROMPT = "(cerebelum x:upload)"


@pytest.fixture
def stuck(world: World) -> World:
    """An execution `x` whose step `upload` has failed."""
    (world.folder / "sub").mkdir()
    assert world.run(FLOW, env=TOKEN).code == 1
    return world


@pytest.fixture
def window(stuck: World) -> Iterator[Opens]:
    with windows(stuck) as opens:
        yield lambda *arguments, **options: opens(
            "shell", "x", *arguments, controls=True, columns=200, SHELL="/bin/bash", **options
        )


def variables(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.split("\0") if line)


def prompted(window: Window, prompt: str = PROMPT) -> list[str]:
    return window.until(lambda lines: lines and lines[-1].startswith(prompt))


def interrupted(window: Window, count: int) -> None:
    """Waits for the prompt that follows so many Ctrl-C."""
    window.until(lambda lines: "".join(lines).count("^C") == count and re.fullmatch(r"\(cere.*[#$]", lines[-1]))


def scratch(world: World) -> list[str]:
    return [path.name for path in world.folder.glob("cerebelum-run-*")]


def test_a_command_finds_the_environment_that_the_step_had(stuck: World) -> None:
    seen = variables((stuck.folder / "seen-1").read_text())
    there = variables(stuck("shell", "x", "--with-secrets", "-c", "env -0", env=TOKEN).out)

    assert seen.keys() - there.keys() <= {"CEREBELUM_TOKEN", *OF_ANY_SHELL}
    assert there.keys() - seen.keys() <= {*OF_THE_SHELL, *OF_ANY_SHELL}
    for name in (*OF_THE_ATTEMPT, *OF_THE_SHELL, *OF_ANY_SHELL):
        seen.pop(name, None)
        there.pop(name, None)
    assert there == seen
    assert there["FILE"] == "a b.tar"
    assert there["WHOLE"] == "high you & 'me'"
    assert there["PWD"] == str(stuck.folder / "sub")


def test_secrets_are_left_out_although_they_are_set(stuck: World) -> None:
    for arguments in (["-c", "env"], ["--print-env"], ["--print-env", "--json"]):
        said = stuck("shell", "x", *arguments, env=TOKEN)
        assert said.code == 0, said
        assert TOKEN["TOKEN"] not in said.out
        assert "LEVEL" in said.out
    # What a store's URL has of a password is left out with it.
    store = ["CEREBELUM_STORE"] if "CEREBELUM_STORE" in stuck.environ else []
    assert stuck("shell", "x", "--print-env", "--json").json()["secrets_left_out"] == ["TOKEN", *store]
    assert "export TOKEN=s3cret-t0ken\n" in stuck("shell", "x", "--print-env", "--with-secrets", env=TOKEN).out
    refused = stuck("shell", "x", "--with-secrets", "-c", "env")
    assert (refused.code, "TOKEN" in refused.err, refused.out) == (2, True, "")


def test_the_exit_code_is_the_commands(stuck: World) -> None:
    assert stuck("shell", "x", "-c", "exit 9").code == 9
    assert stuck("shell", "x", "-c", "kill -9 $$").code == 137
    assert stuck("shell", "x", stdin="cd /\necho $FILE\nexit 4\n")[:2] == (4, "a b.tar\n")
    assert stuck("shell", "x", "--shell", "/bin/sh", "-c", "echo $0").out == "/bin/sh\n"
    assert scratch(stuck) == []


def test_the_script_can_be_run_by_hand(stuck: World) -> None:
    command = 'bash --noprofile --norc -eo pipefail "$CEREBELUM_SCRIPT"'
    again = stuck("shell", "x", "-c", command)
    assert (again.code, again.err) == (7, "no a b.tar\n")
    stuck.write("mended", "")
    assert stuck("shell", "x", "-c", command).code == 0


def test_print_env_can_be_evaluated_and_is_json_on_request(stuck: World) -> None:
    lines = stuck("shell", "last", "--print-env").out
    told = subprocess.check_output(["sh", "-c", f'{lines}\nprintf %s "$WHOLE:$INPUT_WHO"'], text=True)
    assert told == "high you & 'me':you & 'me'"
    assert "CEREBELUM_OUTPUT" not in lines
    shape = stuck("shell", "x", "--print-env", "--json").json()
    assert (shape["step"], shape["attempt"], shape["working_dir"]) == ("upload", 1, str(stuck.folder / "sub"))
    assert shape["env"]["CEREBELUM_IDEMPOTENCY_KEY"] == "x:upload:1"


def test_any_step_can_be_looked_at_and_a_misspelt_one_is_said(stuck: World) -> None:
    assert stuck("shell", "x", "--step", "build", "-c", "pwd; echo $LEVEL $FILE").out == f"{stuck.folder}\nhigh\n"
    assert stuck("shell", "x", "--step", "later", "-c", "echo $CEREBELUM_ATTEMPT").out == "1\n"
    refused = stuck("shell", "x", "--step", "uplaod")
    assert (refused.code, "did you mean upload?" in refused.err) == (3, True)
    assert stuck("shell", "nobody", "-c", "true").code == 3


@pytest.mark.parametrize(
    "arguments",
    [["--json"], ["--print-env", "-c", "true"], ["--print-env", "--shell", "sh"], ["--shell", "no-such", "-c", "true"]],
)
def test_what_does_not_go_together_is_said(stuck: World, arguments: list[str]) -> None:
    assert stuck("shell", "x", *arguments).code == 2


def test_without_a_step_it_has_to_be_clear_which_one(world: World) -> None:
    both = "steps: [{parallel: [{id: left, run: exit 1}, {id: right, run: exit 2}]}, {id: end, run: 'true'}]"
    assert world.run(both).code == 1
    assert world.run("steps: [{id: only, run: 'true'}]", name="y").code == 0
    refused = world("shell", "x", "-c", "true")
    assert (refused.code, "--step: left, right\n" in refused.err) == (2, True), refused
    refused = world("shell", "y", "-c", "true")
    assert (refused.code, "--step: only\n" in refused.err) == (2, True), refused
    assert world("shell", "y", "--step", "only", "-c", "echo $CEREBELUM_STEP").out == "only\n"


def test_a_function_has_a_folder_and_an_environment_too(world: World) -> None:
    world.write("tasks.py", "def fail(): raise ValueError('no')")
    assert world.run("steps: [{id: call, python: tasks.py:fail, env: {LEVEL: high}}]").code == 1
    said = world("shell", "x", "-c", "pwd; echo $LEVEL ${CEREBELUM_SCRIPT-none}")
    assert said.out == f"{world.folder}\nhigh none\n"


def test_a_handler_finds_how_it_went(world: World) -> None:
    assert world.run("steps: [{id: a, run: exit 1}]\nfinally: [{id: tidy, run: 'true'}]").code == 1
    said = world("shell", "x", "--step", "tidy", "-c", "echo $CEREBELUM_STATUS $CEREBELUM_FAILED_STEPS")
    assert said.out == "failed a\n"


def test_a_variable_without_a_value_is_left_out_and_said(world: World) -> None:
    flow = """
        steps:
          - {id: a, run: exit 1}
          - {id: b, env: {ONE: '${{ steps.a.output.key }}', TWO: two}, run: 'true'}
        """
    assert world.run(flow).code == 1
    said = world("shell", "x", "--step", "b", "-c", "echo ${ONE-none} $TWO")
    assert (said.code, said.out, "env.ONE" in said.err) == (0, "none two\n", True), said


def test_a_folder_that_is_gone_is_said(stuck: World) -> None:
    (stuck.folder / "sub").rmdir()
    refused = stuck("shell", "x", "-c", "true")
    assert (refused.code, f"{stuck.folder}/sub is not there" in refused.err) == (2, True), refused
    assert "--working-dir" in refused.err


def test_what_is_run_in_it_does_not_take_its_variables_for_the_users(stuck: World) -> None:
    stuck.flow("steps: [{id: a, run: 'env > inner'}]", "inner.yaml")
    inner = f"cd ..; {' '.join(program())} run inner.yaml"
    assert stuck("shell", "x", "-c", inner).code == 0
    names = {line.partition("=")[0] for line in stuck.lines("inner")}
    assert names & {"CEREBELUM_SCRIPT", "CEREBELUM_SHELL", "CEREBELUM_TOKEN"} == {"CEREBELUM_TOKEN"}


def opened(world: World, *arguments: str) -> subprocess.Popen[bytes]:
    """A shell that reads commands and is there."""
    shell = world.start("shell", "x", *arguments, stdin=subprocess.PIPE)
    assert said(shell, "echo here") == "here"
    return shell


def said(shell: subprocess.Popen[bytes], command: str) -> str:
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write(command.encode() + b"\n")
    shell.stdin.flush()
    return shell.stdout.readline().decode().rstrip()


def test_nothing_is_recorded_and_a_resume_goes_on_beside_it(stuck: World) -> None:
    before = (stuck.state().version, stuck.row().ownership)
    shell = opened(stuck)
    assert (stuck.state().version, stuck.row().ownership) == before
    stuck.write("mended", "")
    assert stuck("resume", "x", env=TOKEN).code == 0
    assert stuck.status() == "completed"
    assert said(shell, "echo still $CEREBELUM_ATTEMPT") == "still 1"
    shell.communicate(b"exit 5\n", timeout=30)
    assert shell.returncode == 5
    assert stuck.sound()


def test_leftovers_of_a_dead_runner_are_ended_and_the_shell_is_not(world: World) -> None:
    runner = world.begin("steps: [{id: long, run: 'echo $$ >> pids; test $CEREBELUM_ATTEMPT = 2 || sleep 1000'}]")
    world.wait_for_line("pids")
    driven = opened(world, "--step", "long")
    crash(runner)
    found = opened(world)
    assert world.left("CEREBELUM_TOKEN=x.long.1")
    assert world("resume", "x").code == 0
    assert not world.left("CEREBELUM_TOKEN=x.long.1")
    for shell in (driven, found):
        assert said(shell, "echo still $CEREBELUM_STEP") == "still long"


def test_cancelling_ends_the_step_and_not_the_shell(world: World) -> None:
    runner = world.begin("steps: [{id: long, run: 'echo $$ >> pids; sleep 1000'}]")
    world.wait_for_line("pids")
    shell = opened(world, "--step", "long")
    assert world("cancel", "x").code == 0
    assert runner.wait(30) == 6
    assert said(shell, "echo still $CEREBELUM_STEP") == "still long"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_and_leaves_nothing_behind(stuck: World, number: signal.Signals) -> None:
    # Away from the terminal of whoever runs the tests, whose Ctrl-C would reach the command without us.
    shell = stuck.start("shell", "x", "-c", "echo here; exec sleep 1000", start_new_session=True)
    assert shell.stdout is not None
    assert shell.stdout.readline() == b"here\n"
    assert len(scratch(stuck)) == 1
    shell.send_signal(number)
    done = finish(shell)
    assert (done.code, done.err) == (128 + number, "")
    assert scratch(stuck) == []


def test_on_a_terminal_it_says_where_one_is_and_takes_what_is_typed(window: Opens) -> None:
    shell = window()
    told = "\n".join(prompted(shell))
    for text in (
        "x upload: exit code 7",
        "│ no a b.tar",
        "│ env -0 > ../seen-$CEREBELUM_ATTEMPT",
        'bash --noprofile --norc -eo pipefail "$CEREBELUM_SCRIPT"',
        "left out: TOKEN; --with-secrets",
        "cerebelum resume x",
    ):
        assert text in told
    shell.type("echo $FILE; exit 3\n")
    code, lines = shell.finish()
    assert code == 3
    assert "a b.tar" in lines


def test_ctrl_c_ends_what_runs_in_it_and_not_the_shell(stuck: World, window: Opens) -> None:
    shell = window()
    prompted(shell)
    shell.type("sh -c 'echo go > ../going; exec cat'\n")
    stuck.wait_for_line("going")
    for count in (1, 2):
        shell.type("\x03")
        interrupted(shell, count)
    shell.type("echo still; exit 4\n")
    code, lines = shell.finish()
    assert (code, "still" in lines, "Traceback" in "".join(lines)) == (4, True, False), lines


def test_hanging_up_ends_the_shell_and_leaves_nothing_behind(stuck: World, window: Opens) -> None:
    shell = window()
    prompted(shell)
    shell.type("sh -c 'echo go > ../going; exec cat'\n")
    stuck.wait_for_line("going")
    shell.process.send_signal(signal.SIGTERM)
    code, _ = shell.finish()
    assert code == 129
    assert scratch(stuck) == []


def test_the_users_settings_are_loaded_and_leave_the_environment_as_it_is(stuck: World, window: Opens) -> None:
    stuck.write("home/.bashrc", "cd /; export LEVEL=low MINE=mine; alias look='echo \"$LEVEL $MINE $PWD\"'; PS1='> '")
    shell = window()
    prompted(shell, f"{PROMPT} >")
    shell.type("look; exit\n")
    code, lines = shell.finish()
    assert (code, f"high mine {stuck.folder}/sub" in lines) == (0, True), lines


def test_sh_loads_its_settings_too(stuck: World, window: Opens) -> None:
    stuck.write("home/.shrc", 'export LEVEL=low; look() { echo "$LEVEL $ENV"; }')
    shell = window("--shell", "sh", ENV="$HOME/.shrc")
    prompted(shell)
    shell.type("look; exit 2\n")
    code, lines = shell.finish()
    assert (code, "high $HOME/.shrc" in lines) == (2, True), lines


def test_secrets_are_in_no_file(stuck: World, window: Opens) -> None:
    shell = window("--with-secrets", **TOKEN)
    prompted(shell)
    [name] = scratch(stuck)
    files = [path for path in (stuck.folder / name).rglob("*") if path.is_file()]
    assert len(files) == 3
    assert not [path for path in files if TOKEN["TOKEN"] in path.read_text()]
    shell.type('echo "have $TOKEN"; exit\n')
    assert "have s3cret-t0ken" in shell.finish()[1]
