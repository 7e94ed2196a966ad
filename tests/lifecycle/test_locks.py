"""Executions of one group never overlap, whoever dies, waits, or is in a hurry; and everybody gets the lock in turn."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from cerebelum.core.events import CancelRequested, ExecutionCancelled, LockAcquired, LockAwaited
from cerebelum.store import every
from tests.lifecycle.world import World, crash, finish, wait_until

# A folder can be made once: whoever finds it there was not alone.
ALONE = (
    'mkdir busy || echo "$CEREBELUM_EXECUTION_ID" >> overlaps; echo "$CEREBELUM_EXECUTION_ID" >> order; {}; rmdir busy'
)

DEPLOY = f"""
    concurrency: {{group: production, policy: POLICY}}
    steps:
      - {{id: a, run: '{ALONE.format("sleep 0.05")}'}}
      - {{id: b, run: '{ALONE.format("true")}'}}
    """

HELD = """
    concurrency: production
    steps:
      - id: a
        env: {GO: 'go-${{ execution.id }}'}
        run: 'echo "$CEREBELUM_EXECUTION_ID" >> up; until test -e "$GO"; do sleep 0.02; done'
      - {id: b, run: 'echo "$CEREBELUM_EXECUTION_ID" >> done'}
    on_cancel: [{id: c, run: 'echo "cancelled $CEREBELUM_EXECUTION_ID" >> done'}]
    finally: [{id: f, run: 'echo "finally $CEREBELUM_EXECUTION_ID" >> done'}]
    """

ASKS = """
    concurrency: production
    steps:
      - {id: go, approval: {message: 'Go?'}}
      - {id: b, run: 'echo "$CEREBELUM_EXECUTION_ID" >> done'}
    on_cancel: [{id: c, run: 'echo "cancelled $CEREBELUM_EXECUTION_ID" >> done'}]
    """

NEXT = """
    concurrency: {group: production, policy: POLICY}
    steps: [{id: b, run: 'echo "$CEREBELUM_EXECUTION_ID" >> done'}]
    on_cancel: [{id: c, run: 'echo "cancelled $CEREBELUM_EXECUTION_ID" >> done'}]
    """


def deploy(policy: str = "queue") -> str:
    return DEPLOY.replace("POLICY", policy)


def following(policy: str = "queue") -> str:
    return NEXT.replace("POLICY", policy)


def hold(world: World, name: str = "first", text: str = HELD) -> Any:
    """An execution that has the lock, and goes on when it may."""
    process = world.begin(text, name=name)
    wait_until(lambda: name in world.lines("up"), f"{name} has the lock")
    return process


def wait_in_line(world: World, name: str, text: str = "", *arguments: str) -> Any:
    """An execution that waits for the lock."""
    world.write(f"{name}.yaml", text or following())
    process = world.start("run", f"{name}.yaml", "--id", name, *arguments)
    world.wait_for_event("LockAwaited", name)
    return process


def let_go(world: World, name: str = "first") -> None:
    world.write(f"go-{name}", "")


def line(world: World) -> list[str]:
    return [claim.execution_id for claim in world.client.store.claims("production")]


def test_eight_that_start_at_once_go_on_one_after_the_other(world: World) -> None:
    names = [f"x{number}" for number in range(8)]
    processes = [world.begin(deploy(), name=name) for name in names]
    assert [finish(process).code for process in processes] == [0] * 8
    assert world.lines("overlaps") == []
    order = world.lines("order")
    # Both steps of each come before the first one of the next, in the order in which they got the lock.
    got = sorted(names, key=lambda name: world.last(LockAcquired, name).at)
    assert order == [name for name in got for _ in range(2)]
    assert [world.said(name).count("LockAcquired") for name in names] == [1] * 8
    assert line(world) == []
    assert world.sound()


def test_who_waits_gets_the_lock_in_the_order_of_arrival(world: World) -> None:
    first = hold(world)
    waiting = [wait_in_line(world, name) for name in ("z", "a", "m")]
    awaited = [world.last(LockAwaited, name) for name in ("z", "a", "m")]
    assert [(event.group, event.holder, event.ahead) for event in awaited] == [
        ("production", "first", 1),
        ("production", "first", 2),
        ("production", "first", 3),
    ]
    assert line(world) == ["first", "z", "a", "m"]
    let_go(world)
    assert [finish(process).code for process in (first, *waiting)] == [0] * 4
    assert world.lines("done") == ["first", "finally first", "z", "a", "m"]


def test_what_waits_is_shown_with_who_has_the_lock_and_its_place(world: World) -> None:
    first = hold(world)
    wait_in_line(world, "second")
    third = wait_in_line(world, "third")
    assert world.status("third") == "waiting_for_lock"
    shown = world("status", "third").out
    assert "waiting for lock (production: held by first, 2 before it)" in shown
    assert "lock      production, held by first; 2 before it" in shown
    assert "production: held by first, 2 before it" in world("list").out
    assert "waiting_for_lock" in world("list", "--status", "waiting_for_lock").out
    limit = json.loads(world("status", "third", "--json").out)["concurrency"]
    assert limit == {"group": "production", "policy": "queue", "held_since": None, "holder": "first", "ahead": 2}
    held = json.loads(world("status", "first", "--json").out)["concurrency"]
    assert (held["holder"], held["ahead"], held["held_since"] is None) == ("first", 0, False)
    rows = [row.split() for row in world("locks").out.splitlines()[1:]]
    assert [row[:4] for row in rows] == [
        ["production", "holds", "it", "first"],
        ["1", "second", "waiting", "for"],
        ["2", "third", "waiting", "for"],
    ]
    [lock] = json.loads(world("locks", "--json").out)["locks"]
    assert [each["execution_id"] for each in lock["line"]] == ["first", "second", "third"]
    assert [each["status"] for each in lock["line"]] == ["running", "waiting_for_lock", "waiting_for_lock"]
    let_go(world)
    assert finish(first).code == 0
    assert "waits for the lock production, held by first, 2 before it" in finish(third).out
    assert world("locks").out == "no execution has or waits for a lock\n"
    assert "lock      production" in world("status", "third").out


def test_groups_are_made_of_inputs_and_do_not_disturb_each_other(world: World) -> None:
    text = HELD.replace("production", "'deploy-${{ inputs.to }}'").replace(
        "concurrency", "inputs: {to: {type: string, required: true}}\n    concurrency"
    )
    first = world.begin(text, "--input", "to=north", name="first")
    other = world.begin(text, "--input", "to=south", name="other")
    wait_until(lambda: len(world.lines("up")) == 2, "both go on at the same time")
    let_go(world, "other")
    assert finish(other).code == 0
    again = world.start("run", "flow.yaml", "--id", "again", "--input", "to=north")
    world.wait_for_event("LockAwaited", "again")
    assert world.last(LockAwaited, "again").group == "deploy-north"
    let_go(world)
    let_go(world, "again")
    assert (finish(first).code, finish(again).code) == (0, 0)


def test_a_holder_that_was_killed_keeps_nobody_waiting_and_leaves_nothing_running(world: World) -> None:
    first = hold(world)
    second = wait_in_line(world, "second")
    assert world.left("CEREBELUM_EXECUTION_ID=first")
    crash(first)
    assert finish(second).code == 0
    # What the dead one had running was ended before.
    assert world.left("CEREBELUM_EXECUTION_ID=first") == []
    assert world.lines("done") == ["second"]
    assert (world.status("first"), world.client.status("first").reason) == ("paused", "interrupted")
    let_go(world)
    assert world("resume", "first").code == 0
    assert world.said("first").count("LockAcquired") == 2
    assert world.lines("done") == ["second", "first", "finally first"]


def test_a_holder_that_was_killed_has_to_get_the_lock_again_before_it_goes_on(world: World) -> None:
    first = hold(world)
    crash(first)
    second = hold(world, "second")
    resumed = world.start("resume", "first")
    world.wait_for_event("LockAwaited", "first")
    assert line(world) == ["second", "first"]
    let_go(world)
    let_go(world, "second")
    assert (finish(second).code, finish(resumed).code) == (0, 0)
    assert world.lines("done") == ["second", "finally second", "first", "finally first"]


def test_one_that_was_killed_and_is_resumed_before_anybody_came_goes_on_at_once(world: World) -> None:
    crash(hold(world))
    let_go(world)
    assert world("resume", "first").code == 0
    assert "LockAwaited" not in world.said("first")
    assert line(world) == []


def test_resuming_an_old_failure_waits_for_whoever_has_the_lock(world: World) -> None:
    world.write("fails.yaml", "concurrency: production\nsteps: [{id: a, run: 'test -e mended && echo old >> done'}]")
    assert world("run", "fails.yaml", "--id", "old").code == 1
    assert line(world) == []
    first = hold(world)
    world.write("mended", "")
    old = world.start("resume", "old")
    world.wait_for_event("LockAwaited", "old")
    let_go(world)
    assert (finish(first).code, finish(old).code) == (0, 0)
    assert world.lines("done") == ["first", "finally first", "old"]


def test_while_a_decision_is_outstanding_the_lock_is_kept(world: World) -> None:
    assert world.run(ASKS, "--park", name="first").code == 75
    second = wait_in_line(world, "second")
    assert world("approve", "first").code == 0
    # Also where nobody has gone on with it yet.
    assert line(world) == ["first", "second"]
    assert world("supervise", "--once").code == 0
    assert finish(second).code == 0
    assert world.lines("done") == ["first", "second"]


def test_one_that_waits_for_a_decision_and_whose_process_died_keeps_the_lock(world: World) -> None:
    first = world.begin(ASKS, name="first")
    world.wait_for_event("ApprovalRequested go", "first")
    crash(first)
    second = wait_in_line(world, "second")
    assert world("approve", "first").code == 0
    assert world("resume", "first").code == 0
    assert finish(second).code == 0
    assert world.lines("done") == ["first", "second"]


def test_a_pause_gives_the_lock_away(world: World) -> None:
    first = hold(world)
    second = wait_in_line(world, "second")
    first.send_signal(signal.SIGINT)
    assert (finish(first).code, finish(second).code) == (130, 0)
    let_go(world)
    assert world("resume", "first").code == 0
    assert world.lines("done") == ["second", "first", "finally first"]


def test_ctrl_c_in_line_pauses_and_makes_room(world: World) -> None:
    first = hold(world)
    second, third = wait_in_line(world, "second"), wait_in_line(world, "third")
    second.send_signal(signal.SIGINT)
    assert finish(second).code == 130
    assert (world.status("second"), line(world)) == ("paused", ["first", "third"])
    let_go(world)
    assert (finish(first).code, finish(third).code) == (0, 0)
    assert world("resume", "second").code == 0
    assert world.lines("done") == ["first", "finally first", "third", "second"]


def test_one_that_dies_in_line_blocks_nobody(world: World) -> None:
    first = hold(world)
    second, third = wait_in_line(world, "second"), wait_in_line(world, "third")
    crash(second)
    wait_until(lambda: line(world) == ["first", "third"], "the dead one has left the line")
    assert "nobody drives it" in world("status", "second").out
    let_go(world)
    assert (finish(first).code, finish(third).code) == (0, 0)
    assert world("supervise", "--once").code == 0
    assert world.lines("done") == ["first", "finally first", "third", "second"]


def test_parked_in_line_it_is_woken_by_a_supervisor_when_its_turn_comes(world: World) -> None:
    first = hold(world)
    second = wait_in_line(world, "second", "", "--park")
    assert finish(second).code == 75
    third = wait_in_line(world, "third")
    before = world.said("second")
    assert world("supervise", "--once").code == 0
    assert world.said("second") == before
    assert line(world) == ["first", "second", "third"]
    let_go(world)
    assert finish(first).code == 0
    # Parked, it has not given up its place.
    assert line(world)[0] == "second"
    assert "it is its turn; nobody drives it" in world("status", "second").out
    assert world("supervise", "--once").code == 0
    assert finish(third).code == 0
    assert world.lines("done") == ["first", "finally first", "second", "third"]


def test_a_supervisor_puts_what_was_interrupted_in_line(world: World) -> None:
    crash(hold(world))
    second = hold(world, "second")
    assert world("supervise", "--once").code == 0
    assert (world.status("first"), line(world)) == ("waiting_for_lock", ["second", "first"])
    let_go(world)
    let_go(world, "second")
    assert finish(second).code == 0
    assert world("supervise", "--once").code == 0
    assert world.status("first") == "completed"
    assert world.lines("done") == ["second", "finally second", "first", "finally first"]


def test_a_time_limit_does_not_run_while_it_waits_in_line(world: World) -> None:
    first = hold(world)
    second = wait_in_line(world, "second", "timeout: 2s\n" + following().replace("\n    ", "\n"))
    began = world.last(LockAwaited, "second").at
    # Longer than the limit, by the clock that counts.
    wait_until(lambda: (world.client.clock.now() - began).total_seconds() > 2.5, "more time than it has")
    let_go(world)
    assert (finish(first).code, finish(second).code) == (0, 0)


def test_cancelled_in_line_it_runs_no_handlers(world: World) -> None:
    first = hold(world)
    second = wait_in_line(world, "second")
    assert world("cancel", "second", "--why", "no more").code == 0
    assert finish(second).code == 6
    assert line(world) == ["first"]
    parked = wait_in_line(world, "parked", "", "--park")
    assert finish(parked).code == 75
    assert world("cancel", "parked").code == 0
    assert (world.status("parked"), line(world)) == ("cancelled", ["first"])
    let_go(world)
    assert finish(first).code == 0
    assert world.lines("done") == ["first", "finally first"]


def test_cancelled_in_line_after_it_had_begun_it_runs_its_handlers_when_its_turn_comes(world: World) -> None:
    crash(hold(world))
    second = hold(world, "second")
    first = world.start("resume", "first")
    world.wait_for_event("LockAwaited", "first")
    assert world("cancel", "first").code == 0
    world.wait_for_event("CancelRequested", "first")
    assert world.status("first") == "waiting_for_lock"
    let_go(world, "second")
    assert (finish(second).code, finish(first).code) == (0, 6)
    assert world.lines("done") == ["second", "finally second", "cancelled first", "finally first"]


# The policies


def test_policy_fail_names_the_holder_and_records_nothing(world: World) -> None:
    first = hold(world)
    refused = world.run(following("fail"), name="second")
    assert refused.code == 4
    assert "the lock production is held by first" in refused.err
    assert "hint: policy: fail does not wait for it; see what that does with: cerebelum status first" in refused.err
    assert world("status", "second").code == 3
    assert line(world) == ["first"]
    let_go(world)
    assert finish(first).code == 0
    assert world.run(following("fail"), name="second").code == 0
    assert line(world) == []


def test_of_eight_with_policy_fail_one_runs_and_nothing_is_recorded_of_the_others(world: World) -> None:
    text = HELD.replace("concurrency: production", "concurrency: {group: production, policy: fail}")
    names = [f"x{number}" for number in range(8)]
    processes = {name: world.begin(text, name=name) for name in names}
    [winner] = world.wait_for_line("up")
    codes = {name: finish(processes[name]).code for name in names if name != winner}
    let_go(world, winner)
    assert finish(processes[winner]).code == 0
    assert set(codes.values()) == {4}
    assert [row.summary.execution_id for row in every(world.client.store)] == [winner]
    assert line(world) == []


def test_policy_fail_refuses_a_resume_and_leaves_it_as_it_was(world: World) -> None:
    text = "concurrency: {group: production, policy: fail}\nsteps: [{id: a, run: test -e mended}]"
    world.write("fails.yaml", text)
    assert world("run", "fails.yaml", "--id", "old").code == 1
    first = hold(world)
    before = world.said("old")
    refused = world("resume", "old")
    assert (refused.code, world.said("old"), world.status("old")) == (4, before, "failed")
    let_go(world)
    assert finish(first).code == 0
    world.write("mended", "")
    assert world("resume", "old").code == 0


def test_policy_cancel_running_has_the_holder_cancelled_and_waits_until_it_is_over(world: World) -> None:
    first = hold(world)
    newer = world.run(following("cancel_running"), "--by", "ada", name="newer")
    assert newer.code == 0
    assert finish(first).code == 6
    request = world.last(CancelRequested, "first")
    assert (request.by, request.why) == ("ada", "replaced by newer")
    # Its handlers came first.
    assert world.lines("done") == ["cancelled first", "finally first", "newer"]
    assert world.last(ExecutionCancelled, "first").at < world.last(LockAcquired, "newer").at
    assert line(world) == []


def test_policy_cancel_running_cancels_also_what_nobody_drives_and_what_waits(world: World) -> None:
    assert world.run(ASKS, "--park", name="first").code == 75
    second = wait_in_line(world, "second")
    newer = world.run(following("cancel_running"), name="newer")
    assert newer.code == 0, newer
    assert finish(second).code == 6
    assert (world.status("first"), world.status("second")) == ("cancelled", "cancelled")
    assert world.lines("done") == ["cancelled first", "newer"]
    assert line(world) == []


def test_policy_cancel_running_cancels_one_that_was_interrupted(world: World) -> None:
    crash(hold(world))
    assert world.run(following("cancel_running"), name="newer").code == 0
    assert world.status("first") == "cancelled"
    assert world.lines("done") == ["cancelled first", "finally first", "newer"]


# A lock that the command line names


def test_run_takes_the_name_of_a_lock(world: World) -> None:
    free = HELD.replace("    concurrency: production\n", "")
    first = world.begin(free, "--lock", "production", name="first")
    wait_until(lambda: world.lines("up") == ["first"], "it has the lock")
    second = wait_in_line(world, "second")
    third = world.start("run", "flow.yaml", "--id", "third")
    wait_until(lambda: "third" in world.lines("up"), "one without it does not wait")
    let_go(world, "third")
    let_go(world)
    assert (finish(first).code, finish(second).code, finish(third).code) == (0, 0, 0)


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("concurrency: production", "staging", "the workflow has a lock of its own, production"),
        ("name: x", " ", "the name of the group is empty"),
        ("name: x", "x" * 256, "the name of the group has 256 characters"),
        ("name: x", "a\nb", "the name of the group has a line break"),
    ],
)
def test_a_lock_that_cannot_be_is_refused_before_anything_starts(world: World, text: str, name: str, said: str) -> None:
    done = world.run(f"{text}\n    steps: [{{id: a, run: 'true'}}]".replace("    ", ""), "--lock", name)
    assert (done.code, said in done.err) == (2, True), done
    assert world("status", "x").code == 3


def test_a_group_whose_name_comes_out_empty_is_refused(world: World) -> None:
    text = """
        inputs: {to: {type: string, default: ''}}
        concurrency: ${{ inputs.to }}
        steps: [{id: a, run: 'true'}]
        """
    done = world.run(text)
    assert done.code == 2
    assert "the name of the group is empty" in done.err
    assert world.run(text, "--input", "to=7").code == 0
    assert world.last(LockAcquired).group == "7"
