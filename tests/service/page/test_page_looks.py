"""The page of `cerebelum serve` in a real browser: by keyboard, on a phone, in the dark, and with hostile texts."""

from __future__ import annotations

import pytest
from selenium.webdriver import Keys

from tests.service.page.browser import Page, Site

pytestmark = pytest.mark.needs_tool("chromium", "chromedriver")

_STATUS = "#status"
_FOCUSED = "return (document.activeElement.dataset.id || document.activeElement.id || document.activeElement.tagName)"
_OVERFLOW = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"

HOSTILE = r"""
name: hostile
inputs: {who: {type: string, default: '<img src=x onerror=document.title="pwned">'}}
steps:
  - id: prints
    description: '<svg onload=document.title="pwned">'
    run: |
      printf '<img src=x onerror=document.title="pwned">\n'
      printf 'exe.\342\200\256txt\n\033]0;pwned\007\033[2Jcleared\n'
      echo 'text=<script>document.title="pwned"</script>' >> "$CEREBELUM_OUTPUT"
  - id: asks
    approval:
      message: '"><script>document.title="pwned"</script> BIDI reversed'
      data: {'<b>key</b>': '<img src=x onerror=document.title="pwned">'}
  - id: fails
    run: echo '</pre><script>document.title="pwned"</script>' >&2; exit 3
"""
PRINTING = r"""
name: printing
steps:
  - id: colours
    run: |
      printf '\033[1;31mbold red\033[0m plain \033[38;5;208morange\033[39m \033[48;2;1;2;3mback\033[m\n'
      printf 'loading 10 %%\rloading 100 %%\n'
      printf '\033[3mitalic\033[23m \033[4munderlined\033[24m\n'
  - {id: much, run: 'seq 1 30000 | sed "s/^/line /"'}
"""


def test_everything_by_keyboard(page: Page, site: Site) -> None:
    page.open(site.url, "#/?workflow=flaky&id=flaky-0")
    page.until(lambda: page.ids() == ["flaky-0"])
    page.open(site.url)
    page.until(lambda: {"flaky-0", "gated-0"} <= set(page.ids()))
    page.press("?")
    page.says("dialog", "search the executions")
    page.press(Keys.ESCAPE)
    page.lacks("dialog")
    page.press("/")
    page.until(lambda: page.js(_FOCUSED) == "search")
    # What was found is shown before the next key, which would otherwise choose a row that goes away.
    page.press("-0")
    page.until(lambda: page.place == "#/?id=-0" and not page.ids())
    page.press(Keys.BACKSPACE, Keys.BACKSPACE)
    page.until(lambda: page.place in ("", "#/") and {"flaky-0", "gated-0"} <= set(page.ids()))
    page.press("fl")
    page.until(lambda: page.place == "#/?id=fl" and "gated-0" not in page.ids())
    page.press(Keys.BACKSPACE, Keys.BACKSPACE)
    page.until(lambda: page.place in ("", "#/") and {"flaky-0", "gated-0"} <= set(page.ids()))
    page.press(Keys.ARROW_DOWN)
    first, second = page.ids()[:2]
    page.until(lambda: page.js(_FOCUSED) == first)
    page.press("j")
    assert page.js(_FOCUSED) == second
    page.press("k", Keys.ARROW_DOWN)
    assert page.js(_FOCUSED) == second
    ring = page.js("const s = getComputedStyle(document.activeElement); return [s.outlineStyle, s.outlineWidth]")
    assert ring[0] == "solid"
    assert ring[1] != "0px"
    # One tab stop for all rows.
    assert page.js("return document.querySelectorAll('.executions tbody [tabindex=\"0\"]').length") == 1
    page.press(Keys.ENTER)
    page.until(lambda: page.place == f"#/executions/{second}")
    page.find(".events tr")
    page.press(Keys.ESCAPE)
    page.until(lambda: page.place == "#/" and page.js(_FOCUSED) == second)

    page.open(site.url, "#/executions/flaky-0")
    page.find(".events tr")
    reached: list[str] = []
    for _ in range(30):
        page.press(Keys.TAB)
        reached.append(
            page.js("return document.activeElement.id || document.activeElement.getAttribute('class') || ''")
        )
    for name in ("resume", "fork", "travel", "step completed", "output-text", "follow"):
        assert any(name in one for one in reached), (name, reached)
    page.js("document.querySelector('#resume').focus()")
    page.press(Keys.ENTER)
    page.says(".plan", "KEEP")
    assert page.js("return document.querySelector('dialog').contains(document.activeElement)")
    page.press(Keys.ESCAPE)
    page.lacks("dialog")
    assert page.js(_FOCUSED) == "resume"
    # The steps of the graph are one tab stop, too.
    page.js("document.querySelector('.steps-graph [tabindex=\"0\"]').focus()")
    page.press(Keys.ARROW_DOWN, Keys.ENTER)
    page.until(lambda: page.place.endswith("?step=check"))


