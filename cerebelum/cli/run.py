"""`cerebelum run`: start a workflow and see it through."""

from __future__ import annotations

import click

from cerebelum.cli.driving import MANNER
from cerebelum.cli.starting import run

INPUT = click.Option(
    ["-i", "--input", "input_pairs"], metavar="NAME=VALUE", multiple=True, help="An input of the workflow."
)
TAG = click.Option(["-t", "--tag", "tags"], metavar="TAG", multiple=True, help="A tag to find it by.")
LOCK = click.Option(["--lock"], metavar="NAME", help="Wait until no other execution has the lock of this name.")
INPUTS_FILE = click.Option(
    ["--inputs-file"], metavar="FILE", help="Inputs as a JSON object or YAML mapping; - is standard input."
)

HELP = """Start the workflow in FILE, of YAML or of Python, show what happens, and exit with its result.

\b
  cerebelum run release.yaml --input version=1.4.0
  cerebelum run deploy.yaml --id deploy-$CI_JOB_ID --or-resume
  cerebelum run jobs.py:nightly
  echo '{"version": "1.4.0"}' | cerebelum run release.yaml --inputs-file -

The exit code is 0 when it completed, 1 when it failed and can be resumed, 2 when nothing was started because the file
or an input is wrong, 6 when it was cancelled or rejected, 75 when it waits and nobody drives it, 130 or 143 when it was
stopped by a signal.
"""

command = click.Command(
    "run",
    callback=click.pass_obj(run),
    help=HELP,
    params=[
        click.Argument(["file"], type=click.Path(), shell_complete=None),
        INPUT,
        INPUTS_FILE,
        click.Option(["--id", "execution_id"], metavar="ID", help="The execution's id; made up if not given."),
        click.Option(["--or-resume"], is_flag=True, help="With --id: go on with it if it is there; done if completed."),
        TAG,
        click.Option(["--correlation-id"], metavar="TEXT", help="What another system knows it by."),
        LOCK,
        click.Option(["--dry-run"], is_flag=True, help="Check everything, show what would run, and stop."),
        *MANNER,
    ],
)
