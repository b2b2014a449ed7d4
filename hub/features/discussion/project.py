"""Rows of remarks and decisions from their events, and loading them back."""

from __future__ import annotations

from typing import Any

import orjson

from hub.core.event import EventBody, Placed
from hub.core.names import make_id, split_id
from hub.core.times import rfc3339
from hub.features.discussion.contract import (
    AlternativeOffered,
    ArgumentMade,
    CritiqueMade,
    CritiqueResolved,
    Decision,
    DecisionRecorded,
    Remark,
)
from hub.log.log import agent_name, load_stream, projects, projects_all
from hub.storage.interface import Row, Tx


@projects(CritiqueMade)
def critique(tx: Tx, at: Placed, body: CritiqueMade) -> None:
    _remark(tx, at, "critique", body.on, body.text, severity=body.severity, alternatives=body.alternatives)


@projects(AlternativeOffered)
def alternative(tx: Tx, at: Placed, body: AlternativeOffered) -> None:
    _remark(tx, at, "alternative", body.on, body.text)


@projects(ArgumentMade)
def argument(tx: Tx, at: Placed, body: ArgumentMade) -> None:
    _remark(tx, at, "argument", body.on, body.text, side=body.side)


def _remark(
    tx: Tx,
    at: Placed,
    kind: str,
    target: str,
    text: str,
    *,
    severity: str | None = None,
    alternatives: tuple[str, ...] = (),
    side: str | None = None,
) -> None:
    others = orjson.dumps(alternatives).decode()
    tx.stage("remark", (at.log, at.seq, target, kind, at.actor, text, severity, others, side, 0, at.at_ms))


@projects(CritiqueResolved)
def resolved(tx: Tx, at: Placed, body: CritiqueResolved) -> None:
    seq = split_id("k", body.critique)[1]
    tx.run("update remark set resolved = 1 where log = :log and seq = :seq", log=at.log, seq=seq)


@projects_all("decides")
def decided(tx: Tx, at: Placed, body: EventBody) -> None:
    """Every event that says it decides something has its line in the register, whatever feature it belongs to."""
    if (found := body.decides()) is None:
        return
    agents = orjson.dumps(found.agents or _voters(tx, at.log, found.about) or (at.actor,)).decode()
    links = orjson.dumps(found.links).decode()
    row = (at.log, at.seq, found.what, found.outcome, agents, found.about, links, None, at.at_ms)
    tx.stage("decision", row)


@projects_all("attaches")
def attached(tx: Tx, at: Placed, body: EventBody) -> None:
    """Decisions show addresses that came to belong to them, for example of an issue."""
    if (found := body.attaches()) is None:
        return
    for thing in found.things:
        if thing.startswith("d"):
            _attach(tx, at.log, split_id("d", thing)[1], found.url)


def _attach(tx: Tx, log: int, seq: int, url: str) -> None:
    row = tx.row("select links from decision where log = :log and seq = :seq", log=log, seq=seq)
    if row is not None:
        links = orjson.dumps(list(dict.fromkeys([*orjson.loads(row[0]), url]))).decode()
        tx.run("update decision set links = :links where log = :log and seq = :seq", links=links, log=log, seq=seq)


def _voters(tx: Tx, log: int, about: str | None) -> tuple[int, ...]:
    """Who voted, for votes whose closing event does not say so yet."""
    if about is None or not about.startswith("p"):
        return ()
    seq = split_id("p", about)[1]
    rows = tx.rows("select agent from ballot where log = :log and seq = :seq order by at, agent", log=log, seq=seq)
    return tuple(row[0] for row in rows)


@projects(DecisionRecorded)
def superseded(tx: Tx, at: Placed, body: DecisionRecorded) -> None:
    if body.supersedes is not None:
        tx.run(
            "update decision set superseded_by = :by where log = :log and seq = :seq",
            by=at.seq,
            log=at.log,
            seq=split_id("d", body.supersedes)[1],
        )


def remark_of(tx: Tx, row: Row) -> Remark:
    """A remark as everyone sees it."""
    return Remark(
        id=make_id("k", row["log"], row["seq"]),
        room=load_stream(tx, row["log"]).name,
        on=row["target"],
        kind=row["kind"],
        by=agent_name(tx, row["agent"]),
        text=row["text"],
        severity=row["severity"],
        alternatives=tuple(orjson.loads(row["alternatives"])),
        side=row["side"],
        resolved=bool(row["resolved"]),
        at=rfc3339(row["at"]),
    )


def decision_of(tx: Tx, row: Row) -> Decision:
    """A line of the register."""
    log, later = row["log"], row["superseded_by"]
    agents: list[Any] = orjson.loads(row["agents"])
    return Decision(
        id=make_id("d", log, row["seq"]),
        room=load_stream(tx, log).name,
        what=row["what"],
        outcome=row["outcome"],
        by=tuple(agent_name(tx, agent) for agent in agents),
        at=rfc3339(row["at"]),
        about=row["about"],
        links=tuple(orjson.loads(row["links"])),
        superseded_by=None if later is None else make_id("d", log, later),
    )
