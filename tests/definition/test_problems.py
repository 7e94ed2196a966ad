"""What is wrong with a definition is said all at once, at its place, with what to do. The cases are in problems.txt."""

from pathlib import Path

import pytest

from tests.definition.executors import problems

_, *SECTIONS = Path(__file__).with_name("problems.txt").read_text(encoding="utf-8").split("\n### ")
TITLES = [section.partition("\n")[0] for section in SECTIONS]


@pytest.mark.parametrize("section", SECTIONS, ids=TITLES)
def test_says_what_is_wrong_where_and_what_to_do(section: str) -> None:
    text, _, listed = section.partition("\n")[2].partition("\n>>>\n")
    expected = listed.strip("\n").split("\n")
    found = problems(text)
    for index, line in enumerate(expected[: len(found)]):
        if line.endswith("…") and found[index].startswith(line[:-1]):
            found[index] = line
    assert found == expected


def test_a_control_character_is_refused_by_its_number() -> None:
    (found,) = problems("name: a\x1bb")
    assert found.startswith("1:8: the character U+001B cannot appear in a workflow file; write it as an escape")


def test_reports_thousands_of_problems_as_the_first_ones_and_a_count() -> None:
    found = problems("steps:\n" + "".join(f"  - {{id: s{i}, rum: x}}\n" for i in range(1000)))
    assert len(found) == 201
    assert found[0] == "2:14: steps[0]: unknown key `rum`; did you mean `run`?"
    assert found[-1].endswith("… and 800 more problems")


def test_a_name_in_a_message_is_short_and_harmless_to_a_terminal() -> None:
    (found,) = problems('steps: [{id: "\\e[31m' + "x" * 10_000 + '", run: x}]')
    assert "\x1b" not in found
    assert len(found) < 300
