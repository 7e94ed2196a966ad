"""Whether bash understands a script, asked of bash itself without performing anything (`bash -n`)."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

_PLAIN = r"[\w ./:=,@%+^-]*"
_RESERVED = r"\b(?:if|then|elif|else|fi|for|in|while|until|do|done|case|esac|select|function|coproc|time)\b"
_MESSAGE = r".*?-c: line (\d+): (.*)"
_SECONDS = 10.0
_QUOTES = {"'": "a single quote", '"': "a double quote", "`": "a backtick"}

Flaw = tuple[int, str]
"""The line of a script, from 1, and what is wrong there."""


def flaws(scripts: Sequence[str]) -> list[Flaw | None]:
    """For each script, the first thing that bash does not understand; None for all of them where there is no bash."""
    bash = shutil.which("bash")
    asked = [script for script in dict.fromkeys(scripts) if not _is_plain(script)]
    if bash is None or not asked:
        return [None] * len(scripts)
    with ThreadPoolExecutor(max_workers=4) as pool:
        found = dict(zip(asked, pool.map(partial(_flaw, bash), asked), strict=True))
    return [found.get(script) for script in scripts]


def _is_plain(script: str) -> bool:
    """Whether these are words that nothing can be wrong with."""
    return re.fullmatch(_PLAIN, script) is not None and not re.search(_RESERVED, script)


def _flaw(bash: str, script: str) -> Flaw | None:
    # What turns extended patterns on would do so before bash reads the line that uses them.
    options = ["-O", "extglob"] if "extglob" in script else []
    command = [bash, "--noprofile", "--norc", *options, "-n", "-c", script]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            env={"LC_ALL": "C"},
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        # A script that is too long for an argument, among others.
        return None
    said = done.stderr.decode("utf-8", "replace").splitlines()
    for line in said:
        if done.returncode and (match := re.fullmatch(_MESSAGE, line)):
            number = min(int(match[1]), len(script.splitlines()) or 1)
            return None if _left_before(bash, script) else (number, re.sub("`(.+)'", _token, match[2]))
    return None


def _left_before(bash: str, script: str) -> bool:
    """Whether bash, which reads a script bit by bit, may have left it before what it does not understand."""
    lines = script.splitlines()
    ends = [at for at, line in enumerate(lines) if re.match(r"(?:exit|exec|return)\b", line)]
    if not ends or ends[0] == len(lines) - 1:
        return False
    return _flaw(bash, "\n".join(lines[: ends[0] + 1])) is None


def _token(found: re.Match[str]) -> str:
    return _QUOTES.get(found[1], f"'{found[1]}'")
