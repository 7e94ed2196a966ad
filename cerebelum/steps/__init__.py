"""One attempt at one step: what an executor is given and may answer, its processes, its output, its secrets.

A plugin's executor imports what it needs from here. May import `core`, `host` and `store`.
"""

from cerebelum.core.durations import Duration
from cerebelum.core.errors import CerebelumError
from cerebelum.core.events import StepError
from cerebelum.core.model import Step
from cerebelum.core.outcome import Approval, Completed, Failed, Interrupted, Outcome, Sleep
from cerebelum.core.typed import convert
from cerebelum.steps.executor import Answer, ByHand, Executor, Invocation, Sink, Stop, Tracker

__all__ = [
    "Answer",
    "Approval",
    "ByHand",
    "CerebelumError",
    "Completed",
    "Duration",
    "Executor",
    "Failed",
    "Interrupted",
    "Invocation",
    "Outcome",
    "Sink",
    "Sleep",
    "Step",
    "StepError",
    "Stop",
    "Tracker",
    "convert",
]
