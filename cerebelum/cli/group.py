"""The command `cerebelum` itself: finds the verb, imports its module alone, and knows the options that all share."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from itertools import pairwise
from typing import Any, cast

import click
import msgspec

from cerebelum.cli import terminal
from cerebelum.cli.tools import Tools
from cerebelum.core.errors import UsageError
from cerebelum.sdk.core_url import is_service, store_of


class Verb(msgspec.Struct, frozen=True):
    """Where a verb lives, and what it does in one line."""

    module: str
    help: str


VERBS: dict[str, Verb] = {
    "run": Verb("run", "Start a workflow and see it through."),
    "submit": Verb("submit", "Put a workflow into a queue, for a worker to take."),
    "resume": Verb("resume", "Go on with an execution where it stopped."),
    "status": Verb("status", "Show one execution, step by step."),
    "watch": Verb("watch", "Watch an execution until it is over."),
    "active": Verb("active", "List what is not over, and who drives it."),
    "list": Verb("list", "List executions, newest first."),
    "locks": Verb("locks", "List who has which lock, and who waits for it."),
    "logs": Verb("logs", "Show what the steps printed."),
    "shell": Verb("shell", "Open a shell where a step runs, to see why it failed."),
    "history": Verb("history", "Show the events of an execution."),
    "pause": Verb("pause", "Stop an execution in an orderly way, to be resumed."),
    "cancel": Verb("cancel", "Stop an execution for good."),
    "approve": Verb("approve", "Let a step go on that waits for a person."),
    "reject": Verb("reject", "Refuse what a step asks for."),
    "fork": Verb("fork", "Start a new execution in the middle of an old one."),
    "supervise": Verb("supervise", "Take up what nobody drives: the interrupted, the due."),
    "schedules": Verb("schedules", "Show when workflows start by themselves."),
    "worker": Verb("worker", "Take executions from queues and drive them."),
    "serve": Verb("serve", "Open the store to programs, colleagues and browsers."),
    "init": Verb("init", "Write a workflow to start from."),
    "graph": Verb("graph", "Show which steps need which."),
    "report": Verb("report", "Write an execution as one HTML page."),
    "validate": Verb("validate", "Check workflow files without running them."),
    "schema": Verb("schema", "Print the JSON Schema of workflow files, or of --json."),
    "plugins": Verb("plugins", "List plugins and what they add."),
    "store": Verb("store", "Look after the store."),
    "completion": Verb("completion", "Make your shell complete executions and steps."),
    "doctor": Verb("doctor", "Check this installation and its store."),
}

_FIRST = """\
cerebelum runs workflows that survive failures, and resumes them where they stopped.

  cerebelum init              write a workflow to start from
  cerebelum run FILE          start a workflow and see it through
  cerebelum resume last       go on where the last one stopped
  cerebelum watch             see what is going on, from any terminal
  cerebelum status last       what happened, and what to do next

