"""Random workflows, and a script of how every attempt at every step ends, for the properties of the core."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from hypothesis import strategies as st

from cerebelum.core.decide import Nudge
from cerebelum.core.events import (
    AnyEvent,
    ApprovalRequested,
    SleepStarted,
    StepCompleted,
    StepFailed,
    StepInterrupted,
)
from cerebelum.core.model import RunsOn, Step, Workflow
from cerebelum.core.outcome import Approval, Completed, Interrupted, Outcome, Sleep
from cerebelum.core.phases import CANCELLABLE
from tests.core.world import FAILED, FATAL, World, retry, step, workflow

_OutcomeEvent = StepCompleted | StepFailed | SleepStarted | ApprovalRequested | StepInterrupted
_UNFORESEEN = ("runner_died", "withdrawn")
Decision = Literal["grant", "reject", "nobody"]


@dataclass
class Scenario:
    """Everything that a run hangs on, given by step, so that it does not hang on when the log was cut."""

    definition: Workflow
    script: dict[str, list[Outcome]]
    """How the attempts at a step end, in order; after that they complete."""
    conditions: dict[str, bool | None]
    decisions: dict[str, Decision]
    """What somebody says to a step's approvals."""
    order: dict[str, int]
    """Which of several running attempts ends first: the one with the smallest number."""
    cancel_after: int | None = None
    """Cancelled once this many attempts have come to an end."""
    events: list[AnyEvent] = field(default_factory=list)

    def world(self) -> World:
        return World(self.definition, **self.conditions)

    def run(self, world: World, turns: int = 400) -> World:
        """Drive until nothing more happens."""
        for _ in range(turns):
            if not self.turn(world):
                return world
        raise AssertionError("it does not come to an end")

    def turn(self, world: World) -> bool:
        """One happening; False if there is none left. What it is follows from the log alone."""
        state = world.state
        if state.ended or state.paused:
            return False
        if any(moment <= world.now for moment in world.moments().values()) and world.turn(Nudge()):
            return True
        outcomes = _outcomes_in(world.log)
        if self.cancel_after is not None and len(outcomes) >= self.cancel_after and not state.cancel:
            world.cancelled_by()
            return True
        deciders = [
            s
            for s, kind in state.active.items()
            if kind == "waiting_for_approval"
            and self.decisions.get(s, "grant") != "nobody"
            # Whether a decision still comes in time then depends on how long attempts take to end.
            and not (state.cancel and state.graph.group_of(s) in CANCELLABLE)
        ]
        candidates = sorted({*world.running, *world.on_workers, *deciders}, key=lambda s: self.order[s])
        if not candidates:
            return self._let_time_pass(world)
        step_id = candidates[0]
        if step_id in deciders:
            world.granted(step_id) if self.decisions.get(step_id, "grant") == "grant" else world.rejected(step_id)
        elif step_id in state.active.at("waiting_for_worker"):
            world.taken(step_id)
        elif state.cancel and state.graph.group_of(step_id) in CANCELLABLE:
            _ends(world, step_id, Interrupted(), why="cancelled")
        else:
            ended = [event.step for event in outcomes].count(step_id)
            script = self.script.get(step_id, [])
            _ends(world, step_id, script[ended] if ended < len(script) else Completed(f"{step_id} {ended}"))
        return True

    def _let_time_pass(self, world: World) -> bool:
        moments = {*world.moments().values(), *_time_limit(world)}
        for moment in sorted(m for m in moments if m >= world.now):
            world.now = moment
            if world.turn(Nudge()):
                return True
        return False


def _ends(world: World, step_id: str, outcome: Outcome, **fields: Any) -> None:
    """An attempt ends, here or on a worker."""
    taken = world.state.steps[step_id].taken
    if taken is None:
        world.ends(step_id, outcome, **fields)
    else:
        world.reported(taken, outcome, **fields)


def _time_limit(world: World) -> list[datetime]:
    limit, since = world.state.workflow.timeout, world.state.segment_at
    return [] if limit is None or since is None else [since + timedelta(seconds=limit)]


def _outcomes_in(log: list[AnyEvent]) -> list[_OutcomeEvent]:
    """Every end of an attempt that the script accounts for, so not that of an attempt which died with its runner."""
    return [
        event
        for event in log
        if isinstance(event, _OutcomeEvent) and not (isinstance(event, StepInterrupted) and event.why in _UNFORESEEN)
    ]


