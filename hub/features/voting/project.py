"""Rows of proposals from their events, and loading them back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from hub.core.event import Placed
from hub.core.names import make_id, split_id
from hub.core.times import optional_rfc3339, rfc3339
from hub.features.voting.contract import (
    Amendment,
    AmendmentAccepted,
    AmendmentProposed,
    Ballot,
    BallotCast,
    Proposal,
    ProposalClosed,
    ProposalOpened,
    Rule,
)
from hub.features.voting.rules import Choice, ProposalNotFound, Question
from hub.log.log import agent_name, load_stream, projects
from hub.storage.interface import Row, Tx


def proposal_seq(log: int, proposal: str) -> int:
    """The number of a proposal's event in this stream; raises ProposalNotFound for another room's id."""
    found, seq = split_id("p", proposal, ProposalNotFound)
    if found != log:
        raise ProposalNotFound(f"proposal {proposal!r} is not in this room; pass the room it was opened in")
    return seq


def _seq(proposal: str) -> int:
    return split_id("p", proposal, ProposalNotFound)[1]


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


@projects(ProposalOpened)
def opened(tx: Tx, at: Placed, body: ProposalOpened) -> None:
    electorate = [voter.model_dump() for voter in body.electorate]
    rule = body.rule.model_dump(mode="json")
    tx.stage(
        "proposal",
        (
            at.log,
            at.seq,
            at.actor,
            body.title,
            body.body,
            _json(body.options),
            _json(rule),
            _json(electorate),
            "open",
            at.at_ms,
            body.deadline_ms,
            None,
            None,
            "{}",
        ),
    )


@projects(BallotCast)
def cast(tx: Tx, at: Placed, body: BallotCast) -> None:
    tx.run(
        "insert into ballot (log, seq, agent, choice, reason, at) values (:log, :seq, :agent, :choice, :reason, :at)"
        " on conflict (log, seq, agent) do update set choice = excluded.choice, reason = excluded.reason, at = excluded.at",
        log=at.log,
        seq=_seq(body.proposal),
        agent=body.agent,
        choice=_json(body.choice),
        reason=body.reason,
        at=at.at_ms,
    )


@projects(AmendmentProposed)
def amendment_proposed(tx: Tx, at: Placed, body: AmendmentProposed) -> None:
    data = body.model_dump(mode="json", include={"title", "body", "options"})
    tx.stage("amendment", (at.log, at.seq, _seq(body.proposal), at.actor, _json(data), 0))


@projects(AmendmentAccepted)
def amendment_accepted(tx: Tx, at: Placed, body: AmendmentAccepted) -> None:
    seq = _seq(body.proposal)
    tx.run(
        "update proposal set title = :title, body = :body, options = :options where log = :log and seq = :seq",
        title=body.title,
        body=body.body,
        options=_json(body.options),
        log=at.log,
        seq=seq,
    )
    tx.run("update amendment set accepted = 1 where log = :log and seq = :seq", log=at.log, seq=_seq(body.amendment))
    tx.run("delete from ballot where log = :log and seq = :seq", log=at.log, seq=seq)


@projects(ProposalClosed)
def closed(tx: Tx, at: Placed, body: ProposalClosed) -> None:
    tx.run(
        "update proposal set state = :state, outcome = :outcome, arithmetic = :arithmetic, closed_at = :at"
        " where log = :log and seq = :seq",
        state=body.state,
        outcome=body.outcome,
        arithmetic=_json(body.arithmetic),
        at=at.at_ms,
        log=at.log,
        seq=_seq(body.proposal),
    )


@dataclass(frozen=True, slots=True)
class Loaded:
    """A proposal's rows as the rules want them."""

    log: int
    seq: int
    proposer: int
    title: str
    body: str
    state: str
    deadline_ms: int | None
    question: Question
    ballots: dict[int, Choice]
    names: dict[int, str]

    @property
    def id(self) -> str:
        return make_id("p", self.log, self.seq)

    @property
    def voters(self) -> tuple[int, ...]:
        return tuple(self.names)


def load_proposal(tx: Tx, log: int, seq: int) -> Loaded:
    """Everything the rules need. Raises ProposalNotFound."""
    return _loaded(_row(tx, log, seq), _ballots(tx, log, seq))


def _loaded(row: Row, ballots: Sequence[Row]) -> Loaded:
    voters = orjson.loads(row["electorate"])
    rule = Rule.model_validate_json(row["rule"])
    question = Question(
        options=tuple(orjson.loads(row["options"])),
        rule=rule,
        weights={voter["agent"]: voter["weight"] if rule.weighted else 1 for voter in voters},
        vetoers=frozenset(voter["agent"] for voter in voters if voter["veto"]),
    )
    return Loaded(
        log=row["log"],
        seq=row["seq"],
        proposer=row["proposer"],
        title=row["title"],
        body=row["body"],
        state=row["state"],
        deadline_ms=row["deadline"],
        question=question,
        ballots={ballot["agent"]: _choice(ballot["choice"]) for ballot in ballots},
        names={voter["agent"]: voter["name"] for voter in voters},
    )


def _ballots(tx: Tx, log: int, seq: int) -> list[Row]:
    return tx.rows(
        "select agent, choice, reason, at from ballot where log = :log and seq = :seq order by at, agent",
        log=log,
        seq=seq,
    )


def _choice(text: str) -> Choice:
    value = orjson.loads(text)
    return tuple(value) if isinstance(value, list) else str(value)


def _row(tx: Tx, log: int, seq: int) -> Row:
    row = tx.row("select * from proposal where log = :log and seq = :seq", log=log, seq=seq)
    if row is None:
        raise ProposalNotFound(f"proposal {make_id('p', log, seq)} not found; list them with proposals.list")
    return row


def view(tx: Tx, log: int, seq: int) -> Proposal:
    """The proposal as everyone sees it."""
    row, ballots = _row(tx, log, seq), _ballots(tx, log, seq)
    loaded = _loaded(row, ballots)
    weights = loaded.question.weights
    return Proposal(
        id=loaded.id,
        room=load_stream(tx, log).name,
        title=loaded.title,
        body=loaded.body,
        options=loaded.question.options,
        rule=loaded.question.rule,
        by=agent_name(tx, loaded.proposer),
        state=row["state"],
        opened_at=rfc3339(row["opened_at"]),
        deadline=optional_rfc3339(row["deadline"]),
        closed_at=optional_rfc3339(row["closed_at"]),
        outcome=row["outcome"],
        arithmetic=orjson.loads(row["arithmetic"]),
        ballots=tuple(
            Ballot(
                agent=loaded.names[b["agent"]],
                choice=loaded.ballots[b["agent"]],
                weight=weights[b["agent"]],
                reason=b["reason"],
                at=rfc3339(b["at"]),
            )
            for b in ballots
        ),
        missing=tuple(name for agent, name in loaded.names.items() if agent not in loaded.ballots),
        amendments=tuple(_amendments(tx, log, seq)),
    )


def _amendments(tx: Tx, log: int, seq: int) -> list[Amendment]:
    rows = tx.rows(
        "select seq, agent, data, accepted from amendment where log = :log and proposal = :seq order by seq",
        log=log,
        seq=seq,
    )
    return [
        Amendment(
            amendment=make_id("p", log, row["seq"]),
            by=agent_name(tx, row["agent"]),
            accepted=bool(row["accepted"]),
            **orjson.loads(row["data"]),
        )
        for row in rows
    ]
