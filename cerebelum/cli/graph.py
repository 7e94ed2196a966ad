"""`cerebelum graph`: which steps need which, of a file or of an execution."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cerebelum.cli import answers, terminal
from cerebelum.cli.options import complete_ids_and_files
from cerebelum.cli.tools import Tools
from cerebelum.cli.words import unicode_text

if TYPE_CHECKING:
    from cerebelum.render.graphs import Picture


def graph(tools: Tools, target: str, kind: str) -> int:
    """The verb; returns the exit code."""
    from cerebelum.render import graphs

    picture = _picture(tools, unicode_text(target, "the file or id"))
    if kind == "text":
        terminal.show(graphs.text_graph(picture, answers.style(tools).symbols))
    elif kind == "svg":
        from cerebelum.render import svg

        # A file of this kind is UTF-8, whatever the terminal takes.
        terminal.show_data(svg.graph(picture).encode() + b"\n", as_is=True)
    else:
        terminal.show(graphs.FORMATS[kind](picture))
    return 0


def _picture(tools: Tools, target: str) -> Picture:
    from cerebelum.render.graphs import Picture

    # No id has a colon in it, as a workflow of several in a file has: flow.py:deploy.
    if os.sep in target or ":" in target or target.endswith((".yaml", ".yml", ".py")) or os.path.isfile(target):
        from cerebelum.definition import load

        return Picture(load(Path(target), tools.executors()).workflow)
    state = tools.client().status(target).state
    return Picture(state.workflow, state.steps)


HELP = """Show which steps need which: of a workflow file, or of an execution, then with how the steps stand.

\b
  cerebelum graph deploy.yaml
  cerebelum graph last
  cerebelum graph last --format mermaid >> README.md
  cerebelum graph last --format svg > deploy.svg
  cerebelum graph deploy.yaml --format dot | dot -Tpdf > deploy.pdf

As text, steps of one block may run at the same time, and need all of the block above unless it says otherwise. The SVG
is whole by itself: it looks good in light and in dark, and in a page.
"""

command = click.Command(
    "graph",
    callback=click.pass_obj(graph),
    help=HELP,
    params=[
        click.Argument(["target"], metavar="FILE|ID", shell_complete=complete_ids_and_files),
        click.Option(
            ["--format", "kind"],
            type=click.Choice(["text", "mermaid", "dot", "svg"]),
            default="text",
            show_default=True,
            help="What to write.",
        ),
    ],
)
