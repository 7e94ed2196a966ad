"""What the file serves to others, and what it asks of a service itself: over HTTP, and over gRPC if that is in it."""

from __future__ import annotations

import json
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from smoked.desk import PATIENCE, Desk, Skipped, expect

WAITS = "name: waits\nsteps:\n  - {id: one, run: 'echo one | tee -a effects'}\n  - {id: two, run: 'test -e mended'}\n"
GRPC = "cerebelum-service"
"""The file that has it."""


@contextmanager
def _served(desk: Desk, *how: str) -> Iterator[dict[str, str | None]]:
    """The addresses of a service; it has to end in order."""
    process = desk.start("serve", "waits.yaml", "--json", *how)
    assert process.stdout is not None
    assert process.stderr is not None
    said = ""
    while not said.endswith("}\n"):
        line = process.stdout.readline()
        expect(line != "", f"serve ended: {process.stderr.read() if not line else ''}")
        said += line
    try:
        yield json.loads(said)
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE)
    expect((process.returncode, out, "Traceback" in err) == (0, "", False), f"serve: {process.returncode} {out}{err}")


def it_serves_a_page_and_json(desk: Desk) -> None:
    desk.write("waits.yaml", WAITS)
    desk("run", "waits.yaml", "--id", "w", code=1)
    with _served(desk, "--no-grpc", "--http", "127.0.0.1:0") as addresses:

        def get(path: str) -> bytes:
            with urllib.request.urlopen(f"http://{addresses['http']}{path}", timeout=PATIENCE) as answer:
                body: bytes = answer.read()
                return body

        index = get("/").decode()
        scripts = [part.partition('"')[0] for part in index.split('src="')[1:]]
        expect(bool(scripts) and all(len(get(f"/{name.lstrip('/')}")) > 100 for name in scripts), "the page's scripts")
        [row] = json.loads(get("/api/v1/executions"))["executions"]
        expect((row["execution_id"], row["status"]) == ("w", "failed"), f"the list has {row}")
        expect(json.loads(get("/healthz")) == {"ok": True}, "/healthz")
        expect("cerebelum_executions" in get("/metrics").decode(), "/metrics")


def it_serves_and_asks_over_grpc(desk: Desk) -> None:
    desk.write("waits.yaml", WAITS)
    if desk.binary.name != GRPC:
        said = desk("serve", "--grpc", "127.0.0.1:0", "--no-http", code=2)
        expect(GRPC in said, f"nothing says where gRPC is: {said}")
        raise Skipped(f"gRPC is in {GRPC}")
    desk("run", "waits.yaml", "--id", "w", code=1)
    with _served(desk, "--no-http", "--grpc", "127.0.0.1:0") as addresses:
        there = ("--core-url", str(addresses["grpc"]))
        listed = json.loads(desk(*there, "list", "--json"))["executions"]
        expect([row["status"] for row in listed] == ["failed"], f"the list has {listed}")
        desk.write("mended", "")
        desk(*there, "resume", "w")
        desk(*there, "run", "waits", "--id", "again")
        expect("one" in desk(*there, "logs", "again"), "the output is not there")
    expect(json.loads(desk("status", "w", "--json"))["status"] == "completed", "it was not gone on with")
    expect((desk.folder / "effects").read_text() == "one\none\n", "a step ran twice")


CHECKS = [it_serves_a_page_and_json, it_serves_and_asks_over_grpc]
