"""Idempotency keys as our clients make them."""

from __future__ import annotations

from hub.core.keys import Keys
from hub.log.idempotency import check_key


def test_keys_are_valid_differ_between_makers_and_are_in_the_order_of_time() -> None:
    mine, other = Keys(), Keys()
    made = [maker.new() for _ in range(500) for maker in (mine, other)]
    for key in made:
        check_key(key)
    assert len(set(made)) == len(made)
    times = [key.split("-")[0] for key in made]
    assert times == sorted(times)


def test_keys_that_different_makers_make_at_the_same_time_lie_beside_each_other() -> None:
    """What the hub's index needs: between two keys of a moment there is none of another moment."""
    makers = [Keys() for _ in range(20)]
    first = [maker.new() for maker in makers]
    second = [maker.new() for maker in makers]
    assert max(key.split("-")[0] for key in first) <= min(key.split("-")[0] for key in second)
