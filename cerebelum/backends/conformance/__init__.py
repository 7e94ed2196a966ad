"""What every store has to do, as tests: a backend that passes them works with the rest of cerebelum.

They need pytest, on which cerebelum itself does not depend. In the tests of a backend, subclass StoreConformance and
say where a fresh store is and what opens it:

    from cerebelum.backends.conformance import StoreConformance

    class TestMyStore(StoreConformance):
        opener = staticmethod(open_store)          # importable by its module and name: other processes use it too

        @pytest.fixture
        def url(self, tmp_path):
            return f"mystore:///{tmp_path}/events"  # a fresh, empty store for each test

From these comes the fixture `make_store`, which gives another handle on the test's store each time it is called;
override it where opening needs more than the URL.
"""

try:
    import pytest
except ImportError as error:
    raise ImportError("the conformance suite consists of pytest's tests: pip install pytest") from error

# So that a failure says what was compared, as in a test of one's own.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{name}"
        for name in ("kit", "appending", "owning", "claiming", "output", "search", "model", "texts", "tools", "handles")
    )
)

from cerebelum.backends.conformance.appending import AppendConformance  # noqa: E402
from cerebelum.backends.conformance.claiming import ClaimConformance  # noqa: E402
from cerebelum.backends.conformance.handles import HandleConformance  # noqa: E402
from cerebelum.backends.conformance.output import OutputConformance  # noqa: E402
from cerebelum.backends.conformance.owning import OwnershipConformance  # noqa: E402
from cerebelum.backends.conformance.search import SearchConformance  # noqa: E402
from cerebelum.backends.conformance.texts import TextConformance  # noqa: E402
from cerebelum.backends.conformance.tools import ToolsConformance  # noqa: E402

__all__ = ["StoreConformance"]


class StoreConformance(
    AppendConformance,
    OwnershipConformance,
    ClaimConformance,
    OutputConformance,
    SearchConformance,
    TextConformance,
    ToolsConformance,
    HandleConformance,
):
    """The suite; see the module's text."""
