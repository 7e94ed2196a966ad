"""The store fails while steps run: they are ended, the error says so, and what was acknowledged is readable after."""

import os
import resource
import shutil

import pytest

from cerebelum.core.errors import StoreError
from tests.engine.harness import Lab, await_words, finished, in_thread, left_of, said
from tests.stores import only_sqlite

pytestmark = only_sqlite

FLOW = """
    steps:
      - {id: a, run: echo a >> done}
      - {id: b, run: 'test -e mended || { echo ready > ready; sleep 600; }; echo b >> done'}
    """


@pytest.mark.parametrize("how", ["vanished", "replaced"])
def test_a_store_that_goes_away_ends_the_run_and_can_be_put_back(lab: Lab, how: str) -> None:
    ready = lab.fifo("ready")
    runner = lab.start("run", lab.write(FLOW))
    await_words(ready)
    name = lab.client().resolve("last")
    lab.close()
    aside = lab.folder / "aside"
    lab.store.parent.rename(aside)
    if how == "replaced":
        shutil.copytree(aside, lab.store.parent)
    code, _, error = finished(runner)
    assert code == 74
    assert "deleted or replaced" in error
    assert "Traceback" not in error
    assert left_of(f"CEREBELUM_EXECUTION_ID={name}") == []
    if how == "replaced":
        shutil.rmtree(lab.store.parent)
    aside.rename(lab.store.parent)
    assert said(lab.events(name))[-2:] == ["StepCompleted a", "StepStarted b"]
    assert lab.client().status(name).status == "paused"
    (lab.folder / "mended").touch()
    assert lab.resume(name).exit_code == 0
    assert lab.lines("done") == ["a", "b"]


def test_within_one_process_too_the_failed_runner_counts_as_gone(lab: Lab) -> None:
    ready = lab.fifo("ready")
    path = lab.write(FLOW)
    wait = in_thread(lambda: lab.run(path))
    await_words(ready)
    aside = lab.store.with_name("aside")
    lab.store.rename(aside)
    with pytest.raises(StoreError):
        wait()
    aside.rename(lab.store)
    (lab.folder / "mended").touch()
    assert lab.client().status("last").status == "paused"
    assert lab.resume().exit_code == 0


def test_when_the_disk_is_full_the_steps_are_ended_and_nothing_recorded_is_lost(lab: Lab) -> None:
    """A limit on file sizes stands for the full disk: both refuse a write in the middle of a transaction."""
    path = lab.write("""
        steps:
          - {id: a, run: echo a >> done}
          - parallel:
              - {id: big, run: 'test -e mended || head -c 30000000 /dev/urandom; echo big >> done'}
              - {id: slow, run: 'test -e mended || sleep 600; echo slow >> done'}
        """)
    code = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, resource.RLIM_INFINITY))
"""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    (lab.folder / "sitecustomize.py").write_text(code)
    runner = lab.start("run", path, PYTHONPATH=f"{lab.folder}{os.pathsep}{os.getcwd()}")
    status, _, error = finished(runner)
    assert status == 74, error
    assert "Traceback" not in error
    name = lab.client().resolve("last")
    assert left_of(f"CEREBELUM_EXECUTION_ID={name}") == []
    assert "StepCompleted a" in said(lab.events(name))
    assert lab.client().status(name).status == "paused"
    (lab.folder / "mended").touch()
    assert lab.resume(name).exit_code == 0
    assert sorted(lab.lines("done")) == ["a", "big", "slow"]


def test_a_store_that_cannot_be_created_is_an_error_before_anything_runs(lab: Lab) -> None:
    lab.store.parent.write_text("a file where the folder should be")
    with pytest.raises(StoreError):
        lab.run("steps: [{id: a, run: echo a >> done}]")
    assert lab.lines("done") == []
