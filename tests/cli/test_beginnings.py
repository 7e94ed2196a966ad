"""What somebody meets first: `cerebelum` alone, `help`, `-V`, `init`, and the picture of a workflow."""

import re
import subprocess

import pytest

from tests.binary.program import BINARY
from tests.cli.conftest import Home

FLOW = """
name: picture
steps:
  - {id: build, run: 'true'}
  - parallel:
      - {id: unit, run: 'true'}
      - {id: "on", run: 'test -e mended'}
  - {id: end, needs: [build, "on"], run: 'true'}
  - {id: apart, needs: [], run: 'true'}
finally:
  - {id: sweep, run: 'true'}
"""


def test_alone_it_shows_what_people_do_and_help_tells_more(cli: Home) -> None:
    alone = cli()
    assert (alone.code, alone.err) == (2, "")
    for verb in ("init", "run", "resume", "watch", "status"):
        assert f"cerebelum {verb}" in alone.out
    assert cli("help").out == cli("--help").out
    assert cli("help", "run").out == cli("run", "--help").out
    assert cli("help", "store", "verify").out == cli("store", "verify", "--help").out
    unknown = cli("help", "rum")
    assert (unknown.code, "did you mean run?" in unknown.err) == (2, True)


def test_the_version_is_told_by_the_short_option_too(cli: Home) -> None:
    assert cli("-V").out == cli("--version").out != ""
    assert cli("-V", "--json").json()["version"] in cli("-V").out


def test_the_starter_is_valid_runs_and_is_not_overwritten(cli: Home) -> None:
    said = cli("init")
    assert (said.code, said.out) == (0, "wrote workflow.yaml; start it with: cerebelum run workflow.yaml\n")
    text = (cli.folder / "workflow.yaml").read_text()
    assert "cerebelum run workflow.yaml" in text
    assert cli("validate", "workflow.yaml").code == 0
    done = cli("run", "workflow.yaml", "--input", "version=2.3.4")
    assert (done.code, "output: build-2.3.4.txt has 14 bytes" in done.out) == (0, True), done
    again = cli("init", "workflow.yaml")
    assert (again.code, "there is such a file already" in again.err) == (2, True)
    assert (cli.folder / "workflow.yaml").read_text() == text
    assert cli("init", "nowhere/x.yaml").code == 2
    # What is commented out works too.
    lines = text.replace("  # - id: go", "  - id: go").replace("  #   approval", "    approval")
    cli.write("asks.yaml", lines)
    assert cli("run", "asks.yaml", "--park").code == 75


def test_the_graph_of_a_file_and_of_an_execution_as_text(cli: Home) -> None:
    cli.write("picture.yaml", FLOW)
    assert cli("graph", "picture.yaml").out.splitlines() == [
        "  build",
        "  apart",
        "  │",
        "  unit  (needs build)",
        "  on  (needs build)",
        "  │",
        "  end  (needs build, on)",
        "",
        "finally:",
        "  sweep",
    ]
    assert cli("run", "picture.yaml", "--id", "x").code == 1
    shown = cli("graph", "x").out
    assert re.search(r"^  ✓ build  \d\.\d s$", shown, re.MULTILINE)
    assert "  ✗ on  failed" in shown
    assert "  · end" in shown
    if BINARY is None:  # which writes UTF-8 always
        assert "  x on  failed" in cli("graph", "x", env={"PYTHONIOENCODING": "ascii"}).out


def test_graphs_for_other_programs_name_every_step_and_need(cli: Home) -> None:
    cli.write("picture.yaml", FLOW)
    assert cli("run", "picture.yaml", "--id", "x").code == 1
    flowchart = cli("graph", "x", "--format", "mermaid").out
    assert flowchart.startswith("flowchart TD\n")
    names = dict(re.findall(r'^  (s\d)\["([a-z]+)', flowchart, re.MULTILINE))
    arrows = {(names[a], names[b]) for a, b in re.findall(r"(s\d) --> (s\d)", flowchart)}
    assert arrows == {("build", "unit"), ("build", "on"), ("build", "end"), ("on", "end")}
    assert re.search(r"classDef failed stroke:#c62828,stroke-width:2px\n  class s2 failed", flowchart)
    assert "subgraph finally" in flowchart
    graph = cli("graph", "picture.yaml", "--format", "dot").out
    assert set(re.findall(r'"(\w+)" -> "(\w+)";', graph)) == arrows


@pytest.mark.needs_tool("dot")
def test_graphviz_takes_the_graph(cli: Home) -> None:
    cli.write("picture.yaml", FLOW)
    graph = cli("graph", "picture.yaml", "--format", "dot").out
    drawn = subprocess.run(["dot", "-Tsvg"], input=graph, capture_output=True, text=True, check=True)
    assert drawn.stdout.count('<g id="node') == 6


def test_what_has_no_graph_is_said(cli: Home) -> None:
    assert cli("graph", "nowhere.yaml").code == 2
    assert cli("graph", "nobody").code == 3
    assert cli("graph").code == 2
