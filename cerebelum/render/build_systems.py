"""What build systems understand in a log: where a step's output can be folded, and what is wrong with the build.

Each is known by the variable that it sets, as its manual says.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from cerebelum.render.display import harmless

End = Literal["begin", "end"]


class BuildSystem(msgspec.Struct, frozen=True):
    """How to tell a build system of things, in whole lines."""

    name: str
    group: Callable[[str, End], str] | None = None
    """What begins and ends the output of a step, where it can be folded."""
    problem: Callable[[str, str], str] = lambda step, message: ""
    """What tells of a failure, given the step and the message."""


def detect(environ: Mapping[str, str]) -> BuildSystem | None:
    """The build system that set this environment."""
    for variable, system in _SYSTEMS:
        if environ.get(variable, "").lower() not in ("", "false", "0"):
            return system
    return None


def _github_group(step: str, end: End) -> str:
    return f"::group::{_github(step)}\n" if end == "begin" else "::endgroup::\n"


def _github_problem(step: str, message: str) -> str:
    title = _github(f"step {step}").replace(":", "%3A").replace(",", "%2C")
    return f"::error title={title}::{_github(message)}\n"


def _github(text: str) -> str:
    return harmless(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _gitlab_group(step: str, end: End) -> str:
    # A section is known by its name, which may hold few characters.
    name = "step_" + re.sub("[^A-Za-z0-9_.-]", "_", step)
    at = f"\x1b[0Ksection_{'start' if end == 'begin' else 'end'}:{int(time.time())}:{name}\r\x1b[0K"
    return f"{at}{_line(step) if end == 'begin' else ''}\n"


def _buildkite_group(step: str, end: End) -> str:
    return f"--- {_line(step)}\n" if end == "begin" else ""


def _buildkite_problem(step: str, message: str) -> str:
    # Opens the group that it stands in.
    return "^^^ +++\n"


def _azure_group(step: str, end: End) -> str:
    return f"##[group]{_line(step)}\n" if end == "begin" else "##[endgroup]\n"


def _azure_problem(step: str, message: str) -> str:
    return f"##vso[task.logissue type=error]{_line(f'step {step}: {message}')}\n"


def _teamcity_group(step: str, end: End) -> str:
    return f"##teamcity[block{'Opened' if end == 'begin' else 'Closed'} name='{_teamcity(step)}']\n"


def _teamcity_problem(step: str, message: str) -> str:
    # Descriptions are limited to 4,000 characters.
    return f"##teamcity[buildProblem description='{_teamcity(f'step {step}: {message}'[:2000])}']\n"


_TEAMCITY = {"|": "||", "'": "|'", "[": "|[", "]": "|]", "\n": "|n", "\r": "|r"}


def _teamcity(text: str) -> str:
    return "".join(_TEAMCITY.get(c, c if ord(c) < 128 else _code_units(c)) for c in harmless(text))


def _code_units(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"|0x{units[i : i + 4]}" for i in range(0, len(units), 4))


def _line(text: str) -> str:
    return " ".join(harmless(text).split("\n"))


_SYSTEMS: tuple[tuple[str, BuildSystem], ...] = (
    ("GITHUB_ACTIONS", BuildSystem("GitHub Actions", _github_group, _github_problem)),
    ("GITLAB_CI", BuildSystem("GitLab", _gitlab_group)),
    ("BUILDKITE", BuildSystem("Buildkite", _buildkite_group, _buildkite_problem)),
    ("TF_BUILD", BuildSystem("Azure Pipelines", _azure_group, _azure_problem)),
    ("TEAMCITY_VERSION", BuildSystem("TeamCity", _teamcity_group, _teamcity_problem)),
    ("JENKINS_URL", BuildSystem("Jenkins")),
)
