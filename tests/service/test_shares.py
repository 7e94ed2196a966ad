"""How much of the service one caller may have, and what is left for the others."""

from __future__ import annotations

import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerebelum.service.shares import Shares, connections, neighbourhood


def test_nobody_gets_more_than_half_of_what_the_others_have_left() -> None:
    shares = Shares(16)
    had = {who: sum(shares.take(who) for _ in range(100)) for who in ("a", "b", "c", "d", "e", "f")}
    assert had == {"a": 8, "b": 4, "c": 2, "d": 1, "e": 1, "f": 0}
    assert shares.taken == 16
    for _ in range(8):
        shares.give_back("a")
    assert sum(shares.take("f") for _ in range(100)) == 4


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans())), st.integers(1, 9))
def test_what_is_given_back_is_there_again(asked: list[tuple[str, bool]], most: int) -> None:
    shares, have = Shares(most), dict.fromkeys("abcd", 0)
    for who, take in asked:
        if take:
            have[who] += shares.take(who)
        elif have[who]:
            have[who] -= 1
            shares.give_back(who)
        assert shares.taken == sum(have.values()) <= most
    for who, count in have.items():
        for _ in range(count):
            shares.give_back(who)
    assert (shares.taken, shares.take("e")) == (0, True)


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("192.0.2.7", "192.0.2.7"), ("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("?", "?"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("2001:db8:1:2::", "2001:db8:1:2::/64"),
    ],
)  # fmt: skip
def test_whoever_has_a_network_of_addresses_is_one_caller(host: str, found: str) -> None:
    assert neighbourhood(host) == found


@pytest.mark.parametrize(
    ("descriptors", "most", "listeners", "found"),
    [(1024, 4000, 1, 824), (1024, 4000, 2, 412), (64, 4000, 1, 16), (100_000, 4000, 2, 4000), (-1, 4000, 2, 4000)],
)
def test_a_process_with_few_descriptors_takes_few_connections(
    monkeypatch: pytest.MonkeyPatch, descriptors: int, most: int, listeners: int, found: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (descriptors, -1))
    assert connections(most, listeners) == found
