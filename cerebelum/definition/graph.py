"""Turns timelines into a graph: who follows whom, without circles, and who is certain to come before whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from cerebelum.core.model import Group
from cerebelum.definition.drafts import Draft, Reading, read_step
from cerebelum.definition.fields import check_keys
from cerebelum.definition.findings import Findings, quoted
from cerebelum.definition.nodes import AnyNode, Listing, Table, kind

MAX_EDGES = 1_000_000


def read_timeline(reading: Reading, node: AnyNode, group: Group) -> list[list[Draft]]:
    """The items of a timeline: each a list of steps that may run side by side (one, unless it is a parallel group)."""
    found = reading.found
    if not isinstance(node, Listing):
        found.add(node, group, f"expected a list of steps, this is {kind(node)}", "each step starts with `- id: …`")
        return []
    if not node.items:
        found.add(node, group, "there are no steps", "a workflow has at least one step" if group == "steps" else None)
    items: list[list[Draft]] = []
    for index, item in enumerate(node.items):
        path = f"{group}[{index}]"
        if not isinstance(item, Table):
            found.add(item, path, f"expected a step, this is {kind(item)}", "a step starts with `- id: …`")
        elif "parallel" in item.entries and "parallel" not in reading.executors:
            items.append(_read_parallel(reading, item, path, group))
        else:
            items.append([read_step(reading, item, path, group)])
    return items


def _read_parallel(reading: Reading, table: Table, path: str, group: Group) -> list[Draft]:
    found = reading.found
    members = table.entries["parallel"]
    hint = "what belongs to one step stands beside its id"
    check_keys(found, table, path, ("parallel",), hint)
    if not isinstance(members, Listing):
        found.add(members, f"{path}.parallel", f"expected a list of steps, this is {kind(members)}")
        return []
    if not members.items:
        found.add(members, f"{path}.parallel", "the group has no steps")
    drafts: list[Draft] = []
    for index, member in enumerate(members.items):
        where = f"{path}.parallel[{index}]"
        if not isinstance(member, Table):
            found.add(member, where, f"expected a step, this is {kind(member)}", "a step starts with `- id: …`")
        elif "parallel" in member.entries:
            hint = "put its steps into this group; `needs` says what follows what"
            found.add(member, where, "a parallel group cannot stand directly in another one", hint)
        else:
            drafts.append(read_step(reading, member, where, group))
    return drafts


def check_ids(found: Findings, drafts: Iterable[Draft]) -> dict[str, Draft]:
    """Steps by id; an id that was there already is reported with both places, and taken away from the later step."""
    by_id: dict[str, Draft] = {}
    for draft in drafts:
        if not draft.id:
            continue
        first = by_id.setdefault(draft.id, draft)
        if first is not draft:
            where = f"{first.path} in line {first.place.line}"
            found.add(draft.place, f"{draft.path}.id", f"the id {quoted(draft.id)} is taken already by {where}")
            draft.id = ""
    return by_id


def link(found: Findings, items: Sequence[Sequence[Draft]], by_id: Mapping[str, Draft]) -> None:
    """Set each draft's predecessors, from `needs:` or from the item before it."""
    previous: tuple[str, ...] = ()
    edges = 0
    for item in items:
        for draft in item:
            draft.predecessors = previous if draft.needs is None else _needed(found, draft, by_id)
            edges += len(draft.predecessors)
            if edges > MAX_EDGES:
                message = f"the steps have more than {MAX_EDGES:,} dependencies on each other"
                found.add(draft.place, draft.path, message, "put a step between the large parallel groups")
                return
        ids = tuple(draft.id for draft in item if draft.id)
        previous = ids or previous


def _needed(found: Findings, draft: Draft, by_id: Mapping[str, Draft]) -> tuple[str, ...]:
    ids: list[str] = []
    for need, node in draft.needs or ():
        path = f"{draft.path}.needs"
        target = by_id.get(need)
        if need == draft.id:
            found.add(node, path, f"{quoted(need)} cannot need itself")
        elif target is None:
            found.add(node, path, f"there is no step {quoted(need)}", found.suggest(need, by_id))
        elif target.group != draft.group and draft.group == "steps":
            message = f"{quoted(need)} is a handler ({target.group}), it runs after the steps"
            found.add(node, path, message, "a step can only need other steps")
        elif target.group != draft.group:
            message = f"{quoted(need)} is not in {draft.group}"
            hint = "handlers start when the steps are over" if target.group == "steps" else None
            found.add(node, path, message, hint or f"it belongs to {target.group}")
        else:
            ids.append(need)
    return tuple(ids)


def ordered(found: Findings, drafts: Sequence[Draft]) -> list[Draft] | None:
    """The drafts with each after its predecessors; None if they go in circles, which is reported."""
    by_id = {draft.id: draft for draft in drafts if draft.id}
    followers: dict[str, list[Draft]] = {}
    missing: dict[str, int] = {}
    ready: list[Draft] = []
    for draft in drafts:
        before = [p for p in draft.predecessors if p in by_id]
        missing[draft.path] = len(before)
        for p in before:
            followers.setdefault(p, []).append(draft)
        if not before:
            ready.append(draft)
    for draft in ready:
        for follower in followers.pop(draft.id, ()) if by_id.get(draft.id) is draft else ():
            missing[follower.path] -= 1
            if not missing[follower.path]:
                ready.append(follower)
    if len(ready) == len(drafts):
        return ready
    done = {draft.path for draft in ready}
    _report_cycles(found, [draft for draft in drafts if draft.path not in done], by_id)
    return None


def _report_cycles(found: Findings, stuck: list[Draft], by_id: Mapping[str, Draft]) -> None:
    waiting = {draft.path for draft in stuck}
    seen: set[str] = set()
    for start in stuck:
        trail: dict[str, Draft] = {}
        draft = start
        while draft.path not in seen:
            seen.add(draft.path)
            trail[draft.path] = draft
            draft = next(by_id[p] for p in draft.predecessors if p in by_id and by_id[p].path in waiting)
        if draft.path not in trail:
            continue
        paths = list(trail)
        circle = [trail[path].id for path in paths[paths.index(draft.path) :]]
        shown = circle if len(circle) <= 10 else [*circle[:9], "…"]
        names = " → ".join([*shown, circle[0]])
        place = draft.needs[0][1] if draft.needs else draft.place
        found.add(place, f"{draft.path}.needs", f"these steps wait for each other: {names}", "each waits for the next")


def ancestors(order: Sequence[Draft]) -> dict[str, int]:
    """For each step, a bit mask of all that come before it; bit n is the n-th of `order`."""
    bits = {draft.id: 1 << n for n, draft in enumerate(order)}
    masks: dict[str, int] = {}
    shared: dict[tuple[str, ...], int] = {}
    last: tuple[str, ...] | None = None
    for draft in order:
        before = draft.predecessors
        if before is not last:
            mask = 0
            for p in before:
                mask |= masks.get(p, 0) | bits.get(p, 0)
            shared = {before: mask}
            last = before
        masks[draft.id] = shared[before]
    return masks
