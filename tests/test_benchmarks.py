"""What is said of speed is what was measured, and the guard stops what became slower. Nothing here looks at a clock."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import check, counted, results
from benchmarks.__main__ import SCENARIOS
from benchmarks.copies import copy
from benchmarks.harness import Bench, Row, Target, interleaved
from benchmarks.report import document, page, table
from benchmarks.results import FOLDER, Results, Scenario
from cerebelum.backends.sqlite import open_store
from cerebelum.store.verify import verify
from docs.generate import PERFORMANCE
from tests.executions import execution

ROW = Row(
    "a chain",
    "ms",
    {"cerebelum": [20.0, 30.0, 1000.0], "dagu": [20.0, 10.0, 40.0]},
    targets=(Target(1.2, "dagu"), Target(31), Target(2.0, "DBOS")),
)


def of(*rows: Row) -> Results:
    machine = {"cpu": "x", "cpus": 2, "memory_gb": 8, "system": "Linux", "load_before": 0.1}
    scenario = Scenario("What it is about.", 1.0, list(rows), [["ms", "`list`"], ["the interpreter", "14.0"]])
    return Results("2026-01-02T030405Z", machine, {"cerebelum": "0"}, False, {"chains": scenario})


def test_the_page_says_what_the_results_are() -> None:
    assert PERFORMANCE.read_text() == page(), "run: .venv/bin/python -m docs.generate docs/performance.md"


def test_the_results_that_are_kept_have_every_scenario() -> None:
    newest = results.newest()
    assert newest is not None
    kept = results.load(newest)
    assert set(kept.scenarios) == set(SCENARIOS)
    assert {"cerebelum", "dagu", "dbos", "python", "sqlite"} <= set(kept.versions)
    assert {"system", "cpu", "cpus"} <= set(kept.machine)


def test_every_scenario_is_run_and_says_what_it_is_about() -> None:
    folder = Path(results.__file__).parent / "scenarios"
    assert {path.stem for path in folder.glob("[a-z]*.py")} == set(SCENARIOS)
    for name in SCENARIOS:
        module = importlib.import_module(f"benchmarks.scenarios.{name}")
        assert module.__doc__
        assert callable(module.measure)


def test_cases_take_turns_after_a_round_that_does_not_count() -> None:
    called: list[str] = []

    def case(name: str) -> float:
        called.append(name)
        return float(len(called))

    runs = interleaved({"a": lambda: case("a"), "b": lambda: case("b")}, 2)
    assert called == ["a", "b", "a", "b", "a", "b"]
    assert runs == {"a": [3.0, 5.0], "b": [4.0, 6.0]}


def test_medians_are_compared_and_targets_judged() -> None:
    assert ROW.median("cerebelum") == 30.0
    assert ROW.ratio("dagu") == 1.5
    # The second is reached; the third is about a peer that was left out.
    assert ROW.missed() == [Target(1.2, "dagu")]
    rate = Row("steps", "steps/s", {"cerebelum": [90.0], "DBOS": [30.0]}, True, (Target(5.0, "DBOS", "at least"),))
    assert rate.missed()


def test_the_page_is_honest() -> None:
    text = document(of(ROW, Row("memory", "MB", {"cerebelum": [20.0], "dagu": [40.0]})), "benchmarks/results/x.json")
    lost, missed = text.partition("## Where we lose")[2].partition("## Chains")[0].split("Aimed at, and missed:")
    assert "a chain: 30.0 ms against dagu's 20.0, 1.50 ×" in lost
    assert "memory" not in lost
    assert "at most 1.20 × dagu; it is 1.50 ×" in missed
    assert "| the interpreter | 14.0 |" in text
    assert "MISSED: at most 1.20 × dagu" in table("chains", of(ROW).scenarios["chains"])


def test_copies_are_whole_executions(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/x.db")
    store.restore([execution(0)])
    copy(store, "made-0000000", 3)
    verified = list(verify(store))
    assert len(verified) == 4
    assert not [each for each in verified if each.flaws]
    store.close()


@pytest.mark.parametrize("name", counted.WORKS)
def test_what_is_counted_works_and_can_be_repeated(name: str) -> None:
    work = counted.WORKS[name]()
    work()
    work()


def test_a_tenth_more_is_too_much() -> None:
    assert check.verdict("fold", 1_099, 1_000)[1] is False
    assert check.verdict("fold", 1_101, 1_000)[1] is True
    assert check.verdict("fold", 500, None)[1] is True


def test_there_is_a_count_of_everything_that_is_counted() -> None:
    recorded = json.loads(check.COUNTS.read_text())
    assert set(recorded["instructions"]) == {*counted.WORKS, *check.STARTS}
    assert recorded["built"]["python"]


def test_without_valgrind_the_guard_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.check"],
        cwd=FOLDER.parent.parent,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "valgrind is not there" in done.stderr


def test_counts_of_another_python_are_not_compared() -> None:
    here = {"python": "3.11.7", "msgspec": "0.22"}
    assert check.differences(here, here) == []
    [line] = check.differences({**here, "python": "3.12.1"}, here)
    assert line == "NOTHING IS COMPARED: python is 3.12.1; recorded with 3.11.7"


def test_peers_that_are_missing_are_left_out() -> None:
    assert list(Bench("x").programs()) == ["package"]
    assert list(Bench("x", binary="dist/cerebelum").programs()) == ["binary", "package"]
