"""What all tests share: signals that are not ignored, nothing left running, and skips that say what they lack."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from cerebelum.host.process_tree import become_subreaper
from tests.binary.program import remove_cache, share_cache
from tests.servers import keeper
from tests.tools import skip_without, skipped_for_tools

if TYPE_CHECKING:
    from tests.lifecycle.world import World

pytest_plugins = ["tests.servers.fixtures"]

# How long an example takes says how busy the machine is.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# --- what a test starts ----------------------------------------------------------------------------------------------

# `nohup make test` and a script's `make test &` ignore some signals, and what ignores them hands that on to children.
for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGTSTP):
    if signal.getsignal(_number) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Kill what a test started and did not end: a failure of one is not to become a failure of others."""
    become_subreaper()
    before = _children(os.getpid())
    yield
    while started := _children(os.getpid()) - before:
        for pid in started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


@pytest.fixture
def world(tmp_path: Path, store_url: str) -> Iterator[World]:
    """A fresh folder, home and program, with nothing left of them afterwards."""
    from tests.lifecycle.world import World

    world = World(tmp_path, store_url)
    yield world
    world.close()


def _children(pid: int) -> set[int]:
    found: set[int] = set()
    for thread in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
            found.update(map(int, file.read().split()))
    return found


# --- tests that need a system tool -----------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs_tool(*names): skip, visibly, where one of these programs is not on PATH")
    folder = share_cache()
    if folder is not None:
        config.add_cleanup(lambda: remove_cache(folder))
    if keeper.FOLDER not in os.environ:
        servers = keeper.start()
        config.add_cleanup(lambda: keeper.end(servers))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs_tool"):
        for tool in mark.args:
            if shutil.which(tool) is None:
                skip_without(item, tool)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = sorted(skipped_for_tools(terminalreporter.stats.get("skipped", [])))
    if lines:
        terminalreporter.section("not tested here: a program is missing", sep="-", yellow=True)
        for line in lines:
            terminalreporter.write_line(line)
