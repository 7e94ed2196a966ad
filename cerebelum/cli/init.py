"""`cerebelum init`: a workflow to start from, with a comment for everything that is in it."""

from __future__ import annotations

from pathlib import Path

import click

from cerebelum.cli import terminal
from cerebelum.cli.tools import Tools
from cerebelum.cli.words import unicode_text
from cerebelum.core.errors import UsageError

STARTER = """\
# A workflow: steps that run one after the other, unless they stand in `parallel`.
#
#   cerebelum validate NAME        check it
#   cerebelum run NAME             start it
#   cerebelum resume last          after a failure, a Ctrl-C or a power cut: go on where it stopped
name: starter
description: Build, check and announce something.

# What whoever starts it can choose: cerebelum run NAME --input version=2.0.0
inputs:
  version: {type: string, default: 1.0.0, pattern: '\\d+\\.\\d+\\.\\d+', description: what to call it}

# Variables of all scripts. Inputs are there too, as $INPUT_VERSION and so on.
env:
  ARTEFACT: build-${{ inputs.version }}.txt

defaults:
  timeout: 10m # of each attempt

steps:
  - id: build
    # A script is taken literally: values reach it as variables. With bash it stops at the first command that fails.
    run: |
      echo "version $INPUT_VERSION" > "$ARTEFACT"
      # What later steps are to know: KEY=value lines. It is steps.build.output.size there.
      echo "size=$(wc -c < "$ARTEFACT" | tr -d ' ')" >> "$CEREBELUM_OUTPUT"

  - parallel:
      - id: lint
        run: test -s "$ARTEFACT"
      - id: test
        run: grep -q "$INPUT_VERSION" "$ARTEFACT"
        retry: {attempts: 3, delay: 1s, backoff: 2} # try again after a failure: now, after 1 s, after 2 s

  # A wait survives every restart. Longer ones can be left to `run --park` and `supervise`.
  - id: settle
    sleep: 1s

  # Take the comment signs away, and the run waits here for: cerebelum approve last
  # - id: go
  #   approval: {message: 'Announce ${{ inputs.version }}?', timeout: 2h}

  - id: announce
    when: steps.build.output.size != '0'
    env: {SIZE: '${{ steps.build.output.size }}'}
    run: echo "$ARTEFACT has $SIZE bytes"
    output: text # what it prints is steps.announce.output

# Run when it has failed; there are on_success, on_cancel and finally, too.
on_failure:
  - id: clean-up
    run: rm -f "$ARTEFACT"

output: ${{ steps.announce.output }}
"""


def init(tools: Tools, file: str) -> int:
    """The verb; returns the exit code."""
    name = unicode_text(file, "the file")
    try:
        with Path(name).open("x", encoding="utf-8") as out:
            out.write(STARTER.replace("NAME", name if name.replace("/", "").replace(".", "").isalnum() else "FILE"))
    except FileExistsError:
        raise UsageError("there is such a file already", where=name, hint="name another: cerebelum init FILE") from None
    except OSError as error:
        raise UsageError(f"it cannot be written: {error.strerror}", where=name) from None
    terminal.show(f"wrote {name}; start it with: cerebelum run {name}")
    return 0


HELP = """Write a workflow to start from: it runs as it is, and says what everything in it is for.

\b
  cerebelum init
  cerebelum init deploy.yaml

A file that is there already is left alone.
"""

command = click.Command(
    "init",
    callback=click.pass_obj(init),
    help=HELP,
    params=[click.Argument(["file"], metavar="[FILE]", default="workflow.yaml")],
)