def test_hostile_texts_are_only_text(page: Page, site: Site) -> None:
    site.home.write("hostile.yaml", HOSTILE.replace("BIDI", "\u202e"))
    tag = '"><img src=x onerror=document.title="pwned">'
    site.run("hostile", "hostile-1", "--detach", "--tag", tag, "--tag", "\u202egnp.exe")
    page.open(site.url, "#/?id=hostile-1")
    page.until(lambda: tag in page.texts(".executions .tag"))
    assert "\\u202egnp.exe" in page.texts(".executions .tag")
    page.go("#/executions/hostile-1")
    page.says(_STATUS, "waiting for approval")
    page.says(".approval .message", '"><script>document.title="pwned"</script> \\u202e reversed')
    page.says(".approval .data", "<b>key</b>")
    page.until(
        lambda: (
            page.texts(".line .text")[:3] == ['<img src=x onerror=document.title="pwned">', "exe.\\u202etxt", "cleared"]
        )
    )
    page.says(".steps", "<svg onload")
    page.click("[data-approve=asks]")
    page.write("#comment", "<b>fine</b>")
    page.button("Approve")
    page.says(_STATUS, "failed")
    page.says(".error pre", "</pre><script>")
    page.says(".events", "<b>fine</b>")
    page.says(".output-text", "</pre><script>")
    assert page.js("return document.querySelectorAll('main :is(script, img, b, svg[onload])').length") == 0
    assert page.js("return document.title").startswith("failed: hostile-1")


def test_output_as_a_terminal_would_show_it(page: Page, site: Site) -> None:
    site.home.write("printing.yaml", PRINTING)
    site.run("printing", "printed-1")
    page.open(site.url, "#/executions/printed-1?step=colours")
    page.until(
        lambda: page.texts(".line .text") == ["bold red plain orange back", "loading 100 %", "italic underlined"]
    )
    spans = page.js(
        "return [...document.querySelectorAll('.line .text span')].map(e => {const s = getComputedStyle(e);"
        "return [e.textContent, s.color, s.backgroundColor, s.fontWeight, s.fontStyle, s.textDecorationLine]})"
    )
    red, orange, back, italic, underlined = spans
    assert red[0] == "bold red"
    assert red[3] == "700"
    assert orange[:2] == ["orange", "rgb(255, 135, 0)"]
    assert back[2] == "rgb(1, 2, 3)"
    assert italic[4] == "italic"
    assert underlined[5] == "underline"

    page.choose(".output select", "much")
    page.until(lambda: page.texts(".line .text")[-1:] == ["line 30000"])
    shown = page.js("return document.querySelectorAll('.line').length")
    assert shown < 5000
    at_end = (
        "const e = document.querySelector('.output-text'); return e.scrollHeight - e.scrollTop - e.clientHeight < 30"
    )
    page.until(lambda: page.js(at_end))
    page.js("document.querySelector('.output-text').scrollTop = 0")
    page.until(lambda: not page.js("return document.querySelector('#follow').checked"))
    first = int(page.texts(".line .text")[0].removeprefix("line "))
    page.click(".earlier")
    page.until(lambda: int(page.texts(".line .text")[0].removeprefix("line ")) == first - 2000)
    page.click("#follow")
    page.until(lambda: page.js(at_end) and page.js("return document.querySelectorAll('.line').length") < 5000)


def test_on_a_phone(page: Page, site: Site) -> None:
    page.emulate("setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=2, mobile=True)
    try:
        page.open(site.url)
        page.until(lambda: "flaky-0" in page.ids())
        assert page.js(_OVERFLOW) == 0
        page.click("#start")
        page.find("dialog")
        assert page.js("return document.querySelector('dialog').getBoundingClientRect().right") <= 360
        page.button("Back")
        page.open(site.url, "#/executions/flaky-0")
        page.find(".events tr")
        page.until(lambda: page.all(".gantt .span") and page.all(".steps-graph .step"))
        assert page.js(_OVERFLOW) == 0
        page.click("#resume")
        page.says(".plan", "RERUN")
        assert page.js(_OVERFLOW) == 0
        assert page.js("return document.querySelector('dialog').getBoundingClientRect().right") <= 360
    finally:
        page.emulate("clearDeviceMetricsOverride")


def test_light_and_dark(page: Page, site: Site) -> None:
    ground = "return getComputedStyle(document.querySelector('.bar')).backgroundColor"
    page.open(site.url)
    page.until(page.ids)
    light = page.js(ground)
    page.emulate("setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    try:
        page.until(lambda: page.js(ground) != light)
        dark = page.js(ground)
        page.click("#theme")
        page.until(lambda: page.js(ground) == light)
        page.driver.refresh()
        page.until(page.ids)
        assert page.js(ground) == light
    finally:
        page.js("localStorage.clear()")
        page.emulate("setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
    page.driver.refresh()
    page.click("#theme")
    page.until(lambda: page.js(ground) == dark)
    page.go("#/executions/flaky-0")
    page.find(".steps-graph .step")
    assert page.js("return getComputedStyle(document.querySelector('.box')).animationName") == "none"
    page.js("localStorage.clear()")
    page.emulate("setEmulatedMedia", features=[])
