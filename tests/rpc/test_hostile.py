"""What callers and the world may do to the service, and what it stays able to do."""

from __future__ import annotations

import json
import os
import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from cerebelum.backends.conformance.kit import entry, summary
from cerebelum.core.events import GENESIS, Entry, ExecutionResumed
from tests.lifecycle.world import World, finish, wait_until
from tests.rpc.conftest import OURS, WORKER, Service, execution_pb2, refused, worker_pb2
from tests.servers.postgres import Postgres
from tests.stores import only_sqlite

DONE = "steps: [{id: a, run: 'echo a'}]"


def port(service: Service) -> int:
    return int(service.address.rpartition(":")[2])


def descriptors(service: Service) -> int:
    return len(os.listdir(f"/proc/{service.process.pid}/fd"))


def resident(service: Service) -> int:
    """Bytes."""
    return int(Path(f"/proc/{service.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@only_sqlite
def test_health_and_reflection_answer_as_their_tools_expect(service: Service) -> None:
    health: Any = health_pb2_grpc.HealthStub(service.channel)
    for name in ("", WORKER, OURS):
        answer = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=30)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    found = ProtoReflectionDescriptorDatabase(service.channel)
    assert {WORKER, OURS} <= set(found.get_services())
    file = found.FindFileContainingSymbol("cerebelum.worker.WorkerService")
    assert "GetExecutionStatus" in [method.name for method in file.service[0].method]


@only_sqlite
def test_bytes_that_are_no_http_and_connections_that_say_nothing_do_no_harm(world: World, service: Service) -> None:
    assert world.run(DONE).code == 0
    service.status("x")
    before = descriptors(service)
    chance = random.Random(7)
    silent = [socket.create_connection(("127.0.0.1", port(service))) for _ in range(50)]
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", port(service))) as connection:
            connection.sendall(chance.randbytes(2000))
    assert service.status("x").status == worker_pb2.EXECUTION_COMPLETED
    for connection in silent:
        connection.close()
    wait_until(lambda: descriptors(service) <= before + 2, "the end of the connections")


@only_sqlite
def test_a_message_that_is_too_large_is_refused_and_the_next_is_answered(world: World, service: Service) -> None:
    assert world.run(DONE).code == 0
    with pytest.raises(grpc.RpcError) as error:
        service.status("x" * (100 << 20))
    assert refused(error)[0] == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert service.status("x").execution_id == "x"


@only_sqlite
def test_fields_that_nobody_knows_and_messages_that_are_none(world: World, service: Service) -> None:
    assert world.run(DONE).code == 0
    call: Any = service.channel.unary_unary(
        f"/{WORKER}/GetExecutionStatus", response_deserializer=worker_pb2.ExecutionStatus.FromString
    )
    known = worker_pb2.GetExecutionStatusRequest(execution_id="x").SerializeToString()
    assert call(known + b"\xd2\x0f\x04what", timeout=30).execution_id == "x"
    with pytest.raises(grpc.RpcError):
        call(b"\xff\xff\xff", timeout=30)
    nothing: Any = service.channel.unary_unary(f"/{WORKER}/Nothing")
    with pytest.raises(grpc.RpcError) as error:
        nothing(b"", timeout=30)
    assert refused(error)[0] == grpc.StatusCode.UNIMPLEMENTED
    assert service.status("x").execution_id == "x"


@only_sqlite
def test_a_thousand_streams_that_are_opened_and_dropped_leave_nothing(world: World, service: Service) -> None:
    process = world.begin("steps: [{id: a, run: 'echo on >> on; sleep 600'}]")
    world.wait_for_line("on")
    service.status("x")

    def open_one(number: int) -> None:
        channel = grpc.insecure_channel(service.address, [("grpc.use_local_subchannel_pool", 1)])
        call = channel.unary_stream(
            f"/{OURS}/WatchExecution",
            request_serializer=execution_pb2.WatchExecutionRequest.SerializeToString,
            response_deserializer=execution_pb2.ExecutionEvent.FromString,
        )
        for _ in range(10):
            stream = call(execution_pb2.WatchExecutionRequest(execution_id="x"), timeout=60)
            next(stream)
            stream.cancel()
        channel.close()

    open_one(0)
    wait_until(lambda: descriptors(service) < 100)
    before, size = descriptors(service), resident(service)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(open_one, range(100)))
    wait_until(lambda: descriptors(service) <= before + 2, "the end of the streams")
    assert resident(service) < size + (60 << 20)
    process.terminate()
    finish(process)
    assert service.status("x").status == worker_pb2.EXECUTION_PAUSED


@only_sqlite
def test_a_reader_that_does_not_read_costs_no_memory_and_misses_nothing(world: World, service: Service) -> None:
    count, line = 400, "x" * 50_000
    flow = f"steps: [{{id: a, run: 'for i in $(seq {count}); do echo {line}; done'}}]"
    assert world.run(flow, "--log-limit", "64M", "-q").code == 0
    service.status("x")
    size = resident(service)
    request = execution_pb2.GetLogsRequest(execution_id="x", follow=True)
    slow = [service.stream("GetLogs", request, execution_pb2.LogPage) for _ in range(10)]
    for stream in slow:
        next(stream)
    # Others are served meanwhile, ten times over.
    for _ in range(10):
        assert service.status("x").execution_id == "x"
    assert resident(service) < size + (100 << 20), "of the 200 MB that nobody has read"
    read = sum(len(chunk.data) for page in slow[0] for chunk in page.chunks)
    assert read > (count - 50) * len(line)
    for stream in slow[1:]:
        stream.cancel()


