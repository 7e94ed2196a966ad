"""What is wrong with a command line, in this program's words instead of its library's."""

from __future__ import annotations

import click

from cerebelum.core.errors import UsageError


def usage_error(error: click.ClickException) -> UsageError:
    """The error with what, and a hint; `where` stays empty, since it is the command line."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    see = f"see: {context.command_path} --help" if context else None
    match error:
        case click.NoSuchOption():
            near = [*(error.possibilities or ())]
            hint = f"did you mean {' or '.join(near)}?" if near else see
            return UsageError(f"there is no option {error.option_name}", hint=hint)
        case click.MissingParameter():
            return UsageError(f"{_named(error)} is missing", hint=see)
        case click.BadParameter() if isinstance(kind := _type(error), click.Choice):
            choices = ", ".join(map(str, kind.choices))
            return UsageError(f"{_named(error)} takes one of {choices}{_given(error)}", hint=see)
        case click.BadParameter() if isinstance(kind := _type(error), click.IntRange):
            return UsageError(f"{_named(error)} takes a whole number, {_range(kind)}{_given(error)}", hint=see)
        case click.BadParameter():
            return UsageError(f"{_named(error)}: {error.message}", hint=see)
        case click.BadOptionUsage():
            return UsageError(f"{error.option_name} needs a value", hint=see)
        case _ if error.message.startswith("Got unexpected extra argument"):
            words = error.message.partition("(")[2].removesuffix(")")
            return UsageError(f"{words} is more than {context.command_path if context else 'this'} takes", hint=see)
        case _:
            return UsageError(error.format_message(), hint=see)


def _named(error: click.BadParameter) -> str:
    """The option as it is written, or the argument's word in the help."""
    param = error.param
    if isinstance(param, click.Option):
        return max(param.opts, key=len)
    if param is not None and error.ctx is not None:
        return param.make_metavar(error.ctx).strip("[]")
    return str(error.param_hint or "a value")


def _type(error: click.BadParameter) -> object:
    return error.param.type if error.param is not None else None


def _given(error: click.BadParameter) -> str:
    """What was given, as the library quotes it in front of its complaint."""
    quoted = error.message.partition(" is not ")[0]
    return f", not {quoted}" if quoted != error.message else ""


def _range(kind: click.IntRange) -> str:
    low, high = kind.min, kind.max
    if low is not None and high is not None:
        return f"from {low} to {high}"
    return f"at least {low}" if low is not None else f"at most {high}"
