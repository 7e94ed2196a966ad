"""Arguments of a command line, as text."""

from __future__ import annotations

from collections.abc import Iterable

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


def named_texts(pairs: Iterable[str], kind: str) -> dict[str, str]:
    """What several `--KIND NAME=TEXT` say. Raises UsageError for one that is none, and for a name given twice."""
    named: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = unicode_text(pair, f"the {kind}").partition("=")
        if not equals or not name:
            raise UsageError(f"--{kind} {pair!r} has no name and value", hint=f"write it like --{kind} name=value")
        if name in named:
            raise UsageError(f"the {kind} {name} is given twice")
        named[name] = text
    return named
