"""Whole, harmless lines out of what comes in pieces, progress bars reduced to what they left standing."""

from __future__ import annotations

from cerebelum.render.display import harmless_data

_LONGEST_LINE = 64 << 10
"""Bytes of an unfinished line that are held back before they are shown as if it had ended."""


class Lines:
    """Makes whole, harmless lines of one stream's output, each behind a prefix."""

    def __init__(self, prefix: bytes) -> None:
        self._held = b""
        self.prefix(prefix)

    def prefix(self, prefix: bytes) -> None:
        """Put this before every line from now on."""
        self._prefix = prefix
        self._between = b"\n" + prefix

    def feed(self, data: bytes) -> bytes:
        """The lines that `data` completes, ready to be shown."""
        whole, newline, rest = data.rpartition(b"\n")
        if not newline:
            self._held += rest
            if b"\r" in rest:
                self._held = _after_return(self._held)
            if len(self._held) < _LONGEST_LINE:
                return b""
            whole, self._held = _cut(self._held)
        else:
            whole, self._held = self._held + whole, rest
        return self._shown(whole)

    def flush(self) -> bytes:
        """The unfinished line, as if it had ended."""
        held, self._held = self._held, b""
        return self._shown(held) if held else b""

    def _shown(self, block: bytes) -> bytes:
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n")
            block = b"\n".join([_after_return(line.rstrip(b"\r")) for line in block.split(b"\n")])
        return self._prefix + harmless_data(block).replace(b"\n", self._between) + b"\n"


def _after_return(line: bytes) -> bytes:
    """What a progress bar left standing: the text after the last carriage return that has any behind it."""
    ends = len(line) - len(line.rstrip(b"\r"))
    body = line[: len(line) - ends] if ends else line
    return body.rpartition(b"\r")[2] + line[len(line) - ends :] if ends else body.rpartition(b"\r")[2]


def _cut(data: bytes) -> tuple[bytes, bytes]:
    """`data` in two, not inside a UTF-8 character."""
    end = len(data)
    while end > len(data) - 4 and data[end - 1] & 0xC0 == 0x80:
        end -= 1
    if data[end - 1] >= 0xC0:
        end -= 1
    else:
        end = len(data)
    return data[:end], data[end:]
