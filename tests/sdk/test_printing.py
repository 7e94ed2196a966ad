"""What steps print in somebody else's program is in their logs and seen where it prints; the descriptors come back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import asyncio, ctypes, os, subprocess, sys, time
from cerebelum import ExecutionClient, step, workflow

@step(secrets=["TOKEN"])
def noisy():
    print("printed")
    os.write(1, b"written\\n")
    os.write(2, b"to stderr\\n")
    subprocess.run(["echo", "child"])
    ctypes.CDLL(None).puts(b"from C")
    os.write(1, os.environ["TOKEN"].encode() + b"\\n")

@step
async def later(noisy):
    print("later")

@workflow
def loud(wf):
    wf.timeline(noisy >> later >> wf.shell("echo script", name="script"))

def logs(execution_id):
    with ExecutionClient() as client:
        return b"".join(chunk.data for chunk in client.logs.blocking(execution_id)).decode()

def settle(most):
    until = time.monotonic() + 30
    while len(os.listdir("/proc/self/fd")) > most:
        assert time.monotonic() < until, os.listdir("/proc/self/fd")
        time.sleep(0.01)

def main():
    print("before")
    loud.run()
    settle(12)
    held = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        loud.run()
    settle(held)
    result = asyncio.run(loud.execute())
    print("after")
    os.write(1, b"after, written\\n")
    sys.stdout.flush()
    print(logs(result.execution_id), file=sys.stderr, end="")

if __name__ == "__main__":
    main()
"""


def test_it_is_in_the_logs_and_seen_and_the_descriptors_are_given_back(tmp_path: Path) -> None:
    path = tmp_path / "loud.py"
    path.write_text(PROGRAM)
    environ = {**os.environ, "TOKEN": "very-secret-token"}
    done = subprocess.run(
        [sys.executable, path], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    every = ["printed", "written", "child", "from C", "***", "later", "script"]
    lines = done.stdout.splitlines()
    assert lines[0] == "before"
    assert lines[-2:] == ["after", "after, written"]
    # The pieces of one step that come by different ways may change places.
    assert sorted(lines[1:-2]) == sorted(every * 4)
    errors = done.stderr.splitlines()
    assert errors[:4] == ["to stderr"] * 4
    assert sorted(errors[4:]) == sorted([*every, "to stderr"])
    assert "very-secret-token" not in done.stdout + done.stderr


def test_what_a_thread_of_the_program_prints_meanwhile_is_no_steps(tmp_path: Path) -> None:
    path = tmp_path / "loud.py"
    path.write_text(
        "import threading\nfrom cerebelum import ExecutionClient, step, workflow\n"
        "go, done = threading.Event(), threading.Event()\n"
        "@step\ndef waits():\n    go.set()\n    done.wait(30)\n    print('mine')\n"
        "@workflow\ndef calm(wf): wf.timeline(waits)\n"
        "def other():\n    go.wait(30)\n    print('other')\n    done.set()\n"
        "threading.Thread(target=other).start()\n"
        "result = calm.run()\n"
        "with ExecutionClient() as client:\n"
        "    print([chunk.data for chunk in client.logs.blocking(result.execution_id)])\n"
    )
    done = subprocess.run([sys.executable, path], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == ["other", "mine", "[b'mine\\n']"], done.stderr
