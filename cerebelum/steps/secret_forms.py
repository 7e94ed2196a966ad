"""How a secret may look: as it is and in the encodings in which tools print things, also wrapped in lines."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

MIN_LENGTH = 4
"""Characters a secret must have; masking shorter ones would wreck all output and hide nothing."""
GAPS = b" \t\r\n:"
"""What may stand between the characters of an encoded secret: line breaks with indentation, colons, blanks."""

_ARMOUR = r"-----(BEGIN|END)[ A-Z0-9]*-----"
_MIN_WRAPPED = 8
"""Characters a form must have to be looked for with gaps in it: shorter ones would be found by chance."""
_ENCODED_GAP = rb"[ \t\r\n:]{0,80}"
_FOLDED_GAP = rb"(?:\r?\n)?"


class Forms(msgspec.Struct, frozen=True):
    """What to look for."""

    plain: set[bytes]
    """Byte sequences that stand for the secret."""
    wrapped: dict[bytes, tuple[bytes, bytes]]
    """Those that are also looked for with gaps: by their bytes without any GAPS, the form itself, and a regular
    expression for a gap between two characters."""


def forms_of(secret: str) -> Forms:
    """All forms of a secret. Of one with several lines each line counts, and of JSON each value in it."""
    found = Forms(set(), {})
    parts = list(dict.fromkeys(_parts(secret)))
    for part in parts:
        found.plain.update(_raw(form) for form in _spellings(part))
        _add_wrapped(found, _raw(part), _FOLDED_GAP)
    if len(parts) > 1:
        # A key whose lines are broken elsewhere.
        _add_wrapped(found, b"".join(_raw(part) for part in parts), _FOLDED_GAP)
    for whole in {secret, secret.strip(), *_values(secret), *(parts if len(parts) == 1 else ())}:
        data = _raw(whole)
        for encoded in (*_base64(data), *_hexadecimal(data), *_base32(data)):
            found.plain.add(encoded)
            _add_wrapped(found, encoded.translate(None, GAPS), _ENCODED_GAP)
        found.plain.update(_lines_alone(data))
    short = {form for form in found.plain if len(form) < MIN_LENGTH}
    return Forms(found.plain - short, found.wrapped)


def _add_wrapped(found: Forms, form: bytes, gap: bytes) -> None:
    dense = form.translate(None, GAPS)
    if len(dense) >= _MIN_WRAPPED:
        found.wrapped.setdefault(dense, (form, gap))


def _parts(secret: str) -> list[str]:
    """What is looked for on its own."""
    lines = [line.strip() for line in secret.splitlines()]
    parts = [line for line in lines if len(line) >= MIN_LENGTH and not re.fullmatch(_ARMOUR, line)]
    # Only short lines, or only armour: such a secret is looked for as a whole.
    return [*(parts or [secret]), *_values(secret)]


def _values(secret: str) -> list[str]:
    """The texts and numbers in a secret that is a JSON object or list."""
    if secret.lstrip()[:1] not in ("{", "["):
        return []
    import json

    try:
        return [text for text in _leaves(json.loads(secret)) if len(text.strip()) >= MIN_LENGTH]
    except (ValueError, RecursionError):
        return []


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
        if "\n" in value:
            yield from (line.strip() for line in value.splitlines() if not re.fullmatch(_ARMOUR, line.strip()))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)


def _spellings(text: str) -> set[str]:
    """`text` as it is, and as it looks URL-encoded, in JSON, in XML, in Python's repr and in a shell's trace."""
    found = {text}
    if text.isascii() and text.isalnum():
        return found
    import html
    import json
    from urllib.parse import quote, quote_plus

    data = _raw(text)
    for safe in ("", "/", "!'()*", "!'()*/"):
        for quoted in (quote(data, safe=safe), quote_plus(data, safe=safe)):
            found.update((quoted, re.sub("%..", lambda match: match[0].lower(), quoted)))
    for ascii_only in (True, False):
        escaped = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        found.update((escaped, escaped.replace("/", "\\/")))
    # shlex.quote, and what bash prints for `printf %q`.
    found.update((text.replace("'", "'\"'\"'"), re.sub(r"([^\w@%+=:./~-])", r"\\\1", text, flags=re.ASCII)))
    found.update((html.escape(text), html.escape(text, quote=False), repr(text)[1:-1], text.replace("'", "'\\''")))
    return found


def _hexadecimal(data: bytes) -> set[bytes]:
    """In either case; with colons or blanks between the bytes, too, for secrets too short to be found with gaps."""
    plain = data.hex()
    found = {plain, data.hex(":"), data.hex(" ")}
    return {form.encode() for text in found for form in (text, text.upper())}


def _base32(data: bytes) -> set[bytes]:
    """What is left of `data` in any Base32 text that contains it, as `_base64` has it."""
    from base64 import b32encode

    found = set()
    for before in range(5):
        encoded = b32encode(bytes(before) + data)
        found.add(encoded[-(-before * 8 // 5) : (before + len(data)) * 8 // 5])
    return found


def _base64(data: bytes) -> set[bytes]:
    """What is left of `data` in any Base64 text that contains it, wherever it begins."""
    from base64 import b64encode, urlsafe_b64encode

    found = set()
    for encode in (b64encode, urlsafe_b64encode):
        for before in range(3):
            encoded = encode(bytes(before) + data)
            # The characters that no neighbouring byte has a part in.
            found.add(encoded[(0, 2, 3)[before] : (before + len(data)) * 8 // 6])
    return found


def _lines_alone(data: bytes) -> Iterator[bytes]:
    """The single lines of what tools wrap at a width of their own: somebody may print one of them."""
    from base64 import b32encode, b64encode, urlsafe_b64encode

    digits, most = data.hex().encode(), len(data) * 8
    for text, width in (
        (digits, 60),
        (digits.upper(), 60),
        (b32encode(data)[: most // 5], 76),
        *((encode(data)[: most // 6], width) for encode in (b64encode, urlsafe_b64encode) for width in (64, 76)),
    ):
        if len(text) > width:
            yield from (text[at : at + width] for at in range(0, len(text), width))


def _raw(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
