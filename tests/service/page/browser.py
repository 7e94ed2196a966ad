"""A service with executions, and a real browser that looks at its page."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium.common.exceptions import StaleElementReferenceException, TimeoutException, WebDriverException
from selenium.webdriver import ActionChains, Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.cli.conftest import Done, Home

PATIENCE = 20.0
_FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --disable-extensions --no-proxy-server"
)

GATED = """
name: gated
inputs: {gate: {type: string, required: true}}
steps:
  - {id: first, run: 'echo "hello from first"'}
  - parallel:
      - {id: left, run: 'echo left waits; until [ -e "$INPUT_GATE" ]; do sleep 0.02; done; echo left is through'}
      - {id: right, run: 'echo right is fast'}
  - {id: final, run: 'echo "the end"', output: text}
output: {said: '${{ steps.final.output }}'}
"""
FLAKY = """
name: flaky
inputs: {who: {type: string, default: you}}
steps:
  - {id: hello, run: 'echo "hello $INPUT_WHO"', output: text}
  - {id: check, run: 'echo "looking for it" >&2; test -e "mended-$INPUT_WHO"'}
  - {id: after, run: 'echo fine'}
"""
ASKING = """
name: asking
steps:
  - {id: ask, approval: {message: 'Roll out?', data: {replicas: 3}}}
  - {id: roll, run: 'echo "rolled out"'}
"""


class Site:
    """The real program as a service on a store of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        folder.mkdir(exist_ok=True)
        self.home = Home(folder)
        for name, text in {"gated": GATED, "flaky": FLAKY, "asking": ASKING}.items():
            self.home.write(f"{name}.yaml", text)
        self.arguments = arguments
        self.address = "127.0.0.1:0"
        self.process: subprocess.Popen[bytes] | None = None

    def __call__(self, *words: str) -> Done:
        """Have the program do something."""
        return self.home(*words)

    def run(self, workflow: str, execution_id: str, *more: str) -> Done:
        """Run a workflow to its end, or start it with --detach."""
        done = self.home("run", f"{workflow}.yaml", "--id", execution_id, *more)
        assert done.code in (0, 1), done
        return done

    def status(self, execution_id: str) -> Any:
        """What the program says about an execution."""
        return self.home("status", execution_id, "--json").json()

    def serve(self) -> str:
        """Start serving, at the address of before if there is one; the address of the page."""
        words = ("serve", "--no-grpc", "--http", self.address, "--json", *self.arguments)
        self.process = self.home.start(*words, stderr=None)
        assert self.process.stdout is not None
        said = b""
        for line in self.process.stdout:
            said += line
            if line.startswith(b"}"):
                break
        self.address = json.loads(said)["http"]
        return self.url

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{self.address}/"

    def kill(self) -> None:
        """End the service without any chance to say goodbye."""
        assert self.process is not None
        self.process.kill()
        self.process.communicate()
        self.process = None

    def close(self) -> None:
        """End the service, if it still serves, and what it started."""
        if self.process is not None:
            self.process.terminate()
            self.process.communicate(timeout=PATIENCE)
        rows = self.home("active", "--json").json()["executions"]
        for row in rows:
            self.home("cancel", row["execution_id"])


