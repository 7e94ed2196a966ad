"""That claims to a lock have one order which everybody sees, and are taken away only as things stood when looked at."""

from __future__ import annotations

import queue
from datetime import timedelta

import pytest

from cerebelum.backends.conformance.kit import (
    MINE,
    NOBODY,
    START,
    MakeStore,
    StartOther,
    StoreTests,
    create,
    results,
    together,
    tombstone_of,
)
from cerebelum.store import Change, Claim, EventStore, Fenced, Ownership

TURNS = 20
OTHERS = 4


def line(store: EventStore, group: str) -> list[str]:
    """The executions that claim a group, in their order."""
    return [claim.execution_id for claim in store.claims(group)]


class ClaimConformance(StoreTests):
    """The tests of `claim`, `unclaim` and `claims`."""

    def test_claims_stand_in_the_order_in_which_they_were_made(self, store: EventStore) -> None:
        made = []
        # Neither the names nor the times say anything about the order.
        for number, name in enumerate(("deploy-2", "deploy-3", "deploy-1")):
            create(store, name, MINE)
            at = START - timedelta(hours=number, microseconds=7)
            made.append(Claim("production", name, at))
            assert store.claim(name, "production", at, MINE) == made
        assert store.claims("production") == made

    def test_a_second_claim_keeps_the_place_of_the_first(self, store: EventStore) -> None:
        for name in ("deploy-1", "deploy-2"):
            create(store, name, MINE)
            store.claim(name, "production", START, MINE)
        before = store.claims("production")
        for alone in (False, True):
            assert store.claim("deploy-1", "production", START + timedelta(1), MINE, alone=alone) == before

    def test_who_wants_to_be_alone_gets_no_place_behind_others(self, store: EventStore) -> None:
        for name in ("deploy-1", "deploy-2"):
            create(store, name, MINE)
        assert store.claim("deploy-1", "production", START, MINE, alone=True) == [
            Claim("production", "deploy-1", START)
        ]
        assert line(store, "production") == ["deploy-1"]
        told = store.claim("deploy-2", "production", START, MINE, alone=True)
        assert [claim.execution_id for claim in told] == ["deploy-1"]
        assert line(store, "production") == ["deploy-1"]

    def test_groups_do_not_disturb_each_other(self, store: EventStore) -> None:
        # With a quote, NUL, what is special in patterns, a blank, other scripts; and one that others begin with.
        groups = ["production", "productio", "it's", "a\x00b", "%", "_", " ", "Ж漢😀", "x" * 255]
        for number, group in enumerate(groups):
            create(store, f"deploy-{number}", MINE)
            store.claim(f"deploy-{number}", group, START, MINE, alone=True)
        for number, group in enumerate(groups):
            assert line(store, group) == [f"deploy-{number}"]
        everything = store.claims()
        assert [claim.group for claim in everything] == sorted(groups)
        assert line(store, "staging") == []
        assert line(store, "a\ud800b") == []

    def test_an_execution_claims_one_group_at_a_time(self, store: EventStore) -> None:
        for name in ("deploy-1", "deploy-2"):
            create(store, name, MINE)
            store.claim(name, "production", START, MINE)
        store.claim("deploy-1", "staging", START, MINE)
        assert (line(store, "production"), line(store, "staging")) == (["deploy-2"], ["deploy-1"])
        # Also where it does not get what it asks for.
        store.claim("deploy-2", "staging", START, MINE, alone=True)
        assert (line(store, "production"), line(store, "staging")) == ([], ["deploy-1"])

    def test_only_the_owner_claims(self, store: EventStore) -> None:
        create(store, "deploy-1", MINE)
        for fence in (Ownership("runner-2", 1), Ownership("runner-1", 2), Ownership(None, 1)):
            with pytest.raises(Fenced) as caught:
                store.claim("deploy-1", "production", START, fence)
            assert Ownership(caught.value.owner, caught.value.epoch) == MINE
        assert store.claims() == []

    def test_a_claim_may_come_before_its_execution(self, store: EventStore) -> None:
        store.claim("deploy-1", "production", START, MINE)
        assert not store.unclaim("deploy-1", MINE)
        create(store, "deploy-1", MINE)
        assert line(store, "production") == ["deploy-1"]
        # Whoever thought that it is not coming any more is too late.
        assert not store.unclaim("deploy-1", None)
        assert line(store, "production") == ["deploy-1"]
        store.claim("deploy-2", "production", START, MINE)
        assert store.unclaim("deploy-2", None)
        assert line(store, "production") == ["deploy-1"]

    def test_a_claim_is_taken_away_only_if_the_owner_is_who_it_was(self, store: EventStore) -> None:
        create(store, "deploy-1", MINE)
        store.claim("deploy-1", "production", START, MINE)
        taken = store.own("deploy-1", "runner-1", MINE)
        assert taken == Ownership("runner-1", 2)
        for expected in (MINE, NOBODY, None, Ownership(None, 2), Ownership("runner-2", 2)):
            assert not store.unclaim("deploy-1", expected)
        assert line(store, "production") == ["deploy-1"]
        assert store.unclaim("deploy-1", taken)
        assert not store.unclaim("deploy-1", taken)
        assert store.claims() == []

    def test_whoever_leaves_makes_the_next_one_the_first(self, store: EventStore) -> None:
        names = [f"deploy-{number}" for number in range(4)]
        for name in names:
            create(store, name, MINE)
            store.claim(name, "production", START, MINE)
        # From the middle, the front, the end, and back again at the end.
        assert store.unclaim(names[1], MINE)
        assert store.unclaim(names[0], MINE)
        store.claim(names[0], "production", START, MINE)
        assert line(store, "production") == [names[2], names[3], names[0]]
        assert store.unclaim(names[0], MINE)
        store.claim(names[1], "production", START, MINE)
        assert line(store, "production") == [names[2], names[3], names[1]]

    def test_releasing_an_execution_leaves_its_claim(self, store: EventStore) -> None:
        first = create(store, "deploy-1", MINE)
        store.claim("deploy-1", "production", START, MINE)
        from cerebelum.backends.conformance.kit import summary

        store.append("deploy-1", 1, [], summary("deploy-1", [first]), fence=MINE, release=True)
        assert line(store, "production") == ["deploy-1"]
        assert store.unclaim("deploy-1", Ownership(None, 1))

    def test_what_is_pruned_claims_nothing(self, store: EventStore) -> None:
        for name in ("deploy-1", "deploy-2"):
            create(store, name)
            store.claim(name, "production", START, NOBODY)
        store.prune(tombstone_of(store, "deploy-1"))
        assert line(store, "production") == ["deploy-2"]

    def test_a_store_that_is_not_there_yet_has_no_claims(self, store: EventStore) -> None:
        assert store.claims() == []
        assert store.claims("production") == []
        assert not store.unclaim("deploy-1", None)

    @pytest.mark.parametrize("alone", ["alone", "together"])
    def test_processes_that_claim_at_once_agree_on_one_order(
        self, store: EventStore, other: StartOther, alone: str
    ) -> None:
        create(store, "begin-1")
        others = [other("claim_all", f"runner-{number}", str(TURNS), alone) for number in range(OTHERS)]
        told = results(others)
        for turn in range(TURNS):
            group = f"group-{turn}"
            there = line(store, group)
            seen = sorted((each[group] for each in told), key=len)
            if alone == "alone":
                assert len(there) == 1
                assert seen == [there] * OTHERS
            else:
                # Each was told of all that came before it: nobody came before one who thought to be the first.
                assert sorted(there) == [f"runner-{number}-{turn}" for number in range(OTHERS)]
                assert seen == [there[: place + 1] for place in range(OTHERS)]

    def test_threads_and_handles_that_claim_and_leave_at_once(self, make_store: MakeStore) -> None:
        stores = [make_store() for _ in range(OTHERS)]
        for number in range(OTHERS):
            create(stores[0], f"deploy-{number}", MINE)
        holder: list[str] = []

        def work(number: int) -> None:
            name, store = f"deploy-{number}", stores[number]
            for _ in range(TURNS):
                claims = store.claim(name, "production", START, MINE)
                while claims[0].execution_id != name:
                    claims = store.claims("production")
                holder.append(name)
                assert holder == [name]
                holder.remove(name)
                assert store.unclaim(name, MINE)

        together(OTHERS, work)
        assert stores[0].claims() == []

    def test_a_store_that_wakes_tells_of_a_claim_that_is_gone(self, make_store: MakeStore) -> None:
        listener, other = make_store(), make_store()
        create(other, "deploy-1", MINE)
        other.claim("deploy-1", "production", START, MINE)
        heard: queue.SimpleQueue[Change] = queue.SimpleQueue()
        if listener.subscribe(heard.put) is None:
            # Allowed: whoever waits then looks now and then.
            return
        other.unclaim("deploy-1", MINE)
        while (change := heard.get(timeout=20)).kind != "unknown":
            if (change.kind, change.execution_id) == ("owner", "deploy-1"):
                return
