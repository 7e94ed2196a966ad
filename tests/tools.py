"""Tests that need a program which a machine may lack: they are skipped, and listed at the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

import pytest

_MISSING = "missing_tool"


def skip_without(node: pytest.Item, tool: str) -> NoReturn:
    """Skip the test, which needs the program `tool`."""
    # Properties, unlike attributes, travel from an xdist worker to the process that prints the summary.
    node.user_properties.append((_MISSING, tool))
    pytest.skip(f"needs the program {tool}, which is not on PATH")


def skipped_for_tools(reports: list[pytest.TestReport]) -> Iterator[str]:
    """Which tests were skipped, and for which program."""
    for report in reports:
        for name, tool in getattr(report, "user_properties", []):  # a skipped collection report has none
            if name == _MISSING:
                yield f"{report.nodeid}: needs {tool}"
