"""What somebody who speaks HTTP/2 by hand may do to the service, and what everybody else notices of it: nothing."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import pytest

from tests.lifecycle.world import World, finish
from tests.rpc.conftest import OURS, WORKER, Service, execution_pb2, refused
from tests.rpc.raw import RawConnection, message
from tests.stores import only_sqlite

pytestmark = only_sqlite

TOKEN = "0123456789abcdef"
STATUS = f"/{WORKER}/GetExecutionStatus"
CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


@pytest.fixture
def guarded(world: World) -> Iterator[Service]:
    """A service that wants a token, and a client that has one."""
    path = world.write("tokens", f"ann {TOKEN}\n")
    path.chmod(0o600)
    assert world.run("steps: [{id: a, run: 'echo a'}]").code == 0
    service = Service(world, "--token-file", str(path))
    service.metadata = (("authorization", f"Bearer {TOKEN}"),)
    yield service
    service.close()


@pytest.mark.parametrize("path", [STATUS, f"/{OURS}/WatchExecution", REFLECTION])
def test_a_call_without_a_token_is_refused_before_its_message_comes(guarded: Service, path: str) -> None:
    with ExitStack() as stack:
        connections = [stack.enter_context(RawConnection(guarded.address)) for _ in range(4)]
        for connection in connections:
            connection.begin(path, times=1000)
        for connection in connections:
            connection.ended(1000)
        assert guarded.status("x").execution_id == "x"


def test_who_has_no_token_can_occupy_only_what_needs_none(guarded: Service) -> None:
    with ExitStack() as stack:
        first, *others = (stack.enter_context(RawConnection(guarded.address)) for _ in range(4))
        first.begin(WATCH, message(b""), times=1000)
        # From then on it has all that there is for who has no token.
        first.ended(900)
        for connection in others:
            connection.begin(WATCH, message(b""), times=1000)
        for connection in others:
            connection.ended(1000)
        assert guarded.status("x").execution_id == "x"


def test_calls_whose_message_does_not_come_are_ended(world: World, service: Service) -> None:
    assert world.run("steps: [{id: a, run: 'echo a'}]").code == 0
    with RawConnection(service.address) as connection:
        connection.begin(STATUS, times=1000)
        # A few are waited for longer.
        connection.ended(900)
        assert service.status("x").execution_id == "x"


def test_large_messages_that_do_not_come_to_their_end_are_not_kept(service: Service) -> None:
    length = 4 << 20
    with ExitStack() as stack:
        connections = []
        for _ in range(100):
            connections.append(stack.enter_context(RawConnection(service.address)))
            # As much as may be sent without hearing an answer.
            connections[-1].begin(CHECK, message(b"x" * 16_000, length))
        for connection in connections[40:]:
            connection.ended(1)


def test_a_call_without_a_message_and_one_with_something_else_are_invalid(service: Service) -> None:
    call: Any = service.channel.stream_unary(STATUS)
    for messages in ([], [b"\xff\xff\xff"]):
        with pytest.raises(grpc.RpcError) as error:
            call(iter(messages), timeout=60)
        assert refused(error)[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_one_stream_too_many_is_refused_and_takes_nothing_from_other_calls(world: World, service: Service) -> None:
    process = world.begin("steps: [{id: a, run: 'echo on >> on; sleep 600'}]")
    world.wait_for_line("on")
    request = execution_pb2.WatchExecutionRequest(execution_id="x")
    streams = [service.stream("WatchExecution", request, execution_pb2.ExecutionEvent) for _ in range(1001)]
    answers = []
    for stream in streams:
        try:
            answers.append(next(stream).version)
        except grpc.RpcError as error:
            answers.append(error.code())
    assert answers.count(1) == 1000
    assert answers.count(grpc.StatusCode.RESOURCE_EXHAUSTED) == 1
    assert service.status("x").execution_id == "x"
    for stream in streams:
        stream.cancel()
    process.terminate()
    finish(process)


def test_a_watcher_of_the_health_that_reads_nothing_does_not_hold_up_the_end(service: Service) -> None:
    with RawConnection(service.address, window=0) as connection:
        connection.begin(WATCH, message(b""), times=100)
        with pytest.raises(grpc.RpcError):
            service.status("nothing")
        service.process.terminate()
        done = finish(service.process)
    assert (done.code, done.err) == (0, "")


def test_there_are_no_more_connections_than_the_process_has_descriptors_for(world: World) -> None:
    assert world.run("steps: [{id: a, run: 'echo a'}]").code == 0
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (264, hard))
    try:
        service = Service(world)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert service.status("x").execution_id == "x"
    with ExitStack() as stack:
        connections = [stack.enter_context(RawConnection(service.address)) for _ in range(64)]
        refused_one = connections[-1]
        assert not list(refused_one.answers()), "it was taken in"
        # Who was there before is served, and what serves has descriptors left.
        assert service.status("x").execution_id == "x"
    service.channel.close()
    service.channel = grpc.insecure_channel(service.address)
    assert service.status("x").execution_id == "x"
    service.close()
