"""What a shell offers when somebody presses Tab."""

import shutil
import subprocess

import pytest

from tests.binary.program import program
from tests.cli.conftest import Home


def offered(cli: Home, *words: str) -> list[str]:
    """What completes the last of the words."""
    env = {
        "_CEREBELUM_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["cerebelum", *words]),
        "COMP_CWORD": str(len(words)),
    }
    return [line.partition(",")[2] for line in cli(env=env).out.splitlines() if line]


@pytest.fixture(autouse=True)
def executions(cli: Home) -> None:
    cli.write("one.yaml", "steps: [{id: build, run: 'true'}, {id: bundle, run: 'false'}]\n")
    for name in ("deploy-1", "deploy-2", "other"):
        cli("run", "one.yaml", "--id", name)


def test_ids_are_offered_newest_first(cli: Home) -> None:
    assert offered(cli, "status", "dep") == ["deploy-2", "deploy-1"]
    assert offered(cli, "resume", "")[:2] == ["last", "other"]
    assert offered(cli, "watch", "nothing-like-it") == []
    assert offered(cli, "graph", "dep") == ["deploy-2", "deploy-1"]
    assert offered(cli, "graph", "one.y") == ["one.y"], "which the shell completes as a file"


def test_steps_of_the_named_execution_are_offered(cli: Home) -> None:
    assert offered(cli, "status", "deploy-1", "bui") == ["build"]
    assert offered(cli, "resume", "deploy-1", "--from", "bu") == ["build", "bundle"]
    assert offered(cli, "status", "nobody", "b") == []


def test_another_store_is_looked_into_if_the_command_line_names_it(cli: Home) -> None:
    cli("run", "one.yaml", "--id", "elsewhere", "--store", "there.db")
    assert offered(cli, "--store", "there.db", "status", "else") == ["elsewhere"]


def test_bash_completes_with_the_script(cli: Home) -> None:
    script = cli("completion", "bash").out
    (cli.folder / "cerebelum").write_text(f'#!/bin/sh\nexec {" ".join(program())} "$@"\n')
    (cli.folder / "cerebelum").chmod(0o755)
    ask = (
        f"{script}\nCOMP_WORDS=(cerebelum status deploy-)\nCOMP_CWORD=2\n"
        '_cerebelum_completion cerebelum\necho "${COMPREPLY[@]}"\n'
    )
    env = {**cli.environ, "PATH": f"{cli.folder}:{cli.environ['PATH']}"}
    ran = subprocess.run(["bash", "-c", ask], cwd=cli.folder, env=env, capture_output=True, text=True, check=False)
    assert ran.stdout.split() == ["deploy-2", "deploy-1"], ran.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_that_the_shell_can_read(cli: Home, shell: str) -> None:
    script = cli("completion", shell).out
    assert "_CEREBELUM_COMPLETE=" in script
    if shutil.which(shell):
        assert subprocess.run([shell, "-n"], input=script, text=True, check=False).returncode == 0


def test_a_dry_run_needs_no_secrets(cli: Home) -> None:
    cli.write("s.yaml", "secrets: [TOKEN]\nsteps: [{id: one, run: 'true', secrets: [TOKEN]}]\n")
    assert "secrets  TOKEN" in cli("run", "s.yaml", "--dry-run").out
    assert cli("run", "s.yaml").code == 2
