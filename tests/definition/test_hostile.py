"""No text, however long, deep or strange, gets more than a DefinitionError, and none takes long."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cerebelum.core.errors import CerebelumError, DefinitionError
from cerebelum.core.model import Workflow
from tests.definition.executors import problems, workflow

SAMPLE = """\
name: deploy
inputs:
  version: {type: string, required: true, pattern: '^\\d+$'}
  replicas: {type: integer, default: 3, minimum: 1}
secrets: [TOKEN]
env: {VERSION: '${{ inputs.version }}'}
x-base: &base {run: make, timeout: 10m}
defaults: {retry: {attempts: 3, delay: 5s}, shell: bash}
steps:
  - {id: a, <<: *base}
  - parallel:
      - id: b
        run: |
          echo one
        output: text
      - {id: c, http: {url: 'http://x/${{ steps.a.output.id }}', expect: {status: 200}}}
  - id: d
    needs: [b, c]
    when: ${{ inputs.replicas > 1 && steps.b.output != '' }}
    env: {DIGEST: "${{ steps.c.output['digest'] }}"}
    run: ./x
    on_interrupt: verify
    verify: ./y
on_failure:
  - {id: h, run: ./z, undoes: [d]}
output: {a: '${{ steps.d.output }}'}
"""


def outcome(text: str) -> Workflow | CerebelumError:
    try:
        return workflow(text)
    except CerebelumError as e:
        return e


def test_the_sample_is_right() -> None:
    assert problems(SAMPLE) == []


@given(st.text(max_size=200))
def test_any_text_is_a_workflow_or_a_definition_error(text: str) -> None:
    outcome(text)


PIECES = (
    "${{~}}~&a~*a~<<: *base~- ~: ~\n~\t~  ~[~]~{~}~'~\"~!x ~|~>~null~.inf~0x~1e999~\0~\ud800~\u2028~id: a~needs: [a]"
    "~steps~env.A~---\n~%~?~inputs.x~steps.a.output~!!int ~!!set ~parallel:~retry: x~99999999999999999999~\\~#~@"
)
TOKENS = st.sampled_from(PIECES.split("~"))


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(SAMPLE)), st.integers(0, 12), TOKENS), min_size=1, max_size=4))
def test_any_change_of_a_workflow_leaves_a_workflow_or_a_definition_error(cuts: list[tuple[int, int, str]]) -> None:
    text = SAMPLE
    for start, length, new in cuts:
        text = text[:start] + new + text[start + length :]
    outcome(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | TOKENS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
KEYS = ["name", "inputs", "secrets", "env", "defaults", "steps", "output", "timeout", "max_parallel", "finally"]
STEP_KEYS = [
    "id",
    "run",
    "http",
    "python",
    "with",
    "shell",
    "needs",
    "when",
    "env",
    "secrets",
    "working_dir",
    "timeout",
]
STEP_KEYS += ["retry", "on_interrupt", "verify", "output", "undoes", "parallel", "sleep", "description"]
STEPS = st.lists(st.dictionaries(st.sampled_from(STEP_KEYS), JSON, max_size=6) | JSON, max_size=3)


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=5), STEPS)
def test_any_values_under_the_known_keys_are_a_workflow_or_a_definition_error(
    top: dict[str, object], steps: object
) -> None:
    import json

    outcome(json.dumps({**top, "steps": steps}))
    outcome(json.dumps({"inputs": top, "steps": steps}))


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{c}: &{c} [{','.join(['*' + chr(ord(c) - 1)] * 9)}]\n" for c in "bcdefghijk"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "aliases expand to more than 200,000 values or 16 MiB of text"),
        ("a: &a " + "x" * 1_000_000 + "\nb: [" + ",".join(["*a"] * 1000) + "]", "or 16 MiB of text"),
        (
            "a: &a {k: v, l: w}\nb: &b [{<<: *a}, {<<: *a}]\n" + "c: [" + ",".join(["*b"] * 100_000) + "]",
            "aliases expand to more than 200,000 values",
        ),
        ("[" * 100_000, "values are nested more than 100 deep"),
        ("{a: " * 100_000, "values are nested more than 100 deep"),
        ("- " * 100_000, "values are nested more than 100 deep"),
        (
            "a: &a " + "[" * 90 + "]" * 90 + "\nb: " + "[" * 90 + "*a" + "]" * 90,
            "values are nested more than 100 deep",
        ),
    ],
    ids=["billion laughs", "long text", "merged", "brackets", "braces", "dashes", "deep through an alias"],
)
def test_a_bomb_is_refused_at_once(text: str, message: str) -> None:
    started = time.perf_counter()
    (found,) = problems(text)
    assert message in found
    assert time.perf_counter() - started < 2


def chain(keys: Callable[[int], str], count: int = 10_000) -> str:
    return "inputs: {v: {}}\nsteps:\n" + "".join(
        f"  - {{id: s{i}, run: 'echo {i}', {keys(i)}}}\n" for i in range(count)
    )


@pytest.mark.parametrize(
    ("keys", "count"),
    [
        (lambda i: f"env: {{A: '${{{{ inputs.v }}}}', B: '${{{{ steps.s{max(i // 2, 0)}.output }}}}'}}", 1),
        (lambda i: "timeout: 5m, retry: {attempts: 3, delay: 1s}, env: {A: '${{ inputs.v }}'}", 0),
        (lambda i: f"needs: [s{(i + 1) % 10_000}]", 1),
        (lambda i: f"needs: [nothing{i}]", 201),
        (lambda i: f"needs: [], env: {{A: '${{{{ steps.s{9_999 - i}.output }}}}'}}", 201),
    ],
    ids=["references", "plain", "one circle", "unknown needs", "unreachable"],
)
def test_ten_thousand_steps_are_read_in_seconds(keys: Callable[[int], str], count: int) -> None:
    text = chain(keys)
    started = time.process_time()
    assert len(problems(text)) == count
    assert time.process_time() - started < 15


def test_groups_that_multiply_are_bounded() -> None:
    group = "  - parallel:\n" + "".join(f"      - {{id: a{i}, run: x}}\n" for i in range(5000))
    (found,) = problems("steps:\n" + group + group.replace("id: a", "id: b"))
    assert "more than 1,000,000 dependencies" in found


def test_expressions_without_end_are_refused_at_once() -> None:
    started = time.perf_counter()
    (found,) = problems("steps: [{id: a, run: x, env: {A: '" + "${{ {" * 50_000 + "'}}]")
    assert "`${{` is not closed" in found
    assert time.perf_counter() - started < 2


def test_positions_are_right_with_wide_characters_and_any_line_end(tmp_path: Path) -> None:
    for end in ("\n", "\r\n", "\r"):
        text = end.join(["# ünï 🎉", "steps:", "  - {id: 🎉, run: x}"])
        (found,) = problems(text)
        assert found.startswith("3:10: steps[0].id: `🎉` cannot be an id")


def test_a_broken_definition_error_is_one_error_with_all_problems() -> None:
    with pytest.raises(DefinitionError) as e:
        workflow("steps: [{id: a}, {id: b}]")
    assert len(e.value.problems) == 2
    assert e.value.exit_code == 2
