"""A workflow is run: order, what steps are given, what they hand on, and what happens when one fails."""

import os
from pathlib import Path

import pytest

from cerebelum.core.errors import UsageError
from cerebelum.core.events import ExecutionFailed, ExecutionStarted, StepSkipped
from cerebelum.definition.inputs import Text
from tests.engine.harness import Lab, failure, output, said
from tests.stores import only_sqlite

# What is tested here is the same on any store.
pytestmark = only_sqlite


def test_steps_follow_one_another_and_each_start_is_recorded_with_what_caused_it(lab: Lab) -> None:
    result = lab.run("""
        steps:
          - {id: a, run: echo a >> order}
          - parallel:
              - {id: b, run: echo b >> order}
              - {id: c, run: echo c >> order}
          - {id: d, run: echo d >> order}
          - {id: e, needs: [a], run: echo e >> order}
        """)
    assert (result.exit_code, result.end, result.state.ended) == (0, "ended", "completed")
    order = lab.lines("order")
    assert order[0] == "a"
    assert sorted(order) == ["a", "b", "c", "d", "e"]
    assert order.index("d") > max(order.index("b"), order.index("c"))
    events = lab.events()
    assert [e.version for e in events] == list(range(1, len(events) + 1))
    assert said(events)[-1] == "ExecutionCompleted"
    assert said(events)[2:4] == ["StepCompleted a", "StepStarted b"]


def test_outputs_reach_later_steps_as_file_text_and_json(lab: Lab) -> None:
    result = lab.run("""
        output: {total: '${{ steps.json.output.n }}'}
        steps:
          - {id: file, run: 'printf "x=1\\nlong<<END\\nl1\\nl2\\nEND\\n" >> "$CEREBELUM_OUTPUT"'}
          - {id: text, run: echo hello; echo aside >&2, output: text}
          - {id: json, run: 'echo "{\\"n\\": 7}"', output: json}
          - id: use
            env:
              X: ${{ steps.file.output.x }}
              LONG: ${{ steps.file.output.long }}
              T: ${{ steps.text.output }}
              J: ${{ steps.json.output }}
            run: printf '%s|' "$X" "$LONG" "$T" "$J"
        """)
    assert lab.log("use") == b'1|l1\nl2|hello|{"n":7}|'
    assert result.state.output == {"total": 7}
    assert output(lab.events(), "file") == {"x": "1", "long": "l1\nl2"}


def test_every_process_is_told_its_inputs_and_where_it_is(lab: Lab) -> None:
    lab.run(
        """
        name: My Flow
        inputs:
          who: {type: string}
          n: {type: integer, default: 3}
          on: {type: boolean, default: true}
          many: {type: list, default: [1, two]}
        steps:
          - id: show
            run: |
              printf '%s\\n' "$INPUT_WHO" "$INPUT_N" "$INPUT_ON" "$INPUT_MANY"
              printf '%s\\n' "$CEREBELUM_WORKFLOW" "$CEREBELUM_STEP" "$CEREBELUM_ATTEMPT" "$CEREBELUM_EXECUTION_ID"
              printf '%s\\n' "$CEREBELUM_IDEMPOTENCY_KEY" "$CEREBELUM_WORKFLOW_DIR" "$(pwd)"
        """,
        {"who": Text("you")},
        execution_id="demo-1",
    )
    assert lab.log().decode().splitlines() == [
        *("you", "3", "true", '[1,"two"]', "My Flow", "show", "1", "demo-1", "demo-1:show:1"),
        *(str(lab.folder), str(lab.folder)),
    ]


def test_working_dir_is_relative_to_where_the_execution_was_started(lab: Lab) -> None:
    (lab.folder / "sub").mkdir()
    path = lab.write("steps:\n  - {id: a, working_dir: sub, run: pwd}\n", "elsewhere/flow.yaml")
    lab.run(path)
    assert lab.log() == f"{lab.folder}/sub\n".encode()


@pytest.mark.parametrize(("kind", "expected"), [("missing", "is not there"), ("file", "it is a file")])
def test_a_step_whose_working_directory_is_not_one_fails_and_says_so(lab: Lab, kind: str, expected: str) -> None:
    (lab.folder / "file").write_text("")
    lab.run(f"steps: [{{id: a, working_dir: {kind}, run: pwd}}]")
    error = failure(lab.events(), "a").error
    assert expected in error.message
    assert str(lab.folder / kind) in error.message
    assert error.traceback is None


def test_conditions_skip_and_only_explicit_needs_hand_the_skip_on(lab: Lab) -> None:
    result = lab.run("""
        inputs: {go: {type: boolean, default: false}}
        steps:
          - {id: a, when: '${{ inputs.go }}', run: echo a >> done}
          - {id: b, run: echo b >> done}
          - {id: c, needs: [a], run: echo c >> done}
        """)
    assert result.exit_code == 0
    assert lab.lines("done") == ["b"]
    skips = {e.step: e.why for e in lab.events() if isinstance(e, StepSkipped)}
    assert skips == {"a": "condition", "c": "dependency"}


