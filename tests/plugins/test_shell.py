"""`run:` does what a user of a build tool expects: strict shells, streamed output, outputs, and errors that explain."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cerebelum.core.errors import CerebelumError
from cerebelum.core.model import Step
from cerebelum.core.outcome import Completed, Failed, Interrupted, Outcome
from cerebelum.plugins.shell import Shell, cerebelum_executors, without_shell
from cerebelum.steps.executor import Stop
from cerebelum.steps.output_values import MAX_OUTPUT, OutputError, parse_output
from cerebelum.steps.process import start_ticks
from tests.attempts import MemorySink, attempt

BASH = shutil.which("bash")


def run(folder: Path, script: str, **more: Any) -> Outcome:
    return Shell().run(attempt(folder, "run", script, **more))


def failure(outcome: Outcome) -> str:
    assert isinstance(outcome, Failed), outcome
    return f"{outcome.error.kind}: {outcome.error.message}"


def test_the_plugin_offers_run() -> None:
    assert [executor.key for executor in cerebelum_executors()] == ["run"]


def test_without_output_there_is_none(tmp_path: Path) -> None:
    sink = MemorySink()
    assert run(tmp_path, "echo hi; echo oops >&2", sink=sink) == Completed(None)
    assert (sink.out, sink.err) == (b"hi\n", b"oops\n")


def test_a_failure_carries_the_exit_code_and_the_last_lines(tmp_path: Path) -> None:
    outcome = run(tmp_path, "echo before; exit 3; echo after")
    assert isinstance(outcome, Failed)
    assert (outcome.error.kind, outcome.error.message, outcome.error.exit_code) == ("exit", "exit code 3", 3)
    assert outcome.error.tail == "before\n"


def test_a_killed_script_names_the_signal(tmp_path: Path) -> None:
    assert failure(run(tmp_path, "kill -SEGV $$")) == "signal: killed by SIGSEGV"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("nonesuch", "exit code 127: a command was not found"),
        ("/dev/null", "exit code 126: a command was found but cannot be executed"),
        ("bash -c 'kill -SEGV $$'; exit $?", "exit code 139: a command was killed by SIGSEGV"),
    ],
)
def test_telling_exit_codes_are_explained(tmp_path: Path, script: str, said: str) -> None:
    assert said in failure(run(tmp_path, script))


@pytest.mark.parametrize("script", ["false; true", "false | true"])
def test_bash_stops_at_the_first_error_in_pipes_too(tmp_path: Path, script: str) -> None:
    assert failure(run(tmp_path, script)) == "exit: exit code 1"


def seen(folder: Path, script: str, **more: Any) -> dict[str, str]:
    sink = MemorySink()
    assert run(folder, script, sink=sink, **more) == Completed(None)
    return dict(line.split("=", 1) for line in sink.out.decode().splitlines())


@pytest.mark.parametrize("pwd", [None, "/nonexistent", "."])
def test_a_command_that_needs_no_shell_sees_what_a_shell_would_show_it(tmp_path: Path, pwd: str | None) -> None:
    env = {"PATH": os.environ["PATH"], "SHLVL": "3", **({} if pwd is None else {"PWD": pwd})}
    direct, by_bash = seen(tmp_path, "env -u X", env=env), seen(tmp_path, "env -u X; :", env=env)
    for name in ("_", "OLDPWD", "CEREBELUM_TOKEN", "CEREBELUM_OUTPUT"):
        direct.pop(name, None)
        by_bash.pop(name, None)
    assert direct == {**by_bash, "SHLVL": "3"}


@pytest.mark.parametrize(
    "script",
    [
        *("echo *", "A=1 env", "a && b", "ls | cat", "ls > x", "ls\nls", "~/x", "ls $HOME", "ls 'a'", "cd /", "exit 3"),
        *("true --help", "nonesuch", "./script", "ls # all", "{ ls", "while true", "bin/ls", "-x", "if", "ls a\\ b"),
        *("ls {a,b}", "!", "", "ls\r", "ls\xa0"),
    ],
)  # fmt: skip
def test_what_a_shell_has_to_read_is_left_to_it(tmp_path: Path, script: str) -> None:
    (tmp_path / "script").write_text("echo no line names its interpreter")
    (tmp_path / "script").chmod(0o755)
    assert without_shell(script, {"PATH": os.environ["PATH"]}, tmp_path) is None


@pytest.mark.parametrize("env", [{"BASH_ENV": "/x"}, {"SHELLOPTS": "xtrace"}, {"BASH_FUNC_ls%%": "() { :; }"}])
def test_variables_that_change_a_shell_are_not_passed_over(tmp_path: Path, env: dict[str, str]) -> None:
    path = {"PATH": os.environ["PATH"]}
    assert without_shell("ls -l", path, tmp_path) == (["ls", "-l"], shutil.which("ls"))
    assert without_shell("ls -l", {**path, **env}, tmp_path) is None
    assert without_shell("ls -l", {"PATH": "bin:/bin:/usr/bin"}, tmp_path) is None


def test_no_startup_file_of_bash_is_read(tmp_path: Path) -> None:
    (tmp_path / ".bashrc").write_text("echo startup; exit 9")
    sink = MemorySink()
    assert run(tmp_path, "echo ok", env={"HOME": str(tmp_path)}, sink=sink) == Completed(None)
    assert sink.out == b"ok\n"


@pytest.mark.parametrize("path", ["bin:{0}", ":{0}", "{0}:bin"])
def test_bash_is_found_behind_a_relative_folder_of_the_path(tmp_path: Path, path: str) -> None:
    sink = MemorySink()
    given = {"PATH": path.format(os.environ["PATH"])}
    assert run(tmp_path, 'echo "${BASH_VERSION:+bash}"; true', env=given, sink=sink) == Completed(None)
    assert sink.out == b"bash\n"


def test_sh_serves_where_the_steps_path_has_no_bash(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sh").symlink_to(Path("/bin/sh").resolve())
    (tmp_path / "bin" / "bash").mkdir()
    sink = MemorySink()
    outcome = run(
        tmp_path, 'echo "${BASH_VERSION:-none} $0"; false; echo after', env={"PATH": str(tmp_path / "bin")}, sink=sink
    )
    assert failure(outcome) == "exit: exit code 1"
    assert sink.out == b"none sh\n"


def test_the_script_is_literal(tmp_path: Path) -> None:
    sink = MemorySink()
    run(tmp_path, "echo '${{ inputs.x }}' $((1+1)) \"$GREETING\"", env={"GREETING": "a  b; rm -rf /"}, sink=sink)
    assert sink.out == b"${{ inputs.x }} 2 a  b; rm -rf /\n"
    assert "run" in Shell().literal


@pytest.mark.parametrize("command", ["nonesuch -c", ["nonesuch", "--flag"]])
def test_a_shell_that_is_not_there_is_named(tmp_path: Path, command: Any) -> None:
    assert failure(run(tmp_path, "true", options={"shell": command})).startswith("not_found: nonesuch was not found")


@pytest.mark.parametrize(
    ("shell", "script", "out"),
    [
        ("sh", "echo $0", b"sh\n"),
        ("bash", "echo $-", b"ehBc\n"),
        (sys.executable, "import sys; print(1 + 1, sys.argv)", b"2 ['-c']\n"),
        ("bash -c", "false; echo on", b"on\n"),
        ("bash -ec", "echo a; false; echo b", b"a\n"),
        (["bash", "-x"], "echo file", b"file\n"),
        ("bash --norc {0} one 'two three'", 'echo "$1/$2"', b"one/two three\n"),
        ("cat", "the script itself", b"the script itself"),
        ("env A=1 sh -c", "echo $A", b"1\n"),
    ],
)
def test_shell_takes_a_name_or_a_command_line(tmp_path: Path, shell: Any, script: str, out: bytes) -> None:
    sink = MemorySink()
    run(tmp_path, script, options={"shell": shell}, sink=sink)
    assert sink.out == out


@pytest.mark.parametrize("shell", [None, "sh", "bash -ec", sys.executable])
def test_a_script_longer_than_an_argument_may_be_runs(tmp_path: Path, shell: str | None) -> None:
    line = "# " + "x" * 98 + "\n"
    sink = MemorySink()
    script = line * 3000 + ("print('end')" if shell == sys.executable else "echo end; false; true")
    outcome = run(tmp_path, script, options={"shell": shell} if shell else {}, sink=sink)
    assert sink.out == b"end\n"
    assert isinstance(outcome, Completed if shell == sys.executable else Failed)


@pytest.mark.parametrize("shell", ["bash 'unclosed", "", []])
def test_a_shell_that_makes_no_sense_is_a_problem_of_the_definition(tmp_path: Path, shell: Any) -> None:
    with pytest.raises(CerebelumError, match="shell"):
        Shell().fingerprint(Step(id="s", executor="run", body="true", options={"shell": shell}), tmp_path)


def test_a_nul_in_the_script_is_a_clear_failure(tmp_path: Path) -> None:
    assert "NUL" in failure(run(tmp_path, "echo a\0b"))


def test_keys_written_to_the_output_file_become_the_output(tmp_path: Path) -> None:
    script = """
        echo "digest=sha256:abc=" >> "$CEREBELUM_OUTPUT"
        echo >> "$CEREBELUM_OUTPUT"
        { echo "notes<<EOF"; echo "one = 1"; echo; echo "two"; echo EOF; } >> "$CEREBELUM_OUTPUT"
        printf 'bytes=\\xff\\nempty=\\nlast=no newline' >> "$CEREBELUM_OUTPUT"
    """
    assert run(tmp_path, script) == Completed(
        {"digest": "sha256:abc=", "notes": "one = 1\n\ntwo", "bytes": "\ufffd", "empty": "", "last": "no newline"}
    )


def test_the_last_value_of_a_key_counts() -> None:
    assert parse_output("a=1\na=2\n") == {"a": "2"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ok=1\nnonsense\n", "line 2: neither KEY=value nor KEY<<END: 'nonsense'"),
        ("1a=2", "line 1"),
        ("a b=2", "line 1"),
        ("\n\nnotes<<EOF\nnever ends\n", "line 3: no line 'EOF' ends this block"),
        ("notes<<\nx\n", "line 1"),
    ],
)
def test_a_malformed_line_of_the_output_file_is_named(text: str, said: str) -> None:
    with pytest.raises(OutputError) as caught:
        parse_output(text)
    assert said in caught.value.message


def test_a_malformed_output_file_fails_the_step(tmp_path: Path) -> None:
    assert failure(run(tmp_path, "echo nonsense > $CEREBELUM_OUTPUT")).startswith("output: $CEREBELUM_OUTPUT line 1")


def test_an_output_file_over_the_limit_fails_the_step_and_names_both_sizes(tmp_path: Path) -> None:
    said = failure(run(tmp_path, "head -c 3000000 /dev/zero > $CEREBELUM_OUTPUT"))
    assert "3000000" in said
    assert str(MAX_OUTPUT) in said


@pytest.mark.parametrize("instead", ["mkdir", "mkfifo", "ln -s /dev/zero"])
def test_something_else_in_the_place_of_the_output_file_is_an_error(tmp_path: Path, instead: str) -> None:
    said = failure(run(tmp_path, f'rm -f "$CEREBELUM_OUTPUT"; {instead} "$CEREBELUM_OUTPUT"'))
    assert "not a regular file" in said


def test_a_removed_output_file_is_no_output(tmp_path: Path) -> None:
    assert run(tmp_path, 'echo a=1 > "$CEREBELUM_OUTPUT"; rm "$CEREBELUM_OUTPUT"') == Completed(None)


def test_output_text_is_stdout_without_its_last_newlines(tmp_path: Path) -> None:
    sink = MemorySink()
    assert run(tmp_path, r"printf ' a\n b\xff\n\n'; echo log >&2", output="text", sink=sink) == Completed(
        " a\n b\ufffd"
    )
    assert sink.out == b" a\n b\xff\n\n"
    assert run(tmp_path, "true", output="text") == Completed("")


def test_output_json_is_the_value_on_stdout(tmp_path: Path) -> None:
    assert run(tmp_path, 'echo \'{"a": [1, 2.5, null, "ä"]}\'', output="json") == Completed({"a": [1, 2.5, None, "ä"]})


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("{\n  a: 1}", "at line 2, column 3, where 'a: 1}' stands"),
        ('{"a": ', "where the end stands"),
        ('{"a": 1}\ndone', "at line 2, column 1, where 'done' stands"),
        ("", "stdout is empty"),
        ("[NaN]", "NaN is not JSON"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "the key `c` appears twice"),
        ("[123456789012345678901234567890]", "stdout[0] is an integer beyond 64 bits"),
        (r'{"k": "\ud800"}', "stdout.k is text with a lone surrogate"),
        ("[" * 100_000, "nested too deeply"),
        ("1e999", "the number 1e999 is too large"),
    ],
)
def test_stdout_that_is_not_json_says_where_and_what(tmp_path: Path, printed: str, said: str) -> None:
    (tmp_path / "printed").write_text(printed)
    assert said in failure(run(tmp_path, "cat printed", output="json"))


@pytest.mark.parametrize("output", ["text", "json"])
def test_stdout_over_the_limit_fails_the_step_and_names_both_sizes(tmp_path: Path, output: Any) -> None:
    said = failure(run(tmp_path, "head -c 20000000 /dev/zero", output=output))
    assert "20000000" in said
    assert str(MAX_OUTPUT) in said


def test_outputs_both_ways_are_an_error_that_names_the_keys(tmp_path: Path) -> None:
    said = failure(run(tmp_path, "echo out; echo key=1 >> $CEREBELUM_OUTPUT", output="text"))
    assert "the step wrote key to $CEREBELUM_OUTPUT, but has `output: text`" in said


def test_a_stop_interrupts_and_leaves_nothing(tmp_path: Path) -> None:
    stop = Stop()
    sink = MemorySink({b"ready": lambda: stop("timeout", 0.2)})
    script = "sleep 1000 & echo $! > pid; setsid sleep 1000 & echo $! >> pid; echo ready; wait"
    assert run(tmp_path, script, stop=stop, sink=sink) == Interrupted()
    assert [start_ticks(int(pid)) for pid in (tmp_path / "pid").read_text().split()] == [None, None]


def test_a_completed_step_may_leave_a_service_running(tmp_path: Path) -> None:
    assert run(tmp_path, "setsid sleep 1000 >/dev/null 2>&1 & echo $! > pid") == Completed(None)
    pid = int((tmp_path / "pid").read_text())
    assert start_ticks(pid)
    subprocess.run(["kill", "-KILL", str(pid)], check=True)


def test_pipes_end_as_in_any_shell(tmp_path: Path) -> None:
    assert failure(run(tmp_path, "yes | head -1")).startswith(f"exit: exit code {128 + signal.SIGPIPE}: ")
