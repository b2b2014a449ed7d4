"""One function per operation of runs, and what the worker writes: load, decide, append, return."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from hub.core.access import at_least
from hub.core.call import Call
from hub.core.errors import Forbidden
from hub.core.names import make_id
from hub.features.runs import contract as c
from hub.features.runs import rules
from hub.features.runs.exchange import named_files
from hub.features.runs.project import SELECT, TOPIC, audited, find_run, load_live, load_runners, view
from hub.kernel.rooms.project import enter, enter_to_write, refuse_direct
from hub.log.handler import handles
from hub.log.log import HUB, append
from hub.storage.interface import Row, Tx


@handles(c.START)
def start_run(tx: Tx, call: Call, request: c.StartRun) -> c.Run:
    refuse_direct(request.room, "running code")
    entered = enter_to_write(tx, call, request.room)
    rules.must_be_on(entered.room.settings.runs, request.room)
    runners, live = load_runners(tx, call.now_ms), load_live(tx)
    rules.must_be_possible(runners, request.language)
    rules.admit(live, runners, rules.Live(entered.log, 0, call.agent, request.language))
    files = named_files(tx, entered, request.files)
    asked = request.model_dump(include={"language", "code", "timeout_s", "save"})
    placed = append(tx, call, entered.log, c.RunRequested(**asked, files=files))
    sha256 = hashlib.sha256(request.code.encode()).hexdigest()
    run = make_id(c.RUN_LETTER, entered.log, placed.seq)
    noted = c.RunAudited(room=request.room, run=run, language=request.language, code_sha256=sha256, files=files)
    append(tx, call, HUB, noted)
    start_waiting(tx, call)
    return view(tx, _row(tx, entered.log, placed.seq))


@handles(c.AUDIT)
def audit_runs(tx: Tx, call: Call, request: c.AuditRuns) -> c.Audited:
    found = audited(tx, request.before, request.limit + 1)
    return c.Audited(items=tuple(found[: request.limit]), has_more=len(found) > request.limit)


@handles(c.GET)
def get_run(tx: Tx, call: Call, request: c.GetRun) -> c.Run:
    log = enter(tx, call, request.room).log
    call.watch(log)
    return view(tx, find_run(tx, log, request.run))


@handles(c.LIST)
def list_runs(tx: Tx, call: Call, request: c.ListRuns) -> c.Runs:
    log = enter(tx, call, request.room).log
    rows = tx.rows(SELECT + " where run.log = :log order by run.seq desc limit :limit", log=log, limit=request.limit)
    return c.Runs(items=tuple(view(tx, row, output=False) for row in rows))


@handles(c.CANCEL)
def cancel_run(tx: Tx, call: Call, request: c.CancelRun) -> c.Run:
    entered = enter(tx, call, request.room)
    row = find_run(tx, entered.log, request.run)
    if row[2] != call.agent and not at_least(entered.member.access, "owner"):
        raise Forbidden("a run is cancelled by who started it or by an owner of the room")
    if row[4] == "open" and row[7] is None:
        finish(tx, call, entered.log, row[1], c.RunFinished(run=row[1], requester=row[2], status="cancelled"))
    elif row[4] == "open":
        tx.run("update slot set stop = 1 where log = :log and seq = :seq", log=entered.log, seq=row[1])
        tx.wake(TOPIC)
    return view(tx, _row(tx, entered.log, row[1]))


def finish(tx: Tx, call: Call, log: int, seq: int, event: c.RunFinished) -> bool:
    """Append the final event, once, and let the next ones start; false when the run was over already."""
    row = tx.row("select state from run where log = :log and seq = :seq", log=log, seq=seq)
    tx.run("delete from slot where log = :log and seq = :seq", log=log, seq=seq)
    fresh = row is not None and row[0] == "open"
    if fresh:
        append(tx, call, log, event, actor=0)
    start_waiting(tx, call)
    return fresh


def start_waiting(tx: Tx, call: Call) -> None:
    """Give places to those whose turn it is. Under the hub's lock, so that counts are exact."""
    chosen = rules.starting(load_live(tx), load_runners(tx, call.now_ms))
    for run, runner in chosen:
        tx.run(
            "insert into slot (log, seq, runner, started_at, stop) values (:log, :seq, :runner, :now, 0)",
            log=run.log,
            seq=run.seq,
            runner=runner.id,
            now=call.now_ms,
        )
    if chosen:
        tx.wake(TOPIC)


def report_lost(tx: Tx, call: Call) -> None:
    """Report what hubs that are gone were executing: interrupted, once each. Never run again: it may have acted."""
    lost = tx.rows(
        "select slot.log, slot.seq, coalesce(run.agent, 0), slot.started_at from slot"
        " left join runner on runner.id = slot.runner and runner.until > :now"
        " left join run on run.log = slot.log and run.seq = slot.seq where runner.id is null order by 1, 2",
        now=call.now_ms,
    )
    _lock(tx, [row[0] for row in lost])
    for log, seq, agent, started_at in ((row[0], row[1], row[2], row[3]) for row in lost):
        event = c.RunFinished(
            run=seq,
            requester=agent,
            started_at_ms=started_at,
            status="interrupted",
            reason="the hub stopped while it ran; start it again if it may run twice",
        )
        finish(tx, call, log, seq, event)


def refuse_impossible(tx: Tx, call: Call) -> None:
    """End waiting runs whose language nobody runs any more, and start the others."""
    runners = load_runners(tx, call.now_ms)
    waiting = [run for run in load_live(tx) if run.runner is None]
    hopeless = [run for run in waiting if not any(run.language in runner.languages for runner in runners)]
    _lock(tx, [run.log for run in hopeless])
    why = next((runner.refusal for runner in runners if runner.refusal), "no engine runs this language here")
    for run in hopeless:
        finish(
            tx,
            call,
            run.log,
            run.seq,
            c.RunFinished(run=run.seq, requester=run.agent, status="unavailable", reason=why),
        )
    start_waiting(tx, call)


def _lock(tx: Tx, logs: Sequence[int]) -> None:
    """Where several writers meet: keep others out of these streams until the end, before their heads are loaded."""
    for log in sorted({HUB, *logs}) if logs else ():
        tx.run("update log set head = head where id = :log", log=log)


def _row(tx: Tx, log: int, seq: int) -> Row:
    row = tx.row(SELECT + " where run.log = :log and run.seq = :seq", log=log, seq=seq)
    assert row is not None, "the run was written by this transaction"
    return row