def test_when_a_step_of_a_group_fails_siblings_finish_and_nothing_later_starts(lab: Lab) -> None:
    lab.fifo("failed")
    result = lab.run(
        """
        steps:
          - parallel:
              - {id: bad, run: echo last words; exit 3}
              - {id: slow, run: 'read x < failed; echo slow >> done'}
          - {id: later, run: echo later >> done}
        on_failure:
          - {id: tell, run: 'echo "tell $CEREBELUM_FAILED_STEPS $CEREBELUM_STATUS: $CEREBELUM_ERROR" >> done; '}
        on_success:
          - {id: cheer, run: echo cheer >> done}
        finally:
          - {id: clean, run: 'echo "clean $CEREBELUM_FAILED_STEPS: $CEREBELUM_ERROR" >> done'}
        """.replace("exit 3", "(echo go > failed) & exit 3")
    )
    assert result.exit_code == 1
    assert lab.lines("done") == ["slow", "tell bad failed: exit code 3", "clean bad: exit code 3"]
    error = failure(lab.events(), "bad").error
    assert (error.kind, error.exit_code, error.tail) == ("exit", 3, "last words")
    end = lab.events()[-1]
    assert isinstance(end, ExecutionFailed)
    assert end.failed_steps == ("bad",)
    assert "bad" in end.error.message


def test_continue_on_error_lets_the_rest_go_on(lab: Lab) -> None:
    result = lab.run("""
        steps:
          - {id: bad, run: exit 1, continue_on_error: true}
          - {id: next, env: {S: '${{ steps.bad.status }}'}, run: 'echo "$S"'}
        """)
    assert result.exit_code == 0
    assert lab.log("next") == b"failed\n"


def test_a_failing_handler_fails_the_execution_and_finally_runs_all_the_same(lab: Lab) -> None:
    result = lab.run("""
        steps: [{id: a, run: 'true'}]
        on_success: [{id: h, run: exit 9}]
        finally: [{id: f, run: echo f >> done}]
        """)
    assert result.exit_code == 1
    assert lab.lines("done") == ["f"]


def test_max_parallel_bounds_how_many_attempts_run_at_once(lab: Lab) -> None:
    steps = "\n".join(f"              - {{id: s{n}, run: 'mkdir busy && rmdir busy'}}" for n in range(6))
    assert (
        lab.run(f"""
        max_parallel: 1
        steps:
          - parallel:
{steps}
        """).exit_code
        == 0
    )


def test_an_existing_id_is_refused_before_anything_happens(lab: Lab) -> None:
    path = lab.write("steps: [{id: a, run: echo a >> done}]")
    lab.run(path, execution_id="one")
    with pytest.raises(UsageError, match="already"):
        lab.run(path, execution_id="one")
    assert lab.lines("done") == ["a"]


@pytest.mark.parametrize("name", ["a/b", "..", "", "-x", "last", "a" * 65, "ü", "a\nb"])
def test_ids_that_could_be_paths_or_options_are_refused(lab: Lab, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the id"):
        lab.run("steps: [{id: a, run: 'true'}]", execution_id=name)


def test_a_current_folder_that_was_removed_is_an_error_and_no_traceback(lab: Lab, tmp_path: Path) -> None:
    path = lab.write("steps: [{id: a, run: 'true'}]")
    gone = tmp_path / "gone"
    gone.mkdir()
    before = Path.cwd()
    os.chdir(gone)
    try:
        gone.rmdir()
        with pytest.raises(UsageError):
            lab.client().run(path, {})
    finally:
        os.chdir(before)


def test_what_an_execution_was_started_with_is_recorded(lab: Lab) -> None:
    lab.run("steps: [{id: a, run: 'true'}]", tags=["nightly", "nightly", "x"])
    start = lab.events()[0]
    assert isinstance(start, ExecutionStarted)
    assert start.tags == ("nightly", "x")
    assert start.environment.cwd == str(lab.folder)
    assert start.source.path == str(lab.folder / "flow.yaml")


def test_an_attempts_output_file_is_there_and_empty_at_its_start_and_nothing_is_left_at_the_end(lab: Lab) -> None:
    look = 'wc -c < "$CEREBELUM_OUTPUT"; echo "$CEREBELUM_OUTPUT" >> files; echo k=v >> "$CEREBELUM_OUTPUT"'
    lab.run(f"""
        steps:
          - id: a
            retry: {{attempts: 2, delay: 0}}
            run: {look}; touch "$(dirname "$CEREBELUM_OUTPUT")/junk"; test -e tried || {{ touch tried; exit 1; }}
          - {{id: b, run: '{look}'}}
        """)
    assert lab.log().split() == [b"0", b"0", b"0"]
    assert len(set(lab.lines("files"))) == 3
    assert not any(Path(file).parent.exists() for file in lab.lines("files"))


def test_a_daemon_of_an_earlier_step_cannot_write_into_a_later_steps_outputs(lab: Lab) -> None:
    lab.fifo("go")
    lab.run("""
        steps:
          - {id: a, run: '(read x < go; echo evil=1 >> "$CEREBELUM_OUTPUT"; echo done > go) > /dev/null 2>&1 &'}
          - {id: b, run: 'echo go > go; read x < go; echo good=1 >> "$CEREBELUM_OUTPUT"'}
        """)
    assert output(lab.events(), "b") == {"good": "1"}
