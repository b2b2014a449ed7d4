"""Events of a queue's stream to rows, and rows to values."""

from __future__ import annotations

from pydantic_core import to_json

from hub.core.event import Placed
from hub.features.queues import rules
from hub.features.queues.contract import (
    FOREVER,
    QueueCreated,
    QueueDraining,
    QueuePaused,
    QueueResumed,
    TaskCancelled,
    TaskDead,
    TaskDone,
    TaskEnqueued,
    TaskRedriven,
    TasksForgotten,
    WorkerRemoved,
    WorkerSet,
)
from hub.features.queues.tasks import TaskRow, open_tasks
from hub.log.log import projects
from hub.storage.interface import Tx


@projects(QueueCreated)
def created(tx: Tx, at: Placed, body: QueueCreated) -> None:
    row = (at.log, body.owner, body.open_to, body.max_attempts, 0, body.mode, body.strategy, body.assign_timeout_ms)
    tx.stage("queue", (*row, body.max_open, 0, 0, body.keep_days))
    tx.forget(("queue", at.log))
    tx.remember(("open tasks", at.log), 0)


@projects(QueuePaused)
def paused(tx: Tx, at: Placed, body: QueuePaused) -> None:
    tx.run("update queue set paused = 1 where log = :log", log=at.log)
    tx.forget(("queue", at.log))


@projects(QueueResumed)
def resumed(tx: Tx, at: Placed, body: QueueResumed) -> None:
    tx.run("update queue set paused = 0, draining = 0 where log = :log", log=at.log)
    tx.forget(("queue", at.log))


@projects(QueueDraining)
def draining(tx: Tx, at: Placed, body: QueueDraining) -> None:
    tx.run("update queue set draining = 1 where log = :log", log=at.log)
    tx.forget(("queue", at.log))


@projects(WorkerSet)
def worker_set(tx: Tx, at: Placed, body: WorkerSet) -> None:
    tx.run(
        "insert into worker (log, agent, weight, capacity) values (:log, :agent, :weight, :capacity)"
        " on conflict (log, agent) do update set weight = excluded.weight, capacity = excluded.capacity",
        log=at.log,
        agent=body.agent,
        weight=body.weight,
        capacity=body.capacity,
    )
    tx.forget(("capacities", at.log))


@projects(WorkerRemoved)
def worker_removed(tx: Tx, at: Placed, body: WorkerRemoved) -> None:
    tx.run("delete from worker where log = :log and agent = :agent", log=at.log, agent=body.agent)
    tx.forget(("capacities", at.log))


@projects(TaskEnqueued)
def enqueued(tx: Tx, at: Placed, body: TaskEnqueued) -> None:
    row = enqueued_row(at, body)
    sent = (at.log, at.seq, at.actor, row.body, row.priority, row.sort_at, at.at_ms + body.delay_ms, row.expires_at)
    tx.stage("task", (*sent, "open", None, None, 0, None, row.group, row.sticky, None, None, None))
    _count(tx, at.log, 1)


def enqueued_row(at: Placed, body: TaskEnqueued) -> TaskRow:
    """The task that the event makes."""
    return TaskRow(
        seq=at.seq,
        sort_at=rules.sort_key(at.at_ms, body.priority),
        body=to_json(body.body).decode(),
        priority=body.priority,
        state="open",
        result=None,
        reason=None,
        attempts=0,
        expires_at=FOREVER if body.ttl_ms is None else at.at_ms + body.ttl_ms,
        reasons=(),
        group=body.group,
        sticky=body.key,
        worker=None,
        lease=None,
    )


@projects(TaskDone)
def done(tx: Tx, at: Placed, body: TaskDone) -> None:
    result = to_json(body.result).decode()
    _end(tx, at, body.task, "done", result=result, attempts=body.attempt, worker=at.actor)


def done_row(at: Placed, row: TaskRow, body: TaskDone) -> TaskRow:
    """The task after the event."""
    result = to_json(body.result).decode()
    return TaskRow(
        row.seq,
        row.sort_at,
        row.body,
        row.priority,
        "done",
        result,
        reason=None,
        attempts=body.attempt,
        expires_at=row.expires_at,
        reasons=(),
        group=row.group,
        sticky=row.sticky,
        worker=at.actor,
        lease=None,
    )


@projects(TaskDead)
def dead(tx: Tx, at: Placed, body: TaskDead) -> None:
    reasons = to_json(body.reasons).decode() if body.reasons else None
    _end(tx, at, body.task, "dead", reason=body.reason, attempts=body.attempts, reasons=reasons)


@projects(TaskCancelled)
def cancelled(tx: Tx, at: Placed, body: TaskCancelled) -> None:
    _end(tx, at, body.task, "cancelled", attempts=0)


@projects(TaskRedriven)
def redriven(tx: Tx, at: Placed, body: TaskRedriven) -> None:
    """A new life: all attempts, no deadline, behind what waits already."""
    tx.run(
        "update task set state = 'open', reason = null, reasons = null, attempts = 0,"
        " worker = null, ended_at = null, ended_seq = null, expires_at = :never, ready_at = :now,"
        " sort_at = :now where log = :log and seq = :seq",
        never=FOREVER,
        now=at.at_ms,
        log=at.log,
        seq=body.task,
    )
    _count(tx, at.log, 1)


def _count(tx: Tx, log: int, more: int) -> None:
    """Absolute, so that a batch of tasks is one statement; the newest number is in memory."""
    count = open_tasks(tx, log) + more
    tx.remember(("open tasks", log), count)
    tx.defer(("open tasks", log), "update queue set open_tasks = :count where log = :log", count=count, log=log)


@projects(TasksForgotten)
def forgotten(tx: Tx, at: Placed, body: TasksForgotten) -> None:
    for seq in body.tasks:
        tx.run("delete from task where log = :log and seq = :seq and state <> 'open'", log=at.log, seq=seq)


def _end(
    tx: Tx,
    at: Placed,
    seq: int,
    state: str,
    *,
    attempts: int,
    result: str | None = None,
    reason: str | None = None,
    reasons: str | None = None,
    worker: int | None = None,
) -> None:
    tx.defer(
        ("task", at.log, seq),
        "update task set state = :state, result = :result, reason = :reason, reasons = :reasons,"
        " attempts = :attempts, worker = :worker, ended_at = :at, ended_seq = :ended_seq"
        " where log = :log and seq = :seq",
        state=state,
        result=result,
        reason=reason,
        reasons=reasons,
        attempts=attempts,
        worker=worker,
        at=at.at_ms,
        ended_seq=at.seq,
        log=at.log,
        seq=seq,
    )
    _count(tx, at.log, -1)
