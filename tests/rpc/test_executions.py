"""The service's own methods: driving, asking, and following what happens."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import grpc
import pytest

from cerebelum import ExecutionClient
from cerebelum.core.events import ApprovalGranted, CancelRequested, ExecutionResumed, ExecutionStarted, PauseRequested
from tests.lifecycle.world import World, finish, wait_until
from tests.rpc.conftest import Service, execution_pb2, facts, refused

FAILING = """
    name: failing
    inputs:
      n: {type: integer, default: 1}
    steps:
      - {id: make, run: 'echo made >> made'}
      - {id: ship, run: 'test -e mended || exit 3; echo "$INPUT_N" >> shipped'}
"""
ASKING = "steps: [{id: go, approval: {message: 'Go?'}}, {id: end, run: 'true'}]"


def ended(world: World, name: str) -> bool:
    return world.status(name) == "completed"


def events(service: Service, name: str, after: int = 0) -> Any:
    request = execution_pb2.WatchExecutionRequest(execution_id=name, after_version=after)
    return service.stream("WatchExecution", request, execution_pb2.ExecutionEvent)


def test_watching_tells_each_event_once_and_ends_with_the_execution(world: World, service: Service) -> None:
    process = world.begin("steps: [{id: a, run: 'echo on >> on; sleep 600'}, {id: b, run: 'true'}]")
    world.wait_for_line("on")
    watched = events(service, "x")
    first = [next(watched) for _ in range(2)]
    assert [(e.version, e.type) for e in first] == [(1, "ExecutionStarted"), (2, "StepStarted")]
    process.terminate()
    finish(process)
    rest = list(watched)
    assert [e.version for e in [*first, *rest]] == list(range(1, len(first) + len(rest) + 1))
    assert rest[-1].type == "ExecutionPaused"
    stored = world.client.store.read("x")
    assert [(e.json, e.digest) for e in [*first, *rest]] == [(e.text, e.digest) for e in stored]
    assert [e.version for e in events(service, "x", after=3)] == [e.version for e in stored if e.version > 3]


def test_output_is_followed_from_a_position_on(world: World, service: Service) -> None:
    process = world.begin(
        "steps: [{id: a, run: 'echo one; echo on >> on; while ! test -e go; do sleep 0.05; done; echo two >&2'}]"
    )
    world.wait_for_line("on")
    request = execution_pb2.GetLogsRequest(execution_id="x", follow=True)
    pages = service.stream("GetLogs", request, execution_pb2.LogPage)
    first = next(pages)
    assert [(c.step, c.attempt, c.stream, c.data) for c in first.chunks] == [("a", 1, "stdout", b"one\n")]
    (world.folder / "go").touch()
    rest = [chunk for page in pages for chunk in page.chunks]
    assert [(c.stream, c.data) for c in rest] == [("stderr", b"two\n")]
    assert finish(process).code == 0
    again = execution_pb2.GetLogsRequest(execution_id="x", after_position=first.position)
    assert [c for page in service.stream("GetLogs", again, execution_pb2.LogPage) for c in page.chunks] == rest
    none = execution_pb2.GetLogsRequest(execution_id="x", step="b")
    with pytest.raises(grpc.RpcError) as error:
        list(service.stream("GetLogs", none, execution_pb2.LogPage))
    assert refused(error)[0] == grpc.StatusCode.NOT_FOUND


def test_a_decision_is_recorded_with_who_took_it(world: World, service: Service) -> None:
    process = world.begin(ASKING)
    world.wait_for_event("ApprovalRequested go")
    request = execution_pb2.ApproveRequest(
        execution_id="x", comment="fine", response_json='{"window": "night"}', by="eve"
    )
    assert service.ours("Approve", request, execution_pb2.Execution).execution_id == "x"
    assert finish(process).code == 0
    granted = world.last(ApprovalGranted)
    assert (granted.by, granted.comment, granted.response) == ("eve", "fine", {"window": "night"})
    with pytest.raises(grpc.RpcError) as error:
        service.ours("Approve", request, execution_pb2.Execution)
    assert refused(error)[0] == grpc.StatusCode.FAILED_PRECONDITION


def test_a_rejection_fails_the_step(world: World, service: Service) -> None:
    process = world.begin(ASKING)
    world.wait_for_event("ApprovalRequested go")
    service.ours("Reject", execution_pb2.RejectRequest(execution_id="x", step="go"), execution_pb2.Execution)
    assert finish(process).code == 6


def test_an_execution_is_paused_and_one_that_nobody_drives_is_cancelled(world: World, service: Service) -> None:
    process = world.begin("steps: [{id: a, run: 'echo on >> on; sleep 600'}]")
    world.wait_for_line("on")
    request = execution_pb2.PauseRequest(execution_id="x", why="lunch", by="eve")
    service.ours("Pause", request, execution_pb2.Execution)
    assert finish(process).code == 75
    asked = world.last(PauseRequested)
    assert (asked.by, asked.why) == ("eve", "lunch")
    row = service.ours("Cancel", execution_pb2.CancelRequest(execution_id="x"), execution_pb2.Execution)
    assert row.status == "cancelled"
    assert world.last(CancelRequested).by == "ipv4:127.0.0.1"
    with pytest.raises(grpc.RpcError) as error:
        service.ours("Cancel", execution_pb2.CancelRequest(execution_id="x"), execution_pb2.Execution)
    assert refused(error)[0] == grpc.StatusCode.FAILED_PRECONDITION


def test_a_changed_definition_is_refused_with_the_plan(world: World, service: Service) -> None:
    assert world.run(FAILING).code == 1
    world.flow(FAILING.replace("echo made", "echo otherwise"))
    request = execution_pb2.ResumeExecutionRequest(execution_id="x", by="eve")
    with pytest.raises(grpc.RpcError) as error:
        service.ours("ResumeExecution", request, execution_pb2.ExecutionHandle)
    assert refused(error)[0] == grpc.StatusCode.FAILED_PRECONDITION
    said = facts(error)
    assert said["exit_code"] == 5
    assert [(row["step"], row["action"]) for row in said["plan"]["steps"]] == [("make", "CHANGED"), ("ship", "RERUN")]
    plan = json.loads(service.ours("PlanResume", request, execution_pb2.ResumePlan).json)
    assert plan == said["plan"]
    (world.folder / "mended").touch()
    request.accept_changes = True
    assert service.ours("ResumeExecution", request, execution_pb2.ExecutionHandle).execution_id == "x"
    wait_until(lambda: world.status() == "completed", "its end")
    assert world.last(ExecutionResumed).by == "eve"
    assert world.lines("made") == ["made"]


def test_an_error_with_much_to_say_still_arrives(world: World, service: Service) -> None:
    """Readers refuse metadata of more than 8 KiB, and with it the code."""
    steps = [f"  - {{id: step-with-a-long-name-{n}, run: 'echo before'}}" for n in range(150)]
    flow = "name: long\nsteps:\n" + "\n".join([*steps, "  - {id: end, run: 'exit 1'}"])
    assert world.run(flow, "-q").code == 1
    world.flow(flow.replace("before", "after"))
    request = execution_pb2.ResumeExecutionRequest(execution_id="x")
    with pytest.raises(grpc.RpcError) as error:
        service.ours("ResumeExecution", request, execution_pb2.ExecutionHandle)
    assert refused(error)[0] == grpc.StatusCode.FAILED_PRECONDITION
    assert facts(error)["exit_code"] == 5
    assert len(json.loads(service.ours("PlanResume", request, execution_pb2.ResumePlan).json)["steps"]) == 151


def test_a_fork_takes_over_what_was_completed_and_other_inputs(world: World, service: Service) -> None:
    (world.folder / "mended").touch()
    assert world.run(FAILING).code == 0
    request = execution_pb2.ForkRequest(
        execution_id="x", from_step="ship", inputs_text={"n": "7"}, new_execution_id="y", by="eve"
    )
    assert service.ours("Fork", request, execution_pb2.ExecutionHandle).execution_id == "y"
    wait_until(lambda: world.status("y") == "completed", "its end")
    assert (world.lines("made"), world.lines("shipped")) == (["made"], ["1", "7"])
    started = world.last(ExecutionStarted, "y")
    assert (started.parent, started.by) == ("x", "eve")
    request.from_step, request.new_execution_id = "nothing", "z"
    with pytest.raises(grpc.RpcError) as error:
        service.ours("Fork", request, execution_pb2.ExecutionHandle)
    assert refused(error)[0] in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)


def test_what_is_started_gets_its_inputs_as_json_or_as_typed(world: World) -> None:
    world.flow(FAILING)
    (world.folder / "mended").touch()
    service = Service(world, "flow.yaml")
    for fields in ({"inputs_json": '{"n": 5}'}, {"inputs_text": {"n": "5"}}):
        request = execution_pb2.StartExecutionRequest(workflow_name="failing", **fields)
        name = service.ours("StartExecution", request, execution_pb2.ExecutionHandle).execution_id
        wait_until(partial(ended, world, name), "its end")
        assert world.last(ExecutionStarted, name).inputs == {"n": 5}
    for odd in ("a\0b", "x" * 300_000):
        request = execution_pb2.StartExecutionRequest(workflow_name="failing", tags=[odd])
        with pytest.raises(grpc.RpcError) as error:
            service.ours("StartExecution", request, execution_pb2.ExecutionHandle)
        assert refused(error)[0] == grpc.StatusCode.INVALID_ARGUMENT
    for bad in ("[1]", "[" * 100_000, "{", '{"n": "many"}', '{"m": 1}'):
        request = execution_pb2.StartExecutionRequest(workflow_name="failing", inputs_json=bad)
        with pytest.raises(grpc.RpcError) as error:
            service.ours("StartExecution", request, execution_pb2.ExecutionHandle)
        assert refused(error)[0] == grpc.StatusCode.INVALID_ARGUMENT
    service.close()


def test_what_is_started_with_a_lock_waits_for_who_has_it(world: World) -> None:
    world.flow(
        "name: held\nenv: {X: '${{ execution.id }}'}\n"
        "steps: [{id: a, run: 'until test -e go; do sleep 0.02; done; echo $X >> done'}]"
    )
    service = Service(world, "flow.yaml")

    def start(name: str, lock: str) -> None:
        request = execution_pb2.StartExecutionRequest(workflow_name="held", execution_id=name, lock=lock)
        assert service.ours("StartExecution", request, execution_pb2.ExecutionHandle).execution_id == name

    start("one", "production")
    world.wait_for_event("StepStarted a", "one")
    start("two", "production")
    world.wait_for_event("LockAwaited", "two")
    with ExecutionClient(core_url=service.address) as client:
        assert client.start_execution.blocking("held", execution_id="three", lock="production") == "three"
        world.wait_for_event("LockAwaited", "three")
    through = world.start("run", "held", "--id", "four", "--lock", "production", "--core-url", service.address)
    world.wait_for_event("LockAwaited", "four")
    assert [(claim.group, claim.execution_id) for claim, _ in world.client.locks()] == [
        ("production", name) for name in ("one", "two", "three", "four")
    ]
    start("free", "staging")
    world.wait_for_event("StepStarted a", "free")
    with pytest.raises(grpc.RpcError) as error:
        start("bad", "")
    assert refused(error)[0] == grpc.StatusCode.INVALID_ARGUMENT
    (world.folder / "go").touch()
    assert finish(through).code == 0
    assert [name for name in world.lines("done") if name != "free"] == ["one", "two", "three", "four"]
    service.close()


def test_changes_are_told_and_what_was_pruned_is_remembered(world: World, service: Service) -> None:
    changes = service.stream("WatchChanges", execution_pb2.WatchChangesRequest(), execution_pb2.Change)
    assert world.run("steps: [{id: a, run: 'true'}]").code == 0
    assert any(change.execution_id in ("x", "") for change in changes)
    changes.cancel()
    assert world("store", "prune", "--older-than", "0s", "--yes").code == 0
    request = execution_pb2.GetTombstonesRequest(execution_id="x")
    [stone] = service.stream("GetTombstones", request, execution_pb2.Tombstone)
    assert json.loads(stone.json)["status"] == "completed"


def test_a_service_that_only_shows_changes_nothing(world: World) -> None:
    assert world.run(FAILING).code == 1
    service = Service(world, "--read-only", "flow.yaml")
    refusals: list[tuple[str, Any, Any]] = [
        ("StartExecution", execution_pb2.StartExecutionRequest(workflow_name="failing"), execution_pb2.ExecutionHandle),
        ("ResumeExecution", execution_pb2.ResumeExecutionRequest(execution_id="x"), execution_pb2.ExecutionHandle),
        ("Fork", execution_pb2.ForkRequest(execution_id="x", from_step="ship"), execution_pb2.ExecutionHandle),
        ("Approve", execution_pb2.ApproveRequest(execution_id="x"), execution_pb2.Execution),
        ("Reject", execution_pb2.RejectRequest(execution_id="x"), execution_pb2.Execution),
        ("Cancel", execution_pb2.CancelRequest(execution_id="x"), execution_pb2.Execution),
        ("Pause", execution_pb2.PauseRequest(execution_id="x"), execution_pb2.Execution),
    ]
    before = world.said()
    for method, request, answer in refusals:
        with pytest.raises(grpc.RpcError) as error:
            service.ours(method, request, answer)
        assert refused(error)[0] == grpc.StatusCode.PERMISSION_DENIED, method
    assert world.said() == before
    assert service.status("x").execution_id == "x"
    service.close()
