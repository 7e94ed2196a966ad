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
from cerebelum.steps.secret_forms import GAPS, MIN_LENGTH, forms_of

MASK = "***"
_MASK = MASK.encode()

# A key of many lines makes hundreds of patterns. Looking at one 8-byte word in 24 bytes, all at once, tells whether any
# of them can be there: whatever is at least 31 bytes long covers such a word.
_WINDOW = 31
_MANY = 8
_ENOUGH = 3
"""Characters of a form before a gap from which on it is held back."""


def check_secret(name: str, value: str) -> None:
    """Raises UsageError if `value` is too short to be masked."""
    if len(value.strip()) < MIN_LENGTH:
        raise UsageError(
            f"the secret {name} has fewer than {MIN_LENGTH} characters",
            hint="so short a value cannot be masked in the output; use a longer one, or pass it as an input",
        )


class _Needles:
    """Byte sequences that are looked for all at once."""

    def __init__(self, patterns: Sequence[bytes]) -> None:
        self._longest = len(patterns[0]) if patterns else 0
        self._long = tuple(pattern for pattern in patterns if len(pattern) >= _WINDOW)
        self._short = patterns[len(self._long) :]
        self._every = patterns
        self._words = frozenset(_words(self._long)) if len(self._long) > _MANY else frozenset[int]()
        self._prefixes = frozenset(p[:size] for p in patterns for size in range(1, min(len(p), _WINDOW)))

    def in_question(self, data: bytes) -> Sequence[bytes]:
        """Those that may be in `data`."""
        return self._short if self._clear(data) else self._every

    def overhang(self, data: bytes) -> int:
        """Length of the longest end of `data` with which one of them could begin."""
        longest = data[-(self._longest - 1) :] if self._longest > _WINDOW else b""
        if len(longest) >= _WINDOW and not self._clear(longest):
            best = max(_overlap(longest, pattern) for pattern in self._long)
            if best:
                return best
        for size in range(min(len(data), _WINDOW - 1), 0, -1):
            if data[-size:] in self._prefixes:
                return size
        return 0

    def reach(self) -> int:
        """Bytes at the end of data that `overhang` looks at."""
        return max(self._longest, _WINDOW)

    def _clear(self, data: bytes) -> bool:
        """True if it is certain that no long one, nor as many bytes of one as count as long, is in `data`."""
        if not self._words:
            return False
        return self._words.isdisjoint(memoryview(data)[: len(data) // 8 * 8].cast("Q")[::3])


class Masker:
    """Replaces secrets by `***`. One instance may serve many threads; `stream()` makes one for each stream."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        names: dict[bytes, str] = {}
        wrapped: dict[bytes, tuple[bytes, bytes]] = {}
        self._names_dense: dict[bytes, str] = {}
        for name, value in secrets.items():
            forms = forms_of(value)
            for pattern in forms.plain:
                names.setdefault(pattern, name)
            for dense, form in forms.wrapped.items():
                wrapped.setdefault(dense, form)
                self._names_dense.setdefault(dense, name)
        self._names = names
        # A pattern that contains another one is still needed: what is around the inner one is secret too.
        self.patterns = tuple(sorted(names, key=len, reverse=True))
        # What is found with gaps is found without.
        gapped = {form for form, _ in wrapped.values()}
        self._plain = _Needles(tuple(pattern for pattern in self.patterns if pattern not in gapped))
        self._wrapped = _Needles(tuple(sorted(wrapped, key=len, reverse=True)))
        self._forms = wrapped
        self._expressions: dict[bytes, re.Pattern[bytes]] = {}

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
        return _cut(data, spans, 0, 0, len(data))

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
            for dense, _ in self._gapped(data):
                return self._names_dense[dense]
        return None

    def stream(self) -> MaskedStream:
        """A stream that masks what is fed to it piece by piece."""
        return MaskedStream(self)

    def _spans(self, data: bytes, covered: int) -> list[tuple[int, int]]:
        """Where secrets stand in `data`, merged where they overlap; the first `covered` bytes are known to be one."""
        spans = [(0, covered)] if covered else []
        for pattern in self._plain.in_question(data):
            at = data.find(pattern)
            while at >= 0:
                spans.append((at, at + len(pattern)))
                at = data.find(pattern, at + 1)
        spans += [span for _, span in self._gapped(data)]
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

    def _gapped(self, data: bytes) -> Iterator[tuple[bytes, tuple[int, int]]]:
        """Where forms of secrets stand with gaps in them."""
        dense = data.translate(None, GAPS)
        for pattern in self._wrapped.in_question(dense):
            if pattern not in dense:
                continue
            expression = self._expressions.get(pattern)
            if expression is None:
                form, gap = self._forms[pattern]
                expression = re.compile(gap.join(re.escape(form[at : at + 1]) for at in range(len(form))))
                self._expressions[pattern] = expression
            match = expression.search(data)
            while match is not None:
                yield pattern, match.span()
                match = expression.search(data, match.start() + 1)

    def _overhang(self, data: bytes) -> tuple[int, int]:
        """Bytes at the end of `data` with which a secret could begin: to be held back, and to be remembered at least.

        What ends in a gap is held back only if much of a form is there: lines that end in the first letter of one are
        common, and somebody waits for them.
        """
        keep = self._plain.overhang(data)
        tail = data[-8 * self._wrapped.reach() :]
        size = self._wrapped.overhang(tail.translate(None, GAPS))
        if not size:
            return keep, keep
        start = len(tail)
        while size:
            start -= 1
            size -= tail[start] not in GAPS
        end = tail[start:]
        enough = len(end.translate(None, GAPS)) >= _ENOUGH or end.translate(None, GAPS) == end
        return (max(keep, len(end)) if enough else keep), max(keep, len(end))


class MaskedStream:
    """Masks a stream of bytes; holds back only an end with which a secret could begin."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._held = b""
        """What is looked at again with what comes: first what was given out already, then what was held back."""
        self._given = 0
        """How many of these bytes were given out."""
        self._covered = 0
        """How many of these bytes belong to a secret for which `***` was given out already."""

    def feed(self, data: bytes) -> bytes:
        """The next piece; returns what can be given out by now."""
        if not self._masker.patterns:
            return data
        return self._pass(self._held + data if self._held else data, final=False)

    def flush(self) -> bytes:
        """What was held back; the stream has ended, or somebody waits for a complete line."""
        return self._pass(self._held, final=True) if self._held else b""

    def _pass(self, data: bytes, *, final: bool) -> bytes:
        spans = self._masker._spans(data, self._covered)
        keep, remember = self._masker._overhang(data)
        given, covered = self._given, self._covered
        end = len(data) if final else max(len(data) - keep, given)
        first = min(len(data) - remember, end)
        for _, stop in spans:
            # What is masked is not remembered as having been given out.
            first = end if first < stop <= end else first
        self._held, self._given, self._covered = data[first:], end - first, 0
        for start, stop in spans:
            if start < end < stop or (start == 0 and covered and end < stop):
                self._held, self._given, self._covered = data[end:], 0, stop - end
        if not spans and not given:
            return data[:end] if end < len(data) else data
        return _cut(data, spans, covered, given, end)


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


def _cut(data: bytes, spans: list[tuple[int, int]], covered: int, given: int, end: int) -> bytes:
    """`data[given:end]` with `***` for each span; a span over the first `covered` bytes has had its mask before."""
    parts, at = [], given
    for start, stop in spans:
        if start >= end:
            break
        if stop <= given:
            continue
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
