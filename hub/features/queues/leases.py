"""Every change of who has a task: handed out, assigned, delayed, handed back, over."""

from __future__ import annotations

from typing import Final

import orjson

from hub.core.call import Call
from hub.core.event import Placed
from hub.features.queues import contract as c
from hub.features.queues.ready import enter_again, leave, open_group
from hub.features.queues.rules import Lease
from hub.features.queues.tasks import Queue, TaskRow
from hub.log.log import agent_name, append
from hub.storage.interface import Tx

MOST_REASONS: Final = 100


def take(tx: Tx, call: Call, log: int, row: TaskRow, lease_s: float) -> TaskRow:
    """Hand the task, which is ready or assigned to the caller, to the caller; the task as it is then."""
    before, now_ms = row.lease, call.now_ms
    reasons = () if before is None else so_far(tx, call, row)
    attempt = 1 if before is None else before.attempt + 1
    until_ms = now_ms + int(lease_s * 1000)
    lease = Lease(call.random(16).hex(), call.principal.agent, attempt, until_ms, now_ms, reasons)
    if before is None:
        tx.stage("lease", _row(log, row.seq, lease))
    else:
        _write(tx, log, row.seq, lease)
    if before is None or not before.until_ms:
        leave(tx, log, row)
    taken = row.held_by(lease)
    tx.remember(("task", log, row.seq), taken)
    return taken


def _row(log: int, seq: int, lease: Lease, ready_at: int = 0) -> tuple[object, ...]:
    """All columns of a lease nobody extended yet."""
    token, agent, attempt, until_ms, handed_at_ms, reasons, progress, note = lease
    since = handed_at_ms or None
    return (log, seq, token, agent, attempt, until_ms, ready_at, _kept(reasons), since, progress, note)


def _write(tx: Tx, log: int, seq: int, lease: Lease) -> None:
    tx.run(
        "insert into lease (log, seq, token, agent, attempt, until, ready_at, reasons, handed_at)"
        " values (:log, :seq, :token, :agent, :attempt, :until, 0, :reasons, :handed_at)"
        " on conflict (log, seq) do update set token = excluded.token, agent = excluded.agent,"
        " attempt = excluded.attempt, until = excluded.until, ready_at = 0, reasons = excluded.reasons,"
        " handed_at = excluded.handed_at, progress = null, note = null",
        log=log,
        seq=seq,
        token=lease.token,
        agent=lease.agent,
        attempt=lease.attempt,
        until=lease.until_ms,
        reasons=_kept(lease.reasons),
        handed_at=lease.handed_at_ms,
    )


def assign(tx: Tx, call: Call, queue: Queue, row: TaskRow, agent: int) -> None:
    """Reserve the ready task for a worker, who has to start it in time."""
    until_ms = call.now_ms + queue.assign_timeout_ms
    _write(tx, queue.log, row.seq, Lease("", agent, row.attempt, until_ms, 0, row.failed_because))
    leave(tx, queue.log, row)
    tx.wake(-agent)


def delay(tx: Tx, log: int, seq: int, ready_at: int) -> None:
    """A hand-out to nobody, so that the clock finds a new task when its time comes."""
    tx.stage("lease", _row(log, seq, Lease("", 0, 0, 0, 0), ready_at))


def hand_back(tx: Tx, log: int, row: TaskRow, *, attempt: int, ready_at: int, reasons: tuple[str, ...]) -> None:
    """Nobody has the task any more. `agent` stays: who had it last. At `ready_at` (0: now) it is ready again."""
    tx.run(
        "update lease set token = '', until = 0, attempt = :attempt, ready_at = :ready_at, reasons = :reasons"
        " where log = :log and seq = :seq",
        attempt=attempt,
        ready_at=ready_at,
        reasons=_kept(reasons),
        log=log,
        seq=row.seq,
    )
    tx.forget(("task", log, row.seq))
    if not ready_at:
        enter_again(tx, log, row)


def extend(tx: Tx, call: Call, log: int, row: TaskRow, lease: Lease, request: c.ExtendTask) -> TaskRow:
    """Let the holder keep the task; the task as it is then."""
    longer = lease._replace(
        until_ms=call.now_ms + int(request.lease_s * 1000),
        progress=lease.progress if request.progress is None else request.progress,
        note=lease.note if request.note is None else request.note,
    )
    tx.run(
        "update lease set until = :until, progress = :progress, note = :note where log = :log and seq = :seq",
        until=longer.until_ms,
        progress=longer.progress,
        note=longer.note,
        log=log,
        seq=row.seq,
    )
    extended = row.held_by(longer)
    tx.remember(("task", log, row.seq), extended)
    return extended


Ending = c.TaskDone | c.TaskDead | c.TaskCancelled


def end(tx: Tx, call: Call, log: int, row: TaskRow, event: Ending, *, actor: int | None = None) -> Placed:
    """The open task is over: nobody has or gets it, and the next of its group may go."""
    lease = row.lease
    if lease is not None:
        forget_lease(tx, log, row.seq)
    if lease is None or not lease.until_ms:
        leave(tx, log, row)
    placed = append(tx, call, log, event, actor=actor)
    if row.group is not None:
        open_group(tx, log, row.group)
    return placed


def forget_lease(tx: Tx, log: int, seq: int) -> None:
    tx.defer(("lease", log, seq), "delete from lease where log = :log and seq = :seq", log=log, seq=seq)
    tx.forget(("task", log, seq))


def ends(tx: Tx, call: Call, queue: Queue, row: TaskRow) -> bool:
    """Whether the task's time or attempts are over; it is a dead letter then."""
    if not row.over(queue.max_attempts, call.now_ms):
        return False
    reasons = so_far(tx, call, row)
    if row.expires_at <= call.now_ms:
        reason = "its ttl_s ran out before anybody finished it"
    else:
        reason = reasons[-1] if reasons else f"all {row.attempt} attempts failed"
    dead = c.TaskDead(task=row.seq, attempts=row.attempt, reason=reason, reasons=reasons)
    end(tx, call, queue.log, row, dead, actor=0)
    return True


def so_far(tx: Tx, call: Call, row: TaskRow) -> tuple[str, ...]:
    """The reasons, with that of a lease or assignment that is over."""
    lease = row.lease
    if lease is None or not 0 < lease.until_ms <= call.now_ms:
        return row.failed_because
    worker = agent_name(tx, lease.agent)
    if lease.token:
        return and_reason(row.failed_because, f"the lease of attempt {lease.attempt} ran out ({worker})")
    return and_reason(row.failed_because, f"{worker} did not start it in time")


def and_reason(reasons: tuple[str, ...], reason: str) -> tuple[str, ...]:
    """The newest reasons, this one last."""
    return (*reasons, reason)[-MOST_REASONS:]


def _kept(reasons: tuple[str, ...]) -> str | None:
    return orjson.dumps(reasons).decode() if reasons else None
