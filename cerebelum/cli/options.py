"""Options that several verbs have, and how their values are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cerebelum.core.errors import UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def complete_ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Executions."""
    from cerebelum.cli import completing

    return completing.ids(ctx, param, incomplete)


def complete_ids_and_files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Executions, and files where none fits."""
    from cerebelum.cli import completing

    return completing.ids_and_files(ctx, param, incomplete)


def complete_steps(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Steps of the execution that is named."""
    from cerebelum.cli import completing

    return completing.steps(ctx, param, incomplete)


JSON = click.Option(["--json", "as_json"], is_flag=True, help="Print JSON instead of text.")
QUIET = click.Option(["-q", "--quiet"], is_flag=True, help="Show failures and the last line only.")
ID = click.Argument(["execution_id"], metavar="[ID]", default="last", shell_complete=complete_ids)
STEP = click.Argument(["step"], metavar="[STEP]", required=False, shell_complete=complete_steps)


def _told(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is None and not ctx.resilient_parsing:
        raise UsageError(
            f"{ctx.info_name} changes an execution, so it has to be told which one",
            hint="give its id, the beginning of it, or `last` for the newest; see: cerebelum list",
        )
    return value


class _Told(click.Argument):
    def make_metavar(self, ctx: click.Context) -> str:
        """Without the brackets of what may be left out, although click is to leave the complaint to us."""
        return "ID"


TARGET = _Told(["execution_id"], required=False, callback=_told, shell_complete=complete_ids)
"""The id for verbs that change something: in a shared store the newest execution may be somebody else's."""


class Duration(click.ParamType[float]):
    """A length of time such as 30s, 10m or 1h30m; seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        from cerebelum.core.durations import FORMS, duration

        try:
            return duration(value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}; {FORMS}", param, ctx)
