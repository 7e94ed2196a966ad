#!/usr/bin/env python3
"""How fast `cerebelum serve` answers over gRPC: status at a steady rate, lists of many beside few, watchers.

    benchmarks/service_grpc.py                     # 200 requests/s, 100,000 executions beside 1,000, 200 watchers
    benchmarks/service_grpc.py --seconds 60 --watchers 500

The service is a process of its own, on an SQLite store in a temporary folder. An execution of 15 steps is copied.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc

from cerebelum.wire import execution_pb2, worker_pb2

STEPS = 15
FLOW = "name: copied\nsteps:\n" + "".join(f"  - {{id: s{n}, run: 'echo {n}'}}\n" for n in range(STEPS))
LIVE = "name: live\nsteps:\n" + "".join(f"  - {{id: s{n}, run: 'sleep 0.2'}}\n" for n in range(50))
PROGRAM = [sys.executable, "-m", "cerebelum"]


def fill(store: Path, count: int) -> None:
    """A store with one execution and `count` - 1 copies of it."""
    flow = store.with_suffix(".yaml")
    flow.write_text(FLOW)
    subprocess.run([*PROGRAM, "--store", str(store), "run", str(flow), "--id", "x", "-q"], check=True)
    with sqlite3.connect(store) as database:
        for table in ("executions", "events"):
            known = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            name = "id" if table == "executions" else "execution_id"
            columns = ", ".join(column for column in known if column != name)
            database.execute(
                f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count - 1})"
                f" INSERT INTO {table} ({name}, {columns})"
                f" SELECT 'x-' || i, {columns} FROM n, {table} WHERE {name} = 'x'"
            )


@contextmanager
def served(store: Path) -> Iterator[tuple[str, int]]:
    """The address of a service, and its process id."""
    command = [*PROGRAM, "--store", str(store), "serve", "--no-http", "--grpc", "127.0.0.1:0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        text = b""
        while not text.rstrip().endswith(b"}"):
            text += process.stdout.readline()
        try:
            yield json.loads(text)["grpc"], process.pid
        finally:
            process.terminate()


def resident(pid: int) -> float:
    """MB that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def at_rate(call: Callable[[], Awaitable[object]], rate: float, seconds: float) -> list[float]:
    """Milliseconds of each call, begun at a steady rate whatever the ones before are at."""
    took: list[float] = []

    async def timed() -> None:
        began = time.perf_counter()
        await call()
        took.append((time.perf_counter() - began) * 1000)

    start, tasks = time.perf_counter(), []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(timed()))
    await asyncio.gather(*tasks)
    return took


def told(name: str, took: list[float]) -> None:
    cuts = statistics.quantiles(took, n=100)
    print(f"{name}: p50 {statistics.median(took):.2f} ms, p99 {cuts[98]:.2f} ms, {len(took)} calls", flush=True)


def worker(channel: grpc.aio.Channel, method: str, request: Any, answer: Any) -> Callable[..., Awaitable[object]]:
    return channel.unary_unary(
        f"/cerebelum.worker.WorkerService/{method}",
        request_serializer=request.SerializeToString,
        response_deserializer=answer.FromString,
    )


async def status(address: str, count: int, rate: float, seconds: float) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        get = worker(channel, "GetExecutionStatus", worker_pb2.GetExecutionStatusRequest, worker_pb2.ExecutionStatus)

        async def one() -> None:
            name = f"x-{random.randrange(1, count)}"
            await get(worker_pb2.GetExecutionStatusRequest(execution_id=name))

        await at_rate(one, rate, 2)
        told(f"status of one of {count:,} at {rate:g} requests/s", await at_rate(one, rate, seconds))


async def lists(addresses: list[str], rounds: int) -> list[float]:
    """Median milliseconds of a list of 50, of each service, interleaved."""
    took: list[list[float]] = [[] for _ in addresses]
    channels = [grpc.aio.insecure_channel(address) for address in addresses]
    calls = [
        worker(c, "ListExecutions", worker_pb2.ListExecutionsRequest, worker_pb2.ListExecutionsResponse)
        for c in channels
    ]
    for _ in range(rounds):
        for call, times in zip(calls, took, strict=True):
            began = time.perf_counter()
            await call(worker_pb2.ListExecutionsRequest(limit=50))
            times.append((time.perf_counter() - began) * 1000)
    for channel in channels:
        await channel.close()
    return [statistics.median(times) for times in took]


async def watch(address: str, watchers: int, pid: int, store: Path) -> None:
    flow = store.with_name("live.yaml")
    flow.write_text(LIVE)
    run = [*PROGRAM, "--store", str(store), "run", str(flow), "--id", "live", "-q"]
    late: list[float] = []
    seen: list[int] = []
    opened = 0.0

    async def one(channel: grpc.aio.Channel) -> None:
        stream = channel.unary_stream(
            "/cerebelum.execution.ExecutionService/WatchExecution",
            request_serializer=execution_pb2.WatchExecutionRequest.SerializeToString,
            response_deserializer=execution_pb2.ExecutionEvent.FromString,
        )(execution_pb2.WatchExecutionRequest(execution_id="live"))
        versions = 0
        async for event in stream:
            at = event.at.seconds + event.at.nanos / 1e9
            # What was there before the watchers came is as old as it is.
            if opened and at > opened:
                late.append((time.time() - at) * 1000)
            versions += 1
        seen.append(versions)

    process = await asyncio.create_subprocess_exec(*run, stdout=subprocess.DEVNULL)
    channels = [grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) for _ in range(10)]
    status = worker(channels[0], "GetExecutionStatus", worker_pb2.GetExecutionStatusRequest, worker_pb2.ExecutionStatus)
    for _ in range(600):
        with suppress(grpc.RpcError):
            await status(worker_pb2.GetExecutionStatusRequest(execution_id="live"))
            break
        await asyncio.sleep(0.1)
    before = resident(pid)
    tasks = [asyncio.create_task(one(channels[number % len(channels)])) for number in range(watchers)]
    await asyncio.sleep(2.0)
    opened = time.time()
    await asyncio.gather(*tasks)
    await process.wait()
    print(
        f"{watchers} watchers: each saw {min(seen)} to {max(seen)} events; an event is with a watcher after"
        f" p50 {statistics.median(late):.0f} ms, at most {max(late):.0f} ms ({len(late):,} times); resident"
        f" {before:.0f} MB before, {resident(pid):.0f} MB after"
    )
    for channel in channels:
        await channel.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--watchers", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        few, many = Path(folder, "few.db"), Path(folder, "many.db")
        fill(few, 1000)
        fill(many, given.many)
        with served(few) as (first, pid), served(many) as (second, _):
            asyncio.run(status(first, 1000, given.rate, given.seconds))
            small, large = asyncio.run(lists([first, second], 200))
            print(
                f"list of 50: {small:.2f} ms among 1,000, {large:.2f} ms among {given.many:,}: {large / small:.2f} x",
                flush=True,
            )
            asyncio.run(watch(first, given.watchers, pid, few))


if __name__ == "__main__":
    main()
