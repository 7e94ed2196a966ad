"""`cerebelum shell`: look around where a step runs, with what it was given."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cerebelum.cli import shells, terminal
from cerebelum.cli.options import ID, complete_steps
from cerebelum.cli.tools import Tools
from cerebelum.cli.words import unicode_text
from cerebelum.core.errors import UsageError

if TYPE_CHECKING:
    from cerebelum.engine.inside import Inside
    from cerebelum.steps.executor import ByHand


def shell(
    tools: Tools,
    execution_id: str,
    step: str | None,
    command: str | None,
    program: str | None,
    with_secrets: bool,
    print_env: bool,
    as_json: bool,
) -> int:
    """The verb; returns the exit code."""
    if print_env and (command is not None or program is not None):
        raise UsageError("--print-env opens no shell", hint="leave out -c and --shell")
    if as_json and not print_env:
        raise UsageError("--json goes with --print-env", hint="cerebelum shell ID --print-env --json")
    client = tools.client()
    inside = client.inside(
        unicode_text(execution_id, "the id"),
        None if step is None else unicode_text(step, "the step"),
        with_secrets=with_secrets,
    )
    # A shell may stay open for long: it holds nothing of the store.
    client.close()
    for error in inside.unset:
        terminal.warn(f"left out: {error.message}")
    if print_env:
        for name in inside.revealing:
            terminal.warn(f"left out: {name}, which holds the password of a store")
        _print(inside, as_json=as_json)
        return 0
    return _open(tools, inside, command, program)


def _print(inside: Inside, *, as_json: bool) -> None:
    from cerebelum.render.inside import inside_shape

    if as_json:
        terminal.show_json(inside_shape(inside))
    else:
        lines = "".join(f"{line}\n" for line in shells.exports(inside.shown()))
        terminal.show_data(lines.encode("utf-8", "surrogateescape"), as_is=True)


def _open(tools: Tools, inside: Inside, command: str | None, program: str | None) -> int:
    from cerebelum.host.foreground import Attendant
    from cerebelum.host.temporary_folder import private_folder

    interactive = command is None and os.isatty(0)
    found = shells.find(program, inside.env, tools.environ.get("SHELL") if interactive else None)
    with Attendant(interactive=interactive) as attendant, private_folder() as folder:
        by_hand = _script(inside, folder)
        output = folder / "output"
        output.touch(mode=0o600)
        env = {**inside.env, "CEREBELUM_OUTPUT": str(output), "CEREBELUM_SHELL": "1"}
        if by_hand is not None:
            env["CEREBELUM_SCRIPT"] = str(by_hand.script)
        if interactive:
            terminal.complain(_banner(tools, inside, by_hand))
            opening = shells.prompting(
                found,
                env,
                folder=folder,
                cwd=inside.cwd,
                prompt=f"(cerebelum {inside.view.state.execution_id}:{inside.step.id}) ",
                home=tools.environ.get("HOME", "/"),
                secret=(*inside.given, *inside.revealing),
            )
        elif command is not None:
            opening = shells.performing(found, command, env)
        else:
            opening = shells.Opening([found], env)
        try:
            return attendant.run(opening.argv, env=opening.env, cwd=inside.cwd)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise UsageError(f"{found} cannot be started: {reason}", hint="name another one with --shell") from None


def _script(inside: Inside, folder: Path) -> ByHand | None:
    place = folder / "script"
    place.mkdir(mode=0o700)
    return inside.by_hand(place)


def _banner(tools: Tools, inside: Inside, by_hand: ByHand | None) -> str:
    from cerebelum import render
    from cerebelum.render.inside import inside_text

    symbols = render.UNICODE if terminal.takes_symbols(sys.stderr) else render.ASCII
    line = partial(render.command_line, tools.store, tools.plugin_files)
    return inside_text(inside, by_hand, symbols, datetime.now(UTC), line)


HELP = """Open a shell in the folder of a step, with the environment it had: inputs, `env` with the outputs of the steps
before it, CEREBELUM_*. Leave it with `exit`; the exit code is the shell's.

\b
  cerebelum shell last
  cerebelum shell deploy-k3 --step upload
  cerebelum shell last -c 'cat "$FILE"'
  cerebelum shell last -c 'bash -eo pipefail "$CEREBELUM_SCRIPT"'
  eval "$(cerebelum shell last --print-env)"

Without --step it is the step that failed or was interrupted. $CEREBELUM_SCRIPT is a file with the step's script.
Without a terminal, and without -c, commands are read from standard input.

Nothing is recorded, and the execution may go on, be resumed or cancelled meanwhile. The step is taken as it was
recorded; its secrets are left out unless --with-secrets takes them from your environment.
"""

command = click.Command(
    "shell",
    callback=click.pass_obj(shell),
    help=HELP,
    params=[
        ID,
        click.Option(["--step"], metavar="STEP", help="Of this step.", shell_complete=complete_steps),
        click.Option(["-c", "command"], metavar="COMMAND", help="Perform this one command, with bash or sh."),
        click.Option(["--shell", "program"], metavar="PATH", help="This shell, instead of $SHELL, bash or sh."),
        click.Option(["--with-secrets"], is_flag=True, help="With the step's secrets, from your environment."),
        click.Option(["--print-env"], is_flag=True, help="Print the environment as lines for eval, and stop."),
        click.Option(["--json", "as_json"], is_flag=True, help="With --print-env: JSON instead."),
    ],
)
