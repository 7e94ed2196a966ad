"""What all tests share; first of all that a test skipped for want of a tool is named at the end of the run."""

import shutil
from collections.abc import Iterator

import pytest

from tests.binary.program import remove_cache, share_cache

# --- tests that need a system tool -----------------------------------------------------------------------------------

MISSING_TOOL = "missing_tool"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs_tool(*names): skip, visibly, where one of these programs is not on PATH")
    folder = share_cache()
    if folder is not None:
        config.add_cleanup(lambda: remove_cache(folder))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs_tool"):
        for tool in mark.args:
            if shutil.which(tool) is None:
                # Properties, unlike attributes, travel from an xdist worker to the process that prints the summary.
                item.user_properties.append((MISSING_TOOL, tool))
                pytest.skip(f"needs the program {tool}, which is not on PATH")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = sorted(skipped_for_tools(terminalreporter.stats.get("skipped", [])))
    if lines:
        terminalreporter.section("not tested here: a program is missing", sep="-", yellow=True)
        for line in lines:
            terminalreporter.write_line(line)


def skipped_for_tools(reports: list[pytest.TestReport]) -> Iterator[str]:
    for report in reports:
        for name, tool in getattr(report, "user_properties", []):  # a skipped collection report has none
            if name == MISSING_TOOL:
                yield f"{report.nodeid}: needs {tool}"
