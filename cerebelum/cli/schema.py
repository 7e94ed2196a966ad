"""`cerebelum schema`: the JSON Schema of workflow files, for editors."""

from __future__ import annotations

import click

from cerebelum.cli import terminal
from cerebelum.cli.tools import Tools


def schema(tools: Tools) -> int:
    """The verb; returns the exit code."""
    from cerebelum.definition import schema as schema_of

    terminal.show_json(schema_of(tools.executors()))
    return 0


HELP = """Print the JSON Schema (2020-12) of workflow files, with the keys that plugins add, so that editors can help.

\b
  cerebelum schema > .cerebelum.schema.json

In a workflow file, editors with the YAML language server then take it from a first line such as

\b
  # yaml-language-server: $schema=.cerebelum.schema.json
"""

command = click.Command("schema", callback=click.pass_obj(schema), help=HELP, params=[])
