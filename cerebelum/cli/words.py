"""Arguments of a command line, as text."""

from __future__ import annotations

from cerebelum.core.errors import UsageError


def unicode_text(text: str, what: str) -> str:
    """The text, if it is text. Raises UsageError for arguments that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{what} {text!r} is not UTF-8", hint="write it in the terminal's encoding, UTF-8") from None
    if "\0" in text:
        raise UsageError(f"{what} {text!r} contains a NUL character")
    return text
