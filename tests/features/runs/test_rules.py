"""Which run starts next: every limit kept, no place left empty, nobody overtaken without a reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.features.runs import rules
from hub.features.runs.rules import Live, Runner

RUNNERS = st.lists(
    st.builds(
        Runner,
        id=st.sampled_from(["a", "b", "c"]),
        slots=st.integers(1, 4),
        languages=st.sampled_from([{"python": "bwrap"}, {"python": "bwrap", "bash": "bwrap"}]),
    ),
    max_size=3,
    unique_by=lambda runner: runner.id,
)
ASKED = st.lists(
    st.tuples(st.integers(1, 5), st.integers(1, 4), st.sampled_from(["python", "bash"])), min_size=1, max_size=60
)


def play(asked: list[tuple[int, int, str]], runners: list[Runner]) -> tuple[list[Live], int]:
    """Ask for each in turn, starting what can start; the live runs, and how many were refused."""
    live: list[Live] = []
    refused = 0
    for seq, (agent, log, language) in enumerate(asked):
        new = Live(log, seq, agent, language)
        try:
            rules.admit(live, runners, new)
        except rules.RunQueueFull:
            refused += 1
            continue
        live = begin([*live, new], runners)
    return live, refused


def begin(live: list[Live], runners: list[Runner]) -> list[Live]:
    started = {run.seq: runner.id for run, runner in rules.starting(live, runners)}
    return [replace(run, runner=started.get(run.seq, run.runner)) for run in live]


@given(ASKED, RUNNERS)
def test_no_limit_is_ever_passed_and_no_place_is_left_empty(
    asked: list[tuple[int, int, str]], runners: list[Runner]
) -> None:
    live, _ = play(asked, runners)
    while live:
        going = [run for run in live if run.runner is not None]
        assert all(count <= rules.PER_AGENT for count in Counter(run.agent for run in going).values())
        assert all(count <= rules.PER_ROOM for count in Counter(run.log for run in going).values())
        used = Counter(run.runner for run in going)
        assert all(used[runner.id] <= runner.slots for runner in runners)
        assert sum(1 for run in live if run.runner is None) <= rules.WAITING
        assert rules.starting(live, runners) == [], "what could start has started"
        if not going:
            assert not any(run.language in runner.languages for run in live for runner in runners), "all are stuck"
            return
        live = begin([run for run in live if run is not going[0]], runners)


@given(ASKED)
def test_runs_of_one_agent_start_in_the_order_of_asking(asked: list[tuple[int, int, str]]) -> None:
    runners = [Runner("a", 2, {"python": "bwrap", "bash": "bwrap"})]
    live, _ = play(asked, runners)
    order: list[Live] = []
    while live:
        going = next(run for run in live if run.runner is not None)
        order.append(going)
        live = begin([run for run in live if run is not going], runners)
    for agent in {run.agent for run in order}:
        seqs = [run.seq for run in order if run.agent == agent]
        assert seqs == sorted(seqs)


def test_200_requests_of_50_agents_in_25_rooms_start_wait_and_are_refused_exactly_as_the_limits_say() -> None:
    runners = [Runner("hub", 4, {"python": "bwrap"})]
    live, refused = play([(number % 50, number % 25, "python") for number in range(200)], runners)
    assert sum(1 for run in live if run.runner is not None) == 4
    assert sum(1 for run in live if run.runner is None) == rules.WAITING
    assert refused == 200 - 4 - rules.WAITING


def test_a_refusal_names_what_runs_and_what_to_do() -> None:
    with pytest.raises(rules.SandboxStarting):
        rules.must_be_possible([], "python")
    runners = [Runner("a", 1, {"python": "lite"}, "bwrap: install the package 'bubblewrap'")]
    with pytest.raises(rules.SandboxUnavailable, match=r"here run: python\. bwrap: install the package 'bubblewrap'"):
        rules.must_be_possible(runners, "bash")
