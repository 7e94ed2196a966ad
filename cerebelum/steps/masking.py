"""Keeping secrets out of everything that is stored or shown, also encoded, and split over any number of writes.

What is looked for is a set of byte patterns: each secret as it is and in the encodings in which tools print things. A
secret of several lines (a PEM key) is looked for line by line, because logs are printed that way.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cerebelum.core.errors import UsageError

MASK = "***"
MIN_LENGTH = 4
"""Characters a secret must have; masking shorter ones would wreck all output and hide nothing."""

_ARMOUR = r"-----(BEGIN|END)[ A-Z0-9]*-----"
_MASK = MASK.encode()

# A key of many lines makes hundreds of patterns. Looking at one 8-byte word in 24 bytes, all at once, tells whether any
# of them can be there: whatever is at least 31 bytes long covers such a word.
_WINDOW = 31
_MANY = 8
_HEX_LINE = 60
"""Digits in a line of `xxd -p`."""
_LINE = 76
"""Characters in a line of `base32`."""


def check_secret(name: str, value: str) -> None:
    """Raises UsageError if `value` is too short to be masked."""
    if len(value.strip()) < MIN_LENGTH:
        raise UsageError(
            f"the secret {name} has fewer than {MIN_LENGTH} characters",
            hint="so short a value cannot be masked in the output; use a longer one, or pass it as an input",
        )


class Masker:
    """Replaces secrets by `***`. One instance may serve many threads; `stream()` makes one for each stream."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        names: dict[bytes, str] = {}
        for name, value in secrets.items():
            for pattern in _patterns(value):
                names.setdefault(pattern, name)
        self._names = names
        # A pattern that contains another one is still needed: what is around the inner one is secret too.
        self.patterns = tuple(sorted(names, key=len, reverse=True))
        self._longest = len(self.patterns[0]) if self.patterns else 0
        self._long = tuple(pattern for pattern in self.patterns if len(pattern) >= _WINDOW)
        self._short = self.patterns[len(self._long) :]
        self._words = frozenset(_words(self._long)) if len(self._long) > _MANY else frozenset[int]()
        self._prefixes = frozenset(p[:size] for p in self.patterns for size in range(1, min(len(p), _WINDOW)))

    def __bool__(self) -> bool:
        """False if there is nothing to mask."""
        return bool(self.patterns)

    def text(self, text: str) -> str:
        """`text` with every secret in it replaced."""
        if not self.patterns:
            return text
        data = text.encode("utf-8", "surrogatepass")
        masked = self.data(data)
        return text if masked is data else masked.decode("utf-8", "surrogatepass")

    def data(self, data: bytes) -> bytes:
        """`data` with every secret in it replaced; the very same object if there is none."""
        spans = self._spans(data, 0)
        if not spans:
            return data
        return _cut(data, spans, 0, len(data))

    def value(self, value: Any) -> Any:
        """JSON-like data with every secret in its texts, keys and numbers replaced."""
        if not self.patterns or value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.value(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        if isinstance(value, int | float):
            masked = self.text(str(value))
            return value if masked == str(value) else masked
        return value

    def find(self, value: Any) -> str | None:
        """The name of the first secret that occurs in JSON-like data, as it is or encoded; None if none does."""
        if not self.patterns:
            return None
        for text in texts(value):
            data = text.encode("utf-8", "surrogatepass")
            for pattern in self.patterns:
                if pattern in data:
                    return self._names[pattern]
        return None

    def stream(self) -> MaskedStream:
        """A stream that masks what is fed to it piece by piece."""
        return MaskedStream(self)

    def _spans(self, data: bytes, covered: int) -> list[tuple[int, int]]:
        """Where secrets stand in `data`, merged where they overlap; the first `covered` bytes are known to be one."""
        spans = [(0, covered)] if covered else []
        for pattern in self._short if self._clear(data) else self.patterns:
            at = data.find(pattern)
            while at >= 0:
                spans.append((at, at + len(pattern)))
                at = data.find(pattern, at + 1)
        if len(spans) < 2:
            return spans
        spans.sort()
        merged = [spans[0]]
        for start, end in spans[1:]:
            if start < merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        return merged

    def _held(self, data: bytes) -> int:
        """Length of the longest end of `data` with which a secret could begin."""
        longest = data[-(self._longest - 1) :] if self._longest > _WINDOW else b""
        if len(longest) >= _WINDOW and not self._clear(longest):
            best = max(_overlap(longest, pattern) for pattern in self._long)
            if best:
                return best
        for size in range(min(len(data), _WINDOW - 1), 0, -1):
            if data[-size:] in self._prefixes:
                return size
        return 0

    def _clear(self, data: bytes) -> bool:
        """True if it is certain that no long pattern, nor as many bytes of one as count as long, is in `data`."""
        if not self._words:
            return False
        return self._words.isdisjoint(memoryview(data)[: len(data) // 8 * 8].cast("Q")[::3])


class MaskedStream:
    """Masks a stream of bytes; holds back only an end with which a secret could begin."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._held = b""
        self._covered = 0
        """How many of the held bytes belong to a secret for which `***` was given out already."""

    def feed(self, data: bytes) -> bytes:
        """The next piece; returns what can be given out by now."""
        if not self._masker.patterns:
            return data
        return self._pass(self._held + data if self._held else data, final=False)

    def flush(self) -> bytes:
        """What was held back; the stream has ended, or somebody waits for a complete line."""
        return self._pass(self._held, final=True)

    def _pass(self, data: bytes, *, final: bool) -> bytes:
        spans = self._masker._spans(data, self._covered)
        keep = 0 if final else self._masker._held(data)
        end = len(data) - keep
        covered, self._held, self._covered = self._covered, data[end:], 0
        for start, stop in spans:
            if start < end < stop or (start == 0 and covered and end < stop):
                self._covered = stop - end
        if not spans:
            return data if not keep else data[:end]
        return _cut(data, spans, covered, end)


def _overlap(data: bytes, pattern: bytes) -> int:
    """Length of the longest end of `data`, of at least `_WINDOW` bytes, with which `pattern` begins."""
    start = pattern[:_WINDOW]
    at = data.find(start, max(0, len(data) - len(pattern) + 1))
    while at >= 0:
        if pattern.startswith(data[at:]):
            return len(data) - at
        at = data.find(start, at + 1)
    return 0


def _words(patterns: Sequence[bytes]) -> Iterator[int]:
    for pattern in patterns:
        for at in range(len(pattern) - 7):
            yield int.from_bytes(pattern[at : at + 8], sys.byteorder)


def _cut(data: bytes, spans: list[tuple[int, int]], covered: int, end: int) -> bytes:
    """`data[:end]` with `***` for each span; a span over the first `covered` bytes has had its mask before."""
    parts, at = [], 0
    for start, stop in spans:
        if start >= end:
            break
        parts.append(data[at:start])
        if start > 0 or not covered:
            parts.append(_MASK)
        at = stop
    parts.append(data[at:end])
    return b"".join(parts)


def texts(value: Any) -> Iterator[str]:
    """Every text in a value, keys and numbers included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)


def _patterns(secret: str) -> set[bytes]:
    """All byte sequences that stand for `secret`."""
    lines = [line.strip() for line in secret.splitlines()]
    parts = [line for line in lines if len(line) >= MIN_LENGTH and not re.fullmatch(_ARMOUR, line)]
    if not parts:
        # Only short lines, or only armour: such a secret is looked for as a whole.
        parts = [secret]
    found: set[bytes] = set()
    for part in parts:
        found.update(_raw(form) for form in _spellings(part))
    for whole in {secret, secret.strip(), *(parts if len(parts) == 1 else ())}:
        data = _raw(whole)
        found.update(_base64(data))
        found.update(_hexadecimal(data))
        found.update(_base32(data))
    return {pattern for pattern in found if len(pattern) >= MIN_LENGTH}


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
    """In one piece, wrapped as `xxd -p` does, and byte by byte with colons or blanks between, in either case."""
    plain = data.hex()
    found = {plain, data.hex(":"), data.hex(" ")}
    if len(plain) > _HEX_LINE:
        found.update(plain[at : at + _HEX_LINE] for at in range(0, len(plain), _HEX_LINE))
    return {form.encode() for text in found for form in (text, text.upper())}


def _base32(data: bytes) -> set[bytes]:
    """What is left of `data` in any Base32 text that contains it, as `_base64` has it."""
    from base64 import b32encode

    found = set()
    for before in range(5):
        encoded = b32encode(bytes(before) + data)
        found.add(encoded[-(-before * 8 // 5) : (before + len(data)) * 8 // 5])
    alone = b32encode(data)[: len(data) * 8 // 5]
    if len(alone) > _LINE:
        found.update(alone[at : at + _LINE] for at in range(0, len(alone), _LINE))
    return found


def _base64(data: bytes) -> set[bytes]:
    from base64 import b64encode, urlsafe_b64encode

    """What is left of `data` in any Base64 text that contains it, wherever it begins, and when wrapped in lines."""
    found = set()
    for encode in (b64encode, urlsafe_b64encode):
        for before in range(3):
            encoded = encode(bytes(before) + data)
            # The characters that no neighbouring byte has a part in.
            found.add(encoded[(0, 2, 3)[before] : (before + len(data)) * 8 // 6])
        alone = encode(data)[: len(data) * 8 // 6]
        for width in (64, 76):
            if len(alone) > width:
                found.update(alone[at : at + width] for at in range(0, len(alone), width))
    return found


def _raw(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
