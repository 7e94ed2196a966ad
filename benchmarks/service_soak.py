#!/usr/bin/env python3
"""Whether a service grows: a day of load in minutes, and what it holds of memory, descriptors and threads meanwhile.

    benchmarks/service_soak.py                    # 24 hours of 2 requests/s, as fast as they are answered
    benchmarks/service_soak.py --hours 240

Of a hundred requests, 60 ask for a status, 20 for a list, 10 open a stream of events and 10 a stream of output, half of
them over gRPC and half over HTTP; streams are dropped after their first message. An execution is run for each simulated
half hour. Printed is what the service holds after each tenth, and the last tenth beside the second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx

from cerebelum.wire import execution_pb2, worker_pb2

FLOW = "name: soaked\nsteps:\n" + "".join(f"  - {{id: s{n}, run: 'echo {n}'}}\n" for n in range(10))
PROGRAM = [sys.executable, "-m", "cerebelum"]
PER_SECOND = 2
AT_ONCE = 16


@contextmanager
def served(store: Path) -> Iterator[tuple[dict[str, str], int]]:
    """The addresses of a service, and its process id."""
    command = [*PROGRAM, "--store", str(store), "serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        text = b""
        while not text.rstrip().endswith(b"}"):
            text += process.stdout.readline()
        try:
            yield json.loads(text), process.pid
        finally:
            process.terminate()


def held(pid: int) -> tuple[float, int, int]:
    """MB, descriptors and threads of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    threads = len(os.listdir(f"/proc/{pid}/task"))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6, len(os.listdir(f"/proc/{pid}/fd")), threads


class Load:
    """Requests of every kind."""

    def __init__(self, channel: grpc.aio.Channel, http: httpx.AsyncClient, names: list[str]) -> None:
        self._http = http
        self._names = names
        worker, ours = "/cerebelum.worker.WorkerService/", "/cerebelum.execution.ExecutionService/"
        self._status = unary(channel, worker + "GetExecutionStatus", worker_pb2.ExecutionStatus)
        self._list = unary(channel, worker + "ListExecutions", worker_pb2.ListExecutionsResponse)
        self._watch = stream(channel, ours + "WatchExecution", execution_pb2.ExecutionEvent)
        self._logs = stream(channel, ours + "GetLogs", execution_pb2.LogPage)

    async def one(self) -> None:
        name, kind, over_http = random.choice(self._names), random.randrange(100), random.random() < 0.5
        if over_http:
            await self._over_http(name, kind)
        elif kind < 60:
            await self._status(worker_pb2.GetExecutionStatusRequest(execution_id=name))
        elif kind < 80:
            await self._list(worker_pb2.ListExecutionsRequest(limit=20))
        elif kind < 90:
            await first(self._watch(execution_pb2.WatchExecutionRequest(execution_id=name)))
        else:
            await first(self._logs(execution_pb2.GetLogsRequest(execution_id=name, follow=True)))

    async def _over_http(self, name: str, kind: int) -> None:
        if kind < 60:
            (await self._http.get(f"/api/v1/executions/{name}")).raise_for_status()
        elif kind < 80:
            (await self._http.get("/api/v1/executions?limit=20")).raise_for_status()
        else:
            output = "?output=1" if kind >= 90 else ""
            async with self._http.stream("GET", f"/api/v1/executions/{name}/stream{output}") as answer:
                async for _ in answer.aiter_lines():
                    return


def unary(channel: grpc.aio.Channel, path: str, answer: Any) -> Any:
    return channel.unary_unary(
        path, request_serializer=lambda m: m.SerializeToString(), response_deserializer=answer.FromString
    )


def stream(channel: grpc.aio.Channel, path: str, answer: Any) -> Any:
    return channel.unary_stream(
        path, request_serializer=lambda m: m.SerializeToString(), response_deserializer=answer.FromString
    )


async def first(call: Any) -> None:
    async for _ in call:
        break
    call.cancel()


async def soak(addresses: dict[str, str], pid: int, store: Path, hours: float) -> None:
    flow = store.with_suffix(".yaml")
    flow.write_text(FLOW)
    run = [*PROGRAM, "--store", str(store), "run", str(flow), "-q", "--id"]
    names = ["x0"]
    subprocess.run([*run, "x0"], check=True, stdout=subprocess.DEVNULL)
    total, samples = int(hours * 3600 * PER_SECOND), []
    limits = httpx.Limits(max_connections=AT_ONCE)
    async with (
        grpc.aio.insecure_channel(addresses["grpc"]) as channel,
        httpx.AsyncClient(base_url=f"http://{addresses['http']}", limits=limits, timeout=60) as http,
    ):
        load = Load(channel, http, names)
        for tenth in range(10):
            began = time.monotonic()
            left = iter(range(total // 10))

            async def work(left: Iterator[int] = left) -> None:
                for _ in left:
                    await load.one()

            working = asyncio.gather(*(work() for _ in range(AT_ONCE)))
            for _ in range(max(1, int(hours * 2 / 10))):
                process = await asyncio.create_subprocess_exec(*run, f"x{len(names)}", stdout=subprocess.DEVNULL)
                await process.wait()
                names.append(f"x{len(names)}")
            await working
            samples.append(held(pid))
            size, descriptors, threads = samples[-1]
            rate = total // 10 / (time.monotonic() - began)
            print(
                f"{(tenth + 1) * hours / 10:6.1f} h: {size:6.1f} MB, {descriptors} descriptors, {threads} threads"
                f" ({rate:.0f} requests/s)",
                flush=True,
            )
    grown = [last / early for last, early in zip(samples[-1], samples[1], strict=True)]
    words = ("memory", "descriptors", "threads")
    print("the last tenth beside the second: " + ", ".join(f"{w} {g:.2f} x" for w, g in zip(words, grown, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=24.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "store.db")
        with served(store) as (addresses, pid):
            asyncio.run(soak(addresses, pid, store, given.hours))


if __name__ == "__main__":
    main()
