"""What build systems are told: groups of output, what failed, a summary of the build, and a JUnit report."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from cerebelum.render.build_systems import detect
from tests.cli.conftest import Home

etree: Any = import_module("lxml.etree")

FLOW = r"""
name: build
steps:
  - {id: first, run: 'echo one'}
  - {id: off, when: false, run: 'echo never'}
  - id: bad
    run: |
      printf '\001<&>\n'
      test -e mended
  - {id: after, run: 'echo last'}
finally:
  - {id: tidy, run: 'echo tidy'}
"""


def report(cli: Home) -> Any:
    """The report, valid."""
    tree = etree.parse(str(cli.folder / "report.xml"))
    etree.XMLSchema(etree.parse(str(Path(__file__).with_name("junit.xsd")))).assertValid(tree)
    return tree.getroot()


def outcomes(root: Any) -> dict[str, str]:
    return {case.get("name"): case[0].tag if len(case) else "passed" for case in root.iter("testcase")}


def test_github_folds_output_marks_the_failure_and_gets_a_summary(cli: Home) -> None:
    cli.write("build.yaml", FLOW)
    env = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(cli.folder / "summary.md")}
    cli.write("summary.md", "before\n")
    ran = cli("run", "build.yaml", "--id", "x", env=env)
    assert ran.code == 1
    lines = ran.out.splitlines()
    begin, end = lines.index("::group::first"), lines.index("::endgroup::")
    assert lines[begin + 1 : end] == ["first │ one"]
    assert "::error title=step bad::exit code 1" in lines
    summary = (cli.folder / "summary.md").read_text()
    assert summary.startswith("before\n### ❌ build: failed after ")
    assert re.search(r"\| ✗ \| bad \| \S+ s \| 1 \| failed\\: exit code 1 \|", summary)
    assert "cerebelum resume x" in summary


def test_what_a_step_prints_is_no_command_to_the_build_system(cli: Home) -> None:
    cli.write("evil.yaml", "steps: [{id: evil, run: 'echo ::error::gotcha; echo ::endgroup::; false'}]\n")
    ran = cli("run", "evil.yaml", env={"GITHUB_ACTIONS": "true"})
    commands = [line for line in ran.out.splitlines() if line.startswith("::")]
    assert commands == ["::group::evil", "::endgroup::", "::error title=step evil::exit code 1"]


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        (
            {"GITLAB_CI": "true"},
            [r"\x1b\[0Ksection_start:\d+:step_bad\r\x1b\[0Kbad", r"\x1b\[0Ksection_end:\d+:step_bad\r"],
        ),
        ({"BUILDKITE": "true"}, ["--- bad", r"\^\^\^ \+\+\+"]),
        ({"TF_BUILD": "True"}, [r"##\[group\]bad", r"##vso\[task.logissue type=error\]step bad: exit code 1"]),
        (
            {"TEAMCITY_VERSION": "2024"},
            [
                r"##teamcity\[blockOpened name='bad'\]",
                r"##teamcity\[buildProblem description='step bad: exit code 1'\]",
            ],
        ),
    ],
)
def test_other_systems_are_told_in_their_words(cli: Home, env: dict[str, str], expected: list[str]) -> None:
    cli.write("build.yaml", FLOW)
    ran = cli("run", "build.yaml", env=env)
    for line in expected:
        assert re.search(rf"^{line}", ran.out, re.MULTILINE), ran.out


def test_jenkins_gets_plain_lines(cli: Home) -> None:
    cli.write("build.yaml", FLOW)
    assert cli("run", "build.yaml", env={"JENKINS_URL": "http://ci/"}).out.splitlines()[2] == "first │ one"


def test_text_cannot_break_out_of_a_message() -> None:
    github, teamcity = detect({"GITHUB_ACTIONS": "true"}), detect({"TEAMCITY_VERSION": "1"})
    assert github is not None
    assert teamcity is not None
    assert github.problem("a:b,c", "50%\n::error::x") == "::error title=step a%3Ab%2Cc::50%25%0A::error::x\n"
    assert teamcity.problem("a", "it's |]\nü") == "##teamcity[buildProblem description='step a: it|'s |||]|n|0x00fc']\n"
    assert detect({"GITHUB_ACTIONS": "false"}) is None


def test_azure_is_told_where_the_summary_is(cli: Home) -> None:
    cli.write("build.yaml", FLOW)
    ran = cli("run", "build.yaml", env={"TF_BUILD": "True", "AGENT_TEMPDIRECTORY": str(cli.folder)})
    found = re.search(r"^##vso\[task.uploadsummary\](.+)$", ran.out, re.MULTILINE)
    assert found is not None
    assert "failed after" in Path(found[1]).read_text()


def test_buildkites_agent_is_given_the_summary(cli: Home) -> None:
    agent = cli.folder / "bin" / "buildkite-agent"
    agent.parent.mkdir()
    agent.write_text(f'#!/bin/sh\necho "$@" > {cli.folder}/told\ncat >> {cli.folder}/told\n')
    agent.chmod(0o755)
    cli.write("build.yaml", FLOW)
    cli("run", "build.yaml", "--id", "x", env={"BUILDKITE": "true", "PATH": f"{agent.parent}:{cli.environ['PATH']}"})
    told = (cli.folder / "told").read_text()
    assert told.startswith("annotate --style error --context cerebelum-x\n### ")


def test_a_summary_that_cannot_be_written_is_only_warned_of(cli: Home) -> None:
    cli.write("ok.yaml", "steps: [{id: one, run: 'true'}]\n")
    ran = cli("run", "ok.yaml", env={"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": "/nowhere/at/all"})
    assert ran.code == 0
    assert "warning: the summary for the build system cannot be written" in ran.err


def test_the_junit_report_has_a_case_for_each_step(cli: Home) -> None:
    cli.write("build.yaml", FLOW)
    assert cli("run", "build.yaml", "--id", "x", "--junit", "report.xml").code == 1
    root = report(cli)
    assert outcomes(root) == {
        "first": "passed",
        "off": "skipped",
        "bad": "failure",
        "after": "skipped",
        "tidy": "passed",
    }
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("5", "1", "2")
    failure = root.find(".//failure")
    assert (failure.get("type"), failure.get("message")) == ("exit", "exit code 1")
    assert "<&>" in failure.text, "and what XML does not take is replaced"
    cli.write("mended", "")
    assert cli("resume", "x", "--junit", "report.xml").code == 0
    assert set(outcomes(report(cli)).values()) == {"passed", "skipped"}
    assert report(cli).find(".//property[@name='status']").get("value") == "completed"


def test_an_interrupted_step_is_an_error_in_the_report(cli: Home) -> None:
    cli.write("nap.yaml", "steps: [{id: nap, run: 'echo up; sleep 60'}, {id: b, run: 'true'}]\n")
    with cli.start("run", "nap.yaml", "--junit", "report.xml") as running:
        assert running.stdout is not None
        while b"up" not in running.stdout.readline():
            pass
        running.terminate()
        assert running.wait(30) == 143
    assert outcomes(report(cli)) == {"nap": "error", "b": "skipped"}


def test_a_report_that_cannot_be_written_is_an_error_before_or_after(cli: Home) -> None:
    cli.write("gone.yaml", "steps: [{id: one, run: 'rmdir there; echo ran'}]\n")
    before = cli("run", "gone.yaml", "--junit", "there/report.xml")
    assert (before.code, before.out) == (2, "")
    (cli.folder / "there").mkdir()
    after = cli("run", "gone.yaml", "--junit", "there/report.xml")
    assert after.code == 74
    assert "the report cannot be written" in after.err
