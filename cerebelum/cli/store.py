"""`cerebelum store`: look after the place where executions are kept."""

from __future__ import annotations

import click

from cerebelum.cli import (
    store_backup,
    store_copy,
    store_export,
    store_heads,
    store_import,
    store_info,
    store_prune,
    store_verify,
)

_PARTS = (*(store_info, store_verify, store_export, store_import, store_copy, store_backup, store_prune, store_heads),)

HELP = """Look after the store: see what is in it, check, move and back it up, and remove what is old.

\b
  cerebelum store info
  cerebelum store verify
  cerebelum store backup kept.db
  cerebelum store prune --older-than 90d --keep 20 --yes
"""

command = click.Group("store", help=HELP, commands=[part.command for part in _PARTS])
