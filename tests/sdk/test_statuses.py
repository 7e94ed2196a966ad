"""How executions stand, made from events: the arithmetic of progress, places and remaining times."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from cerebelum import ExecutionPage, ExecutionState, ExecutionStatus
from cerebelum.core.decide import Stopping
from cerebelum.core.errors import UsageError
from cerebelum.core.outcome import Approval, Sleep
from cerebelum.core.state import status
from cerebelum.core.status import STATUSES
from cerebelum.core.summary import summarise
from cerebelum.sdk.statuses import COUNT_TO, of_row, of_view, page_of, progress, wanted
from cerebelum.store import Ownership, Page, Row
from cerebelum.store.lookup import View
from tests.core.world import World, chain, error, explicit, retry, step, workflow


def row(world: World) -> Row:
    return Row(summarise(world.state, "0" * 64), Ownership("runner-1", 1), None)


def told(world: World, now: datetime | None = None) -> ExecutionStatus:
    known = row(world)
    return of_view(View(world.state, status(world.state), known.summary.reason, known), now or world.now)


def listed(world: World) -> ExecutionStatus:
    return of_row(row(world), world.now)


def after(world: World, seconds: float) -> ExecutionStatus:
    return told(world, world.now + timedelta(seconds=seconds))


# -- where it stands --------------------------------------------------------------------------------------------------


def test_steps_that_follow_one_another_are_counted_alike_in_lists_and_alone() -> None:
    world = World(chain("a", "b", "c")).start()
    for done, name in enumerate("abc"):
        for one in (told(world), listed(world)):
            assert (one.current_step_index, one.current_step_name, one.total_steps) == (done, name, 3)
            assert one.progress_percentage == pytest.approx(100 * done / 3)
        world.completes(name)
    for one in (told(world), listed(world)):
        assert (one.status, one.current_step_index, one.current_step_name) == (ExecutionState.COMPLETED, 3, None)
        assert one.progress_percentage == 100.0


def test_of_steps_side_by_side_the_current_one_is_the_first_that_began() -> None:
    world = World(workflow(explicit("a"), explicit("b"), explicit("c"))).start()
    world.completes("a", "c")
    one = told(world)
    assert (one.current_step_index, one.current_step_name) == (1, "b")
    assert [s.step_name for s in one.completed_steps] == ["a", "c"]
    assert [s.step_index for s in one.steps] == [0, 1, 2]


def test_what_failed_is_stuck_at_the_step_that_failed() -> None:
    world = World(chain("a", "b", "c")).start()
    world.completes("a", output={"x": 1})
    world.fails("b", error("exit", "it broke"))
    one = told(world)
    assert (one.status, one.current_step_index, one.current_step_name) == (ExecutionState.FAILED, 1, "b")
    assert one.error is not None
    assert one.error.kind
    assert "it broke" in one.error.message
    assert one.error.exit_code == 1
    assert one.steps[1].error is not None
    assert (one.steps[1].status, one.steps[1].attempts, one.steps[1].error.exit_code) == ("failed", 1, 1)
    assert one.step_outputs == {"a": {"x": 1}}
    assert (listed(world).error, listed(world).reason) == (None, one.error.message)
    assert one.completed_at == world.now


def test_what_is_paused_is_stuck_at_the_first_step_that_is_not_settled() -> None:
    world = World(chain("a", "b", "c")).start()
    world.completes("a")
    world.stops(Stopping("signal", "SIGTERM"))
    world.is_interrupted("b")
    one = told(world)
    assert (one.status, one.current_step_index, one.current_step_name) == (ExecutionState.PAUSED, 1, "b")
    assert one.completed_at is None
    assert one.reason == "SIGTERM"


def test_handlers_are_steps_but_are_not_counted() -> None:
    world = World(chain("a", on_success=(step("tell"),))).start()
    world.completes("a")
    one = told(world)
    assert (one.status, one.total_steps) == (ExecutionState.RUNNING, 1)
    assert (one.current_step_index, one.current_step_name) == (1, "tell")
    assert one.progress_percentage < 100
    assert [(s.step_name, s.step_index) for s in one.steps] == [("a", 0), ("tell", 1)]
    world.completes("tell")
    assert told(world).progress_percentage == 100.0


@pytest.mark.parametrize(
    ("done", "total", "completed", "percent"),
    [(0, 0, False, 0), (0, 0, True, 0), (0, 3, False, 0), (3, 3, False, 99.9), (3, 3, True, 100), (2, 3, True, 100),
     (9, 3, False, 99.9), (1, 4, False, 25), (9_999, 10_000, False, 99.9)],
)  # fmt: skip
def test_progress_is_a_hundred_only_when_completed(done: int, total: int, completed: bool, percent: float) -> None:
    assert progress(done, total, completed=completed) == percent


def test_time_passes_until_the_end_or_the_pause() -> None:
    world = World(chain("a", "b")).start()
    assert after(world, 5).elapsed_seconds == 5
    assert after(world, -5).elapsed_seconds == 0
    world.passes(7)
    world.stops(Stopping("signal", "SIGINT"))
    world.is_interrupted("a")
    assert after(world, 100).elapsed_seconds == 7
    world.resumes()
    world.completes("a", "b")
    assert after(world, 100).elapsed_seconds == 7
    assert told(world).started_at.utcoffset() == timedelta(0)


# -- what it waits for ------------------------------------------------------------------------------------------------


def test_a_sleep_tells_how_much_is_left_by_the_clock() -> None:
    world = World(chain("a", "b")).start()
    world.ends("a", Sleep(60.0))
    began = world.now
    info = after(world, 20.5).sleep_info
    assert info is not None
    assert (info.step_name, info.duration_ms, info.remaining_ms) == ("a", 60_000, 39_500)
    assert info.sleep_started_at == began
    assert after(world, 20.5).status is ExecutionState.SLEEPING
    late, early = after(world, 3600).sleep_info, after(world, -3600).sleep_info
    assert late is not None
    assert early is not None
    assert (late.remaining_ms, early.remaining_ms) == (0, 60_000)


def test_a_wait_for_the_next_attempt_is_a_sleep_that_says_why() -> None:
    world = World(workflow(step("a", retry=retry(3)))).start()
    world.fails("a", error("exit", "not yet"))
    one = told(world)
    assert one.status is ExecutionState.SLEEPING
    assert one.sleep_info is not None
    assert one.sleep_info.data == {"retry": 1, "error": "not yet"}
    assert 0 < one.sleep_info.remaining_ms <= one.sleep_info.duration_ms


def test_an_approval_tells_what_is_asked_and_for_how_long() -> None:
    world = World(chain("a")).start()
    world.ends("a", Approval(message="really?", data={"cost": 3}, timeout=90.0))
    one = after(world, 30)
    info = one.approval_info
    assert one.status is ExecutionState.WAITING_FOR_APPROVAL
    assert info is not None
    assert (info.step_name, info.approval_type, info.message, info.data) == ("a", "manual", "really?", {"cost": 3})
    assert (info.requested_at, info.timeout_ms, info.remaining_timeout_ms) == (world.now, 90_000, 60_000)
    late = after(world, 900).approval_info
    assert late is not None
    assert late.remaining_timeout_ms == 0
    world.granted("a")
    assert told(world).approval_info is None


def test_an_approval_without_a_limit_has_none() -> None:
    world = World(chain("a")).start()
    world.ends("a", Approval())
    info = told(world).approval_info
    assert info is not None
    assert (info.timeout_ms, info.remaining_timeout_ms) == (None, None)


def test_what_has_ended_waits_for_nothing() -> None:
    world = World(workflow(explicit("a"), explicit("b"))).start()
    world.ends("a", Sleep(60.0))
    world.fails("b")
    assert told(world).status is ExecutionState.FAILED
    assert told(world).sleep_info is None


# -- lists ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (None, ()),
        ([], ()),
        (ExecutionState.UNSPECIFIED, ()),
        (ExecutionState.FAILED, ("failed",)),
        ("Waiting_For_Approval", ("waiting_for_approval",)),
        (["RUNNING", ExecutionState.PAUSED, "running"], ("running", "paused")),
    ],
)
def test_a_status_is_given_by_itself_by_name_or_with_others(given: Any, meant: tuple[str, ...]) -> None:
    assert wanted(given) == meant


def test_an_unknown_status_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean COMPLETED"):
        wanted("complete")
    with pytest.raises(UsageError, match="one of QUEUED, RUNNING, SLEEPING"):
        wanted(["failed", "xyz"])


def test_every_status_has_a_state_of_its_own() -> None:
    assert {state.value for state in ExecutionState} == {*STATUSES, "unspecified"}


def page(rows: int, offset: int, total: int, *, more: bool) -> ExecutionPage:
    one = row(World(chain("a")).start())
    return page_of(Page([one] * rows, more, total), offset, one.summary.started_at)


@pytest.mark.parametrize(
    ("found", "total", "exact"),
    [
        (page(2, 0, 2, more=False), 2, True),
        (page(2, 0, COUNT_TO, more=True), COUNT_TO, True),
        (page(2, 0, COUNT_TO + 1, more=True), COUNT_TO + 1, False),
        (page(2, 20_000, COUNT_TO + 1, more=True), 20_003, False),
        (page(2, 20_000, COUNT_TO + 1, more=False), 20_002, True),
        (page(0, 90_000, COUNT_TO + 1, more=False), COUNT_TO + 1, False),
    ],
)
def test_a_total_is_exact_or_the_least_it_can_be(found: ExecutionPage, total: int, exact: bool) -> None:
    executions, count, more = found
    assert (count, found.total_is_exact) == (total, exact)
    assert (executions, more) == (found.executions, found.has_more)
