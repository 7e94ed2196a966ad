"""Answers what is asked most before the library that reads command lines is loaded: `list`, `status ID`, `run FILE`.

Loading that takes a quarter of a short command's time, and a tenth of a short workflow's. What has further options goes
the long way, to the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cerebelum.cli.answers import COUNT_TO, LIMIT, show_list, show_status
from cerebelum.cli.tools import Tools
from cerebelum.store import Query

if TYPE_CHECKING:
    from cerebelum.cli.manner import Manner

_SWITCHES = {"--json": "as_json", "-q": "quiet", "--quiet": "quiet", "--or-resume": "or_resume"}
_INPUT = ("-i", "--input")


def perform(arguments: Sequence[str], tools: Tools, before_work: Callable[[], None]) -> int | None:
    """Perform a command line of the kinds above and return the exit code; None for any other.

    `before_work` is called before other people's code may be.
    """
    verb, rest = arguments[0] if arguments else "", [*arguments[1:]]
    if "_CEREBELUM_COMPLETE" in tools.environ or not all(map(_is_plain, arguments)):
        return None
    if verb == "run":
        said = run_options(rest)
        if said is None:
            return None
        from cerebelum.cli.starting import run

        before_work()
        return run(tools, **said)
    if as_json := "--json" in rest:
        rest.remove("--json")
    if verb == "list" and not rest:
        return show_list(tools, Query(limit=LIMIT, count_to=COUNT_TO), as_json=as_json)
    if verb == "status" and (not rest or (len(rest) == 1 and not rest[0].startswith("-"))):
        return show_status(tools, rest[0] if rest else "last", None, as_json=as_json)
    return None


def run_options(rest: Sequence[str]) -> dict[str, Any] | None:
    """What `run` is given by what stands behind it; None if that says more than which file, inputs and id."""
    manner: Manner = {
        "by": None,
        "as_json": False,
        "quiet": False,
        "output": None,
        "verbose": False,
        "summary": True,
        "junit": None,
        "log_limit": None,
        "park": False,
        "park_after": None,
        "detach": False,
        "here": False,
    }
    said: dict[str, Any] = {"execution_id": None, "or_resume": False, **manner}
    files, inputs, words = [], [], iter(rest)
    for word in words:
        if word in _SWITCHES:
            said[_SWITCHES[word]] = True
        elif word in _INPUT or word == "--id":
            value = next(words, "-")
            if value.startswith("-") or (word == "--id" and said["execution_id"] is not None):
                return None
            if word == "--id":
                said["execution_id"] = value
            else:
                inputs.append(value)
        elif word.startswith("-"):
            return None
        else:
            files.append(word)
    if len(files) != 1:
        return None
    rare = {"inputs_file": None, "tags": (), "correlation_id": None, "lock": None, "dry_run": False}
    return {"file": files[0], "input_pairs": tuple(inputs), **rare, **said}


def _is_plain(argument: str) -> bool:
    return argument.isascii() and argument.isprintable()