`cerebelum --help` lists all verbs, `cerebelum help VERB` tells more about one."""
_EPILOG = "Ids may be given as any unique prefix, or as `last`. `cerebelum VERB --help` tells more."


_MEANT = {
    **dict.fromkeys(("ls", "ps"), "list"),
    **dict.fromkeys(("start", "exec", "execute"), "run"),
    **dict.fromkeys(("stop", "kill", "abort"), "cancel"),
    **dict.fromkeys(("continue", "restart", "retry"), "resume"),
    **dict.fromkeys(("check", "lint"), "validate"),
    **dict.fromkeys(("show", "get", "describe"), "status"),
    **dict.fromkeys(("log", "tail", "output"), "logs"),
    **dict.fromkeys(("events", "audit"), "history"),
}
"""What other tools call it."""


class Group(click.Group):
    """A group whose verbs are imported when called; plugins are asked only for a verb that is not ours."""

    def __init__(self, verbs: Mapping[str, Verb], add_commands: Callable[[click.Group], None]) -> None:
        super().__init__(
            "cerebelum",
            callback=_about_itself,
            params=[
                *shared_options(),
                click.Option(["-V", "--version"], is_flag=True, help="Print the version."),
                click.Option(["--json"], is_flag=True, help="With --version: also commit, build, Python and SQLite."),
                click.Option(["--licenses"], is_flag=True, help="Print the licences of everything inside."),
            ],
            help="Runs workflows that survive failures, and resumes them where they stopped.",
            epilog=_EPILOG,
            subcommand_metavar="VERB [ARGS]...",
            invoke_without_command=True,
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        )
        self._verbs = verbs
        self._add_commands = add_commands
        self._asked = False
        self._tools: Tools | None = None
        self._named: list[str] = []

    def perform(self, arguments: list[str], tools: Tools) -> int:
        """Perform one command line. Returns the exit code; raises what the verb raises, click's errors included."""
        # What brings a verb may be named behind it, or behind --help.
        self._named, self._tools = _plugins_named(arguments), tools
        if f"_{self.name}_COMPLETE".upper() in os.environ:
            self.main(arguments, self.name, obj=tools)
        with self.make_context(self.name, arguments, obj=tools) as context:
            code = self.invoke(context)
            return code if isinstance(code, int) else 0

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, those of plugins last."""
        self._ask_plugins()
        return [*self._verbs, *sorted(self.commands)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command, with the options all verbs share; None if nobody knows it."""
        verb = self._verbs.get(cmd_name)
        if verb is not None:
            return with_shared_options(cast(click.Command, import_module(f"cerebelum.cli.{verb.module}").command))
        self._ask_plugins()
        command = self.commands.get(cmd_name)
        return None if command is None else with_shared_options(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb and its arguments. Raises UsageError, with the nearest verb, for an unknown one."""
        name = args[0]
        if name == "help" and "help" not in self.commands:
            return self._help(ctx, args[1:])
        if self.get_command(ctx, name) is None:
            import difflib

            near = [_MEANT[name]] if name in _MEANT else difflib.get_close_matches(name, self.list_commands(ctx), 1)
            hint = f"did you mean {near[0]}?" if near else "the verbs are " + ", ".join(self.list_commands(ctx))
            raise UsageError(f"there is no verb {name!r}", hint=hint)
        return super().resolve_command(ctx, args)

    def _help(self, ctx: click.Context, names: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """`help VERB` is `VERB --help`, and `help` is `--help`."""
        if not names:
            terminal.show(ctx.get_help())
            ctx.exit(0)
        return self.resolve_command(ctx, [*names, "--help"])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs with one line each, without importing ours."""
        rows = [(name, verb.help) for name, verb in self._verbs.items()]
        self._ask_plugins()
        rows += [(name, command.get_short_help_str()) for name, command in sorted(self.commands.items())]
        with formatter.section("Verbs"):
            formatter.write_dl(rows)

    def _ask_plugins(self) -> None:
        if not self._asked:
            self._asked = True
            files = self._tools.plugin_files if self._tools is not None else []
            files.extend(file for file in self._named if file not in files)
            self._add_commands(_Taken(self, self._verbs))


class _Taken(click.Group):
    """What plugins see of the group: adding a verb of ours is refused there."""

    def __init__(self, group: Group, verbs: Mapping[str, Verb]) -> None:
        super().__init__(group.name)
        self.commands = group.commands
        self._verbs = verbs

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        verb = name or cmd.name
        if verb in self._verbs or verb in self.commands:
            raise ValueError(f"the verb {verb!r} is taken")
        super().add_command(cmd, name)


def build(verbs: Mapping[str, Verb], add_commands: Callable[[click.Group], None]) -> Group:
    """The command line; `add_commands(group)` is called when a verb is not in `verbs`, or all are to be listed."""
    return Group(verbs, add_commands)


@click.pass_context
def _about_itself(ctx: click.Context, version: bool, json: bool, licenses: bool) -> None:
    """Answer what is asked of the program itself. Raises click.UsageError for what cannot be answered together."""
    verb = ctx.invoked_subcommand
    if json and not version:
        hint = f"cerebelum {verb} --json" if verb in VERBS else "as in cerebelum --version --json"
        raise click.UsageError(f"in front of a verb, --json goes with --version only; {hint}", ctx)
    if version and licenses:
        raise click.UsageError("--version and --licenses cannot be answered together", ctx)
    if (version or licenses) and verb is not None:
        raise click.UsageError(f"{'--version' if version else '--licenses'} takes no verb", ctx)
    if version or licenses:
        terminal.show(_facts(ctx.obj, json) if version else _licenses())
        ctx.exit(0)
    if verb is None:
        terminal.show(_FIRST)
        ctx.exit(2)


def _facts(tools: Tools, as_json: bool) -> str:
    from cerebelum import __version__

    if not as_json:
        return f"cerebelum {__version__}"
    from json import dumps

    return dumps(dict(tools.about()))


def _licenses() -> str:
    from cerebelum.cli.about import licenses

    return licenses().rstrip("\n")


def shared_options() -> list[click.Option]:
    """Options that are taken before and after the verb."""
    return [
        click.Option(
            ["--store"],
            metavar="URL",
            expose_value=False,
            callback=_use_store,
            help="Where executions are kept: a URL, or the path of an SQLite file. [env: CEREBELUM_STORE]",
        ),
        click.Option(
            ["--core-url"],
            metavar="HOST:PORT",
            expose_value=False,
            callback=_use_service,
            help="Ask this service (cerebelum serve) instead of a store. [env: CEREBELUM_CORE_URL]",
        ),
        click.Option(
            ["--plugin"],
            metavar="FILE",
            multiple=True,
            expose_value=False,
            callback=_use_plugins,
            help="Load a plugin from a Python file; may be repeated. [env: CEREBELUM_PLUGINS]",
        ),
    ]


def with_shared_options(command: click.Command) -> click.Command:
    """The command, and those within it, with the shared options they do not have yet."""
    known = {option for param in command.params for option in param.opts}
    command.params.extend(option for option in shared_options() if not known & set(option.opts))
    command.context_settings.setdefault("help_option_names", ["-h", "--help"])
    for part in command.commands.values() if isinstance(command, click.Group) else ():
        with_shared_options(part)
    return command


def _use_store(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        _name_store(ctx, value)


def _use_service(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        _name_store(ctx, store_of(value, "--core-url"))


def _name_store(ctx: click.Context, store: str) -> None:
    tools = cast(Tools, ctx.obj)
    if tools.store is not None and is_service(store) != is_service(tools.store):
        raise UsageError("--store and --core-url exclude each other", hint="a service knows which store it is of")
    tools.store = store


def _use_plugins(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> None:
    files: list[Any] = cast(Tools, ctx.obj).plugin_files
    files.extend(file for file in value if file not in files)


def _plugins_named(args: list[str]) -> list[str]:
    args = args[: args.index("--")] if "--" in args else args
    named = [b for a, b in pairwise(args) if a == "--plugin"]
    return named + [a.removeprefix("--plugin=") for a in args if a.startswith("--plugin=")]
