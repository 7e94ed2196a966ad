"""Stores in memory: what every store does, for all threads of one process, and nothing for any other process."""

from __future__ import annotations

import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from cerebelum.app import App
from cerebelum.backends.conformance import StoreConformance
from cerebelum.backends.conformance.kit import create, ids, log
from cerebelum.backends.sqlite import open_memory, open_store
from cerebelum.core.errors import UsageError

_numbers = count()


class TestMemory(StoreConformance):
    opener = staticmethod(open_memory)

    @pytest.fixture
    def url(self) -> str:
        return f"memory:conformance-{next(_numbers)}"

    @pytest.fixture
    def other(self) -> None:
        pytest.skip("another process does not see a store in memory")


def test_whoever_names_the_same_store_sees_the_same_and_nobody_else_does() -> None:
    name = f"memory:one-{next(_numbers)}"
    one, same, another = open_memory(name), open_memory(name), open_memory(f"{name}.2")
    create(one, "deploy-1")
    one.close()
    assert ids(same) == ["deploy-1"]
    assert ids(another) == []


def test_the_store_without_a_name_is_one_of_them() -> None:
    create(open_memory("memory:"), "unnamed-1")
    assert ids(open_memory("memory:"), id="unnamed-1") == ["unnamed-1"]


@pytest.mark.parametrize("url", ["memory", "memory:a/b", "memory://x", "memory:ä", "sqlite:///a.db", "memory:a\n"])
def test_other_names_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match="does not name a store in memory"):
        open_memory(url)


def test_a_program_opens_it_by_its_url() -> None:
    app = App({})
    app.store = f"memory:app-{next(_numbers)}"
    create(app.client().store, "deploy-1")
    assert ids(App({}).open_store(app.store)) == ["deploy-1"]


def test_a_fork_refuses_the_parents_store_and_begins_with_an_empty_one() -> None:
    code = """if True:
        import os
        from cerebelum.backends.conformance.kit import create, ids
        from cerebelum.backends.sqlite import open_memory
        from cerebelum.core.errors import StoreError
        store = open_memory("memory:x")
        create(store, "deploy-1")
        child = os.fork()
        if child == 0:
            try:
                store.read("deploy-1")
            except StoreError:
                os._exit(0 if ids(open_memory("memory:x")) == [] else 2)
            os._exit(1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), ids(store))
    """
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "0 ['deploy-1']\n"


def test_it_is_backed_up_into_a_file(tmp_path: Path) -> None:
    store = open_memory(f"memory:backup-{next(_numbers)}")
    create(store, "deploy-1")
    (tmp_path / "kept.db").touch(0o600)
    store.backup(str(tmp_path / "kept.db"), lambda: None)
    kept = open_store(f"sqlite:///{tmp_path}/kept.db")
    assert kept.read("deploy-1") == store.read("deploy-1") == log("deploy-1", 1)
    kept.close()


def test_a_workflow_runs_on_it(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("def one():\n    print('hello')\n    return 1\n")
    flow = tmp_path / "flow.yaml"
    flow.write_text("steps:\n  - {id: a, python: 'tasks.py:one'}\noutput: '${{ steps.a.output }}'\n")
    app = App({"HOME": str(tmp_path)})
    app.store = f"memory:run-{next(_numbers)}"
    client = app.client()
    result = client.run(flow, {}, execution_id="x")
    assert result.state.output == 1
    assert b"".join(chunk.data for chunk in client.logs("x")) == b"hello\n"
    app.close()
    again = App({"HOME": str(tmp_path)})
    again.store = app.store
    assert again.client().status("x").status == "completed"
