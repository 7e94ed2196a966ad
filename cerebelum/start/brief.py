"""Answers what is asked most, `list` and `status ID`, before the library that reads command lines is loaded.

Loading that takes a quarter of such a command's time. What has further options goes the long way, to the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from cerebelum.cli.answers import COUNT_TO, LIMIT, show_list, show_status
from cerebelum.cli.tools import Tools
from cerebelum.store import Query


def perform(arguments: Sequence[str], tools: Tools) -> int | None:
    """Perform a command line of the kinds above and return the exit code; None for any other."""
    verb, rest = arguments[0] if arguments else "", [*arguments[1:]]
    if "_CEREBELUM_COMPLETE" in tools.environ or not all(map(_is_plain, arguments)):
        return None
    if as_json := "--json" in rest:
        rest.remove("--json")
    if verb == "list" and not rest:
        return show_list(tools, Query(limit=LIMIT, count_to=COUNT_TO), as_json=as_json)
    if verb == "status" and (not rest or (len(rest) == 1 and not rest[0].startswith("-"))):
        return show_status(tools, rest[0] if rest else "last", None, as_json=as_json)
    return None


def _is_plain(argument: str) -> bool:
    return argument.isascii() and argument.isprintable()
