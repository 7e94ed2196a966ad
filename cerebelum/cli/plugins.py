"""`cerebelum plugins`: where each plugin came from, what it adds, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cerebelum.cli import terminal
from cerebelum.cli.options import JSON
from cerebelum.cli.tools import Tools
from cerebelum.registry import Plugin
from cerebelum.render.display import harmless
from cerebelum.render.tables import table

if TYPE_CHECKING:
    from cerebelum.render import contract


def plugins(tools: Tools, as_json: bool) -> int:
    """The verb; returns the exit code."""
    registry = tools.every_plugin()
    if as_json:
        every: contract.Plugins = {"plugins": [shape(plugin) for plugin in registry.plugins]}
        terminal.show_json(every)
        return 0
    rows = [("NAME", "FROM", "ADDS")]
    rows += [
        (p.name, p.origin if p.origin == "built-in" else f"{p.origin}: {p.where}", adds(p)) for p in registry.plugins
    ]
    for line in table(rows):
        terminal.show(harmless(line))
    for plugin in registry.plugins:
        if plugin.problem is not None:
            terminal.complain(harmless(f"cerebelum: warning: {plugin.problem.text()}"))
    return 0


def adds(plugin: Plugin) -> str:
    """What a plugin adds, in a few words."""
    if plugin.problem is not None:
        return "nothing: see below"
    parts = [f"{key}: ({executor.summary})" for key, executor in plugin.executors.items()]
    parts += [f"{scheme}:// (store)" for scheme in plugin.backends]
    parts += ["verbs"] if "cerebelum_commands" in plugin.hooks else []
    parts += ["hears events"] if "cerebelum_event" in plugin.hooks else []
    return ", ".join(parts)


def shape(plugin: Plugin) -> contract.FoundPlugin:
    """A plugin as `--json` shows it."""
    return {
        "name": plugin.name,
        "origin": plugin.origin,
        "where": plugin.where,
        "hooks": plugin.hooks,
        "executors": [{"key": key, "summary": executor.summary} for key, executor in plugin.executors.items()],
        "backends": list(plugin.backends),
        "problem": plugin.problem.text() if plugin.problem else None,
    }


HELP = """List plugins: the built-in ones, those of installed distributions, of the plugin folder, and of --plugin.

\b
  cerebelum plugins
  cerebelum plugins --plugin ./notify.py --json

The plugin folder is ~/.config/cerebelum/plugins.
"""

command = click.Command("plugins", callback=click.pass_obj(plugins), help=HELP, params=[JSON])