def long_log(world: World, name: str, count: int, size: int) -> list[Entry]:
    """The log of an execution with so many events of so many characters."""
    entries: list[Entry] = []
    for version in range(1, count + 1):
        text = json.dumps({"version": version, "output": "x" * size})
        entries.append(entry(name, version, entries[-1].digest if entries else GENESIS, text=text))
        if version % 200 == 0:
            world.client.store.append(name, version - 200, entries[-200:], summary(name, entries))
    return entries


@only_sqlite
def test_a_long_history_is_read_in_pages_and_who_stops_reading_costs_no_memory(world: World, service: Service) -> None:
    entries = long_log(world, "x", 10_000, 20_000)
    every = [(each.version, each.text, each.digest) for each in entries]
    service.ours("GetStore", execution_pb2.GetStoreRequest(), execution_pb2.Store)
    size = resident(service)
    for method, request in (
        ("GetHistory", execution_pb2.GetHistoryRequest(execution_id="x")),
        ("WatchExecution", execution_pb2.WatchExecutionRequest(execution_id="x")),
    ):
        stopped = [service.stream(method, request, execution_pb2.ExecutionEvent) for _ in range(10)]
        for stream in stopped:
            next(stream)
        again = service.stream(method, request, execution_pb2.ExecutionEvent)
        assert next(again).version == 1
        read = [(event.version, event.json, event.digest) for event in islice(again, len(every) - 1)]
        assert read == every[1:]
        assert resident(service) < size + (60 << 20), f"of the 200 MB that {method} has to tell each of them"
        for stream in (*stopped, again):
            stream.cancel()
    few = execution_pb2.GetHistoryRequest(execution_id="x", after_version=5, size=50_000)
    assert [event.version for event in service.stream("GetHistory", few, execution_pb2.ExecutionEvent)] == [6, 7]
    one = execution_pb2.GetHistoryRequest(execution_id="x", after_version=5, size=1)
    assert [event.version for event in service.stream("GetHistory", one, execution_pb2.ExecutionEvent)] == [6]


@only_sqlite
def test_a_deadline_is_kept(world: World, service: Service) -> None:
    process = world.begin("steps: [{id: a, run: 'echo on >> on; sleep 600'}]")
    world.wait_for_line("on")
    request = execution_pb2.WatchExecutionRequest(execution_id="x")
    with pytest.raises(grpc.RpcError) as error:
        list(service.stream("WatchExecution", request, execution_pb2.ExecutionEvent, timeout=1))
    assert refused(error)[0] == grpc.StatusCode.DEADLINE_EXCEEDED
    process.terminate()
    finish(process)


@only_sqlite
def test_it_stops_in_an_orderly_way_although_somebody_watches(world: World, service: Service) -> None:
    process = world.begin("steps: [{id: a, run: 'echo on >> on; sleep 600'}]")
    world.wait_for_line("on")
    request = execution_pb2.WatchExecutionRequest(execution_id="x")
    stream = service.stream("WatchExecution", request, execution_pb2.ExecutionEvent)
    next(stream)
    service.process.terminate()
    done = finish(service.process)
    assert (done.code, done.err) == (0, "")
    list(stream)
    process.terminate()
    finish(process)


@only_sqlite
def test_one_port_has_one_service(world: World, service: Service) -> None:
    asked = world("serve", "--no-http", "--grpc", service.address)
    assert (asked.code, "cannot be listened on" in asked.err) == (2, True)


@only_sqlite
def test_two_services_that_resume_at_once_resume_once(world: World, service: Service) -> None:
    other = Service(world)
    assert world.run("steps: [{id: a, run: 'test -e mended || exit 1; echo a >> done; sleep 1'}]").code == 1
    (world.folder / "mended").touch()
    barrier = threading.Barrier(4)

    def resume(which: Service) -> Any:
        barrier.wait()
        try:
            return which.resume("x").execution_id
        except grpc.RpcError as error:
            return error.code()

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(resume, [service, other, service, other]))
    wait_until(lambda: world.status() == "completed", "its end")
    assert answers.count("x") == 1, answers
    refusals = {grpc.StatusCode.ABORTED, grpc.StatusCode.FAILED_PRECONDITION}
    assert {answer for answer in answers if answer != "x"} <= refusals
    assert world.lines("done") == ["a"]
    assert len([e for e in world.events() if isinstance(e, ExecutionResumed)]) == 1
    other.close()


def test_a_server_of_the_store_that_goes_away_comes_back_to_a_service_that_stayed(
    tmp_path: Path, own_server: Postgres
) -> None:
    (tmp_path / "w").mkdir()
    world = World(tmp_path / "w", own_server.url)
    service = Service(world)
    try:
        assert world.run(DONE).code == 0
        assert service.status("x").execution_id == "x"
        own_server.kill()
        with pytest.raises(grpc.RpcError) as error:
            service.status("x")
        assert refused(error)[0] == grpc.StatusCode.UNAVAILABLE
        assert own_server.url.partition("@")[0] not in refused(error)[1]
        own_server.start()

        def answers() -> bool:
            try:
                return service.status("x").execution_id == "x"
            except grpc.RpcError:
                return False

        wait_until(answers, "an answer")
    finally:
        service.close()
        world.close()
