#!/usr/bin/env python3
"""What `serve` takes over HTTP: status under load, lists in stores of few and many, and watchers of one execution.

    .venv/bin/python -m benchmarks.service_http         # SQLite
    .venv/bin/python -m benchmarks.service_http --database postgresql://user@host/db

In a database, schemas are made and removed afterwards.

Status is asked for at a steady rate, whatever the answers take, and the time counts from when it was due. Lists of a
store of few and of one of many are asked for in turn. Watchers read an execution of many short steps; the time counts
from the moment that an event was recorded at.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from benchmarks.scenarios.listing import FEW, fill, places

API = "/api/v1/executions"
STEPS = "name: watched\nsteps:\n" + "".join(f"  - {{id: s{n}, run: 'sleep 0.05'}}\n" for n in range(100))


class Server:
    """The program as a service, and requests to it over connections that stay open."""

    def __init__(self, url: str, *files: str) -> None:
        words = [sys.executable, "-m", "cerebelum", "--store", url, "serve", "--no-grpc", "--http", "127.0.0.1:0"]
        self.process = subprocess.Popen([*words, "--json", *files], stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        said = b""
        while not said.endswith(b"}\n"):
            said += self.process.stdout.readline()
        self.host, _, port = json.loads(said)["http"].rpartition(":")
        self.port = int(port)
        self._free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def connect(self, count: int) -> None:
        for _ in range(count):
            self._free.put_nowait(await asyncio.open_connection(self.host, self.port))

    def head(self, path: str) -> bytes:
        return f"GET {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n\r\n".encode()

    async def get(self, path: str) -> bytes:
        reader, writer = await self._free.get()
        writer.write(self.head(path))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        body = await reader.readexactly(length)
        self._free.put_nowait((reader, writer))
        return body

    def memory(self) -> float:
        """Resident megabytes."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) / 1024


@contextmanager
def serving(url: str, *files: str) -> Iterator[Server]:
    server = Server(url, *files)
    try:
        yield server
    finally:
        server.process.terminate()
        server.process.wait()


def quantile(times: list[float], share: float) -> float:
    """In milliseconds."""
    return sorted(times)[min(len(times) - 1, int(len(times) * share))] * 1000


async def status_under_load(url: str, rate: int, seconds: float) -> None:
    with serving(url) as server:
        await server.connect(16)
        await server.get(f"{API}/x-0")
        took: list[float] = []

        async def ask(due: float) -> None:
            await server.get(f"{API}/x-0")
            took.append(time.perf_counter() - due)

        began, asked = time.perf_counter(), []
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            asked.append(asyncio.create_task(ask(due)))
        await asyncio.gather(*asked)
        print(f"status, {rate} a second: p50 {quantile(took, 0.5):.1f} ms, p99 {quantile(took, 0.99):.1f} ms")


async def lists(urls: dict[int, str], rounds: int) -> None:
    with serving(urls[FEW]) as few, serving(urls[max(urls)]) as many:
        for server in (few, many):
            await server.connect(1)
        for query in ("limit=50", "limit=50&status=completed", "limit=50&workflow=copied&tag=nightly"):
            took: dict[Server, list[float]] = {few: [], many: []}
            for _ in range(rounds):
                for server in (few, many):
                    began = time.perf_counter()
                    await server.get(f"{API}?{query}")
                    took[server].append(time.perf_counter() - began)
            one, other = (statistics.median(took[server]) * 1000 for server in (few, many))
            print(f"list ?{query}: {one:.1f} ms of {FEW}, {other:.1f} ms of {max(urls)}: {other / one:.2f} times")
        began = time.perf_counter()
        await many.get("/healthz")
        print(f"healthz of {max(urls)}: {(time.perf_counter() - began) * 1000:.1f} ms")
        began = time.perf_counter()
        await many.get("/metrics")
        print(f"metrics of {max(urls)}: {(time.perf_counter() - began) * 1000:.1f} ms, and again ", end="")
        began = time.perf_counter()
        await many.get("/metrics")
        print(f"{(time.perf_counter() - began) * 1000:.1f} ms")


async def watchers(url: str, folder: Path, count: int) -> None:
    flow = folder / "watched.yaml"
    flow.write_text(STEPS)
    with serving(url, str(flow)) as server:
        await server.connect(1)
        await server.get("/healthz")
        before = server.memory()
        words = [sys.executable, "-m", "cerebelum", "--store", url, "run", str(flow), "--id", "watched", "-q"]
        run = subprocess.Popen(words)
        while b'"execution_id":"watched"' not in await server.get(f"{API}?limit=1"):
            await asyncio.sleep(0.05)
        late: list[float] = []
        heard = await asyncio.gather(*(watch(server, late) for _ in range(count)))
        run.wait()
        assert len(set(heard)) == 1
        times = (
            f"p50 {quantile(late, 0.5):.0f} ms, p99 {quantile(late, 0.99):.0f} ms, at most {max(late) * 1000:.0f} ms"
        )
        memory = f"{before:.0f} MB before, {server.memory():.0f} MB after"
        print(f"{count} watchers, {heard[0]} events each: {times}; {memory}")


async def watch(server: Server, late: list[float]) -> int:
    """How many events there were; how late each of those was that came while it watched is added to `late`."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    began = time.time()
    writer.write(server.head(f"{API}/watched/stream"))
    number = 0
    while True:
        line = await reader.readline()
        if line.startswith(b"event: end"):
            writer.close()
            return number
        if line.startswith(b"data: {") and b'"version":' in line:
            number += 1
            at = datetime.fromisoformat(json.loads(line[6:])["at"]).timestamp()
            if at > began + 1:
                late.append(time.time() - at)


async def measure(given: argparse.Namespace, urls: dict[int, str], folder: Path) -> None:
    await status_under_load(urls[FEW], given.rate, given.seconds)
    await lists(urls, given.rounds)
    await watchers(urls[FEW], folder, given.watchers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--watchers", type=int, default=200)
    parser.add_argument("--database", metavar="URL", help="a PostgreSQL database instead of SQLite files")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        urls, remove = places(given.database, Path(name), (FEW, given.many))
        try:
            for count, url in urls.items():
                fill([sys.executable, "-m", "cerebelum"], url, Path(name), count)
            asyncio.run(measure(given, urls, Path(name)))
        finally:
            remove()


if __name__ == "__main__":
    main()
