"""Every scenario of the benchmarks runs, small and short. How fast is no matter here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.__main__ import GATES, Gate, world
from bench.pair import Size
from bench.scale import curve
from bench.scenarios import ALL, prepare
from bench.servers import Server

HEAVY = {"sandbox-overhead", "latency-beside-runs"}  # need an isolation engine; tests/sandbox shows that those work


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Server, Server]]:
    """The hub and the bare reference, for all scenarios."""
    before, Size.quick = Size.quick, True
    with world() as (subject, bare):
        prepare(subject)
        yield subject, bare
    Size.quick = before


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", sorted(ALL.keys() - HEAVY))
def test_a_scenario_measures_both_sides(both: tuple[Server, Server], name: str) -> None:
    pair = ALL[name](*both)
    assert pair.subject >= 0
    assert pair.reference > 0


def test_a_gate_says_whether_it_was_reached() -> None:
    assert Gate(0.3, "x").verdict(0.3) == "0.3: reached"
    assert Gate(0.3, "x").verdict(0.29) == "0.3: **not reached**"
    assert Gate(2.0, "x", lower=True).verdict(2.1) == "≤ 2.0: **not reached**"
    assert Gate(2.0, "x", lower=True).verdict(1.9) == "≤ 2.0: reached"
    assert GATES["wake-latency"].verdict(9) == "–"


def test_a_curve_shows_every_size() -> None:
    drawn = curve("Cost against rooms", {10: (1.0, 2.0), 100: (1.1, 2.0), 1000: (1.3, 6.0)})
    assert drawn.count("<circle") == 6
    assert ">1,000<" in drawn
    assert ">3 ×<" in drawn, "three times the smallest is on the scale"
