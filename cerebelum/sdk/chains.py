"""The order of steps as it is written: `fetch >> [lint, unit] >> package`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any, Union

from cerebelum.core.errors import UsageError

_OURS = f"{__package__}."


class Linked:
    """What `>>` puts into an order: a step, or several of them."""

    def __rshift__(self, after: Follower) -> Chain:
        """This, then what follows; a list runs at the same time."""
        return Chain([self, after])

    def __rrshift__(self, before: Follower) -> Chain:
        return Chain([before, self])


class Node(Linked):
    """A step, whatever performs it."""

    name: str
    where: str
    """`file:line` of its definition."""


class Chain(Linked):
    """Stages, one after the other; those of a list run at the same time."""

    where = ""
    """`file:line` of the timeline that it became."""

    def __init__(self, parts: list[Any]) -> None:
        self._parts: list[Node | tuple[Chain, ...] | Chain] = []
        for part in parts:
            if isinstance(part, Node | Chain):
                self._parts.append(part)
            elif isinstance(part, list | tuple):
                self._parts.append(tuple(Chain([each]) for each in part))
            else:
                raise _no_step(part)

    @property
    def stages(self) -> list[Node | tuple[Chain, ...]]:
        """What follows each other, chains in it taken apart."""
        # Only now: each `>>` of a long chain would copy all that stands before it.
        stages: list[Node | tuple[Chain, ...]] = []
        todo: list[Node | tuple[Chain, ...] | Chain] = [self]
        while todo:
            part = todo.pop()
            if isinstance(part, Chain):
                todo += reversed(part._parts)
            else:
                stages.append(part)
        return stages

    def nodes(self) -> Iterator[Node]:
        """The steps, in the order they are written in."""
        for stage in self.stages:
            if isinstance(stage, Node):
                yield stage
            else:
                for branch in stage:
                    yield from branch.nodes()


Follower = Union[Linked, "list[Any]", "tuple[Any, ...]"]


def caller() -> str:
    """`file:line` of the user's code that led here."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith(_OURS):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else ""


def _no_step(part: object) -> UsageError:
    shown = getattr(part, "__name__", None) or repr(part)[:80]
    hint = f"put @step above def {shown}" if callable(part) else "steps are named, not called: fetch >> [lint, unit]"
    return UsageError(f"{shown} is no step", where=caller(), hint=hint)
