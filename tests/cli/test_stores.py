"""Finding executions, and stores that are not there, not ours, or not to be had."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.cli.conftest import Home


def test_list_filters_pages_and_counts(cli: Home, flaky: Callable[[], None]) -> None:
    cli.write("other.yaml", "steps:\n  - {id: one, run: 'true'}\n")
    first = cli("run", "flaky.yaml", "--id", "a-1", "--tag", "x").id()
    second = cli("run", "other.yaml", "--id", "a-2", "--tag", "x", "--tag", "y").id()
    everything = cli("list").out
    assert everything.index(second) < everything.index(first)
    assert everything.endswith("2 executions\n")

    def ids(*arguments: str) -> list[str]:
        return [e["execution_id"] for e in cli("list", "--json", *arguments).json()["executions"]]

    assert ids("--status", "failed,paused") == ["a-1"]
    assert ids("--workflow", "other") == ["a-2"]
    assert ids("--tag", "x", "--tag", "y") == ["a-2"]
    assert ids("--since", "2h") == ["a-2", "a-1"]
    page = cli("list", "--json", "--limit", "1", "--offset", "1").json()
    assert (page["total"], page["total_is_exact"], page["has_more"]) == (2, True, False)
    assert "1 to 1 of 2 executions" in cli("list", "-n", "1").out
    ambiguous = cli("status", "a")
    assert ambiguous.code == 2
    assert "a-1" in ambiguous.err
    assert "a-2" in ambiguous.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--status", "faild"], "did you mean failed?"),
        (["--since", "yesterdy"], "2h, 3d"),
        (["--limit", "0"], "--limit"),
        (["--store", "sqlit:///x"], "did you mean sqlite://?"),
        (["--store", ""], "names no store"),
        (["--store", "memory:a/b"], "memory:NAME"),
        (["--bogus"], "--bogus"),
    ],
)
def test_a_wrong_question_is_exit_2_with_a_hint(cli: Home, arguments: list[str], message: str) -> None:
    refused = cli("list", *arguments)
    assert refused.code == 2
    assert message in refused.err
    assert json.loads(cli("list", "--json", *arguments).err)["error"]["exit_code"] == 2


def test_a_store_in_memory_is_gone_with_the_process(cli: Home) -> None:
    cli.write("one.yaml", "steps:\n  - {id: one, run: 'true'}\n")
    assert cli("run", "one.yaml", "--id", "x", "--store", "memory:").code == 0
    assert cli("status", "x", "--store", "memory:").code == 3
    assert cli("status", "x").code == 3


def test_what_nobody_could_find_again_is_not_detached(cli: Home) -> None:
    cli.write("one.yaml", "steps:\n  - {id: one, run: 'true'}\n")
    refused = cli("run", "one.yaml", "--store", "memory:", "--detach")
    assert refused.code == 2
    assert "a store in memory is seen by this process alone" in refused.err


def test_a_store_that_is_not_there_is_empty_and_an_execution_in_it_exit_3(cli: Home) -> None:
    assert cli("list").out == "no executions\n"
    for verb in ("status", "logs", "history", "resume"):
        missing = cli(verb, "nope", "--json")
        assert missing.code == 3
        assert json.loads(missing.err)["error"]["message"] == "there is no execution 'nope'"
    assert not cli.store.exists()


def test_without_a_home_the_error_names_the_option(cli: Home, flaky: Callable[[], None]) -> None:
    refused = cli("list", env={"HOME": ""})
    assert refused.code == 2
    assert "--store" in refused.err
    assert cli("list", "--store", "x.db", env={"HOME": ""}).code == 0
    locked = cli.folder / "locked"
    locked.write_text("a file where a folder is wanted")
    refused = cli("run", "flaky.yaml", env={"HOME": str(locked)})
    assert refused.code == 74
    assert "--store" in refused.err
    assert "Traceback" not in refused.err


def test_a_foreign_file_is_refused_and_left_as_it_is(cli: Home, flaky: Callable[[], None]) -> None:
    path = cli.write("notes.txt", "these are my notes\n" * 100)
    for verb in (["list"], ["status"], ["run", "flaky.yaml"]):
        refused = cli(*verb, "--store", "notes.txt")
        assert refused.code == 74
        assert "notes.txt" in refused.err
    assert path.read_text().startswith("these are my notes")


def test_the_store_is_private_and_lies_in_the_state_folder(cli: Home, flaky: Callable[[], None]) -> None:
    cli("run", "flaky.yaml")
    assert stat.S_IMODE(cli.store.stat().st_mode) == 0o600
    state = cli.folder / "state"
    cli("run", "flaky.yaml", env={"XDG_STATE_HOME": str(state)})
    assert (state / "cerebelum" / "cerebelum.db").exists()


def test_doctor_says_what_is_in_use_and_what_is_wrong(cli: Home) -> None:
    sound = cli("doctor", "--json")
    topics = {f["topic"]: f for f in sound.json()["findings"]}
    assert sound.code == 0
    assert {"cerebelum", "python", "platform", "shell", "sqlite", "store", "plugins"} <= set(topics)
    assert "not created yet" in topics["store"]["text"]
    bare = cli("doctor", env={"PATH": str(cli.folder)})
    assert bare.code == 0
    assert "warning" in bare.out
    cli.write("foreign.db", "x" * 4096)
    broken = cli("doctor", "--store", "foreign.db")
    assert broken.code == 1
    assert "problem" in broken.out
    assert "shell, python" in broken.out


def test_a_bug_of_ours_is_exit_70_and_keeps_the_traceback_for_the_report(cli: Home) -> None:
    cli.write("home/.config/cerebelum/plugins/bad.py", BAD_VERB)
    crashed = cli("crash")
    assert crashed.code == 70
    assert "Traceback" not in crashed.err
    [report] = cli.store.parent.glob("bug-*.txt")
    assert "ZeroDivisionError" in report.read_text()
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    assert "Traceback" in cli("crash", env={"CEREBELUM_DEBUG": "1"}).err
    assert cli("interrupt").code == 130


BAD_VERB = """
from cerebelum import hookimpl

@hookimpl
def cerebelum_commands(group):
    @group.command()
    def crash():
        1 / 0
    @group.command()
    def interrupt():
        raise KeyboardInterrupt
"""


def test_closed_standard_streams_harm_nobody(cli: Home, flaky: Callable[[], None]) -> None:
    def close() -> None:
        for number in (0, 1, 2):
            os.close(number)

    with cli.start("run", "flaky.yaml", stdin=None, stdout=None, stderr=None, preexec_fn=close) as process:
        assert process.wait(timeout=30) == 1
    assert cli("list", "--json").json()["executions"][0]["status"] == "failed"


def test_a_file_that_is_opened_never_becomes_a_standard_stream(cli: Home) -> None:
    code = "import os; [os.close(n) for n in (0, 1, 2)]; from cerebelum.cli import terminal; terminal.prepare(); "
    code += "fd = os.open('fd', os.O_CREAT | os.O_WRONLY); os.write(fd, b'%d' % fd)"
    subprocess.run([sys.executable, "-c", code], cwd=cli.folder, env=cli.environ, check=True)
    assert int((cli.folder / "fd").read_text()) > 2