class Page:
    """The page in a browser. Everything waits for what it looks for."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver
        self.base = ""

    def open(self, url: str, place: str = "#/") -> None:
        """Load the page anew at a place."""
        self.base = url
        self.driver.get("about:blank")
        self.driver.get(url + place)

    def go(self, place: str) -> None:
        """Go to another place without loading the page anew."""
        self.js("location.hash = arguments[0]", place)

    def js(self, script: str, *given: Any) -> Any:
        """What a script gives."""
        return self.driver.execute_script(script, *given)

    def until(self, condition: Callable[[], object], what: str = "") -> Any:
        """Wait for a condition; what it gives."""
        last: list[str] = []

        def hold(_: object) -> object:
            try:
                return condition()
            except (StaleElementReferenceException, AssertionError) as error:
                last[:] = [str(error)]
                return None

        try:
            return WebDriverWait(self.driver, PATIENCE, poll_frequency=0.03).until(hold)
        except TimeoutException:
            text = self.js("return document.body.innerText")
            raise AssertionError(f"{what or 'this'} did not come; {last}\nthe page says:\n{text}") from None

    def all(self, css: str) -> list[WebElement]:
        """The elements that are shown now."""
        return [one for one in self.driver.find_elements(By.CSS_SELECTOR, css) if one.is_displayed()]

    def find(self, css: str) -> WebElement:
        """An element, once it is shown."""
        found = self.until(lambda: self.all(css), css)
        return found[0]  # type: ignore[no-any-return]

    def texts(self, css: str) -> list[str]:
        """The texts of elements, as they are at this moment."""
        given = self.js("return [...document.querySelectorAll(arguments[0])].map(e => e.textContent.trim())", css)
        return list(given)

    def text(self, css: str) -> str:
        """All of those in one."""
        return "\n".join(self.texts(css))

    def says(self, css: str, text: str) -> None:
        """Wait until an element says something."""
        self.until(lambda: text in self.text(css), f"{text!r} in {css}")

    def lacks(self, css: str) -> None:
        """Wait until there is no such element to be seen."""
        self.until(lambda: not self.all(css), f"the end of {css}")

    def click(self, css: str) -> None:
        """Click what is there, once it can be clicked."""

        def done() -> bool:
            try:
                self.find(css).click()
            except WebDriverException as error:
                if "not clickable" in str(error) or "not interactable" in str(error):
                    return False
                raise
            return True

        self.until(done, f"a click on {css}")

    def button(self, text: str, within: str = "dialog") -> None:
        """Click the button that says this."""
        name = f"{within} button"
        index = self.until(lambda: 1 + self.texts(name).index(text) if text in self.texts(name) else 0, text)
        self.js("document.querySelectorAll(arguments[0])[arguments[1]].click()", name, index - 1)

    def write(self, css: str, text: str) -> None:
        """Put text into a field instead of what is there."""
        field = self.find(css)
        self.js("arguments[0].select()", field)
        field.send_keys(text)

    def choose(self, css: str, value: str) -> None:
        """Choose from a list."""
        self.find(css)
        self.js(
            "const e = document.querySelector(arguments[0]); e.value = arguments[1];"
            "for (const kind of ['input', 'change']) e.dispatchEvent(new Event(kind, {bubbles: true}))",
            css,
            value,
        )

    def press(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        ActionChains(self.driver).send_keys(*keys).perform()

    @property
    def place(self) -> str:
        """Where the page says that it is."""
        return str(self.js("return location.hash"))

    def emulate(self, command: str, **given: Any) -> None:
        """Tell the browser to behave like another one."""
        self.driver.execute_cdp_cmd(f"Emulation.{command}", given)

    def ids(self) -> list[str]:
        """The ids in the list."""
        return self.texts(".executions .id")

    def step(self, step: str) -> str | None:
        """How the graph says that a step stands."""
        given = self.js(
            "return [...document.querySelectorAll('.steps-graph .step')]"
            ".find(e => e.dataset.step === arguments[0])?.dataset.status ?? null",
            step,
        )
        return None if given is None else str(given)

    def complaints(self) -> Sequence[str]:
        """What the browser found wrong, such as scripts that failed, or that the policy did not allow."""
        log = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [one["message"] for one in log if one["level"] == "SEVERE"]


@contextmanager
def chromium(folder: Path) -> Iterator[Chrome]:
    """A fresh browser."""
    options = ChromeOptions()
    for flag in [*_FLAGS.split(), f"--user-data-dir={folder}", "--window-size=1366,900", "--lang=en"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    try:
        yield driver
    finally:
        driver.quit()
