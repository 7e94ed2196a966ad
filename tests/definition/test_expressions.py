"""The expression language: what it can say, what it says when it cannot, and that nothing gets out of it."""

import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cerebelum.core.errors import ExpressionError
from cerebelum.definition.expressions import BadSyntax, check_syntax, evaluate, references

SCOPE: dict[str, Any] = {
    "inputs": {"n": 3, "x": 1.5, "version": "1.2.3", "list": [1, 2, {"a": 5}], "class": "k", "none": None, "yes": True},
    "steps": {
        "build": {"output": {"digest": "sha256:abc", "my-key": "v", "nested": {"a": [10]}}, "status": "completed"},
        "my-step": {"output": "text\n", "status": "failed"},
    },
    "execution": {"id": "deploy-k3f9", "tags": ["a"]},
    "env": {"A": "b"},
}


def value(expression: str) -> Any:
    return evaluate("${{ " + expression + " }}", SCOPE)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("inputs.n", 3),
        ("inputs.class", "k"),
        ("steps.my-step.output", "text\n"),
        ("steps['my-step'].status", "failed"),
        ("steps.build.output.my-key", "v"),
        ("steps.build.output.nested.a[0]", 10),
        ("inputs.list[-1].a", 5),
        ("inputs.version[0:3]", "1.2"),
        ("inputs.list[1:]", [2, {"a": 5}]),
        ("true and not false", True),
        ("True && !False || null", True),
        ("!inputs.n == false", True),
        ("inputs.none", None),
        ("inputs.n > 1 and inputs.n <= 3 and 1 < inputs.n < 4", True),
        ("1 + 2 * 3 - 4 / 2", 5.0),
        ("7 // 2 + 7 % 4", 6),
        ("2 ** 10", 1024),
        ("-inputs.n", -3),
        ("inputs.n - 1", 2),
        ("'a' + \"b\"", "ab"),
        (r"'it\'s \n \d }}'", "it's \n \\d }}"),
        ("[1, 'a', null]", [1, "a", None]),
        ("{'a': {'b': 1}}.a.b", 1),
        ("'x' if inputs.n == 3 else 'y'", "x"),
        ("'2' in inputs.version", True),
        ("2 not in inputs.list", False),
        ("'n' in inputs", True),
        ("len(inputs.list) + len('ab') + len(inputs)", 12),
        ("str(inputs.n) + str(true) + str(null)", "3true"),
        ("int('42') + int(3.9)", 45),
        ("float('1.5')", 1.5),
        ("bool('false') or bool(0)", False),
        ("upper('a') + lower('B')", "Ab"),
        ("contains(inputs.version, '.2')", True),
        ("startswith('abc', 'a') and endswith('abc', 'c')", True),
        ("json(inputs.list)", '[1,2,{"a":5}]'),
        ("default(inputs.none, 'd')", "d"),
        ("default(steps.build.output.nothing.deeper, 'd')", "d"),
        ("default(steps.nothing.output, 'd')", "d"),
        ("default(inputs.n, 'd')", 3),
        ("join(['a', 1, true], '-')", "a-1-true"),
        ("split('a,b', ',')", ["a", "b"]),
        ("trim(steps.my-step.output)", "text"),
        ("min(3, 1, 2) + max(inputs.list[0:2])", 3),
        ("round(2.567, 1)", 2.6),
    ],
)
def test_values(expression: str, expected: Any) -> None:
    found = value(expression)
    assert found == expected
    assert type(found) is type(expected)


def test_an_expression_alone_keeps_its_type_and_one_in_a_text_becomes_text() -> None:
    assert evaluate("${{ inputs.n }}", SCOPE) == 3
    assert evaluate(" ${{ inputs.n }}", SCOPE) == " 3"
    text = "${{ inputs.yes }}|${{ inputs.none }}|${{ inputs.x }}|${{ inputs.list }}|${{ inputs.version }}"
    assert evaluate(text, SCOPE) == 'true||1.5|[1,2,{"a":5}]|1.2.3'


