"""Events of runs to rows, and rows to values."""

from __future__ import annotations

from typing import Final, LiteralString

import orjson

from hub.core.event import Placed
from hub.core.names import make_id, split_id
from hub.core.times import optional_rfc3339, rfc3339
from hub.features.runs import rules
from hub.features.runs.contract import RUN_LETTER, AuditEntry, Run, RunAudited, RunFinished, RunRequested
from hub.kernel.rooms.contract import RoomChanged, RunsSwitched
from hub.log.log import HUB, agent_name, load_body, load_stream, projects
from hub.storage.interface import Row, Tx

SELECT: LiteralString = (
    "select run.log, run.seq, run.agent, run.language, run.state, run.requested_at, run.finished_seq,"
    " slot.runner, slot.started_at, slot.stop from run"
    " left join slot on slot.log = run.log and slot.seq = run.seq"
)
TOPIC: Final = -(1 << 61)  # wakes the workers; agents' topics are minus their ids, far smaller
_DETAILS = frozenset(Run.model_fields) & frozenset(RunFinished.model_fields)


@projects(RoomChanged)
def switched(tx: Tx, at: Placed, body: RoomChanged) -> None:
    """The first room with runs on is when hubs test their sandbox."""
    if body.settings.runs:
        tx.wake(TOPIC)


@projects(RunRequested)
def requested(tx: Tx, at: Placed, body: RunRequested) -> None:
    tx.stage("run", (at.log, at.seq, at.actor, body.language, "open", at.at_ms, None))


@projects(RunFinished)
def finished(tx: Tx, at: Placed, body: RunFinished) -> None:
    tx.run(
        "update run set state = :status, finished_seq = :seq where log = :log and seq = :run",
        status=body.status,
        seq=at.seq,
        log=at.log,
        run=body.run,
    )


@projects(RunAudited)
def run_audited(tx: Tx, at: Placed, body: RunAudited) -> None:
    files = orjson.dumps(body.files).decode()
    row = (at.log, at.seq, at.at_ms, at.actor, body.room, "run", body.run, body.language, body.code_sha256, files)
    tx.stage("run_audit", row)


@projects(RunsSwitched)
def switch_audited(tx: Tx, at: Placed, body: RunsSwitched) -> None:
    what = "switched on" if body.on else "switched off"
    tx.stage("run_audit", (at.log, at.seq, at.at_ms, at.actor, body.room, what, None, None, None, "[]"))


def audited(tx: Tx, before: int | None, limit: int) -> list[AuditEntry]:
    """Up to `limit` entries of the audit before a number, the newest first."""
    rows = tx.rows(
        "select seq, at, agent, room, what, run, language, code_sha256, files from run_audit"
        " where log = :log and seq < :before order by seq desc limit :limit",
        log=HUB,
        before=2**62 if before is None else before,
        limit=limit,
    )
    return [
        AuditEntry(
            number=row[0],
            at=rfc3339(row[1]),
            by=agent_name(tx, row[2]),
            room=row[3],
            what=row[4],
            run=row[5],
            language=row[6],
            code_sha256=row[7],
            files=tuple(orjson.loads(row[8])),
        )
        for row in rows
    ]


def find_run(tx: Tx, log: int, run: str) -> Row:
    """The row of a run in a room. Raises RunNotFound."""
    in_log, seq = split_id(RUN_LETTER, run, rules.RunNotFound)
    row = tx.row(SELECT + " where run.log = :log and run.seq = :seq", log=log, seq=seq) if in_log == log else None
    if row is None:
        raise rules.RunNotFound(f"run {run!r} is not in this room; runs.list shows its runs")
    return row


def view(tx: Tx, row: Row, *, output: bool = True) -> Run:
    """A run as callers see it; `output` false leaves the text out."""
    log, seq, agent, language, state, requested_at, finished_seq = (row[i] for i in range(7))
    common = {
        "id": make_id(RUN_LETTER, log, seq),
        "room": load_stream(tx, log).name,
        "sender": agent_name(tx, agent),
        "language": language,
        "at": rfc3339(requested_at),
    }
    if finished_seq is None:
        return Run(**common, state="queued" if row[7] is None else "running", started_at=optional_rfc3339(row[8]))
    event = tx.row("select data, at from event where log = :log and seq = :seq", log=log, seq=finished_seq)
    if event is None:  # the end was trimmed with its room's history
        return Run(**common, state=state)
    body = load_body(RunFinished.type, bytes(event[0]))
    assert isinstance(body, RunFinished)
    details = {name: getattr(body, name) for name in _DETAILS}
    if not output:
        details |= {"stdout": "", "stderr": ""}
    times = {"started_at": optional_rfc3339(body.started_at_ms), "finished_at": rfc3339(event[1])}
    return Run(**common, **details, **times, state=state)


def load_live(tx: Tx) -> list[rules.Live]:
    """Runs of all rooms that are not over, in the order of asking."""
    rows = tx.rows(SELECT + " where run.state = 'open' order by run.requested_at, run.log, run.seq")
    return [rules.Live(row[0], row[1], row[2], row[3], row[7]) for row in rows]


def load_runners(tx: Tx, now_ms: int) -> list[rules.Runner]:
    """Hubs that run code now."""
    rows = tx.rows("select id, slots, languages, refusal from runner where until > :now order by id", now=now_ms)
    return [rules.Runner(row[0], row[1], orjson.loads(row[2]), row[3]) for row in rows]


def somewhere_on(tx: Tx) -> bool:
    """Whether any room has runs on."""
    on = '%"runs":true%'
    return tx.row("select 1 from room where settings like :on limit 1", on=on) is not None
