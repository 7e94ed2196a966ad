"""A browser and a service for the tests of the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from tests.service.page.browser import Page, Site, chromium


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """One browser for all tests of a worker: each begins with the page loaded anew."""
    with chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A service that all tests use which do nothing to it."""
    site = Site(tmp_path_factory.mktemp("site"), "gated.yaml", "flaky.yaml", "asking.yaml")
    site.run("flaky", "flaky-0", "--tag", "prod", "--tag", "eu")
    site.run("gated", "gated-0", "--tag", "prod", "--input", "gate=/")
    site.serve()
    yield site
    site.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Makes the services of tests that need one of their own."""
    with ExitStack() as sites:
        yield lambda *arguments: sites.enter_context(closing(Site(tmp_path / "own", *arguments)))


@pytest.fixture
def page(browser: Chrome) -> Iterator[Page]:
    """The browser, which must not have anything to complain of at the end."""
    page = Page(browser)
    page.complaints()
    yield page
    wrong = [one for one in page.complaints() if "Failed to load resource" not in one]
    browser.get("about:blank")
    assert not wrong