def test_lists_and_mappings_are_evaluated_through_and_other_values_stay() -> None:
    found = evaluate({"a": ["${{ inputs.n }}", 1.5, None], "${{ inputs.n }}": {"b": "x${{ env.A }}"}}, SCOPE)
    assert found == {"a": [3, 1.5, None], "${{ inputs.n }}": {"b": "xb"}}


def test_an_escaped_opening_is_literal() -> None:
    assert evaluate("$${{ inputs.n }} ${{ inputs.n }} $$ ${", SCOPE) == "${{ inputs.n }} 3 $$ ${"


@pytest.mark.parametrize(
    ("expression", "message", "hint"),
    [
        ("inputs.verison", "`inputs` has no `verison`", "did you mean `version`?"),
        ("inputs.n-1", "`inputs` has no `n-1`", "to subtract, put spaces around the `-`"),
        ("steps.biuld.output", "`steps` has no `biuld`", "did you mean `build`?"),
        ("steps.build.output.digst", "`steps.build.output` has no `digst`", "did you mean `digest`?"),
        ("steps.build.output.nested.zzz", "`steps.build.output.nested` has no `zzz`", "there is `a`"),
        ("inputs.none.x", "`inputs.none` is null, so it has no `.x`", None),
        ("inputs.n.real", "`inputs.n` is an integer, so it has no `.real`", None),
        ("inputs.list[7]", "`inputs.list` has 3 items, there is no [7]", None),
        ("inputs.list.append", "`inputs.list` is a list, so it has no `.append`", None),
        ("1 + 'a'", "`+` does not work between an integer and a text", "convert one of them with …"),
        ("'a' * 3", "`*` does not work between a text and an integer", "convert one of them with …"),
        ("'%s' % 1", "`%` does not work between a text and an integer", "convert one of them with …"),
        ("1 < 'a'", "`<` does not work between an integer and a text", "convert one of them with …"),
        ("true + 1", "`+` does not work between true or false and an integer", None),
        ("-'a'", "a sign does not work before a text", None),
        ("1 / 0", "division by zero", None),
        ("9 ** 64 ** 2", "a number becomes too large", None),
        ("99999999999999999999", "a number becomes too large", None),
        ("1e308 * 10", "a number becomes too large", None),
        ("int('x')", "the text 'x' is not an integer", None),
        ("bool('maybe')", "the text 'maybe' is neither true nor false", None),
        ("upper(1)", "`upper` takes a text, not an integer", "convert it with str()"),
        ("split('a', '')", "`split` cannot split at an empty text", None),
        ("min([])", "`min` of nothing", None),
        ("{1: 2}", "a key has to be a text, not an integer", None),
        ("inputs.n[0:1]", "`inputs.n` is an integer, it has no [a:b]", None),
        ("5 in 5", "an integer cannot contain anything", None),
    ],
)
def test_what_cannot_be_evaluated_is_named(expression: str, message: str, hint: str | None) -> None:
    with pytest.raises(ExpressionError) as e:
        value(expression)
    assert (e.value.message, e.value.where) == (message, "${{ " + expression + " }}")
    if hint is not None and hint.endswith("…"):
        assert str(e.value.hint).startswith(hint[:-1])
    else:
        assert e.value.hint == hint


