"""Going on where an execution stopped: what runs again, what is kept, and what is refused."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from cerebelum.core.errors import DefinitionChanged, UsageError
from cerebelum.core.events import ExecutionResumed
from cerebelum.definition.inputs import Text
from tests.engine.harness import Lab, output, said

DEPLOY = """
    inputs: {version: {type: string, default: '1'}}
    steps:
      - id: build
        output: text
        run: echo build >> done; echo "built $INPUT_VERSION"
      - id: ship
        env: {BUILT: '${{ steps.build.output }}'}
        run: echo "attempt $CEREBELUM_ATTEMPT"; COMMAND
      - id: tell
        run: echo tell >> done
    """


def failed(lab: Lab, **options: Any) -> str:
    """A deployment that failed in `ship`; its id."""
    result = lab.run(DEPLOY.replace("COMMAND", "exit 1"), **options)
    assert result.exit_code == 1
    return result.execution_id


def mended(lab: Lab, name: str = "flow.yaml") -> Path:
    return lab.write(DEPLOY.replace("COMMAND", 'echo "ship $BUILT in $(pwd)" >> done'), name)


def test_after_the_file_was_mended_the_failed_step_runs_as_it_is_now_and_nothing_else_again(lab: Lab) -> None:
    name = failed(lab, inputs={"version": Text("7")}, tags=["prod"])
    mended(lab)
    result = lab.resume(name)
    assert result.exit_code == 0
    assert lab.lines("done") == ["build", f"ship built 7 in {lab.folder}", "tell"]
    assert result.state.tags == ("prod",)
    assert result.state.inputs == {"version": "7"}
    assert lab.log("ship", 1) == b"attempt 1\n"
    assert lab.log("ship", 2) == b"attempt 2\n"
    assert lab.client().status(name).status == "completed"


def test_it_goes_on_from_any_folder_in_the_folder_it_was_started_in(
    lab: Lab, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = failed(lab)
    mended(lab)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert lab.resume(name).exit_code == 0
    assert lab.lines("done")[1].endswith(f" in {lab.folder}")


def test_when_the_file_is_gone_the_recorded_definition_serves_and_that_is_said(lab: Lab) -> None:
    (lab.folder / "broken").touch()
    path = lab.write("steps: [{id: a, run: echo a >> done}, {id: b, run: '! test -e broken'}]")
    name = lab.run(path).execution_id
    path.unlink()
    (lab.folder / "broken").unlink()
    notes: list[str] = []
    assert lab.resume(name, on_note=notes.append).exit_code == 0
    assert lab.lines("done") == ["a"]
    assert str(path) in notes[0]


def test_the_recorded_definition_can_be_asked_for(lab: Lab) -> None:
    (lab.folder / "broken").touch()
    name = lab.run("steps: [{id: a, run: echo a >> done}, {id: b, run: '! test -e broken'}]").execution_id
    lab.write("steps: [{id: a, run: echo other}, {id: b, run: echo other >> done}]")
    (lab.folder / "broken").unlink()
    assert lab.resume(name, recorded=True).exit_code == 0
    assert lab.lines("done") == ["a"]


def test_an_edit_to_a_completed_step_needs_a_decision(lab: Lab) -> None:
    name = failed(lab)
    path = mended(lab)
    path.write_text(path.read_text().replace("echo build", "echo rebuild"))
    before = lab.events(name)
    with pytest.raises(DefinitionChanged, match="build") as refusal:
        lab.resume(name)
    assert refusal.value.exit_code == 5
    assert "--accept-changes" in refusal.value.text()
    assert lab.events(name) == before
    plan = lab.client().plan(name)
    assert [(r.step, r.action) for r in plan.rows] == [("build", "CHANGED"), ("ship", "RERUN"), ("tell", "RERUN")]


def test_accepted_changes_keep_the_old_output(lab: Lab) -> None:
    name = failed(lab)
    path = mended(lab)
    path.write_text(path.read_text().replace("echo build", "echo rebuild"))
    assert lab.resume(name, accept_changes=True).exit_code == 0
    assert lab.lines("done")[0] == "build"
    assert "rebuild" not in lab.lines("done")


def test_from_runs_a_completed_step_and_everything_downstream_again(lab: Lab) -> None:
    path = lab.write("""
        steps:
          - {id: a, run: echo a >> done}
          - {id: b, run: 'echo "b $CEREBELUM_IDEMPOTENCY_KEY" >> done'}
          - {id: c, run: 'echo c >> done; ! test -e broken'}
        """)
    (lab.folder / "broken").touch()
    name = lab.run(path, execution_id="x").execution_id
    (lab.folder / "broken").unlink()
    assert lab.resume(name, from_step="b").exit_code == 0
    assert lab.lines("done") == ["a", "b x:b:1", "c", "b x:b:2", "c"]


def test_from_a_step_that_is_not_there_is_refused_with_a_suggestion(lab: Lab) -> None:
    with pytest.raises(UsageError, match="build"):
        lab.resume(failed(lab), from_step="biuld")


def test_another_file_takes_over_for_good(lab: Lab) -> None:
    name = failed(lab)
    other = lab.write(
        DEPLOY.replace("COMMAND", 'echo "$CEREBELUM_WORKFLOW_DIR" >> done; ! test -e broken'), "other/flow.yaml"
    )
    (lab.folder / "broken").touch()
    assert lab.resume(name, file=other).exit_code == 1
    (lab.folder / "broken").unlink()
    assert lab.resume(name).exit_code == 0
    assert lab.lines("done") == ["build", str(other.parent), str(other.parent), "tell"]


def test_a_file_with_another_workflow_is_refused(lab: Lab) -> None:
    name = failed(lab)
    other = lab.write("name: other\nsteps: [{id: a, run: 'true'}]", "other.yaml")
    with pytest.raises(UsageError, match="other"):
        lab.resume(name, file=other)


def test_a_completed_execution_is_not_resumed(lab: Lab) -> None:
    name = lab.run("steps: [{id: a, run: echo a >> done}]").execution_id
    with pytest.raises(UsageError, match="completed"):
        lab.resume(name)
    assert lab.lines("done") == ["a"]


def test_a_new_step_ahead_of_completed_ones_runs_and_these_are_kept(lab: Lab) -> None:
    name = failed(lab)
    path = mended(lab)
    path.write_text(path.read_text().replace("- id: build", "- {id: new, run: echo new >> done}\n  - id: build"))
    assert lab.resume(name).exit_code == 0
    # What follows a completed step does not wait for the new one: the two may come in any order.
    done = lab.lines("done")
    assert done[0] == "build"
    assert (done.count("build"), done.count("new"), done.count("tell")) == (1, 1, 1)


def test_a_removed_folder_is_named(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "work"
    work.mkdir()
    path = lab.write("steps: [{id: a, run: exit 1}]")
    monkeypatch.chdir(work)
    name = lab.client().run(path, {}).execution_id
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(work)
    with pytest.raises(UsageError, match="work"):
        lab.resume(name)


def test_or_resume_starts_goes_on_or_does_nothing(lab: Lab) -> None:
    (lab.folder / "broken").touch()
    path = lab.write(
        "inputs: {n: {type: integer, default: 1}}\n"
        "steps: [{id: a, run: echo a >> done}, {id: b, run: 'echo b >> done; ! test -e broken'}]"
    )
    again: dict[str, Any] = {"execution_id": "ci-7", "or_resume": True}
    assert lab.run(path, {"n": 2}, **again).exit_code == 1
    with pytest.raises(UsageError, match="other inputs: n"):
        lab.run(path, {"n": 3}, **again)
    (lab.folder / "broken").unlink()
    assert lab.run(path, {"n": 2}, **again).exit_code == 0
    assert lab.run(path, **again).exit_code == 0
    assert lab.lines("done") == ["a", "b", "b"]
    assert len([e for e in lab.events("ci-7") if isinstance(e, ExecutionResumed)]) == 1


FUNCTIONS = """
def first():
    with open("done", "a") as file:
        file.write("first\\n")
    return {"n": 1}

