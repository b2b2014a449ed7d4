"""The hub's time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.server.clock import HubClock


@given(st.lists(st.tuples(st.floats(0.001, 100), st.floats(-1e5, 1e5)), max_size=50))
def test_time_never_goes_back_whatever_the_system_clock_does(steps: list[tuple[float, float]]) -> None:
    wall, tick = [1e9], [0.0]
    clock = HubClock(0, lambda: wall[0], lambda: tick[0])
    last = clock()
    for elapsed, jump in steps:
        tick[0] += elapsed
        wall[0] += elapsed + jump
        now = clock()
        assert last <= now <= last + elapsed * 1000 * 1.11 + 2, "no jump, only slewing"
        last = now


def test_after_a_restart_time_goes_on_after_the_newest_event() -> None:
    clock = HubClock(0, lambda: 1000.0, lambda: 0.0)
    clock.not_before(5_000_000)
    assert clock() >= 5_000_000
