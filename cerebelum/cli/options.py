"""Options that several verbs have, and how their values are read."""

from __future__ import annotations

import click

from cerebelum.core.errors import UsageError

JSON = click.Option(["--json", "as_json"], is_flag=True, help="Print JSON instead of text.")
QUIET = click.Option(["-q", "--quiet"], is_flag=True, help="Show failures and the last line only.")
ID = click.Argument(["execution_id"], metavar="[ID]", default="last")


def unicode_text(text: str, what: str) -> str:
    """The text, if it is text. Raises UsageError for arguments that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{what} {text!r} is not UTF-8", hint="write it in the terminal's encoding, UTF-8") from None
    if "\0" in text:
        raise UsageError(f"{what} {text!r} contains a NUL character")
    return text
