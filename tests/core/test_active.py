"""What is counted about active steps is what counting them anew would give."""

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from cerebelum.core.active import Active
from cerebelum.core.model import GROUPS
from cerebelum.core.step_state import StepStatus

STATUSES = get_args(StepStatus)
STEPS = {f"s{n}": GROUPS[n % len(GROUPS)] for n in range(7)}


@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.sampled_from(STATUSES))))
def test_the_tally_follows_every_change(changes: list[tuple[str, StepStatus]]) -> None:
    statuses: dict[str, StepStatus] = {}
    active = Active.of(())
    for step_id, status in changes:
        before = (dict(active), active.count("running"))
        followed = active.replaced(step_id, STEPS[step_id], status)
        assert (dict(active), active.count("running")) == before, "what was made is never changed"
        active = followed
        statuses[step_id] = status
        anew = Active.of((s, STEPS[s], kind) for s, kind in statuses.items())
        assert active == anew
        for kind in STATUSES:
            assert active.count(kind) == list(anew.values()).count(kind)
            assert sorted(active.at(kind)) == sorted(s for s, k in anew.items() if k == kind)
        for group in GROUPS:
            assert active.kinds(group) == {k for s, k in anew.items() if STEPS[s] == group}
