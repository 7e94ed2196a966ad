"""Attempts that are tried again, and attempts that take too long."""

from datetime import datetime, timedelta

import pytest

from cerebelum.core.events import ExecutionFailed, StepFailed
from cerebelum.engine.settings import Settings
from tests.engine.harness import Lab, failure, left_of, said
from tests.stores import only_sqlite

# What is tested here is the same on any store.
pytestmark = only_sqlite

FLAKY = "echo x >> tries; test $(wc -l < tries) -ge {0}"


def failures(lab: Lab) -> list[StepFailed]:
    return [e for e in lab.events() if isinstance(e, StepFailed)]


def test_a_failed_attempt_is_tried_again_after_a_growing_delay(lab: Lab) -> None:
    result = lab.run(f"""
        steps:
          - id: a
            retry: {{attempts: 4, delay: 50ms, backoff: 2, max_delay: 80ms}}
            run: {FLAKY.format(4)}
        """)
    assert result.exit_code == 0
    assert lab.lines("tries") == ["x"] * 4
    waits = [e.retry_at - e.at for e in failures(lab) if isinstance(e.retry_at, datetime)]
    assert waits == [timedelta(seconds=s) for s in (0.05, 0.08, 0.08)]
    starts = [e.at for e in lab.events() if type(e).__name__ == "StepStarted"]
    assert all(start >= e.retry_at for start, e in zip(starts[1:], failures(lab), strict=True) if e.retry_at)


def test_the_last_attempts_failure_is_final(lab: Lab) -> None:
    assert lab.run("steps: [{id: a, retry: {attempts: 2, delay: 1ms}, run: echo x >> tries; exit 5}]").exit_code == 1
    assert lab.lines("tries") == ["x"] * 2
    assert failures(lab)[-1].retry_at is None


@pytest.mark.parametrize(("code", "tries"), [(75, 2), (1, 1)])
def test_only_the_exit_codes_named_are_retried(lab: Lab, code: int, tries: int) -> None:
    lab.run(f"steps: [{{id: a, retry: {{attempts: 2, delay: 1ms, on: [75]}}, run: echo x >> tries; exit {code}}}]")
    assert lab.lines("tries") == ["x"] * tries


def test_a_step_keeps_being_retried_after_another_one_failed_for_good(lab: Lab) -> None:
    result = lab.run(f"""
        steps:
          - parallel:
              - {{id: bad, run: exit 1}}
              - {{id: flaky, retry: {{attempts: 3, delay: 50ms}}, run: {FLAKY.format(3)}}}
        """)
    assert result.exit_code == 1
    assert "StepCompleted flaky" in said(lab.events())


def test_resuming_by_hand_grants_a_fresh_budget_and_numbers_go_on(lab: Lab) -> None:
    lab.run("steps: [{id: a, retry: {attempts: 2, delay: 1ms}, run: echo $CEREBELUM_ATTEMPT >> tries; exit 5}]")
    lab.resume()
    assert lab.lines("tries") == ["1", "2", "3", "4"]


def test_a_timeout_ends_the_whole_process_tree_and_is_a_failure_of_its_own_kind(lab: Lab) -> None:
    result = lab.run(
        """
        steps:
          - id: a
            timeout: 200ms
            run: |
              echo begun
              (trap '' TERM HUP; exec sleep 600) &
              setsid sleep 600 &
              wait
        """,
        execution_id="timed",
    )
    assert result.exit_code == 1
    error = failure(lab.events(), "a").error
    assert (error.kind, error.message, error.tail) == ("timeout", "took longer than 0.2 s", "begun")
    assert left_of("CEREBELUM_EXECUTION_ID=timed") == []


def test_an_attempt_that_timed_out_is_tried_again(lab: Lab) -> None:
    result = lab.run("""
        steps:
          - id: a
            timeout: 300ms
            retry: {attempts: 2, delay: 1ms}
            run: echo x >> tries; test $(wc -l < tries) = 2 || sleep 600
        """)
    assert result.exit_code == 0
    assert [e.error.kind for e in failures(lab)] == ["timeout"]


def test_a_function_that_ignores_its_timeout_is_given_up_and_not_run_twice_at_once(lab: Lab) -> None:
    lab.write(
        """
        import threading
        def stuck():
            with open("tries", "a") as file:
                file.write("x\\n")
            threading.Event().wait(60)
        """,
        "tasks.py",
    )
    result = lab.run(
        "steps: [{id: a, timeout: 50ms, retry: {attempts: 3, delay: 1ms}, python: 'tasks.py:stuck'}]\n"
        "finally: [{id: f, run: echo f >> done}]",
        settings=Settings(grace=0.05),
    )
    assert result.exit_code == 1
    assert lab.lines("tries") == ["x"]
    error = failure(lab.events(), "a").error
    assert error.kind == "timeout"
    assert "did not" in error.message
    assert lab.lines("done") == ["f"]


def test_the_workflows_own_time_limit_ends_what_runs_and_handlers_follow(lab: Lab) -> None:
    result = lab.run(
        """
        timeout: 2s
        steps:
          - {id: a, run: echo a >> done}
          - {id: b, retry: {attempts: 5, delay: 1ms}, run: sleep 600}
          - {id: c, run: echo c >> done}
        on_failure: [{id: h, run: echo h >> done}]
        finally: [{id: f, run: echo f >> done}]
        """,
        execution_id="over",
    )
    assert result.exit_code == 1
    assert lab.lines("done") == ["a", "h", "f"]
    assert "the workflow took longer than 2 s" in failure(lab.events(), "b").error.message
    assert isinstance(lab.events()[-1], ExecutionFailed)
    assert left_of("CEREBELUM_EXECUTION_ID=over") == []


def test_a_wait_for_a_retry_does_not_outlast_the_workflows_time_limit(lab: Lab) -> None:
    result = lab.run("timeout: 200ms\nsteps: [{id: a, retry: {attempts: 2, delay: 1h}, run: exit 1}]")
    assert result.exit_code == 1
    assert result.state.ended == "failed"


def test_a_long_wait_for_a_retry_parks_and_is_nobodys_afterwards(lab: Lab) -> None:
    text = "steps: [{id: a, retry: {attempts: 2, delay: 1h}, run: echo x >> tries; exit 1}]"
    result = lab.run(text, settings=Settings(park=True))
    assert (result.end, result.exit_code) == ("parked", 75)
    view = lab.client().status("last")
    assert view.status == "sleeping"
    assert view.row.ownership.owner is None
