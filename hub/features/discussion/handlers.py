"""One function per operation: load, decide, append, return. The room's lock is held before anything is loaded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from hub.core.call import Call
from hub.core.names import split_id
from hub.features.discussion import rules
from hub.features.discussion.contract import (
    ALTERNATIVES,
    ARGUE,
    ARGUMENTS,
    CRITIQUE,
    CRITIQUES,
    DECISIONS,
    EXPORT,
    OFFER,
    RECORD,
    RESOLVE,
    AddArgument,
    AddCritique,
    AlternativeOffered,
    ArgumentMade,
    CritiqueMade,
    CritiqueResolved,
    Decision,
    DecisionRecorded,
    Decisions,
    ExportDecisions,
    Exported,
    Kind,
    ListAlternatives,
    ListArguments,
    ListCritiques,
    ListDecisions,
    OfferAlternative,
    RecordDecision,
    Remark,
    Remarks,
    ResolveCritique,
)
from hub.features.discussion.project import decision_of, remark_of
from hub.kernel.rooms.project import Entered, enter, enter_to_write, load_members
from hub.log.handler import handles
from hub.log.log import append
from hub.storage.interface import Row, Tx

_MOST_EXPORTED: Final = 5000


def _on(tx: Tx, call: Call, room: str, thing: str) -> tuple[int, int]:
    """(stream, author) of what is remarked on. Raises ThingNotFound that says what can be."""
    log = enter_to_write(tx, call, room).log
    found, seq = split_id(thing[0], thing, rules.ThingNotFound)
    row = tx.row(
        "select type, actor from event where log = :log and seq = :seq and tombstone is null",
        log=log,
        seq=seq if found == log else 0,
    )
    if row is None or rules.REMARKABLE.get(row[0]) != thing[0]:
        raise rules.ThingNotFound(
            f"{thing} is not in room {room!r}: pass the id of a proposal, message, remark or recorded decision here"
        )
    return log, row[1]


@handles(CRITIQUE)
def add_critique(tx: Tx, call: Call, request: AddCritique) -> Remark:
    log, author = _on(tx, call, request.room, request.on)
    event = CritiqueMade(
        on=request.on,
        author=author,
        text=request.text,
        severity=request.severity,
        alternatives=request.alternatives,
    )
    return _remark(tx, log, append(tx, call, log, event).seq)


@handles(OFFER)
def offer_alternative(tx: Tx, call: Call, request: OfferAlternative) -> Remark:
    log, author = _on(tx, call, request.room, request.on)
    event = AlternativeOffered(on=request.on, author=author, text=request.text)
    return _remark(tx, log, append(tx, call, log, event).seq)


@handles(ARGUE)
def add_argument(tx: Tx, call: Call, request: AddArgument) -> Remark:
    log, author = _on(tx, call, request.room, request.on)
    event = ArgumentMade(on=request.on, author=author, text=request.text, side=request.side)
    return _remark(tx, log, append(tx, call, log, event).seq)


def _row(tx: Tx, log: int, seq: int) -> Row:
    row = tx.row("select * from remark where log = :log and seq = :seq", log=log, seq=seq)
    if row is None:
        raise rules.ThingNotFound("there is no such critique in this room; list them with critiques.list")
    return row


def _remark(tx: Tx, log: int, seq: int) -> Remark:
    return remark_of(tx, _row(tx, log, seq))


@handles(RESOLVE)
def resolve_critique(tx: Tx, call: Call, request: ResolveCritique) -> Remark:
    entered = enter_to_write(tx, call, request.room)
    log, seq = split_id("k", request.critique, rules.ThingNotFound)
    row = _row(tx, entered.log, seq if log == entered.log else 0)
    rules.may_resolve(row["kind"], row["agent"], call.agent, entered.member.access)
    if not row["resolved"]:
        append(tx, call, log, CritiqueResolved(critique=request.critique))
    return _remark(tx, log, seq)


@handles(CRITIQUES)
def list_critiques(tx: Tx, call: Call, request: ListCritiques) -> Remarks:
    entered = enter(tx, call, request.room)
    return _listed(tx, entered, "critique", request.on, request.limit, open_only=request.open)


@handles(ALTERNATIVES)
def list_alternatives(tx: Tx, call: Call, request: ListAlternatives) -> Remarks:
    return _listed(tx, enter(tx, call, request.room), "alternative", request.on, request.limit)


@handles(ARGUMENTS)
def list_arguments(tx: Tx, call: Call, request: ListArguments) -> Remarks:
    return _listed(tx, enter(tx, call, request.room), "argument", request.on, request.limit, side=request.side)


def _since(entered: Entered) -> int:
    """The event after which this member may read: all, or since it joined, as the room says."""
    return entered.member.joined_seq if entered.room.settings.history == "since_join" else 0


def _listed(
    tx: Tx,
    entered: Entered,
    kind: Kind,
    on: str | None,
    limit: int,
    *,
    open_only: bool = False,
    side: str | None = None,
) -> Remarks:
    rows = tx.rows(
        "select * from remark where log = :log and kind = :kind and seq > :since and (:target = '' or target = :target)"
        " and (:open = 0 or resolved = 0) and (:side = '' or side = :side) order by seq desc limit :limit",
        log=entered.log,
        kind=kind,
        since=_since(entered),
        target=on or "",
        open=int(open_only),
        side=side or "",
        limit=limit + 1,
    )
    return Remarks(items=tuple(remark_of(tx, row) for row in rows[:limit]), has_more=len(rows) > limit)


@handles(RECORD)
def record_decision(tx: Tx, call: Call, request: RecordDecision) -> Decision:
    log = enter_to_write(tx, call, request.room).log
    if request.supersedes is not None:
        _may_supersede(tx, log, request.supersedes)
    members = tuple(member.agent for member in load_members(tx, log) if member.agent != call.agent)
    event = DecisionRecorded(
        what=request.what, links=request.links, supersedes=request.supersedes, members=members[:1000]
    )
    placed = append(tx, call, log, event)
    return decision_of(tx, _decision(tx, log, placed.seq))


def _decision(tx: Tx, log: int, seq: int) -> Row:
    row = tx.row("select * from decision where log = :log and seq = :seq", log=log, seq=seq)
    if row is None:
        raise rules.DecisionNotFound("there is no such decision in this room; list them with decisions.list")
    return row


def _may_supersede(tx: Tx, log: int, decision: str) -> None:
    found, seq = split_id("d", decision, rules.DecisionNotFound)
    now = decision_of(tx, _decision(tx, log, seq if found == log else 0))
    if now.superseded_by is not None:
        raise rules.DecisionSuperseded(f"{decision} is superseded already, by {now.superseded_by}; supersede that one")


@handles(DECISIONS)
def list_decisions(tx: Tx, call: Call, request: ListDecisions) -> Decisions:
    entered = enter(tx, call, request.room)
    before = None if request.before is None else split_id("d", request.before, rules.DecisionNotFound)[1]
    rows = tx.rows(
        "select * from decision where log = :log and seq > :since and (:before = 0 or seq < :before)"
        " and (:current = 0 or superseded_by is null) order by seq desc limit :limit",
        log=entered.log,
        since=_since(entered),
        before=before or 0,
        current=int(request.current),
        limit=request.limit + 1,
    )
    items = tuple(decision_of(tx, row) for row in rows[: request.limit])
    return Decisions(items=items, has_more=len(rows) > request.limit)


@handles(EXPORT)
def export_decisions(tx: Tx, call: Call, request: ExportDecisions) -> Exported:
    entered = enter(tx, call, request.room)
    where = {"log": entered.log, "since": _since(entered), "most": _MOST_EXPORTED}
    rows = tx.rows("select * from decision where log = :log and seq > :since order by seq desc limit :most", **where)
    decisions = [decision_of(tx, row) for row in reversed(rows)]
    remarks: dict[str, list[Remark]] = defaultdict(list)
    for row in tx.rows("select * from remark where log = :log and seq > :since order by seq limit :most", **where):
        remarks[row["target"]].append(remark_of(tx, row))
    text = (
        rules.markdown(request.room, decisions, remarks) if request.format == "markdown" else _json(decisions, remarks)
    )
    return Exported(format=request.format, text=text, count=len(decisions))


def _json(decisions: Sequence[Decision], remarks: Mapping[str, Sequence[Remark]]) -> str:
    made = [
        {
            **one.model_dump(mode="json"),
            "remarks": [remark.model_dump(mode="json") for remark in remarks.get(one.about or one.id, ())],
        }
        for one in decisions
    ]
    return orjson.dumps(made, option=orjson.OPT_INDENT_2).decode()
