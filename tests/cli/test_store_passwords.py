"""No password of a store is printed: not in a command to go on with, an error, a report, or the environment of a step.

A plugin opens `safe://user:password@host/path` here, as one for a server would.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from tests.cli.conftest import Home

PLUGIN = """
from cerebelum import hookimpl
from cerebelum.backends.sqlite import open_store
from cerebelum.core.errors import StoreError


def open_safe(url):
    path = url.partition("?")[0].rpartition("@")[2].partition("/")[2]
    if path == "away":
        raise StoreError(f"cannot reach {url}: wrong token x8Kd02md", where=url)
    if path == "bug":
        raise RuntimeError(f"bug with {url}")
    return open_store(f"sqlite:///{path}")


@hookimpl
def cerebelum_backends():
    return {"safe": open_safe}
"""
URL = "safe://me:x8Kd02md@host/kept.db"
SHOWN = "safe://me:***@host/kept.db"


@pytest.fixture
def safe(cli: Home, flaky: Callable[[], None]) -> Home:
    """A home whose plugin knows such stores, with a workflow that fails."""
    cli.write("home/.config/cerebelum/plugins/safe.py", PLUGIN)
    return cli


def test_a_command_to_go_on_with_has_the_store_without_its_password(safe: Home) -> None:
    ran = safe("run", "flaky.yaml", "--id", "x", "--store", URL)
    assert f"resume with: cerebelum resume x --store '{SHOWN}'" in ran.err
    for words in (["status", "x"], ["report", "x", "-o", "-"], ["watch", "x"], ["shell", "x", "-c", "true"]):
        done = safe(*words, "--store", URL)
        assert "x8Kd02md" not in done.out + done.err
    assert f"cerebelum resume x --store '{SHOWN}'" in safe("status", "x", "--store", URL).out


def test_where_the_store_is_in_the_environment_the_command_does_not_repeat_it(safe: Home) -> None:
    env = {"CEREBELUM_STORE": URL}
    ran = safe("run", "flaky.yaml", "--id", "x", env=env)
    assert ran.err.rstrip().endswith("resume with: cerebelum resume x")
    assert safe("status", "x", env=env).out.rstrip().endswith("resume with: cerebelum resume x")
    assert "x8Kd02md" not in safe("report", "x", "-o", "-", env=env).out


@pytest.mark.parametrize("path", ["away", "bug"])
@pytest.mark.parametrize("debug", ["", "1"])
def test_no_error_shows_it(safe: Home, path: str, debug: str) -> None:
    url = URL.replace("kept.db", path)
    for done in (
        safe("list", "--store", url, env={"CEREBELUM_DEBUG": debug}),
        safe(f"--store={url}", "list", "--json", env={"CEREBELUM_DEBUG": debug}),
        safe("list", env={"CEREBELUM_STORE": url, "CEREBELUM_DEBUG": debug}),
        safe("supervise", "--once", env={"CEREBELUM_STORE": url, "CEREBELUM_DEBUG": debug}),
    ):
        assert done.code == (74 if path == "away" else 70)
        assert "x8Kd02md" not in done.out + done.err
        assert f"safe://me:***@host/{path}" in done.err
    for report in safe.store.parent.glob("bug-*.txt"):
        assert "x8Kd02md" not in report.read_text()
        assert "verb: list" in report.read_text() or "verb: supervise" in report.read_text()


@pytest.mark.parametrize(
    "store",
    ["postgres:/me:x8Kd02md@h/d", "host=h user=me password=x8Kd02md", "sqlite:/x8Kd02md.db", "x password=x8Kd02md"],
)
def test_what_was_meant_as_a_url_is_not_made_the_name_of_a_file(cli: Home, store: str) -> None:
    refused = cli("list", "--store", store)
    assert refused.code == 2
    assert "names no store" in refused.err
    assert "x8Kd02md" not in refused.err
    assert not any("x8Kd02md" in path.name for path in cli.folder.rglob("*"))


def test_the_environment_of_a_step_is_printed_without_it_and_a_shell_has_it(safe: Home) -> None:
    env = {"CEREBELUM_STORE": URL, "PGPASSWORD": "x8Kd02md"}
    assert safe("run", "flaky.yaml", "--id", "x", env=env).code == 1
    printed = safe("shell", "x", "--print-env", env=env)
    assert "x8Kd02md" not in printed.out + printed.err
    assert "export PATH=" in printed.out
    assert re.search("left out: CEREBELUM_STORE, .*\n.*left out: PGPASSWORD, ", printed.err)
    shape = json.loads(safe("shell", "x", "--print-env", "--json", env=env).out)
    assert "x8Kd02md" not in json.dumps(shape)
    assert shape["secrets_left_out"] == ["CEREBELUM_STORE", "PGPASSWORD"]
    assert safe("shell", "x", "-c", 'echo "$CEREBELUM_STORE"', env=env).out == f"{URL}\n"
    quiet = safe("shell", "x", "--print-env", env={"CEREBELUM_STORE": "safe://me@host/kept.db"})
    assert "export CEREBELUM_STORE=safe://me@host/kept.db" in quiet.out


def test_what_goes_on_in_the_background_has_no_password_in_its_command_line(safe: Home) -> None:
    safe.write("slow.yaml", 'steps: [{id: a, run: \'tr "\\0" "\\n" < /proc/$PPID/cmdline > seen\'}]')
    env = {"CEREBELUM_STORE": URL}
    assert safe("run", "slow.yaml", "--id", "x", "--detach", env=env).code == 0
    assert safe("watch", "x", env=env).code == 0
    seen = (safe.folder / "seen").read_text()
    assert "slow.yaml" in seen
    assert "x8Kd02md" not in seen
