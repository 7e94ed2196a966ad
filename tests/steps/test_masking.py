"""No secret gets out: not encoded, not in pieces, not as a single line; and everything else gets out unchanged."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerebelum.core.errors import UsageError
from cerebelum.steps.masking import MASK, Masker, check_secret

# Without asterisks: text around a mask could otherwise look like such a secret again.
SECRETS = st.dictionaries(
    st.sampled_from(["A", "B", "C"]),
    st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="*"), min_size=4, max_size=12).filter(
        lambda text: len(text.strip()) >= 4
    )
    | st.text("ab", min_size=4, max_size=8),
    min_size=1,
)
PEM = (
    "-----BEGIN PRIVATE KEY-----\n" + base64.encodebytes(bytes(range(256)) * 3).decode() + "-----END PRIVATE KEY-----\n"
)


def streamed(masker: Masker, data: bytes, cuts: list[int]) -> bytes:
    stream, out, at = masker.stream(), b"", 0
    for cut in sorted(cut % (len(data) + 1) for cut in cuts):
        out += stream.feed(data[at:cut])
        at = cut
    return out + stream.feed(data[at:]) + stream.flush()


@given(SECRETS, st.data())
def test_no_form_of_a_secret_survives_any_split_into_writes(secrets: dict[str, str], data: st.DataObject) -> None:
    masker = Masker(secrets)
    parts = data.draw(
        st.lists(st.sampled_from(masker.patterns) | st.binary(max_size=6) | st.sampled_from([b"a", b"ab"]))
    )
    text = b"".join(parts)
    out = streamed(masker, text, data.draw(st.lists(st.integers(0, 1000), max_size=12)))
    assert not [pattern for pattern in masker.patterns if pattern in out]
    assert out == masker.data(text)


@given(st.binary(), st.lists(st.integers(0, 1000), max_size=8), SECRETS)
def test_what_holds_no_secret_passes_unchanged(text: bytes, cuts: list[int], secrets: dict[str, str]) -> None:
    masker = Masker(secrets)
    if not any(pattern in text for pattern in masker.patterns):
        assert streamed(masker, text, cuts) == text
        assert masker.data(text) is text


@given(SECRETS, st.binary(max_size=5), st.binary(max_size=5))
def test_base64_of_a_text_around_a_secret_does_not_give_it_away(
    secrets: dict[str, str], before: bytes, after: bytes
) -> None:
    masker = Masker(secrets)
    for secret in secrets.values():
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            assert MASK.encode() in masker.data(encode(before + secret.encode() + after))


@pytest.mark.parametrize(
    "form",
    [
        lambda s: base64.b64encode(s.encode()).decode(),
        lambda s: base64.encodebytes(s.encode()).decode(),
        lambda s: quote(s, safe=""),
        quote_plus,
        lambda s: re.sub("%..", lambda match: match[0].lower(), quote(s, safe="")),
        json.dumps,
        lambda s: json.dumps(s, ensure_ascii=False),
        lambda s: s.encode().hex(),
        lambda s: s.replace("'", "'\\''"),
        repr,
    ],
)
def test_a_secret_with_special_characters_is_found_in_each_encoding(form: object) -> None:
    secret = "pä\"ss/wö'rd & <x> é"
    text = form(secret)  # type: ignore[operator]
    masker = Masker({"PASSWORD": secret})
    assert MASK in masker.text(f"before {text} after")
    assert masker.find({"k": [text]}) == "PASSWORD"


@pytest.mark.parametrize("width", [64, 76])
def test_base64_of_a_long_secret_wrapped_in_lines_is_masked_to_its_last_line(width: int) -> None:
    encoded = base64.b64encode(os.urandom(300)).decode()
    secret = base64.b64decode(encoded).hex()
    alone = base64.b64encode(secret.encode()).decode()
    lines = [alone[at : at + width] for at in range(0, len(alone), width)]
    masker = Masker({"KEY": secret})
    assert masker.text("\r\n".join(lines)).rstrip("=") in (MASK, MASK * 2)
    assert {masker.text(line).rstrip("=") for line in lines[:-1]} == {MASK}, "each line alone, too"


WIDE = "wJalrXUtnFEMI/K7MDENG+bPxRfiCY-EXAMPLE_KEY"
WRAPPED: dict[str, Callable[[bytes], str]] = {
    "base64": lambda data: base64.b64encode(data).decode(),
    "urlsafe": lambda data: base64.urlsafe_b64encode(data).decode(),
    "base32": lambda data: base64.b32encode(data).decode(),
    "hex": lambda data: data.hex(),
    "HEX": lambda data: data.hex().upper(),
    "openssl": lambda data: data.hex(":"),
    "itself": lambda data: data.decode(),
}


@pytest.mark.parametrize("form", sorted(WRAPPED))
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_form_wrapped_at_any_width_is_masked_however_it_is_written(form: str, end: str) -> None:
    masker, text = Masker({"S": WIDE}), WRAPPED[form](WIDE.encode())
    for width in range(1, len(text) + 1):
        said = end.join(text[at : at + width] for at in range(0, len(text), width)).encode()
        whole = b"<" + masker.data(b"before " + said + b" after") + b">"
        left = whole.replace(MASK.encode(), b"").translate(None, b"=:\r\n")
        assert len(left) <= len("<before  after>") + 1, (width, left)
        # A line at a time, as somebody types: at most the first two characters are out before there is a suspicion.
        stream, out = masker.stream(), b""
        for line in said.splitlines(keepends=True):
            out += stream.feed(line)
        out += stream.feed(b" after") + stream.flush()
        left = out.replace(MASK.encode(), b"").translate(None, b"=:\r\n")
        assert len(left) <= len(" after") + 3, (width, out)


def test_the_body_of_a_key_wrapped_elsewhere_is_masked() -> None:
    body = "".join(PEM.splitlines()[1:-1])
    for width in (10, 50, 65, 100):
        said = "\n".join(body[at : at + width] for at in range(0, len(body), width))
        assert Masker({"KEY": PEM}).text(f"<{said}>") == f"<{MASK}>"


def test_each_value_of_a_secret_in_json_is_masked_and_its_braces_are_not() -> None:
    inner = {"user": "deploy-bot", "key": PEM, "pins": [123456, 1.25], "deep": {"token": 'quo"ted-token'}, "on": True}
    for secret in (json.dumps(inner, indent=2), json.dumps(inner)):
        masker = Masker({"ACCOUNT": secret})
        for value in ("deploy-bot", "123456", "1.25", 'quo"ted-token', PEM.splitlines()[3]):
            assert masker.text(f"<{value}>") == f"<{MASK}>", value
        assert MASK in masker.text(base64.b64encode(b'x quo"ted-token').decode())
        for harmless in ("{", "}", "  },", "[1, 2]", '{"a": {}}', "true", "-----BEGIN PRIVATE KEY-----"):
            assert masker.text(harmless) == harmless


def test_a_line_that_ends_like_the_beginning_of_a_form_is_not_held_back_for_that() -> None:
    stream = Masker({"A": "hunter2!"}).stream()
    first = base64.b64encode(b"hunter2!")[:1]
    line = b"a line that ends in " + first + b"\n"
    assert stream.feed(line) == line


@pytest.mark.parametrize("secret", ["it's $ecret; no?", "p4ss word!", "tok'en\\x", "a,b~c{d}e"])
def test_what_quotes_for_a_shell_does_not_give_a_secret_away(secret: str) -> None:
    command = ["bash", "-c", 'printf "%q\\n" "$1"', "-", secret]
    quoted = subprocess.run(command, capture_output=True, check=True).stdout
    for said in (quoted, shlex.quote(secret).encode()):
        masked = Masker({"S": secret}).data(said)
        assert set(masked.decode().strip()) <= set("*'\""), masked


@pytest.mark.parametrize("size", [5, 29, 30, 31, 64, 200])
def test_hexadecimal_and_base32_are_masked_wrapped_separated_and_in_either_case(size: int) -> None:
    secret = ("s3cr3t-" + "0123456789abcdefghijklmnopqrstuvwxyz" * 6)[:size]
    data, masker = secret.encode(), Masker({"S": secret})
    plain = data.hex()
    wrapped = "\n".join(plain[at : at + 60] for at in range(0, len(plain), 60))
    forms = [plain, data.hex(":"), data.hex(" "), wrapped, base64.b32encode(data).decode().rstrip("=")[: size * 8 // 5]]
    for form in forms:
        for said in (form, form.upper()):
            left = masker.data(said.encode()).replace(MASK.encode(), b"").strip()
            assert len(left) < 4, (said, left)


def test_every_line_of_a_key_is_masked_alone_but_not_its_armour() -> None:
    masker = Masker({"KEY": PEM})
    lines = PEM.splitlines()
    for line in lines[1:-1]:
        assert masker.text(f"| {line} |") == f"| {MASK} |"
    assert masker.text(lines[0]) == lines[0]
    assert masker.text("-----END PRIVATE KEY-----") == "-----END PRIVATE KEY-----"


def test_a_key_is_found_at_every_position_of_a_large_block() -> None:
    masker = Masker({"KEY": PEM})
    line = PEM.splitlines()[3].encode()
    for offset in range(50):
        assert line not in masker.data(b"x" * offset + line + b"y" * 100)


@given(st.integers(0, 10), st.integers(0, 10), st.lists(st.integers(0, 3000), max_size=20))
def test_a_key_split_anywhere_is_masked_as_in_one_piece(first: int, last: int, cuts: list[int]) -> None:
    masker, encoded = Masker({"KEY": PEM}), base64.b64encode(PEM.encode())
    text = b"x" * first + PEM.encode() + encoded[first : len(encoded) - last] + encoded + PEM.encode().hex().encode()
    out = streamed(masker, text, cuts)
    assert out == masker.data(text)
    assert not [pattern for pattern in masker.patterns if pattern in out]


def test_one_secret_inside_or_overlapping_another_leaves_nothing_of_either() -> None:
    assert Masker({"A": "abcdef", "B": "defghi"}).text("<abcdefghi>") == f"<{MASK}>"
    assert Masker({"A": "token", "B": "my-token-long"}).text("<my-token-long>") == f"<{MASK}>"
    stream = Masker({"A": "abcdef", "B": "defghi"}).stream()
    assert stream.feed(b"<abcdef") + stream.feed(b"xx>") + stream.flush() == b"<***xx>"


def test_only_what_could_begin_a_secret_is_held_back() -> None:
    stream = Masker({"A": "hunter2!"}).stream()
    assert stream.feed(b"waiting for input: ") == b"waiting for input: "
    assert stream.feed(b"the hunt") == b"the "
    assert stream.feed(b" is on") == b"hunt is on"
    assert stream.feed(b"hunter2") == b""
    assert stream.flush() == b"hunter2"


def test_nothing_is_copied_when_there_are_no_secrets() -> None:
    masker, block, tree = Masker({}), b"some output", {"a": ["b"]}
    assert not masker
    assert masker.stream().feed(block) is block
    assert masker.value(tree) is tree
    assert masker.find(tree) is None


def test_nested_data_is_masked_in_texts_keys_and_numbers() -> None:
    masker = Masker({"PIN": "12345", "WORD": "hunter2"})
    assert masker.value({"hunter2 x": [1, 12345, True, None, "a hunter2"]}) == {
        "*** x": [1, "***", True, None, "a ***"]
    }
    assert masker.find({"a": {"b": [0, {"hunter2": 1}]}}) == "WORD"
    assert masker.find([99123459]) == "PIN"
    assert masker.find({"a": "harmless"}) is None


def test_text_with_lone_surrogates_can_be_masked() -> None:
    assert Masker({"A": "hunter2"}).text("\udcff hunter2") == "\udcff ***"


@pytest.mark.parametrize("value", ["", "abc", " ab \n"])
def test_a_secret_too_short_to_be_masked_is_refused_by_name(value: str) -> None:
    with pytest.raises(UsageError, match="MY_TOKEN"):
        check_secret("MY_TOKEN", value)
    check_secret("MY_TOKEN", "abcd")
