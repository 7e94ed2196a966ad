"""The service as a process of its own, on either store, and its methods as functions."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any, TypeVar

import pytest

# Other tests fork this process, and nothing of gRPC is to speak up then.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

import grpc
from google.protobuf.message import Message

from cerebelum.service.rpc.structs import plain
from cerebelum.wire import execution_pb2, worker_pb2
from tests.lifecycle.world import World, finish

M = TypeVar("M", bound=Message)

WORKER, OURS = "cerebelum.worker.WorkerService", "cerebelum.execution.ExecutionService"


class Service:
    """A service that runs."""

    def __init__(self, world: World, *arguments: str, http: str | None = None) -> None:
        way = ["--no-http"] if http is None else ["--http", http]
        self.process = world.start("serve", *way, "--grpc", "127.0.0.1:0", "--json", *arguments)
        assert self.process.stdout is not None
        text = b""
        while not text.rstrip().endswith(b"}"):
            line = self.process.stdout.readline()
            assert line, finish(self.process)
            text += line
        self.address: str = json.loads(text)["grpc"]
        self.http: str | None = json.loads(text)["http"]
        self.channel = grpc.insecure_channel(self.address)
        self.metadata: tuple[tuple[str, str], ...] = ()

    def status(self, execution_id: str) -> worker_pb2.ExecutionStatus:
        request = worker_pb2.GetExecutionStatusRequest(execution_id=execution_id)
        return self.call(WORKER, "GetExecutionStatus", request, worker_pb2.ExecutionStatus)

    def list(self, **fields: Any) -> worker_pb2.ListExecutionsResponse:
        request = worker_pb2.ListExecutionsRequest(**fields)
        return self.call(WORKER, "ListExecutions", request, worker_pb2.ListExecutionsResponse)

    def resume(self, execution_id: str, *, skip: bool = True) -> worker_pb2.ExecutionHandle:
        request = worker_pb2.ResumeExecutionRequest(execution_id=execution_id, skip_completed_steps=skip)
        return self.call(WORKER, "ResumeExecution", request, worker_pb2.ExecutionHandle)

    def call(self, service: str, method: str, request: Message, answer: type[M]) -> M:
        call = self.channel.unary_unary(
            f"/{service}/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        found: M = call(request, timeout=60, metadata=self.metadata)
        return found

    def ours(self, method: str, request: Message, answer: type[M]) -> M:
        return self.call(OURS, method, request, answer)

    def stream(self, method: str, request: Message, answer: type[M], **options: Any) -> Any:
        call = self.channel.unary_stream(
            f"/{OURS}/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        return call(request, metadata=self.metadata, **{"timeout": 60, **options})

    def close(self) -> None:
        self.channel.close()
        if self.process.poll() is None:
            self.process.terminate()
        finish(self.process)


@pytest.fixture
def service(world: World) -> Iterator[Service]:
    """A service of the world's store that was given no workflows."""
    service = Service(world)
    yield service
    service.close()


def refused(error: pytest.ExceptionInfo[grpc.RpcError]) -> tuple[grpc.StatusCode, str]:
    """The code and the details that a call ended with."""
    return error.value.code(), error.value.details() or ""


def facts(error: pytest.ExceptionInfo[grpc.RpcError]) -> dict[str, Any]:
    """The error as it was told in the trailing metadata."""
    sent: Any = error.value.trailing_metadata()
    [value] = [value for key, value in sent if key == "cerebelum-error-bin"]
    found: dict[str, Any] = json.loads(value)
    return found


__all__ = ["OURS", "WORKER", "Service", "execution_pb2", "facts", "plain", "refused", "worker_pb2"]
