"""The browser of the tests of the page."""

from tests.service.page.conftest import browser, own, page

__all__ = ["browser", "own", "page"]
