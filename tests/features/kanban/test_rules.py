"""The board's rules alone: ranks, cycles, what comes next."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.features.kanban import contract as c
from hub.features.kanban import rules


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=60))
def test_a_card_goes_exactly_where_it_was_put(places: list[int]) -> None:
    ranks: list[str] = []
    for seq, place in enumerate(places, 1):
        where = place % (len(ranks) + 1)
        if where == len(ranks):
            rank = rules.rank_at_end(seq)
        else:
            rank = rules.rank_before(seq, ranks[where - 1] if where else None, ranks[where])
        ranks.insert(where, rank)
    assert all(low < high for low, high in pairwise(ranks)), ranks
    assert all(rank.isdigit() and not rank.endswith("0") for rank in ranks)


def test_a_thousand_cards_put_in_the_same_place_keep_short_ranks() -> None:
    low, high = rules.rank_at_end(1), rules.rank_at_end(2)
    for _ in range(1000):
        high = rules.between(low, high)
    assert low < high
    assert len(high) < 400


edges = st.dictionaries(st.integers(0, 8), st.lists(st.integers(0, 8), max_size=4), max_size=9)


@given(edges, st.integers(0, 8))
def test_a_cycle_is_found_exactly_when_there_is_one(waits_for: dict[int, list[int]], start: int) -> None:
    reached, waiting = set[int](), list(waits_for.get(start, ()))
    while waiting:
        card = waiting.pop()
        if card not in reached:
            reached.add(card)
            waiting += waits_for.get(card, ())
    way = rules.find_cycle(waits_for, start)
    assert (way is not None) == (start in reached)
    if way is not None:
        assert way[0] == way[-1] == start
        assert all(after in waits_for[before] for before, after in pairwise(way))


cards = st.builds(
    rules.Ready,
    seq=st.integers(1, 1000),
    priority=st.sampled_from(sorted(rules.PRIORITIES)),
    role=st.sampled_from([None, "coder", "tester"]),
    due=st.sampled_from([None, "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"]),
    place=st.integers(0, 3),
    rank=st.integers(1, 1000).map(rules.rank_at_end),
)


@given(st.lists(cards, max_size=12), st.sampled_from([None, "coder", "reviewer"]))
def test_what_comes_next_fits_the_role_and_nothing_fitting_is_more_urgent(
    ready: list[rules.Ready], role: str | None
) -> None:
    roles = frozenset({role} if role else ())
    fitting = [card for card in ready if card.role in (None, role)]
    chosen = rules.choose(ready, roles)
    assert (chosen is None) == (not fitting)
    if chosen is not None:
        assert chosen in fitting
        assert all(rules.PRIORITIES[chosen.priority] <= rules.PRIORITIES[card.priority] for card in fitting)
        assert rules.choose(reversed(ready), roles) == chosen, "the order of the list does not matter"


def test_a_due_date_is_a_day_or_a_time_with_a_zone() -> None:
    def due(text: str) -> str | None:
        return c.AddCard(room="build", title="x", due=text).due

    assert due("2026-12-01") == "2026-12-01T23:59:59Z"
    assert due("2026-12-01T10:00:00+02:00") == "2026-12-01T08:00:00Z"
    for wrong in ("tomorrow", "2026-12-01T10:00:00", "2026-13-01"):
        with pytest.raises(ValueError, match=r"use a date|needs a zone"):
            due(wrong)
