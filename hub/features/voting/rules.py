"""How ballots become an outcome, and when an outcome is certain. Pure: no clock, no rows.

Order of judging: a veto, then the quorum, then the rule. Quorum counts participation (abstentions included), not
approval; ballots that all weigh nothing decide nothing, whatever the quorum. Ranked choice is instant run-off: the
option with the fewest ballots goes; of several with the fewest, the one that had fewer in the latest earlier round in
which they differ; still equal, the one listed last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from hub.core.errors import Conflict, Forbidden, Invalid, NotFound, listing
from hub.features.voting.contract import ABSTAIN, VETO, Rule, State

Choice = str | tuple[str, ...]


class ProposalNotFound(NotFound):
    code, title = "proposal-not-found", "Proposal not found"


class ProposalClosedAlready(Conflict):
    code, title = "proposal-closed", "The proposal is closed"


class NotEligible(Forbidden):
    code, title = "not-eligible", "Not in the electorate"


@dataclass(frozen=True, slots=True)
class Question:
    """What is decided and by whom: options, rule, weight and veto right of every eligible agent."""

    options: tuple[str, ...]
    rule: Rule
    weights: Mapping[int, int]
    vetoers: frozenset[int]

    @property
    def total(self) -> int:
        return sum(self.weights.values())


@dataclass(frozen=True, slots=True)
class Verdict:
    state: State
    outcome: str | None
    arithmetic: dict[str, Any]


def must_be_eligible(agent: int, electorate: Mapping[int, str]) -> None:
    """Raises NotEligible that names who is in the electorate (agents' ids and names)."""
    if agent not in electorate:
        names = list(electorate.values())
        raise NotEligible(
            f"you are not in this proposal's electorate, which was fixed when it opened: {listing(names)}",
            electorate=names,
        )


def check_choice(question: Question, agent: int, choice: Choice) -> Choice:
    """The ballot as it counts. Raises what is wrong with it, naming what is valid."""
    if agent not in question.weights:
        raise NotEligible("you are not in this proposal's electorate: it was fixed when the proposal opened")
    if choice == VETO:
        if agent not in question.vetoers:
            raise NotEligible("only the veto holders named at opening can cast 'veto'")
        return choice
    if choice == ABSTAIN:
        return choice
    valid = ", ".join((*question.options, ABSTAIN))
    ranked = question.rule.mode == "ranked"
    picks = (choice,) if isinstance(choice, str) else tuple(choice)
    if not ranked and len(picks) != 1:
        raise Invalid(f"one choice of: {valid}; a list is for ranked proposals")
    if unknown := [pick for pick in picks if pick not in question.options]:
        raise Invalid(f"{unknown[0]!r} is not an option; valid: {valid}")
    if len(set(picks)) != len(picks):
        raise Invalid("an option stands twice in the ranking")
    return picks if ranked else picks[0]


_ID = re.compile(r"\b[cdfmp][0-9a-z]{1,12}-[0-9a-z]{1,12}\b")


def named(text: str) -> tuple[str, ...]:
    """Ids of messages, files, cards, decisions and proposals that a text names, in order, at most 20."""
    return tuple(dict.fromkeys(_ID.findall(text)))[:20]


def exact(share: float) -> Fraction:
    """The share as it was written: 0.28 of 25 is exactly 7, which floats miss."""
    return Fraction(str(share))


def tally(question: Question, ballots: Mapping[int, Choice]) -> Verdict:
    """The verdict over the ballots cast, as if no more came."""
    cast = sum(question.weights[agent] for agent in ballots)
    base: dict[str, Any] = {"electorate": question.total, "cast": cast, "quorum": question.rule.quorum}
    if vetoes := [agent for agent, choice in ballots.items() if choice == VETO]:
        return Verdict("vetoed", None, {**base, "vetoes": len(vetoes)})
    if cast < exact(question.rule.quorum) * question.total or cast == 0:
        return Verdict("no_quorum", None, base)
    counted = {agent: choice for agent, choice in ballots.items() if choice != ABSTAIN}
    if question.rule.mode == "ranked":
        return _ranked(question, counted, base)
    sums = _sums(question, counted)
    base = {**base, "votes": sums, "abstained": cast - sum(sums.values())}
    if question.rule.mode == "plurality":
        return _plurality(sums, base)
    return _two_way(question.rule, sums, base)


def _sums(question: Question, counted: Mapping[int, Choice]) -> dict[str, int]:
    sums = dict.fromkeys(question.options, 0)
    for agent, choice in counted.items():
        sums[str(choice)] += question.weights[agent]
    return sums


def _two_way(rule: Rule, sums: Mapping[str, int], base: dict[str, Any]) -> Verdict:
    approve, reject = sums["approve"], sums["reject"]
    if rule.mode == "majority" and approve == reject:
        return Verdict("tied", None, base)
    if rule.mode == "majority":
        won = approve > reject
    elif rule.mode == "supermajority":
        base = {**base, "threshold": rule.threshold}
        won = approve > 0 and approve >= exact(rule.threshold) * (approve + reject)
    else:
        won = reject == 0
    return Verdict("approved" if won else "rejected", "approve" if won else "reject", base)


def _plurality(sums: Mapping[str, int], base: dict[str, Any]) -> Verdict:
    best = max(sums.values())
    leaders = [option for option, votes in sums.items() if votes == best]
    if len(leaders) > 1 or best == 0:
        return Verdict("tied", None, {**base, "tied": leaders})
    return Verdict("decided", leaders[0], base)


def _ranked(question: Question, counted: Mapping[int, Choice], base: dict[str, Any]) -> Verdict:
    standing, rounds = list(question.options), []
    ballots = [(question.weights[agent], tuple(choice)) for agent, choice in counted.items()]
    while True:
        votes = _first_preferences(standing, ballots)
        rounds.append(votes)
        live = sum(votes.values())
        leader = max(standing, key=lambda option: votes[option])
        arithmetic = {**base, "rounds": rounds}
        if live == 0:
            return Verdict("tied", None, arithmetic)
        if votes[leader] * 2 > live or len(standing) == 1:
            return Verdict("decided", leader, arithmetic)
        standing.remove(_loser(standing, rounds))


def _first_preferences(standing: Sequence[str], ballots: Iterable[tuple[int, tuple[str, ...]]]) -> dict[str, int]:
    votes = dict.fromkeys(standing, 0)
    for weight, ranking in ballots:
        first = next((option for option in ranking if option in votes), None)
        if first is not None:
            votes[first] += weight
    return votes


def _loser(standing: Sequence[str], rounds: Sequence[Mapping[str, int]]) -> str:
    """Fewest now, then fewest in the latest earlier round in which they differ, then listed last."""
    candidates = list(standing)
    for votes in reversed(rounds):
        fewest = min(votes[option] for option in candidates)
        candidates = [option for option in candidates if votes[option] == fewest]
        if len(candidates) == 1:
            break
    return candidates[-1]


def certain(question: Question, ballots: Mapping[int, Choice]) -> bool:
    """Whether no completion by the missing ballots changes the verdict, and no veto holder is missing."""
    missing = {agent: weight for agent, weight in question.weights.items() if agent not in ballots}
    if any(choice == VETO for choice in ballots.values()):
        return True
    if question.vetoers & missing.keys():
        return False
    if not missing:
        return True
    now = tally(question, ballots)
    if now.state == "no_quorum":
        return False
    open_weight = sum(missing.values())
    if open_weight == 0:
        return True
    return _cannot_change(question, ballots, open_weight)


def _cannot_change(question: Question, ballots: Mapping[int, Choice], open_weight: int) -> bool:
    """The quorum is met: the worst that the missing weight can do, all on one side (an extreme is always possible)."""
    mode = question.rule.mode
    counted = {agent: choice for agent, choice in ballots.items() if choice != ABSTAIN}
    if mode == "ranked":
        firsts = _first_preferences(question.options, [(question.weights[a], tuple(c)) for a, c in counted.items()])
        return max(firsts.values()) * 2 > sum(firsts.values()) + open_weight
    sums = _sums(question, counted)
    if mode == "plurality":
        first, second = sorted(sums.values(), reverse=True)[:2]
        return first > second + open_weight
    approve, reject = sums["approve"], sums["reject"]
    if mode == "majority":
        return approve > reject + open_weight or reject > approve + open_weight
    if mode == "consensus":
        return reject > 0
    share = exact(question.rule.threshold)
    holds = approve > 0 and approve >= share * (approve + reject + open_weight)
    fails = approve + open_weight < share * (approve + open_weight + reject)
    return holds or fails
