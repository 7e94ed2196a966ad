"""`cerebelum schema`: the JSON Schema of workflow files, for editors, and of what `--json` prints, for programs."""

from __future__ import annotations

import click

from cerebelum.cli import terminal
from cerebelum.cli.tools import Tools


def schema(tools: Tools, output: bool) -> int:
    """The verb; returns the exit code."""
    if output:
        from cerebelum.render import output_schema

        terminal.show_json(output_schema.schema())
    else:
        from cerebelum.definition import schema as schema_of

        terminal.show_json(schema_of(tools.executors()))
    return 0


HELP = """Print the JSON Schema (2020-12) of workflow files, with the keys that plugins add, so that editors can help.

\b
  cerebelum schema > .cerebelum.schema.json

In a workflow file, editors with the YAML language server then take it from a first line such as

\b
  # yaml-language-server: $schema=.cerebelum.schema.json

With --output it is the schema of what every verb prints with --json; each kind of output is one of its $defs.

\b
  cerebelum schema --output > output.schema.json
"""

command = click.Command(
    "schema",
    callback=click.pass_obj(schema),
    help=HELP,
    params=[click.Option(["--output"], is_flag=True, help="The schema of what --json prints instead.")],
)
