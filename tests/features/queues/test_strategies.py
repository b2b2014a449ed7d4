"""Strategies are fair, never choose who may not work, and keep what sticks. Pure; nothing runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any, get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from hub.features.queues.contract import Strategy
from hub.features.queues.strategies import CLOSED, Breaker, Worker, choose
from hub.features.queues.strategies import given as after_given

NOW = 1_800_000_000_000
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)


def crew(*weights: float, capacity: int = 10**9) -> list[Worker]:
    return [Worker(agent=n, name=f"w{n}", weight=w, capacity=capacity) for n, w in enumerate(weights, start=1)]


def assign(strategy: Strategy, workers: list[Worker], dice: Random, key: str = "") -> Worker | None:
    """Choose and book; the list changes in place."""
    chosen = choose(strategy, workers, key=key, noise=dice.randbytes(8), now_ms=NOW)
    if chosen is not None:
        workers[workers.index(chosen)] = after_given(strategy, chosen, workers)
    return chosen


def done(workers: list[Worker], agent: int, took_ms: float = 100) -> None:
    at = next(i for i, worker in enumerate(workers) if worker.agent == agent)
    workers[at] = replace(workers[at].finished(took_ms), load=workers[at].load - 1)


workers = st.builds(
    Worker,
    agent=st.integers(1, 50),
    name=st.sampled_from([f"w{n}" for n in range(50)]),
    weight=st.floats(0.01, 1000),
    capacity=st.integers(1, 4),
    load=st.integers(0, 4),
    turns=st.floats(0, 1e6),
    latency_ms=st.none() | st.floats(0, 1e6),
    breaker=st.builds(Breaker, st.integers(0, 5), st.integers(0, 3), st.sampled_from([NOW - 1, NOW, NOW + 1])),
    alive=st.booleans(),
)


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(STRATEGIES), st.lists(workers, max_size=8), st.text(max_size=5), st.binary(min_size=8, max_size=8)
)
def test_nobody_dead_full_or_behind_an_open_breaker_is_chosen(
    strategy: Strategy, some: list[Worker], key: str, noise: bytes
) -> None:
    chosen = choose(strategy, some, key=key, noise=noise, now_ms=NOW)
    free = [
        w for w in some if w.alive and w.load < w.capacity and (not w.breaker.opens or w.breaker.open_until_ms <= NOW)
    ]
    free = [w for w in free if not w.breaker.opens or w.load == 0]
    assert chosen in free if chosen is not None else strategy == "sticky" or not free


def test_weighted_shares_are_within_five_percent_over_ten_thousand_assignments() -> None:
    some, weights = crew(1, 2, 3, 10), {1: 1, 2: 2, 3: 3, 4: 10}
    counts = Counter(assign("weighted", some, Random(1)).agent for _ in range(10_000))  # type: ignore[union-attr]
    for agent, weight in weights.items():
        fair = 10_000 * weight / 16
        assert abs(counts[agent] - fair) <= 0.05 * fair, counts


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0.1, 100), min_size=2, max_size=6), st.integers(100, 400))
def test_a_weighted_worker_is_never_more_than_one_task_ahead_of_its_share(weights: list[float], count: int) -> None:
    some, counts = crew(*weights), Counter[int]()
    for _ in range(count):
        counts[assign("weighted", some, Random(1)).agent] += 1  # type: ignore[union-attr]
    for agent, weight in enumerate(weights, start=1):
        assert counts[agent] <= count * weight / sum(weights) + 1 + 1e-6


@given(st.integers(2, 7), st.integers(1, 200))
def test_round_robin_takes_turns(size: int, count: int) -> None:
    some = crew(*[1.0] * size)
    order = [assign("round_robin", some, Random(1)).agent for _ in range(count)]  # type: ignore[union-attr]
    assert order == [n % size + 1 for n in range(count)]


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 7), st.lists(st.integers(0, 6), max_size=200), st.integers(0, 2**32))
def test_least_loaded_loads_never_differ_by_more_than_one(size: int, ends: list[int], seed: int) -> None:
    """Tasks come as others end, of whoever has most: then no two loads are ever two apart."""
    some = crew(*[1.0] * size)
    for end in ends:
        assign("least_loaded", some, Random(seed))
        if end % 2:
            done(some, max(some, key=lambda w: (w.load, w.agent)).agent)
        loads = [worker.load for worker in some]
        assert max(loads) - min(loads) <= 1


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 6), st.integers(0, 2**32))
def test_least_loaded_never_chooses_someone_with_more_than_another(size: int, seed: int) -> None:
    dice, some = Random(seed), crew(*[1.0] * size)
    for _ in range(100):
        least = min(worker.load for worker in some)
        chosen = assign("least_loaded", some, dice)
        assert chosen is not None
        assert chosen.load == least
        busy = [worker.agent for worker in some if worker.load]
        if busy and dice.random() < 0.7:
            done(some, dice.choice(busy))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32))
def test_with_fastest_a_slow_workers_share_falls_within_twenty_assignments(seed: int) -> None:
    """Three equal workers; one becomes ten times slower. Each finishes its task before the next comes."""
    dice, some = Random(seed), crew(1, 1, 1)
    took = {1: 100.0, 2: 100.0, 3: 100.0}

    def shares(count: int) -> Counter[int]:
        seen = Counter[int]()
        for _ in range(count):
            chosen = assign("fastest", some, dice)
            assert chosen is not None
            seen[chosen.agent] += 1
            done(some, chosen.agent, took[chosen.agent] * dice.uniform(0.9, 1.1))
        return seen

    shares(30)
    took[3] = 1000.0
    shares(20)
    assert shares(40)[3] <= 8, "a third would be 13"
    took[3] = 10.0
    assert shares(600)[3] > 100, "one that recovers is found again"


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 8), st.data())
def test_sticky_keys_move_only_from_whoever_left_or_to_whoever_came(size: int, data: Any) -> None:
    some, dice = crew(*[1.0] * size), Random(1)
    keys = [f"key-{n}" for n in range(200)]
    before = {key: choose("sticky", some, key=key, noise=bytes(8), now_ms=NOW) for key in keys}
    gone = data.draw(st.sampled_from(some))
    rest = [worker for worker in some if worker != gone]
    after = {key: choose("sticky", rest, key=key, noise=dice.randbytes(8), now_ms=NOW) for key in keys}
    assert all(after[key] == before[key] for key in keys if before[key] != gone)
    dead = [replace(worker, alive=worker != gone) for worker in some]
    failed_over = {key: choose("sticky", dead, key=key, noise=bytes(8), now_ms=NOW) for key in keys}
    assert {k: w and w.agent for k, w in failed_over.items()} == {k: w and w.agent for k, w in after.items()}


def test_sticky_follows_weights_and_waits_for_a_busy_worker() -> None:
    some = crew(1, 3)
    counts = Counter(choose("sticky", some, key=f"k{n}", noise=bytes(8), now_ms=NOW).agent for n in range(4000))  # type: ignore[union-attr]
    assert abs(counts[2] - 3000) < 200, counts
    only = choose("sticky", some, key="k", noise=bytes(8), now_ms=NOW)
    assert only is not None
    full = [replace(worker, capacity=1, load=int(worker == only)) for worker in some]
    assert choose("sticky", full, key="k", noise=bytes(8), now_ms=NOW) is None


def test_random_reaches_everybody_about_equally() -> None:
    some, dice = crew(1, 1, 1, 1), Random(7)
    counts = Counter(assign("random", some, dice).agent for _ in range(8000))  # type: ignore[union-attr]
    assert all(abs(counts[agent] - 2000) < 200 for agent in range(1, 5)), counts


def test_one_who_comes_back_is_not_flooded_with_what_it_missed() -> None:
    some, dice = crew(1, 1), Random(1)
    some[1] = replace(some[1], alive=False)
    for _ in range(500):
        assign("round_robin", some, dice)
    some[1] = replace(some[1], alive=True)
    counts = Counter(assign("round_robin", some, dice).agent for _ in range(20))  # type: ignore[union-attr]
    assert counts[2] <= 11, counts


def test_three_failures_open_a_breaker_and_one_probe_decides() -> None:
    breaker = CLOSED.failed(NOW).failed(NOW)
    assert breaker.lets_through(3, NOW)
    breaker = breaker.failed(NOW)
    assert (breaker.state(NOW), breaker.state(NOW + 29_999), breaker.state(NOW + 30_000)) == (
        "open",
        "open",
        "half_open",
    )
    assert not breaker.lets_through(0, NOW + 1)
    assert breaker.lets_through(0, NOW + 30_000)
    assert not breaker.lets_through(1, NOW + 30_000), "one probe, not two"
    longer = breaker.failed(NOW + 30_000)
    assert (longer.state(NOW + 89_999), longer.state(NOW + 90_000)) == ("open", "half_open")
    for _ in range(20):
        longer = longer.failed(NOW)
    assert longer.state(NOW + 300_000) == "half_open", "never longer than five minutes"
    assert Worker(1, "w", breaker=longer).finished(5).breaker == CLOSED
