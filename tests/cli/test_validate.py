"""`validate`: what bash says of scripts, standard input, limits in the words of the program, and what was meant."""

import os
from pathlib import Path

import pytest

from cerebelum.core.errors import CerebelumError
from cerebelum.definition import load
from cerebelum.plugins.shell import Shell, bash_syntax
from tests.cli.conftest import Home

BROKEN = """
name: broken
steps:
  - id: one
    run: |
      echo "fine"
      if true; then
        echo never closed
  - {id: two, run: 'fi'}
  - {id: three, run: "echo 'open"}
  - {id: other-shell, shell: python3, run: "print('fi')\\nif True: pass"}
  - {id: patterns, run: "shopt -s extglob\\necho !(a|b) && ls > /dev/null"}
  - id: fine
    run: |
      cat <<EOF
      if; then {
      EOF
      for x in 1 2; do echo $x; done
"""


def test_what_bash_does_not_understand_is_said_with_the_line_of_the_script(cli: Home) -> None:
    cli.write("broken.yaml", BROKEN)
    said = cli("validate", "broken.yaml")
    assert said.code == 2
    lines = said.err.splitlines()
    wrong = "bash does not understand this:"
    assert lines[0].startswith(f"broken.yaml:8:9: steps[0].run: {wrong} syntax error: unexpected end of file")
    assert lines[1].startswith(f"broken.yaml:9:20: steps[1].run: {wrong} syntax error near unexpected token 'fi'")
    assert lines[2].startswith(f"broken.yaml:10:22: steps[2].run: {wrong} unexpected EOF while looking for matching")
    assert lines[3:] == ["cerebelum: error: 3 problems found"]
    assert cli("run", "broken.yaml").code == 1, "a run starts: bash is asked by `validate` alone"


def test_nothing_of_a_script_is_performed(cli: Home) -> None:
    cli.write("x.yaml", 'steps: [{id: a, run: "$(touch evil); touch `touch worse`; }; touch evil; {"}]')
    assert cli("validate", "x.yaml").code == 2
    assert not (cli.folder / "evil").exists()
    assert not (cli.folder / "worse").exists()


def test_without_bash_nothing_is_said(cli: Home) -> None:
    cli.write("broken.yaml", BROKEN)
    assert cli("validate", "broken.yaml", env={"PATH": str(cli.folder)}).code == 0


def test_scripts_with_and_without_flaws_keep_their_places() -> None:
    scripts = ["fi", "true", "echo plain words", "fi", "done", "echo 'x'"]
    found = bash_syntax.flaws(scripts)
    assert [flaw is not None for flaw in found] == [True, False, False, True, True, False]
    assert Shell().flaws([("fi", {"shell": "sh"}), ("fi", {"shell": "bash"})])[0] is None


@pytest.mark.parametrize("text", ["steps: [{id: a, run: 'true'}]", "steps: [{id: a, runn: x}]", "", "\xff"])
def test_a_definition_may_come_from_standard_input(cli: Home, text: str) -> None:
    said = cli("validate", "-", stdin=text)
    if "runn" in text:
        assert (said.code, said.err.splitlines()[0]) == (
            2,
            "<stdin>:1:17: steps[0]: unknown key `runn`; did you mean `run`?",
        )
    elif text.startswith("steps"):
        assert (said.code, said.out) == (0, "<stdin>: ok: stdin, 1 step\n"), said
    else:
        assert (said.code, "<stdin>" in said.err) == (2, True), said
    shape = cli("validate", "-", "--json", stdin=text).json()
    assert [one["file"] for one in shape["files"]] == ["<stdin>"]


@pytest.mark.parametrize(
    ("verb", "meant"),
    [("ls", "list"), ("start", "run"), ("stop", "cancel"), ("check", "validate"), ("statsu", "status")],
)
def test_what_other_tools_call_it_is_understood_as_a_hint(cli: Home, verb: str, meant: str) -> None:
    assert f"did you mean {meant}?" in cli(verb).err


def test_only_a_file_that_may_be_meant_is_suggested(tmp_path: Path) -> None:
    for name in ("deploy.yaml", "destroy.yml"):
        (tmp_path / name).write_text("steps: [{id: a, run: x}]")
    for asked, hint in (
        ("deplyo.yaml", f"did you mean {tmp_path}/deploy.yaml?"),
        ("deploy.yml", f"did you mean {tmp_path}/deploy.yaml?"),
        ("deploy", f"did you mean {tmp_path}/deploy.yaml?"),
        ("release.yaml", f"workflow files in {tmp_path}: `deploy.yaml`, `destroy.yml`"),
        ("employ.yaml", f"did you mean {tmp_path}/deploy.yaml?"),
        ("x.yaml", f"workflow files in {tmp_path}: `deploy.yaml`, `destroy.yml`"),
    ):
        with pytest.raises(CerebelumError) as raised:
            load(tmp_path / asked, {})
        assert raised.value.hint == hint, asked


LIMITS = """
from typing import Annotated, Any
import msgspec
from cerebelum import hookimpl
from cerebelum.steps import Completed

class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    wait: Annotated[float, msgspec.Meta(gt=0)] = 1
    most: Annotated[int, msgspec.Meta(le=10)] = 1
    name: Annotated[str, msgspec.Meta(min_length=3, pattern="^[a-z]*$")] = "abc"

class Limited:
    key = "limited"
    summary = "x"
    body: Any = Body
    options = None
    literal = ()
    def run(self, call): return Completed()
    def fingerprint(self, step, folder): return None

@hookimpl
def cerebelum_executors(): return [Limited()]
"""


def test_limits_of_a_plugins_types_are_said_in_plain_words(cli: Home) -> None:
    plugin = str(cli.write("limited.py", LIMITS))
    cli.write("x.yaml", "steps:\n  - {id: a, limited: {wait: 0, most: 11}}\n  - {id: b, limited: {name: ab}}\n")
    cli.write("y.yaml", "steps: [{id: a, limited: {name: ABC}}]")
    said = cli("validate", "x.yaml", "y.yaml", "--plugin", plugin)
    assert said.err.splitlines() == [
        "x.yaml:2:29: steps[0].limited.wait: 0 is not more than 0",
        "x.yaml:2:38: steps[0].limited.most: 11 is not at most 10",
        "x.yaml:3:29: steps[1].limited.name: the number of characters is not at least 3",
        "y.yaml:1:33: steps[0].limited.name: `ABC` does not match the pattern '^[a-z]*$'",
        "cerebelum: error: 4 problems found",
    ]


def test_no_script_is_left_unchecked_and_what_follows_an_exit_is_not_read() -> None:
    assert bash_syntax.flaws([f"test {n} && x" for n in range(2100)] + ["echo )"])[-1] is not None
    assert bash_syntax.flaws(["echo a\nexit 0\nthis is (no script", "exit 0\n", "if x\nexit 0\necho )"])[:2] == [
        None,
        None,
    ]
    assert bash_syntax.flaws(["if x; then\nexit 0\necho )"])[0] is not None
    flaw = bash_syntax.flaws(["echo 'open"])[0]
    assert flaw is not None
    assert flaw[1].endswith("looking for matching a single quote")


def test_a_standard_input_that_is_closed_or_too_large_is_no_bug(cli: Home) -> None:
    closed = cli("validate", "-", preexec_fn=lambda: os.close(0))
    assert (closed.code, "the file is empty" in closed.err) == (2, True), closed
    large = cli("validate", "-", stdin="x" * (17 << 20))
    assert (large.code, "larger than 16 MiB" in large.err) == (2, True), large.err[:300]
