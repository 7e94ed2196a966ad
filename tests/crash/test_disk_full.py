"""A disk that really is full: the runner ends its steps, says so, and the execution goes on once there is room.

A limit on file sizes, which needs no rights, stands for this in `tests/engine/test_store_failure.py`.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.arena import PATIENCE, Arena
from tests.engine.harness import await_words, left_of, said
from tests.stores import only_sqlite

pytestmark = only_sqlite

FLOW = """
name: full
steps:
  - {id: a, run: echo a >> effects}
  - parallel:
      - {id: big, run: 'test -f mended || { echo big > reached; read x < go; head -c 9M /dev/zero; sleep 60; }'}
      - {id: long, run: 'test -e mended || { echo long > reached; sleep 600; }'}
  - {id: z, run: echo z >> effects}
"""


@pytest.fixture
def small(arena: Arena) -> Iterator[Path]:
    """A disk of 3 MiB, on which the arena's store is."""
    folder = arena.store.parent
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "cerebelum-test", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False, timeout=PATIENCE).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        yield folder
    finally:
        arena.close()
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=PATIENCE)


@pytest.mark.needs_tool("mount", "umount")
def test_a_full_disk_ends_the_steps_and_the_execution_goes_on_once_there_is_room(arena: Arena, small: Path) -> None:
    arena.write(FLOW, "full.yaml")
    reached, go = arena.fifo("reached"), arena.fifo("go")
    runner = arena.spawn("run", "full.yaml", "--id", arena.id, "--json")
    await_words(reached, 2)
    go.write_text("go\n")
    ran = arena.see(runner)
    assert ran.code == 74, ran
    assert "the disk is full" in ran.error
    assert "Traceback" not in ran.error
    assert left_of(f"CEREBELUM_TOKEN={arena.id}.") == []
    subprocess.run(["mount", "-o", "remount,size=60m", str(small)], check=True, timeout=PATIENCE)
    assert arena.client().status(arena.id).status == "paused"
    events = arena.events(arena.id)
    assert {(p["version"], p["type"]) for p in ran.printed} <= {(e.version, type(e).__name__) for e in events}
    (arena.folder / "mended").touch()
    assert arena.cli("resume", arena.id).code == 0
    assert arena.lines("effects") == ["a", "z"]
    assert said(arena.events(arena.id)).count("StepCompleted a") == 1
    assert arena.cli("store", "verify").code == 0
