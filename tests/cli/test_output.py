"""How output of steps is shown while they run: as it comes, in blocks, or only where something failed."""

import re

import pytest

from tests.cli.conftest import Home

TWO = """
name: two
steps:
  - parallel:
      - {id: a, run: 'echo a1; touch a.started; until test -e b.done; do sleep 0.01; done; echo a2'}
      - {id: much-longer, run: 'until test -e a.started; do sleep 0.01; done; echo b1; echo b2; touch b.done'}
  - {id: check, run: 'echo checking; test -e mended'}
"""


def lines_of(printed: str, *names: str) -> list[str]:
    return [line for line in printed.splitlines() if re.match(rf"({'|'.join(names)}) +│", line)]


def test_output_comes_line_by_line_with_names_of_one_width(cli: Home) -> None:
    # Which of two pipes is read first, nobody promises: so each goes on once what came before is to be seen.
    cli.write("two.yaml", TWO.replace("touch a.started; ", "").replace("; touch b.done", ""))
    printed = ""
    with cli.start("run", "two.yaml") as running:
        assert running.stdout is not None
        for said, then in (("a1", "a.started"), ("b2", "b.done")):
            # An execution's id may have it in it, too.
            while (line := running.stdout.readline().decode()) and f"│ {said}" not in line:
                printed += line
            printed += line
            (cli.folder / then).touch()
        printed += running.stdout.read().decode()
    shown = lines_of(printed, "a", "much-longer", "check")
    assert shown == [
        "a           │ a1",
        "much-longer │ b1",
        "much-longer │ b2",
        "a           │ a2",
        "check       │ checking",
    ]


def test_grouped_output_of_one_step_is_never_inside_that_of_another(cli: Home) -> None:
    # The one whose output is read first goes before the other, so that has to be seen before the other begins.
    cli.write("two.yaml", TWO.replace("touch a.started; ", ""))
    printed = ""
    with cli.start("run", "two.yaml", "--output", "grouped") as running:
        assert running.stdout is not None
        while (line := running.stdout.readline().decode()) and "│ a1" not in line:
            printed += line
        (cli.folder / "a.started").touch()
        printed += line + running.stdout.read().decode()
    shown = [line.split()[0] for line in lines_of(printed, "a", "much-longer", "check")]
    assert shown == ["a", "a", "much-longer", "much-longer", "check"], printed


def test_grouped_output_of_a_step_that_runs_alone_comes_at_once(cli: Home) -> None:
    cli.write("one.yaml", "steps: [{id: one, run: 'echo said; until test -e go; do sleep 0.01; done'}]\n")
    with cli.start("run", "one.yaml", "--output", "grouped") as running:
        assert running.stdout is not None
        while (line := running.stdout.readline().decode()) and "said" not in line:
            pass
        assert line == "one │ said\n"
        (cli.folder / "go").touch()
        assert running.wait(30) == 0


def test_only_output_of_failed_attempts_is_shown_if_that_is_asked_for(cli: Home) -> None:
    cli.write("two.yaml", TWO)
    ran = cli("run", "two.yaml", "--output", "failed")
    assert ran.code == 1
    assert lines_of(ran.out, "a", "much-longer") == []
    assert (ran.out + ran.err).count("checking") == 1, "shown once, not twice"


def test_a_large_block_takes_no_memory_and_is_whole(cli: Home) -> None:
    cli.write(
        "large.yaml",
        """
        steps:
          - parallel:
              - {id: first, run: 'echo x; touch go; until test -e done; do sleep 0.01; done'}
              - {id: large, run: 'until test -e go; do sleep 0.01; done; seq 1 400000; touch done'}
        """,
    )
    ran = cli("run", "large.yaml", "--output", "grouped")
    numbers = [line.rpartition(" ")[2] for line in lines_of(ran.out, "large")]
    assert numbers == [str(n) for n in range(1, 400_001)]


def test_verbose_and_another_output_exclude_each_other(cli: Home) -> None:
    cli.write("two.yaml", TWO)
    ran = cli("run", "two.yaml", "-v", "--output", "grouped")
    assert ran.code == 2
    assert "--verbose means --output stream" in ran.err


def test_plain_lines_have_the_time_in_front_unless_that_is_switched_off(cli: Home) -> None:
    cli.write("one.yaml", "steps: [{id: one, run: echo said}]\n")
    stamped = cli("run", "one.yaml", "--id", "x", env={"CEREBELUM_TIMESTAMPS": "1", "TZ": "UTC"})
    first, *rest = stamped.out.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d x: started on \d{4}-\d\d-\d\d \(UTC\), 1 step", first)
    assert all(re.match(r"\d\d:\d\d:\d\d [▶✓o]", line) for line in rest[:3]), rest
    plain = cli("run", "one.yaml")
    assert plain.out.splitlines()[1:3] == ["▶ one", "one │ said"]


def test_the_table_at_the_end_says_what_came_of_each_step(cli: Home) -> None:
    cli.write("two.yaml", TWO)
    failed = cli("run", "two.yaml", "--id", "x")
    assert re.search(r"✗ check +\d\.\d s +1 +failed: exit code 1\n", failed.err)
    assert re.search(r"✗ x: failed after .* in check\n", failed.err)
    cli.write("mended", "")
    mended = cli("resume", "x")
    assert re.search(r"✓ a +\d\.\d s +1 +completed before\n", mended.out)
    assert re.search(r"✓ check +\d\.\d s +2 +completed\n", mended.out)
    without = cli("run", "two.yaml", "--no-summary")
    assert "OUTCOME" not in without.out + without.err


@pytest.mark.parametrize("output", ["stream", "grouped", "failed"])
def test_a_traceback_is_shown_once_beside_what_was_printed(cli: Home, output: str) -> None:
    cli.write("steps.py", "def bad():\n    print('before')\n    raise ValueError('no such luck')\n")
    cli.write("py.yaml", "steps: [{id: bad, python: 'steps.py:bad'}]\n")
    ran = cli("run", "py.yaml", "--output", output)
    assert ran.code == 1
    assert (ran.out + ran.err).count("before") == 1
    assert (ran.out + ran.err).count("Traceback") == 1


def test_pages_about_a_failure_have_what_was_printed_and_the_traceback(cli: Home) -> None:
    cli.write("steps.py", "def bad():\n    print('before')\n    raise ValueError('no such luck')\n")
    cli.write("py.yaml", "steps: [{id: bad, python: 'steps.py:bad'}]\n")
    env = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(cli.folder / "summary.md")}
    cli("run", "py.yaml", "--id", "x", "--junit", "junit.xml", env=env)
    for page in ((cli.folder / "junit.xml").read_text(), (cli.folder / "summary.md").read_text()):
        assert re.search(r"before\nTraceback", page)
    assert re.search(r"before\nTraceback", cli("report", "x").out)
