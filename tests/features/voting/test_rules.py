"""The rules of deciding, for any ballots."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyrankvote import Ballot, Candidate, instant_runoff_voting

from hub.core.errors import HubError
from hub.features.voting.contract import ABSTAIN, TWO_WAY, VETO, Rule
from hub.features.voting.rules import Choice, Question, certain, check_choice, tally

OPTIONS = ("a", "b", "c")


MODES = ("majority", "supermajority", "consensus", "plurality", "ranked")


@st.composite
def questions(draw: st.DrawFn, most: int = 5, modes: tuple[str, ...] = MODES) -> Question:
    mode = draw(st.sampled_from(modes))
    options = OPTIONS if mode in ("plurality", "ranked") else TWO_WAY
    voters = list(range(1, draw(st.integers(1, most)) + 1))
    weights = {voter: draw(st.integers(0, 3)) for voter in voters}
    rule = Rule.model_validate(
        {
            "mode": mode,
            "quorum": draw(st.sampled_from([0, 0.5, 1])),
            "threshold": draw(st.sampled_from([0.6, 2 / 3, 1])),
        }
    )
    vetoers = frozenset(draw(st.sets(st.sampled_from(voters), max_size=1)))
    return Question(options, rule, weights, vetoers)


def choices(question: Question, agent: int) -> list[Choice]:
    """Every ballot an agent can cast."""
    if question.rule.mode == "ranked":
        made: list[Choice] = [p for n in (1, 2, 3) for p in itertools.permutations(question.options, n)]
    else:
        made = list(question.options)
    return [*made, ABSTAIN, *([VETO] if agent in question.vetoers else [])]


def some_ballots(draw: Callable[..., Any], question: Question) -> dict[int, Choice]:
    voters = draw(st.permutations(sorted(question.weights)))
    count = draw(st.integers(0, len(voters)))
    return {voter: draw(st.sampled_from(choices(question, voter))) for voter in voters[:count]}


@given(st.data())
def test_the_outcome_does_not_depend_on_the_order_of_ballots(data: st.DataObject) -> None:
    question = data.draw(questions())
    ballots = some_ballots(data.draw, question)
    other = dict(data.draw(st.permutations(list(ballots.items()))))
    assert tally(question, ballots) == tally(question, other)


def completions(question: Question, ballots: Mapping[int, Choice]) -> list[dict[int, Choice]]:
    """Every way the missing ballots can come in, or not."""
    missing = [voter for voter in question.weights if voter not in ballots]
    options = [[None, *choices(question, voter)] for voter in missing]
    made = []
    for picks in itertools.product(*options):
        added = {voter: pick for voter, pick in zip(missing, picks, strict=True) if pick is not None}
        made.append({**ballots, **added})
    return made


@pytest.mark.parametrize("mode", MODES)
@given(data=st.data())
def test_an_early_close_never_differs_from_the_full_count(mode: str, data: st.DataObject) -> None:
    question = data.draw(questions(most=4, modes=(mode,)))
    ballots = some_ballots(data.draw, question)
    for voter in list(question.weights)[2:]:  # at most two are missing, or the completions are too many
        ballots.setdefault(voter, data.draw(st.sampled_from(choices(question, voter))))
    if certain(question, ballots):
        now = tally(question, ballots)
        for complete in completions(question, ballots):
            later = tally(question, complete)
            assert (later.state, later.outcome) == (now.state, now.outcome), complete


@given(st.data())
def test_majority_closes_as_soon_as_nothing_can_change_it(data: st.DataObject) -> None:
    """Sound is not enough: for majority without vetoes the early close is also complete."""
    weights = dict.fromkeys(range(1, data.draw(st.integers(1, 5)) + 1), 1)
    question = Question(TWO_WAY, Rule(mode="majority"), weights, frozenset())
    ballots = some_ballots(data.draw, question)
    if not ballots:
        return
    results = {(tally(question, c).state, tally(question, c).outcome) for c in completions(question, ballots)}
    assert certain(question, ballots) == (len(results) == 1)


@given(st.data())
def test_one_more_approval_never_hurts(data: st.DataObject) -> None:
    question = data.draw(questions(modes=("majority", "supermajority", "consensus")))
    ballots = {agent: "approve" if c == VETO else c for agent, c in some_ballots(data.draw, question).items()}
    if tally(question, ballots).state != "approved":
        return
    voter = data.draw(st.sampled_from(sorted(question.weights)))
    assert tally(question, {**ballots, voter: "approve"}).state == "approved"


@given(st.data())
def test_one_more_vote_for_the_leader_never_hurts_it(data: st.DataObject) -> None:
    """Ranked choice is left out: instant run-off is known not to be monotone."""
    question = data.draw(questions(modes=("plurality",)))
    ballots = {agent: "a" if c == VETO else c for agent, c in some_ballots(data.draw, question).items()}
    won = tally(question, ballots).outcome
    if won is not None:
        voter = data.draw(st.sampled_from(sorted(question.weights)))
        assert tally(question, {**ballots, voter: won}).outcome == won


@given(st.data())
def test_ballots_without_weight_change_no_verdict(data: st.DataObject) -> None:
    question = data.draw(questions(modes=("majority", "supermajority", "consensus", "plurality", "ranked")))
    ballots = {agent: choice for agent, choice in some_ballots(data.draw, question).items() if choice != VETO}
    heavy = {agent: choice for agent, choice in ballots.items() if question.weights[agent] > 0}
    assert tally(question, ballots) == tally(question, heavy)


def test_quorum_counts_participation_and_not_approval() -> None:
    question = Question(TWO_WAY, Rule(mode="majority", quorum=1), {1: 1, 2: 1, 3: 1}, frozenset())
    assert tally(question, {1: "approve", 2: "approve"}).state == "no_quorum"
    assert tally(question, {1: "approve", 2: ABSTAIN, 3: ABSTAIN}).state == "approved"


def test_ranked_ties_follow_the_written_rule() -> None:
    question = Question(OPTIONS, Rule(mode="ranked"), dict.fromkeys(range(1, 5), 1), frozenset())
    verdict = tally(question, {1: ("a", "b"), 2: ("a", "c"), 3: ("b", "a"), 4: ("c", "b")})
    assert verdict.outcome == "a", "b and c are last with one each; c is listed last and goes"
    assert verdict.arithmetic["rounds"][0] == {"a": 2, "b": 1, "c": 1}


def test_the_worked_example_of_the_guide() -> None:
    question = Question(("red", "green", "blue"), Rule(mode="ranked"), dict.fromkeys(range(1, 5), 1), frozenset())
    ballots: dict[int, Choice] = {1: ("red", "green"), 2: ("green", "red"), 3: ("blue", "green")}
    assert not certain(question, ballots)
    verdict = tally(question, {**ballots, 4: ("green",)})
    assert verdict.outcome == "green"
    assert verdict.arithmetic["rounds"] == [{"red": 1, "green": 2, "blue": 1}, {"red": 1, "green": 3}]


FIVE = ("a", "b", "c", "d", "e")
Election = list[tuple[int, tuple[str, ...]]]  # (weight, ranking), some rank only their first few


def elections() -> st.SearchStrategy[Election]:
    rankings = st.permutations(FIVE).flatmap(lambda order: st.integers(1, 5).map(lambda n: tuple(order[:n])))
    return st.lists(st.tuples(st.integers(1, 9), rankings), min_size=1, max_size=12)


def has_a_tie(election: Election) -> bool:
    """Whether somewhere on the way two options are last with the same weight, or nobody is left to count."""
    standing = set(FIVE)
    while len(standing) > 1:
        counts = dict.fromkeys(standing, 0)
        for weight, ranking in election:
            if first := next((option for option in ranking if option in standing), None):
                counts[first] += weight
        last, second = sorted(counts.values())[:2]
        if last == second or not any(counts.values()):
            return True
        standing.remove(min(counts, key=lambda option: counts[option]))
    return False


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(elections().filter(lambda election: not has_a_tie(election)))
def test_ranked_agrees_with_pyrankvote_where_there_is_no_tie(election: Election) -> None:
    candidates = {option: Candidate(option) for option in FIVE}
    ballots = [Ballot([candidates[o] for o in ranking]) for weight, ranking in election for _ in range(weight)]
    elected = instant_runoff_voting(list(candidates.values()), ballots).get_winners()
    weights = {voter: weight for voter, (weight, _) in enumerate(election)}
    question = Question(FIVE, Rule(mode="ranked", weighted=True), weights, frozenset())
    verdict = tally(question, {voter: ranking for voter, (_, ranking) in enumerate(election)})
    assert (verdict.state, verdict.outcome) == ("decided", elected[0].name)


@given(elections())
def test_a_ranked_tie_goes_out_by_the_earlier_rounds_then_by_the_list(election: Election) -> None:
    """The written rule, checked on the arithmetic that every outcome carries."""
    weights = {voter: weight for voter, (weight, _) in enumerate(election)}
    question = Question(FIVE, Rule(mode="ranked", weighted=True), weights, frozenset())
    rounds = tally(question, {voter: ranking for voter, (_, ranking) in enumerate(election)}).arithmetic["rounds"]
    for number, (before, after) in enumerate(itertools.pairwise(rounds)):
        [gone] = set(before) - set(after)
        # fewest now, then fewest the round before, and so on; then the latest in the list
        worst = min(before, key=lambda o: ([r[o] for r in rounds[number::-1]], -FIVE.index(o)))
        assert gone == worst


@pytest.mark.parametrize(
    ("agent", "choice"),
    [(9, "approve"), (1, "maybe"), (1, ("approve", "reject")), (1, VETO), (1, ("approve", "approve"))],
)
def test_a_ballot_that_cannot_count_is_refused(agent: int, choice: Choice) -> None:
    question = Question(TWO_WAY, Rule(), {1: 1, 2: 1}, frozenset({2}))
    with pytest.raises(HubError):
        check_choice(question, agent, choice)
    assert check_choice(question, 2, VETO) == VETO


@given(st.integers(1, 100), st.integers(1, 100))
def test_a_quorum_met_exactly_is_met(total: int, percent: int) -> None:
    cast = total * percent // 100
    if cast == 0 or cast * 100 != total * percent:
        return
    rule = Rule(mode="majority", quorum=percent / 100)
    question = Question(("approve", "reject"), rule, dict.fromkeys(range(total), 1), frozenset())
    assert tally(question, dict.fromkeys(range(cast), "approve")).state == "approved"


def test_seven_of_twenty_five_meet_a_quorum_of_28_percent() -> None:
    question = Question(
        ("approve", "reject"), Rule(mode="majority", quorum=0.28), dict.fromkeys(range(25), 1), frozenset()
    )
    assert tally(question, dict.fromkeys(range(7), "approve")).state == "approved"
