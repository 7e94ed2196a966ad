"""The page of `cerebelum serve` in a real browser: its buttons."""

from __future__ import annotations

import pytest

from tests.service.page.browser import FLAKY, Page, Site

pytestmark = pytest.mark.needs_tool("chromium", "chromedriver")

_STATUS = "#status"


def _plan(page: Page) -> list[str]:
    return [" ".join(row.split()[1:3]) for row in page.texts(".plan tr")]


def test_resume_shows_the_plan_first(page: Page, site: Site) -> None:
    site.run("flaky", "mend-1", "--input", "who=mend1")
    page.open(site.url, "#/executions/mend-1")
    page.click("#resume")
    page.until(lambda: page.texts(".plan .action") == ["✓ KEEP", "▶ RERUN", "▶ RERUN"])
    assert page.texts(".plan .id") == ["hello", "check", "after"]
    assert page.texts(".plan td.note") == ["completed", "attempt 1 failed", "not reached yet"]
    page.choose("#from-step", "=hello")
    page.until(lambda: page.texts(".plan .action") == ["▶ RERUN"] * 3)
    page.choose("#from-step", "")
    page.until(lambda: page.texts(".plan .action")[0] == "✓ KEEP")
    site.home.write("mended-mend1", "")
    page.button("Resume")
    page.lacks("dialog")
    page.says(_STATUS, "completed")
    page.says(".facts", "1 time")
    page.until(lambda: page.step("after") == "completed")
    page.says(".output-text", "check, attempt 2")
    assert not page.all("#resume")


def test_resume_with_changed_steps(page: Page, site: Site) -> None:
    text = FLAKY.replace("name: flaky", "name: changing")
    site.home.write("changing.yaml", text)
    site.run("changing", "changed-1", "--input", "who=changed1")
    site.home.write("changing.yaml", text.replace('echo "hello', 'echo "good day'))
    site.home.write("mended-changed1", "")
    page.open(site.url, "#/executions/changed-1")
    page.click("#resume")
    page.says(".plan", "≠ CHANGED")
    page.says("dialog .problem", "have changed: hello")
    page.button("Resume")
    page.says("dialog .errors .problem", "hello")
    page.click("#accept-changes")
    page.until(
        lambda: page.texts(".plan .action")[1:] == ["▶ RERUN", "▶ RERUN"] and not page.all(".plan-frame .problem")
    )
    page.button("Resume")
    page.says(_STATUS, "completed")


def test_pause_resume_and_cancel(page: Page, site: Site) -> None:
    gate = site.home.folder / "paused-gate"
    site.run("gated", "paused-1", "--detach", "--input", f"gate={gate}")
    page.open(site.url, "#/executions/paused-1")
    page.click("#pause")
    page.write("#why", "lunch")
    page.button("Pause the execution")
    page.lacks("dialog")
    page.says(".events", "is to be paused")
    page.says(".events", "lunch")
    gate.touch()
    page.says(_STATUS, "paused")
    page.click("#resume")
    page.says(".plan", "RERUN")
    page.button("Resume")
    page.says(_STATUS, "completed")

    other = site.home.folder / "cancelled-gate"
    site.run("gated", "cancelled-1", "--detach", "--input", f"gate={other}")
    page.go("#/executions/cancelled-1")
    page.says(_STATUS, "running")
    page.click("#cancel")
    page.button("Back")
    page.lacks("dialog")
    page.click("#cancel")
    page.write("#why", "wrong version")
    page.button("Cancel the execution")
    page.says(_STATUS, "cancelled")
    page.says(".events", "wrong version")
    assert site.status("cancelled-1")["status"] == "cancelled"


def test_approve(page: Page, site: Site) -> None:
    site.run("asking", "ask-1", "--detach")
    page.open(site.url, "#/executions/ask-1")
    page.says(_STATUS, "waiting for approval")
    page.says(".approval", "Roll out?")
    assert '"replicas": 3' in page.text(".approval .data")
    page.click("[data-approve=ask]")
    page.says("dialog", "Roll out?")
    page.write("#comment", "looks good")
    page.write("dialog textarea", '{"ticket": ')
    page.button("Approve")
    page.says("dialog .errors", "this is not JSON")
    page.write("dialog textarea", '{"ticket": 17}')
    page.button("Approve")
    page.lacks("dialog")
    page.says(_STATUS, "completed")
    page.says(".output-text", "rolled out")
    page.lacks(".approval")
    wait = site.status("ask-1")["steps"][0]["waits"][0]
    assert (wait["result"], wait["comment"], wait["response"]) == ("granted", "looks good", {"ticket": 17})


def test_reject_and_what_comes_too_late(page: Page, site: Site) -> None:
    site.run("asking", "ask-2", "--detach")
    page.open(site.url, "#/executions/ask-2")
    page.click("[data-reject=ask]")
    page.write("#comment", "not on a Friday")
    page.button("Reject")
    page.says(_STATUS, "failed")
    page.says(".error", "not on a Friday")
    site.run("asking", "ask-3", "--detach")
    page.go("#/executions/ask-3")
    page.click("[data-reject=ask]")
    site("approve", "ask-3")
    page.until(lambda: site.status("ask-3")["status"] == "completed")
    page.button("Reject")
    page.find("dialog .errors .problem")
    page.button("Back")
    page.says(_STATUS, "completed")


def test_fork(page: Page, site: Site) -> None:
    site.run("flaky", "old-1", "--input", "who=old1")
    site.home.write("mended-new", "")
    page.open(site.url, "#/executions/old-1")
    page.click("#fork")
    assert page.js("return document.querySelector('#fork-from').value") == "check"
    page.write("dialog textarea", '{"who": "new"}')
    page.write("#fork-id", "new-1")
    page.button("Fork")
    page.until(lambda: page.place == "#/executions/new-1")
    page.says(_STATUS, "completed")
    page.says(".facts", "old-1")
    assert page.step("hello") == "completed"


def test_start(page: Page, site: Site) -> None:
    page.open(site.url)
    page.click("#start")
    page.until(lambda: page.texts("#start-workflow option") == ["asking", "flaky", "gated"])
    page.choose("#start-workflow", "gated")
    page.button("Start")
    # What the service says against it is told, and the dialog stays.
    page.says("dialog .errors .problem", "gate")
    page.write("dialog textarea", '{"gate": "/"}')
    page.write("#start-id", "begun-1")
    page.write("#start-tags", "by-hand, often")
    page.write("#start-lock", "production")
    page.button("Start")
    page.until(lambda: page.place == "#/executions/begun-1")
    page.says(_STATUS, "completed")
    begun = site.status("begun-1")
    assert (begun["tags"], begun["concurrency"]["group"]) == (["by-hand", "often"], "production")
