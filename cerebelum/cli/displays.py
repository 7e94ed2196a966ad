"""Which display shows an execution while it goes on: drawn anew for somebody who watches, or lines to be kept."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from cerebelum.cli import terminal
from cerebelum.cli.look import Look
from cerebelum.cli.outlet import Outlet
from cerebelum.cli.screen import Display, JsonLines, Screen
from cerebelum.cli.step_output import Output
from cerebelum.cli.tools import Tools
from cerebelum.core.errors import CerebelumError
from cerebelum.render.build_systems import detect
from cerebelum.render.display import ASCII, UNICODE

if TYPE_CHECKING:
    from cerebelum.cli.live import LiveScreen
    from cerebelum.core.model import Workflow
    from cerebelum.sdk.verbs import Verbs


def plain(tools: Tools, outlet: Outlet, output: Output | None, *, as_json: bool, quiet: bool) -> Display:
    """What reads well wherever it is kept."""
    if as_json:
        return JsonLines(outlet)
    look = _look(tools, stamps=tools.environ.get("CEREBELUM_TIMESTAMPS", "1") not in ("0", "false", "no", "off"))
    if output is None or output == "live":
        output = "grouped" if look.system is not None and look.system.group else "stream"
    workflow = partial(_workflow_of, tools.client())
    return Screen(outlet, look, output=output, quiet=quiet, workflow_of=workflow)


def live(tools: Tools, outlet: Outlet, output: Output | None, *, as_json: bool, quiet: bool) -> LiveScreen | None:
    """What is drawn anew, where somebody watches."""
    if as_json or quiet or not terminal.can_live(sys.stdout, tools.environ):
        return None
    from cerebelum.cli.learning import progress
    from cerebelum.cli.live import LiveScreen

    return LiveScreen(
        outlet,
        _look(tools, stamps=False),
        terminal=sys.stdout.fileno(),
        learn=partial(progress, tools.client()),
        output=output or "live",
        workflow_of=partial(_workflow_of, tools.client()),
    )


def _workflow_of(client: Verbs, execution_id: str) -> Workflow | None:
    try:
        return client.status(execution_id).state.workflow
    except CerebelumError:
        # What it is asked for is only nice to have.
        return None


def _look(tools: Tools, *, stamps: bool) -> Look:
    symbols = UNICODE if terminal.takes_symbols(sys.stdout) else ASCII
    return Look(
        symbols, sys.stdout.encoding, terminal.colours(sys.stdout, tools.environ), stamps, detect(tools.environ)
    )
