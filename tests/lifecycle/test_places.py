"""Folders that are gone: the one a workflow was reached through, the one a run was in, and the present one."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from cerebelum.core.events import ExecutionResumed
from tests.binary.program import program
from tests.lifecycle.world import World

FLOW = "steps:\n  - {id: a, run: pwd >> %s/places}\n  - {id: b, run: 'pwd >> %s/places; test -e %s/mended'}\n"


def failed(world: World, where: str = "wd") -> Path:
    """Run a workflow from the folder `where`, which it fails in; it is reached by `../flow.yaml`."""
    folder = world.folder / where
    folder.mkdir()
    (world.folder / "flow.yaml").write_text(FLOW.replace("%s", str(world.folder)))
    assert performed(world, folder, "run", "../flow.yaml", "--id", "x").returncode == 1
    return folder


def performed(world: World, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the program in another folder than the world's."""
    command = [*program(), *words]
    return subprocess.run(
        command, cwd=folder, env=world.environ, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_file_is_found_again_when_a_folder_on_the_way_to_it_is_gone(world: World) -> None:
    failed(world)
    assert world.state().source.path == str(world.folder / "flow.yaml")
    link = world.folder / "current"
    link.symlink_to("wd")
    assert world("run", "current/../flow.yaml", "--id", "y").code == 1
    assert world.state("y").source.path == str(world.folder / "flow.yaml")
    (world.folder / "wd" / "own.yaml").write_text("steps: [{id: a, run: 'true'}]")
    assert world("run", "current/own.yaml", "--id", "z").code == 0
    assert world.state("z").source.path == str(world.folder / "current" / "own.yaml"), "a link may be moved on purpose"


def test_a_run_whose_folder_is_gone_goes_on_in_another_one_and_stays_there(world: World) -> None:
    shutil.rmtree(failed(world))
    refused = world("resume", "x")
    assert (refused.code, "resume x --working-dir DIR" in refused.err) == (2, True), refused
    assert world("resume", "x", "--working-dir", "nowhere").code == 2
    (world.folder / "new").mkdir()
    assert world("resume", "x", "--working-dir", "new").code == 1
    assert world.last(ExecutionResumed).environment.cwd == str(world.folder / "new")
    (world.folder / "mended").touch()
    assert world("resume", "x").code == 0
    assert world.lines("places") == [str(world.folder / name) for name in ("wd", "wd", "new", "new")]
    assert world("status", "x", "--json").json()["environment"]["cwd"] == str(world.folder / "new")
    assert world.sound()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["list"], 0),
        (["status", "x"], 0),
        (["logs", "x"], 0),
        (["history", "x"], 0),
        (["run", "{}/flow.yaml"], 2),
        (["run", "flow.yaml"], 2),
        (["validate", "{}/flow.yaml"], 0),
        (["list", "--store", "some.db"], 2),
        (["run", "{}/flow.yaml", "--plugin", "p.py"], 2),
        (["supervise", "--once"], 0),
    ],
)
def test_where_the_current_folder_is_gone_nothing_looks_like_a_bug(world: World, words: list[str], code: int) -> None:
    failed(world)
    command = shlex.join([*program(), *(word.format(world.folder) for word in words)])
    done = subprocess.run(
        ["sh", "-c", f"mkdir gone; cd gone; rmdir ../gone; exec {command}"],
        cwd=world.folder,
        env=world.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done
    assert "bug" not in done.stderr