# -- strategies -------------------------------------------------------------------------------------------------------

_APPROVALS: list[Outcome] = [
    Approval(timeout=3.0, on_timeout="fail"),
    Approval(timeout=3.0, on_timeout="reject"),
    Approval(timeout=20.0, on_timeout="approve"),
    Approval(),
    Approval(),
]
_SLEEPS: list[Outcome] = [Sleep(0.0), Sleep(1.0), Sleep(5.0), Sleep(30.0)]
_outcomes = st.sampled_from([*[FAILED] * 8, *[FATAL] * 4, *[Interrupted()] * 2, *_APPROVALS, *_SLEEPS])


_PLAIN: dict[str, Any] = {"when": None, "continue_on_error": False, "retry": retry(1)}
# One choice for all of a step's keys: drawing each of them would take most of the tests' time.
_KEYS = st.sampled_from(
    [
        *(_PLAIN for _ in range(8)),
        *(
            {"when": when, "continue_on_error": tolerated, "retry": retry(attempts, delay=delay, backoff=2.0)}
            for when in (None, None, True, False, "${{ it }}")
            for tolerated in (False, False, True)
            for attempts, delay in ((1, 1.0), (2, 0.0), (2, 4.0), (3, 1.0))
        ),
    ]
)


_PLACES = st.sampled_from([None, None, None, RunsOn("gpu")])


def _step(draw: st.DrawFn, step_id: str, needs: tuple[str, ...], **fields: Any) -> Step:
    return step(step_id, *needs, **draw(_KEYS), runs_on=draw(_PLACES), **fields)


@st.composite
def main_graph(draw: st.DrawFn, interrupts: bool = False) -> tuple[Step, ...]:
    """A timeline with parallel groups and steps with explicit needs, in the file's order or any other."""
    steps: list[Step] = []
    before: tuple[str, ...] = ()
    for _ in range(draw(st.integers(1, 4))):
        width = draw(st.sampled_from([1, 1, 2, 3]))
        here = [f"s{len(steps) + i}" for i in range(width)]
        earlier = [s.id for s in steps]
        for step_id in here:
            policy = draw(st.sampled_from(["rerun", "fail"])) if interrupts else "rerun"
            if draw(st.sampled_from([False, False, True])):
                needs = tuple(draw(st.lists(st.sampled_from(earlier), unique=True, max_size=3))) if earlier else ()
                steps.append(_step(draw, step_id, needs, explicit_needs=True, on_interrupt=policy))
            else:
                steps.append(_step(draw, step_id, before, on_interrupt=policy))
        before = tuple(here)
    if draw(st.booleans()):
        return tuple(draw(st.permutations(steps)))
    return tuple(steps)


@st.composite
def _handlers(draw: st.DrawFn, prefix: str) -> tuple[Step, ...]:
    steps: list[Step] = []
    for i in range(draw(st.sampled_from([0, 1, 1, 2, 3]))):
        follows: bool = draw(st.booleans())
        needs = (steps[-1].id,) if steps and follows else ()
        steps.append(_step(draw, f"{prefix}{i}", needs))
    return tuple(steps)


@st.composite
def workflows(draw: st.DrawFn, interrupts: bool = False) -> Workflow:
    return workflow(
        *draw(main_graph(interrupts)),
        on_failure=draw(_handlers("f")),
        on_success=draw(_handlers("g")),
        on_cancel=draw(_handlers("c")),
        finally_=draw(_handlers("z")),
        max_parallel=draw(st.sampled_from([1, 2, 3, 16])),
        timeout=draw(st.sampled_from([None, None, None, 25.0])),
    )


@st.composite
def scenarios(draw: st.DrawFn, interrupts: bool = False, cancels: bool = True) -> Scenario:
    definition = draw(workflows(interrupts))
    names = [s.id for s in definition.every_step()]
    script = draw(st.dictionaries(st.sampled_from(names), st.lists(_outcomes, max_size=3)))
    return Scenario(
        definition=definition,
        script=script,
        conditions=draw(st.dictionaries(st.sampled_from(names), st.sampled_from([True, False, None]))),
        decisions=draw(st.dictionaries(st.sampled_from(names), st.sampled_from(["grant", "reject", "nobody"]))),
        order=dict(zip(draw(st.permutations(names)), range(len(names)), strict=True)),
        cancel_after=draw(st.sampled_from([None, None, None, 0, 1, 2, 4])) if cancels else None,
    )