def second(n):
    raise RuntimeError("not yet")
"""
PYTHON = """
    steps:
      - {id: first, python: 'tasks.py:first'}
      - {id: second, python: 'tasks.py:second', with: {n: '${{ steps.first.output.n }}'}}
    """


def test_a_mended_function_is_used_and_completed_ones_are_not_called_again(lab: Lab) -> None:
    tasks = lab.write(FUNCTIONS, "tasks.py")
    result = lab.run(PYTHON)
    assert result.exit_code == 1
    tasks.write_text(FUNCTIONS.replace('raise RuntimeError("not yet")', "return n + 1"))
    assert lab.resume().exit_code == 0
    assert lab.lines("done") == ["first"]
    assert output(lab.events(), "second") == 2


def test_an_edit_to_a_completed_function_needs_a_decision(lab: Lab) -> None:
    tasks = lab.write(FUNCTIONS, "tasks.py")
    lab.run(PYTHON)
    tasks.write_text(FUNCTIONS.replace('{"n": 1}', '{"n": 2}'))
    with pytest.raises(DefinitionChanged, match="first"):
        lab.resume()
    with pytest.raises(DefinitionChanged, match="first"):
        lab.resume(recorded=True)


def test_handlers_run_afresh_in_every_segment(lab: Lab) -> None:
    lab.run("steps: [{id: a, run: exit 1}]\non_failure: [{id: h, run: 'echo h >> done'}]")
    assert lab.resume().exit_code == 1
    assert lab.lines("done") == ["h", "h"]
    assert said(lab.events()).count("StepCompleted h") == 2


def test_the_environment_of_a_resume_is_the_one_it_is_resumed_with(lab: Lab) -> None:
    lab.run("steps: [{id: a, run: 'test \"$MOOD\" = good'}]", environ={"MOOD": "bad"})
    assert lab.resume(environ={"MOOD": "good"}).exit_code == 0


def test_a_resume_that_is_refused_leaves_no_owner_and_no_lock(lab: Lab) -> None:
    name = failed(lab)
    lab.folder.joinpath("flow.yaml").write_text("steps: [")
    with pytest.raises(UsageError):
        lab.resume(name)
    mended(lab)
    assert lab.resume(name).exit_code == 0
    assert os.listdir(lab.folder / "state" / "cerebelum" / "runners") == []
