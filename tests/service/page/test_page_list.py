"""The page of `cerebelum serve` in a real browser: the list of executions, and who may look."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest
from selenium.webdriver import Keys

from tests.executions import fill
from tests.service.page.browser import Page, Site
from tests.stores import open_store

pytestmark = pytest.mark.needs_tool("chromium", "chromedriver")

_LIST = ".executions tbody tr"
_STATUS = "#status"


def test_the_list_is_filtered_and_the_address_says_how(page: Page, site: Site) -> None:
    page.open(site.url)
    page.until(lambda: {"flaky-0", "gated-0"} <= set(page.ids()))
    page.click(".chip[data-status=failed]")
    page.until(lambda: "flaky-0" in page.ids() and "gated-0" not in page.ids())
    assert page.place == "#/?status=failed"
    page.click(".chip[data-status=completed]")
    page.until(lambda: page.place == "#/?status=failed%2Ccompleted" and "gated-0" in page.ids())
    page.driver.back()
    page.until(lambda: "gated-0" not in page.ids())
    page.open(site.url, "#/?status=completed&tag=prod&workflow=gated&since=1h&id=gated-0")
    page.until(lambda: page.ids() == ["gated-0"])
    assert page.js("return document.querySelector('#search').value") == "gated-0"
    page.button("Clear", ".fields")
    page.until(lambda: "flaky-0" in page.ids())
    page.choose(".fields select[aria-label=Workflow]", "flaky")
    page.until(lambda: "gated-0" not in page.ids() and "flaky-0" in page.ids())
    page.choose(".fields select[aria-label=Started]", "24h")
    page.until(lambda: page.place == "#/?workflow=flaky&since=24h")
    page.write("input[aria-label=Tag]", "eu")
    page.until(lambda: page.ids() == ["flaky-0"])
    page.write("#search", "nobody")
    page.says(".empty", "Nothing matches")


def test_the_list_changes_by_itself(page: Page, site: Site) -> None:
    page.open(site.url, "#/?id=live-")
    page.says(".empty", "Nothing matches")
    page.js("window.sameDocument = true")
    gate = site.home.folder / "live-gate"
    site.run("gated", "live-1", "--detach", "--input", f"gate={gate}")
    page.says(_LIST, "running")
    page.says(".executions .current", "left")
    gate.touch()
    page.says(_LIST, "completed")
    page.says(".executions .progress", "4/4")
    assert page.js("return window.sameDocument")


def test_ten_thousand_executions(page: Page, own: Callable[..., Site]) -> None:
    site = own()
    site("list")
    with closing(open_store(site.home.url)) as store:
        fill(store, 10_000, steps=1)
    site.serve()
    page.open(site.url)
    page.until(lambda: len(page.ids()) == 50)
    # Several times, since the machine may be busy with other tests.
    paints: list[float] = []
    while min(paints, default=200.0) >= 200 and len(paints) < 20:
        page.open(site.url)
        page.until(lambda: len(page.ids()) == 50)
        paints.append(page.js("return performance.getEntriesByName('first-contentful-paint')[0].startTime"))
    assert min(paints) < 200, paints
    asked = page.js("return performance.getEntriesByType('resource').map(e => [e.name, e.decodedBodySize])")
    assert sum("/executions?" in name for name, _ in asked) <= 2
    assert sum(size for _, size in asked) < 120_000
    page.says(".pages", "1–50 of 10,000")
    page.button("Older ›", ".pages")
    page.says(".pages", "51–100 of 10,000")
    assert page.place == "#/?page=2"
    page.button("‹ Newer", ".pages")
    page.says(".pages", "1–50 of")


# -- who may look -----------------------------------------------------------------------------------------------------


def test_a_token_is_asked_for(page: Page, own: Callable[..., Site]) -> None:
    site = own()
    tokens = site.home.write("tokens", "ada 0123456789abcdef-secret\n")
    tokens.chmod(0o600)
    site.run("flaky", "hidden")
    site.arguments = ("--token-file", str(tokens))
    page.open(site.serve())
    page.find("dialog #token")
    assert page.ids() == []
    page.write("#token", "not-the-right-one-at-all" + Keys.ENTER)
    page.says("dialog", "does not know this token")
    page.write("dialog #token", "0123456789abcdef-secret" + Keys.ENTER)
    page.until(lambda: page.ids() == ["hidden"])
    page.lacks("dialog")
    page.says("#scope", "ada")
    assert page.js("return JSON.stringify(localStorage)").find("secret") < 0
    assert page.js("return Object.values(sessionStorage)") == ["0123456789abcdef-secret"]
    page.go("#/executions/hidden")
    page.says(_STATUS, "failed")
    page.driver.refresh()
    page.says(_STATUS, "failed")
    page.js("sessionStorage.clear()")


def test_a_service_that_only_shows(page: Page, own: Callable[..., Site]) -> None:
    site = own("flaky.yaml", "--read-only")
    site.run("flaky", "shown")
    page.open(site.serve(), "#/executions/shown")
    page.says("#scope", "read only")
    page.says(_STATUS, "failed")
    page.find(".events tr")
    assert not page.all("#resume, #fork, #cancel, #pause, #start")
