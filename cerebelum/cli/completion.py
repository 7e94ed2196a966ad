"""`cerebelum completion`: what makes a shell complete verbs, options, files, executions and steps."""

from __future__ import annotations

import click

from cerebelum.cli import terminal

_SHELLS = ("bash", "zsh", "fish")


@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """The verb; returns the exit code."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    root = ctx.find_root()
    assert kind is not None
    # Not `source()`: it would ask the bash that is there for its version, and this may be for another machine.
    script = kind(root.command, {}, "cerebelum", "_CEREBELUM_COMPLETE")
    terminal.show(script.source_template % script.source_vars())
    return 0


HELP = """Print a script for your shell that completes verbs, options, workflow files, executions and steps.

\b
  source <(cerebelum completion bash)         # for ever: a line in ~/.bashrc
  source <(cerebelum completion zsh)          # in ~/.zshrc, after compinit
  cerebelum completion fish > ~/.config/fish/completions/cerebelum.fish
"""

command = click.Command(
    "completion",
    callback=completion,
    help=HELP,
    params=[click.Argument(["shell"], type=click.Choice(_SHELLS))],
)
