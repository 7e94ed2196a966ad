"""The page of `cerebelum serve` in a real browser: one execution."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing

import pytest
from selenium.webdriver import Keys

from tests.executions import fill
from tests.service.page.browser import Page, Site
from tests.stores import open_store

pytestmark = pytest.mark.needs_tool("chromium", "chromedriver")

_STATUS = "#status"


def test_a_run_is_watched_to_its_end(page: Page, site: Site) -> None:
    gate = site.home.folder / "watched-gate"
    site.run("gated", "watched", "--detach", "--input", f"gate={gate}", "--tag", "seen")
    page.open(site.url, "#/executions/watched")
    page.js("window.sameDocument = true")
    page.says(_STATUS, "running")
    page.until(
        lambda: (
            [page.step(s) for s in ("first", "left", "right", "final")]
            == ["completed", "running", "completed", "pending"]
        )
    )
    page.says(".output-text", "left waits")
    page.until(lambda: re.search(r"running [1-9]\.\d s", page.text(".steps-graph .says")), "for how long it runs")
    page.until(lambda: page.all(".gantt .span.running"), "a bar that grows")
    width = (
        "return document.querySelector('.gantt .span.running').getBoundingClientRect().width"
        " / document.querySelector('.gantt').clientWidth"
    )
    assert 0 < page.js(width) < 1
    facts = page.text(".facts")
    for fact in ("gated", "seen", "@", "process"):
        assert fact in facts
    assert page.js("return document.querySelectorAll('#pause, #cancel, #fork').length") == 3
    gate.touch()
    page.says(_STATUS, "completed")
    page.until(lambda: page.step("final") == "completed")
    page.says(".output-text", "left is through")
    page.says(".output-text", "the end")
    page.until(lambda: not page.all(".gantt .span.running") and page.all(".gantt [data-step=final] .completed"))
    page.says(".values", '"said": "the end"')
    page.says(".events", "final completed")
    assert page.texts("#pause, #cancel") == []
    assert page.js("return window.sameDocument")
    assert page.js("return document.title").startswith("completed: watched")


_DRAWN = """
const done = arguments[arguments.length - 1];
import("/static/graph.js").then(({ graphView }) => {
  const view = graphView(() => {});
  document.body.replaceChildren(view.node);
  const ids = ["short", "long"];
  view.show(ids.map((id) => ({ id, group: "steps", needs: [] })));
  view.paint(ids.map((id, at) => ({ id, status: "completed", total_duration: at ? 1282 : 4 })));
  done([...document.querySelectorAll(".steps-graph .step")].map((step) => [
    step.querySelector(".says").textContent,
    step.querySelector(".says").getBBox().width < step.querySelector(".box").getBBox().width,
  ]));
});
"""


def test_what_took_long_is_told_within_its_box(page: Page, site: Site) -> None:
    page.open(site.url)
    drawn = page.driver.execute_async_script(_DRAWN)
    assert drawn == [["✓ completed 4.0 s", True], ["✓ 21 min 22 s", True]]


def test_the_output_of_one_step(page: Page, site: Site) -> None:
    page.open(site.url, "#/executions/gated-0")
    page.says(".output-text", "hello from first")
    page.click(".steps-graph [data-step=right]")
    page.until(lambda: page.texts(".line .text") == ["right is fast"])
    assert page.place == "#/executions/gated-0?step=right"
    page.choose(".output select", "")
    page.says(".output-text", "hello from first")


def test_what_went_wrong_is_told(page: Page, site: Site) -> None:
    page.open(site.url, "#/executions/flaky-0")
    page.says(".error", "exit code 1")
    assert "looking for it" in page.text(".error pre")
    assert page.step("check") == "failed"
    assert page.step("after") == "pending"


# -- back in time -----------------------------------------------------------------------------------------------------


def test_time_travel(page: Page, site: Site) -> None:
    page.open(site.url, "#/executions/flaky-0")
    page.says(_STATUS, "failed")
    last = int(page.js("return document.querySelector('#travel').max"))
    assert last == site.status("flaky-0")["version"]
    page.find("#travel").send_keys(Keys.ARROW_LEFT)
    page.says(_STATUS, "running")
    page.until(lambda: f"at={last - 1}" in page.place)
    page.says(".past-note", f"after version {last - 1}")
    page.choose("#travel", "2")
    page.until(lambda: page.step("hello") == "running" and page.step("check") == "pending")
    page.says(".output-text", "Nothing was printed")
    assert page.texts("#resume") == []
    page.choose("#travel", "0")
    page.says(_STATUS, "not started")
    assert page.step("hello") == "pending"
    page.click(".events [data-version='3']")
    page.until(lambda: page.step("hello") == "completed")
    page.says(".output-text", "hello you")
    page.click("#back-to-live")
    page.says(_STATUS, "failed")
    page.until(lambda: page.place == "#/executions/flaky-0" and page.step("check") == "failed")
    page.find("#resume")
    page.open(site.url, "#/executions/flaky-0?at=2")
    page.says(_STATUS, "running")
    assert page.step("hello") == "running"


def test_thousands_of_events(page: Page, own: Callable[..., Site]) -> None:
    site = own()
    site("list")
    with closing(open_store(site.home.url)) as store:
        fill(store, 1, steps=600)
    page.open(site.serve(), "#/executions/made-0000000")
    page.says(".moment", "1202 of 1202")
    page.until(lambda: len(page.texts(".events tr")) == 300)
    assert page.texts(".events .what")[-1] == "completed"
    page.button("Earlier events", ".history")
    page.until(lambda: page.texts(".events .number")[0] == "1")
    page.until(lambda: len(page.texts(".steps-graph .step")) == len(page.texts(".steps tbody tr")) == 600)
    page.choose("#travel", "601")
    page.until(lambda: [page.step(step) for step in ("s298", "s299", "s300")] == ["completed", "completed", "pending"])


# -- the service goes away --------------------------------------------------------------------------------------------


def test_the_page_connects_again(page: Page, own: Callable[..., Site]) -> None:
    site = own()
    gate = site.home.folder / "gate"
    site.run("gated", "survivor", "--detach", "--input", f"gate={gate}")
    page.open(site.serve(), "#/executions/survivor")
    page.says(".output-text", "left waits")
    page.js("window.sameDocument = true")
    site.kill()
    page.says("#lost", "Connection lost, trying again")
    # It goes on without the service, and ends.
    gate.touch()
    page.until(lambda: site.status("survivor")["status"] == "completed")
    site.serve()
    page.lacks("#lost")
    page.says(_STATUS, "completed")
    page.says(".output-text", "the end")
    assert page.texts(".line .text").count("hello from first") == 1
    page.until(lambda: page.step("final") == "completed")
    # So does the list.
    page.go("#/")
    page.until(lambda: "survivor" in page.ids())
    site.kill()
    page.says("#lost", "Connection lost")
    site.run("flaky", "meanwhile")
    site.serve()
    page.lacks("#lost")
    page.until(lambda: "meanwhile" in page.ids())
    assert page.js("return window.sameDocument")