@pytest.mark.parametrize(
    ("text", "message", "opening", "offset"),
    [
        ("${{ inputs.n", "`${{` is not closed by `}}`", 0, 0),
        ("${{ 1 }} $${{ ${{ 'a }}", "unexpected `'`", 1, 4),
        ("${{ 1 }} ${{ inputs.n", "`${{` is not closed by `}}`", 1, 0),
        ("${{ }}", "the expression is empty", 0, 3),
        ("${{ a }}", "`a` is not a known name", 0, 4),
        ("${{ inputs.n = 3 }}", "unexpected `=`", 0, 13),
        ("${{ inputs. n }}", "unexpected `.`", 0, 10),
        ("${{ foo(1) }}", "there is no function `foo`", 0, 4),
        ("${{ len(1, 2) }}", "`len` takes 1 arguments, not 2", 0, 4),
        ("${{ (1, 2) }}", "this is not part of the expression language", 0, 4),
        ("${{ (1 }}", "`(1` is not an expression", 0, 4),
        ("${{ 007 }}", "`007` is not an expression", 0, 4),
        ("${{ ~1 }}", "unexpected `~`", 0, 4),
        ("${{ 1 ? 2 : 3 }}", "unexpected `?`", 0, 6),
        ("${{ " + "(" * 300 + " }}", None, 0, None),
        ("${{ " + "not " * 900 + "1 }}", "the expression is too deeply nested", 0, None),
        ("${{ " + "1 + " * 2000 + "1 }}", "the expression is longer than 4096 characters", 0, 3),
    ],
)
def test_bad_syntax_has_a_position(text: str, message: str | None, opening: int, offset: int | None) -> None:
    with pytest.raises(BadSyntax) as e:
        check_syntax(text)
    assert message is None or e.value.message == message
    assert (e.value.opening, e.value.offset if offset is not None else None) == (opening, offset)


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "inputs.__class__",
        "inputs['__class__'].__mro__",
        "''.__class__",
        "''.format(1)",
        "len.__globals__",
        "len",
        "open('/etc/passwd')",
        "[x for x in inputs]",
        "{x: 1 for x in inputs}",
        "(lambda: 1)()",
        "f'{inputs}'",
        "b'x'",
        "(x := 1)",
        "inputs(1)",
        "inputs.n(1)",
        "len(*inputs.list)",
        "json(value=1)",
        "{**inputs}",
        "{1, 2}",
        "yield 1",
        "await inputs",
        "import os",
        "1; 2",
        "inputs.list[::2]",
        "1 is 1",
        "...",
        "1j",
        "secrets.TOKEN",
        "eval('1')",
        "inputs\n\n.n.x",
    ],
)
def test_nothing_gets_out(expression: str) -> None:
    with pytest.raises(ExpressionError):
        value(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "9**9**9**9",
        "2**64**64",
        "join(split('" + "a" * 3000 + "', 'a'), '" + "b" * 1000 + "')",
        "99999**64*99999**64*9**60",
    ],
)
def test_nothing_takes_long_or_grows_large(expression: str) -> None:
    started = time.perf_counter()
    with pytest.raises(ExpressionError):
        value(expression)
    assert time.perf_counter() - started < 1


def test_a_text_that_would_become_too_long_is_refused() -> None:
    scope = {"inputs": {"a": "x" * 600_000}}
    for text in ("${{ inputs.a + inputs.a }}", "${{ inputs.a }}${{ inputs.a }}"):
        with pytest.raises(ExpressionError, match="longer than 1,048,576 characters"):
            evaluate(text, scope)


def test_what_is_outside_the_scope_is_not_available() -> None:
    with pytest.raises(ExpressionError, match="`steps` is not available here"):
        evaluate("${{ steps.a.output }}", {"inputs": {}})


def test_references_are_chains_of_constant_keys() -> None:
    text = "${{ steps.a-b.output['x'][0] + inputs[env.A] }} ${{ default(execution.id, steps) }} inputs.n"
    assert sorted(map(str, references({"k": [text, 1]}))) == sorted(
        map(str, [("steps", "a-b", "output", "x", 0), ("inputs",), ("env", "A"), ("execution", "id"), ("steps",)])
    )


PIECES = (
    "inputs~.n~.list~[0]~[~]~(~)~+~-~*~**~/~%~!~&&~||~not ~in ~1~'a'~len(~json(~default(~,~:~{~}~true~null~<~==~ "
    '~steps.build~.output~if ~else ~9.5~\n~"~\\~é~range(~for ~0x1~1e5~join(~split('
)


@settings(max_examples=300)
@given(st.lists(st.sampled_from(PIECES.split("~")), max_size=12).map("".join) | st.text(max_size=30))
def test_any_expression_has_a_json_value_or_an_expression_error(expression: str) -> None:
    import json

    try:
        json.dumps(evaluate("${{" + expression + "}}", SCOPE), allow_nan=False)
    except ExpressionError:
        return


def test_checking_does_not_import_the_evaluator() -> None:
    code = (
        "import sys; from cerebelum.definition.expressions import check_syntax; check_syntax('${{ inputs.a }}');"
        "assert 'simpleeval' not in sys.modules and 'yaml' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
