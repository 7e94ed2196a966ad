"""Which display shows an execution while it goes on: drawn anew for somebody who watches, or lines to be kept."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from cerebelum.cli import terminal
from cerebelum.cli.outlet import Outlet
from cerebelum.cli.screen import Display, JsonLines, Screen
from cerebelum.cli.tools import Tools
from cerebelum.render.display import ASCII, UNICODE, Symbols

if TYPE_CHECKING:
    from cerebelum.cli.live import LiveScreen


def plain(tools: Tools, outlet: Outlet, *, as_json: bool, quiet: bool) -> Display:
    """What reads well wherever it is kept."""
    if as_json:
        return JsonLines(outlet)
    colour = terminal.colours(sys.stdout, tools.environ)
    return Screen(outlet, _symbols(), colour=colour, quiet=quiet, encoding=sys.stdout.encoding)


def live(tools: Tools, outlet: Outlet, *, as_json: bool, quiet: bool, verbose: bool) -> LiveScreen | None:
    """What is drawn anew, where somebody watches."""
    if as_json or quiet or not terminal.can_live(sys.stdout, tools.environ):
        return None
    from cerebelum.cli.learning import progress
    from cerebelum.cli.live import LiveScreen

    return LiveScreen(
        outlet,
        _symbols(),
        terminal=sys.stdout.fileno(),
        colour=terminal.colours(sys.stdout, tools.environ),
        encoding=sys.stdout.encoding,
        learn=partial(progress, tools.client()),
        verbose=verbose,
    )


def _symbols() -> Symbols:
    return UNICODE if terminal.takes_symbols(sys.stdout) else ASCII
