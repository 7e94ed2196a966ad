#!/usr/bin/env python3
"""Whether a service grows: a day of load in minutes, and what it holds of memory, descriptors and threads meanwhile.

    .venv/bin/python -m benchmarks.service_soak               # 24 hours of 2 requests/s, as fast as they are answered
    .venv/bin/python -m benchmarks.service_soak --hours 240

Of a hundred requests, 60 ask for a status, 20 for a list, 10 open a stream of events and 10 a stream of output, half of
them over gRPC and half over HTTP; streams are dropped after their first message. An execution is run for each simulated
half hour. Before that, so many executions are asked for that the service has as many states in memory as it keeps, and
four hours pass. Printed is what it holds then and after each tenth. It fails if the last tenth is more than 3 % above
the beginning, or has more threads or descriptors.
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
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx

from benchmarks.copies import copy
from cerebelum.backends.sqlite import open_store
from cerebelum.wire import execution_pb2, worker_pb2

FLOW = "name: soaked\nsteps:\n" + "".join(f"  - {{id: s{n}, run: 'echo {n}'}}\n" for n in range(10))
PROGRAM = [sys.executable, "-m", "cerebelum"]
PER_SECOND = 2
AT_ONCE = 16
WARM_HOURS = 4.0
KNOWN = 2000
OUTPUT = 32 << 10
"""Characters of the output of each of these, so that a service remembers about as many of them."""
BIG = f"name: big\nsteps: [{{id: a, run: \"printf '%0{OUTPUT}d' 0\", output: text}}]\n"
MOST_GROWTH = 1.03


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


def known(store: Path) -> None:
    """Executions of which a service has much to remember."""
    flow = store.with_suffix(".yaml")
    flow.write_text(BIG)
    command = [*PROGRAM, "--store", str(store), "run", str(flow), "-q", "--id", "big"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with closing(open_store(f"sqlite:///{store}")) as opened:
        copy(opened, "big", KNOWN)


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
            await self.status(name)
        elif kind < 80:
            await self._list(worker_pb2.ListExecutionsRequest(limit=20))
        elif kind < 90:
            await first(self._watch(execution_pb2.WatchExecutionRequest(execution_id=name)))
        else:
            await first(self._logs(execution_pb2.GetLogsRequest(execution_id=name, follow=True)))

    async def status(self, name: str) -> None:
        """Ask how one stands."""
        await self._status(worker_pb2.GetExecutionStatusRequest(execution_id=name))

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


async def soak(addresses: dict[str, str], pid: int, store: Path, hours: float) -> bool:
    """Whether the service stayed as it was."""
    flow = store.with_suffix(".yaml")
    flow.write_text(FLOW)
    run = [*PROGRAM, "--store", str(store), "run", str(flow), "-q", "--id"]
    names = ["x0"]
    subprocess.run([*run, "x0"], check=True, stdout=subprocess.DEVNULL)
    limits = httpx.Limits(max_connections=AT_ONCE)
    async with (
        grpc.aio.insecure_channel(addresses["grpc"]) as channel,
        httpx.AsyncClient(base_url=f"http://{addresses['http']}", limits=limits, timeout=60) as http,
    ):
        load = Load(channel, http, names)

        async def pass_by(hours: float) -> float:
            """How many requests a second so many hours were made of."""
            began, total = time.monotonic(), int(hours * 3600 * PER_SECOND)
            left = iter(range(total))

            async def work() -> None:
                for _ in left:
                    await load.one()

            working = asyncio.gather(*(work() for _ in range(AT_ONCE)))
            for _ in range(max(1, int(hours * 2))):
                process = await asyncio.create_subprocess_exec(*run, f"x{len(names)}", stdout=subprocess.DEVNULL)
                await process.wait()
                names.append(f"x{len(names)}")
            await working
            return total / (time.monotonic() - began)

        names += [f"copy-{number:07}" for number in range(KNOWN)]
        for name in names:
            await load.status(name)
        rate = await pass_by(WARM_HOURS)
        samples = [held(pid)]
        for tenth in range(11):
            if tenth:
                rate = await pass_by(hours / 10)
                samples.append(held(pid))
            size, descriptors, threads = samples[-1]
            print(
                f"{tenth * hours / 10:6.1f} h: {size:6.1f} MB, {descriptors} descriptors, {threads} threads"
                f" ({rate:.0f} requests/s)",
                flush=True,
            )
    grown = [last / early for last, early in zip(samples[-1], samples[0], strict=True)]
    words = ("memory", "descriptors", "threads")
    print("the end beside the beginning: " + ", ".join(f"{w} {g:.3f} x" for w, g in zip(words, grown, strict=True)))
    return grown[0] <= MOST_GROWTH and all(
        last <= early + 8 for last, early in zip(samples[-1][1:], samples[0][1:], strict=True)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=24.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "store.db")
        known(store)
        with served(store) as (addresses, pid):
            steady = asyncio.run(soak(addresses, pid, store, given.hours))
    sys.exit(0 if steady else "the service grew")


if __name__ == "__main__":
    main()
