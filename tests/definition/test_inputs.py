"""Values for inputs: converted, checked all at once, and handed on as variables."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerebelum.core.errors import CerebelumError, UsageError
from cerebelum.core.model import Workflow
from cerebelum.definition import Text, check_body, check_options, input_env, parse_inputs_file, resolve_inputs
from tests.definition.executors import EXECUTORS, workflow

DECLARED = """
inputs:
  version: {type: string, required: true, pattern: '\\d+\\.\\d+'}
  replicas: {type: integer, default: 3, minimum: 1, maximum: 10}
  ratio: {type: number}
  dry-run: {type: boolean, default: false}
  hosts: {type: list}
  labels: {type: object, default: {a: 1}}
  stage: {choices: [dev, prod, 1.10]}
steps: [{id: a, run: x}]
"""
WORKFLOW = workflow(DECLARED)


def resolved(**given: Any) -> dict[str, Any]:
    return resolve_inputs(WORKFLOW, {name.replace("_", "-"): value for name, value in given.items()})


def refused(**given: Any) -> list[str]:
    with pytest.raises(UsageError) as e:
        resolved(**given)
    return e.value.message.splitlines()


def declared(text: str) -> Workflow:
    return workflow(f"inputs: {{x: {text}}}\nsteps: [{{id: a, run: x}}]")


def test_defaults_fill_what_is_not_given_and_the_rest_is_nothing() -> None:
    assert resolved(version=Text("1.2")) == {
        "version": "1.2",
        "replicas": 3,
        "ratio": None,
        "dry-run": False,
        "hosts": None,
        "labels": {"a": 1},
        "stage": None,
    }


def test_texts_become_the_declared_type() -> None:
    texts = {
        "version": "3.10",
        "replicas": "5",
        "ratio": "1.5",
        "dry_run": "true",
        "hosts": '["a"]',
        "labels": '{"b":2}',
    }
    found = resolved(**{name: Text(text) for name, text in texts.items()}, stage=Text("1.10"))
    assert list(found.values()) == ["3.10", 5, 1.5, True, ["a"], {"b": 2}, "1.10"]
    assert type(found["version"]) is str


def test_typed_values_have_to_be_of_the_declared_type() -> None:
    assert resolved(version="1.2", replicas=5, ratio=2, hosts=[1])["hosts"] == [1]
    assert refused(version=1.2, replicas="5", ratio=True, dry_run="true", hosts={}, labels=[], stage=1) == [
        "input `version`: has to be a text, this is a number",
        "input `replicas`: has to be an integer, this is a text",
        "input `ratio`: has to be a number, this is true or false",
        "input `dry-run`: has to be true or false, this is a text",
        "input `hosts`: has to be a list, this is a mapping",
        "input `labels`: has to be a mapping, this is a list",
        "input `stage`: has to be a text, this is an integer",
    ]


def test_everything_that_is_wrong_is_said_at_once() -> None:
    found = refused(
        verison=Text("1.2"),
        replicas=Text("11"),
        ratio=Text("1,5"),
        dry_run=Text("yes"),
        hosts=Text("a"),
        stage=Text("prd"),
    )
    assert found == [
        "there is no input `verison`; did you mean `version`?",
        "input `version`: is missing, it has to be a text",
        "input `replicas`: 11 is more than 10",
        "input `ratio`: has to be a number, not '1,5'",
        "input `dry-run`: has to be true or false, not 'yes'; write true or false",
        "input `hosts`: is not JSON: Expecting value: line 1 column 1 (char 0); write it like [1, 2]",
        "input `stage`: 'prd' is not one of dev, prod, 1.10; did you mean `prod`?",
    ]


@pytest.mark.parametrize("text", ["1.2.3", "v1.2", "1.2\n", ""])
def test_a_pattern_has_to_match_the_whole_text(text: str) -> None:
    assert "does not match the pattern" in refused(version=Text(text))[0]


@pytest.mark.parametrize("text", ["", "3.0", "0x3", "1_000", "٣", "9" * 19, "9" * 5000, "nan", "1e3"])
def test_an_integer_is_digits(text: str) -> None:
    assert len(refused(version=Text("1.2"), replicas=Text(text))) == 1


@pytest.mark.parametrize("text", ["nan", "inf", "1e999", "", "1_0", "0x1", "1,0"])
def test_a_number_is_finite(text: str) -> None:
    assert len(refused(version=Text("1.2"), ratio=Text(text))) == 1


@pytest.mark.parametrize("text", ["[NaN]", '[{"a":1,"a":2}]', "[1e999]", "[" * 100_000, "[1] x", "'a'"])
def test_a_list_is_strict_json(text: str) -> None:
    assert "is not JSON" in refused(version=Text("1.2"), hosts=Text(text))[0]


@pytest.mark.parametrize("value", ["a\0b", "a\ud800b", Text("a\0b"), Text("\udcff")])
def test_what_cannot_be_stored_is_refused(value: str) -> None:
    for flow, wrong in ((declared("{}"), value), (declared("{type: list}"), [{value: value}])):
        with pytest.raises(UsageError, match="contains"):
            resolve_inputs(flow, {"x": wrong})


def test_an_input_too_large_for_a_variable_is_refused_without_showing_it() -> None:
    flow = declared("{}")
    assert resolve_inputs(flow, {"x": Text("x" * 128_000)})
    for large in (Text("x" * 128_001), Text("ü" * 64_001), Text("x" * 10_000_000)):
        with pytest.raises(UsageError, match="at most 128,000 are possible; pass a file's path instead") as e:
            resolve_inputs(flow, {"x": large})
        assert len(str(e.value)) < 300
    with pytest.raises(UsageError, match="at most 128,000"):
        resolve_inputs(declared("{type: list}"), {"x": ["x" * 1000] * 200})


def test_all_inputs_together_are_bounded() -> None:
    flow = workflow("inputs: {" + ", ".join(f"i{n}: {{}}" for n in range(9)) + "}\nsteps: [{id: a, run: x}]")
    with pytest.raises(UsageError, match="1,152,000 bytes together, at most 1,048,576 are possible"):
        resolve_inputs(flow, {f"i{n}": "x" * 128_000 for n in range(9)})


def test_inputs_as_variables() -> None:
    values = {"a-b": True, "n": 3, "l": [1, "é"], "o": {"k": None}, "t": "x y", "none": None}
    assert input_env(values) == {
        "INPUT_A_B": "true",
        "INPUT_N": "3",
        "INPUT_L": '[1,"é"]',
        "INPUT_O": '{"k":null}',
        "INPUT_T": "x y",
        "INPUT_NONE": "",
    }


# --- files of inputs -------------------------------------------------------------------------------------------------


def test_inputs_from_a_file() -> None:
    assert parse_inputs_file('{"version": "1.2", "replicas": 5}', "-") == {"version": "1.2", "replicas": 5}
    found = parse_inputs_file("version: 3.10\nreplicas: 5\nhosts: [1, yes]\nstage: '1.10'\nratio:\n", "in.yaml")
    assert resolve_inputs(WORKFLOW, found) == {
        "version": "3.10",
        "replicas": 5,
        "ratio": None,
        "dry-run": False,
        "hosts": [1, "yes"],
        "labels": {"a": 1},
        "stage": "1.10",
    }


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ('{"a": 1,\n "b" 2}', "in.json", "in.json:2:6: broken JSON: Expecting ':' delimiter"),
        ('{"a": 1', "-", "-:1:8: broken JSON: Expecting ',' delimiter"),
        ('{"a": 1, "a": 2}', "in.json", "in.json: broken JSON: the key `a` appears twice"),
        ('{"a": NaN}', "in.json", "in.json: broken JSON: NaN is not JSON"),
        ("[" * 100_000, "in.json", "in.json: broken JSON: it is nested too deeply"),
        ("[1]", "in.json", "in.json:1:1: expected an object of inputs, this is a list"),
        ("", "in.json", "in.json:1:1: broken JSON: Expecting value"),
        ("a: [1\n", "in.yaml", "in.yaml:2:1: did not find expected ',' or ']'"),
        ("a: 1\na: 2", "in.yaml", "in.yaml:2:1: the key `a` appears twice"),
        ("- a", "in.yml", "in.yml:1:1: expected a mapping of inputs, this is a list"),
        ("# nothing", "-", "-: the file is empty"),
    ],
)
def test_a_broken_file_of_inputs_has_a_position(text: str, name: str, message: str) -> None:
    with pytest.raises(UsageError) as e:
        parse_inputs_file(text, name)
    assert str(e.value).startswith(message)


@given(st.text(max_size=60), st.sampled_from(["a.json", "a.yaml", "-"]))
def test_any_file_of_inputs_is_read_or_refused(text: str, name: str) -> None:
    try:
        resolve_inputs(WORKFLOW, parse_inputs_file(text, name))
    except CerebelumError:
        return


# --- bodies after evaluation -----------------------------------------------------------------------------------------


def test_an_evaluated_body_is_checked_again_and_texts_stay_texts() -> None:
    body = {"url": 8080, "expect": {"status": 201}, "headers": {"A": True}}
    assert check_body(EXECUTORS["http"], body) == {"url": "8080", "expect": {"status": 201}, "headers": {"A": "true"}}
    assert check_options(EXECUTORS["python"], {"with": {"n": 1}, "isolated": True}) == {
        "with": {"n": 1},
        "isolated": True,
    }
    assert check_options(EXECUTORS["sleep"], {}) == {}


def test_an_evaluated_body_that_does_not_fit_is_refused_with_everything_named() -> None:
    with pytest.raises(UsageError) as e:
        check_body(EXECUTORS["http"], {"url": None, "expect": {"status": "${{ x }}"}, "headers": []})
    assert e.value.message.splitlines() == [
        "http.url: is empty",
        "http.expect.status: expected an integer, this is a text",
        "http.headers: expected a mapping, this is a list",
    ]
    with pytest.raises(UsageError, match="isolated: expected true or false, this is a text"):
        check_options(EXECUTORS["python"], {"isolated": "yes"})
