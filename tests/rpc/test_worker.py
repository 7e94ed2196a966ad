"""The published status service, as programs in the field use it."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from cerebelum.core.events import ExecutionResumed, ExecutionStarted
from tests.lifecycle.world import World, crash, finish, wait_until
from tests.rpc.conftest import WORKER, Service, facts, plain, refused, worker_pb2

BUILD = """
    name: build
    inputs:
      who: {type: string, default: you}
    steps:
      - {id: make, run: 'echo "size=3" >> "$CEREBELUM_OUTPUT"; echo made >> made'}
      - {id: say, run: 'echo "hello $INPUT_WHO"', output: text}
      - {id: ship, run: 'test -e mended || exit 3; echo shipped >> shipped'}
"""


def test_how_an_execution_stands_is_told_with_all_its_fields(world: World, service: Service) -> None:
    assert world.run(BUILD, "--input", "who=them").code == 1
    at = service.status("x")
    assert (at.execution_id, at.workflow_name) == ("x", "build")
    assert at.status == worker_pb2.EXECUTION_FAILED
    assert (at.current_step_index, at.total_steps, at.current_step_name) == (2, 3, "ship")
    assert [(s.step_name, s.step_index, s.status) for s in at.completed_steps] == [
        ("make", 0, "completed"),
        ("say", 1, "completed"),
    ]
    assert plain(at.inputs) == {"who": "them"}
    assert {name: plain(output) for name, output in at.step_outputs.items()} == {
        "make": {"size": "3"},
        "say": {"value": "hello them"},
    }
    assert at.error.kind
    assert "ship" in at.error.message
    began = at.started_at.ToDatetime(UTC)
    assert timedelta() <= at.completed_at.ToDatetime(UTC) - began <= datetime.now(UTC) - began
    (world.folder / "mended").touch()
    assert world("resume", "x").code == 0
    at = service.status("x")
    assert at.status == worker_pb2.EXECUTION_COMPLETED
    assert (at.current_step_index, at.current_step_name) == (3, "")
    assert not at.HasField("error")


def test_one_that_sleeps_and_one_that_waits_say_for_what(world: World, service: Service) -> None:
    assert world.run("steps: [{id: nap, sleep: 2h}]", "--park", name="nap").code == 75
    sleep = service.status("nap").sleep_info
    assert service.status("nap").status == worker_pb2.EXECUTION_SLEEPING
    assert sleep.duration_ms == 7_200_000
    assert 0 < sleep.remaining_ms <= 7_200_000
    ask = "steps: [{id: go, approval: {message: 'Go?', timeout: 1h, data: {risk: 2}}}]"
    assert world.run(ask, "--park", name="ask").code == 75
    asked = service.status("ask").approval_info
    assert service.status("ask").status == worker_pb2.EXECUTION_WAITING_FOR_APPROVAL
    assert plain(asked.data) == {"message": "Go?", "risk": 2}
    assert 0 < asked.remaining_timeout_ms <= asked.timeout_ms == 3_600_000


def test_a_cancelled_one_is_a_failed_one_of_the_kind_cancelled(world: World, service: Service) -> None:
    assert world.run("steps: [{id: nap, sleep: 2h}]", "--park").code == 75
    assert world("cancel", "x", "--why", "not today").code == 0
    for at in (service.status("x"), service.list(status=worker_pb2.EXECUTION_FAILED).executions[0]):
        assert (at.status, at.error.kind) == (worker_pb2.EXECUTION_FAILED, "cancelled")


def test_one_whose_process_was_killed_is_paused(world: World, service: Service) -> None:
    process = world.begin("steps: [{id: long, run: 'echo on >> on; sleep 600'}]")
    world.wait_for_line("on")
    assert service.status("x").status == worker_pb2.EXECUTION_RUNNING
    crash(process)
    wait_until(lambda: service.status("x").status == worker_pb2.EXECUTION_PAUSED)
    assert service.list(status=worker_pb2.EXECUTION_PAUSED).total_count == 1
    assert service.list(status=worker_pb2.EXECUTION_RUNNING).total_count == 0


def test_lists_are_filtered_paged_and_counted(world: World, service: Service) -> None:
    for number in range(5):
        assert (
            world.run(
                f"name: {'even' if number % 2 == 0 else 'odd'}\nsteps: [{{id: a, run: 'true'}}]", name=f"x{number}"
            ).code
            == 0
        )
    page = service.list(limit=2)
    assert ([e.execution_id for e in page.executions], page.total_count, page.has_more) == (["x4", "x3"], 5, True)
    page = service.list(limit=2, offset=4)
    assert ([e.execution_id for e in page.executions], page.has_more) == (["x0"], False)
    assert [e.execution_id for e in service.list(workflow_name="odd").executions] == ["x3", "x1"]
    assert len(service.list().executions) == 5
    assert service.list(status=worker_pb2.EXECUTION_FAILED).total_count == 0
    assert service.list(status=worker_pb2.EXECUTION_STATE_UNSPECIFIED, limit=1000).total_count == 5
    [first, *_] = page.executions
    assert (first.status, first.total_steps, first.current_step_index) == (worker_pb2.EXECUTION_COMPLETED, 1, 1)


@pytest.mark.parametrize("fields", [{"limit": -1}, {"offset": -1}, {"status": 7}, {"status": -3}])
def test_what_cannot_be_listed_is_an_invalid_argument(fields: dict[str, int], service: Service) -> None:
    with pytest.raises(grpc.RpcError) as error:
        service.list(**fields)
    assert refused(error)[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_an_id_has_to_be_one(world: World, service: Service) -> None:
    with pytest.raises(grpc.RpcError) as error:
        service.status("")
    assert refused(error)[0] == grpc.StatusCode.INVALID_ARGUMENT
    for call in (service.status, service.resume):
        with pytest.raises(grpc.RpcError) as error:
            call("nope")
        assert refused(error)[0] == grpc.StatusCode.NOT_FOUND
        assert facts(error)["exit_code"] == 3
    for name in ("same1", "same2"):
        assert world.run("steps: [{id: a, run: 'true'}]", name=name).code == 0
    with pytest.raises(grpc.RpcError) as error:
        service.status("same")
    assert refused(error)[0] == grpc.StatusCode.INVALID_ARGUMENT
    assert "same1" in refused(error)[1]
    assert service.status("last").execution_id == "same2"


def test_what_is_resumed_outlives_the_service_that_was_asked(world: World, service: Service) -> None:
    assert world.run(BUILD.replace("test -e mended", "echo on >> on; test -e mended && sleep 2")).code == 1
    (world.folder / "mended").touch()
    handle = service.resume("x")
    assert (handle.execution_id, handle.status) == ("x", "running")
    assert handle.started_at.ToDatetime(UTC) == world.state().started_at
    world.wait_for_line("on", 2)
    crash(service.process)
    wait_until(lambda: world.status() == "completed", "its end")
    assert world.lines("made") == ["made"]
    assert world.lines("shipped") == ["shipped"]
    assert world.last(ExecutionResumed).by == "ipv4:127.0.0.1"
    assert world.sound()


def test_without_skipping_every_step_runs_again(world: World, service: Service) -> None:
    assert world.run(BUILD).code == 1
    (world.folder / "mended").touch()
    service.resume("x", skip=False)
    wait_until(lambda: world.status() == "completed", "its end")
    assert world.lines("made") == ["made", "made"]


def test_what_cannot_be_resumed_is_a_failed_precondition(world: World, service: Service) -> None:
    assert world.run("steps: [{id: a, run: 'true'}]", name="done").code == 0
    with pytest.raises(grpc.RpcError) as error:
        service.resume("done")
    assert refused(error)[0] == grpc.StatusCode.FAILED_PRECONDITION
    assert "has completed" in refused(error)[1]
    process = world.begin("steps: [{id: long, run: 'echo on >> on; sleep 600'}]")
    world.wait_for_line("on")
    with pytest.raises(grpc.RpcError) as error:
        service.resume("x")
    code, details = refused(error)
    assert (code, f"process {process.pid} on" in details) == (grpc.StatusCode.FAILED_PRECONDITION, True)
    process.terminate()
    finish(process)


def test_one_that_somebody_else_drives_while_it_sleeps_is_aborted(world: World, service: Service) -> None:
    process = world.begin("steps: [{id: nap, sleep: 2h}]")
    world.wait_for_event("SleepStarted nap")
    with pytest.raises(grpc.RpcError) as error:
        service.resume("x")
    assert refused(error)[0] == grpc.StatusCode.ABORTED
    assert str(process.pid) in refused(error)[1]
    process.terminate()
    finish(process)


def test_a_workflow_that_the_service_was_given_is_started(world: World) -> None:
    world.flow(BUILD, "flows/build.yaml")
    world.flow("steps: [{id: a, run: 'true'}]", "flows/other.yaml")
    (world.folder / "mended").touch()
    service = Service(world, "flows")
    request = worker_pb2.ExecuteRequest(workflow_module="build")
    request.inputs.update({"who": "all"})
    request.options.execution_id = "mine"
    request.options.correlation_id = "ticket 7"
    request.options.tags.extend(["one", "two words"])
    handle = service.call(WORKER, "ExecuteWorkflow", request, worker_pb2.ExecutionHandle)
    assert handle.execution_id == "mine"
    wait_until(lambda: world.status("mine") == "completed", "its end")
    started = world.last(ExecutionStarted, "mine")
    assert (started.inputs, started.correlation_id, started.tags) == ({"who": "all"}, "ticket 7", ("one", "two words"))
    with pytest.raises(grpc.RpcError) as error:
        service.call(WORKER, "ExecuteWorkflow", request, worker_pb2.ExecutionHandle)
    assert refused(error)[0] == grpc.StatusCode.INVALID_ARGUMENT, "there is one with this id"
    request = worker_pb2.ExecuteRequest(workflow_module="biuld")
    with pytest.raises(grpc.RpcError) as error:
        service.call(WORKER, "ExecuteWorkflow", request, worker_pb2.ExecutionHandle)
    assert refused(error)[0] == grpc.StatusCode.NOT_FOUND
    assert "did you mean build?" in refused(error)[1]
    service.close()


@pytest.mark.parametrize(
    "method", ["SubmitBlueprint", "Register", "Heartbeat", "Unregister", "PollForTask", "SubmitResult"]
)
def test_workers_are_told_that_there_are_none(method: str, service: Service) -> None:
    request = worker_pb2.RegisterRequest()
    with pytest.raises(grpc.RpcError) as error:
        service.call(WORKER, method, request, worker_pb2.Ack)
    code, details = refused(error)
    assert (code, "no remote workers" in details) == (grpc.StatusCode.UNIMPLEMENTED, True)


def test_a_service_of_a_damaged_store_says_that_it_is_unavailable(world: World, service: Service) -> None:
    assert world.run("steps: [{id: a, run: 'true'}]").code == 0
    assert service.status("x").execution_id == "x"
    if not world.url.startswith("sqlite:"):
        pytest.skip("a server is taken away in the tests of what a service survives")
    for path in Path(world.store).parent.glob("cerebelum.db*"):
        os.truncate(path, 0)
        path.write_bytes(b"nothing of a database" * 1000)
    with pytest.raises(grpc.RpcError) as error:
        service.status("x")
    assert refused(error)[0] == grpc.StatusCode.UNAVAILABLE
