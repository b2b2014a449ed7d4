"""Queues and tasks as values: loading them, what is ready, and every change of the `lease` table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, LiteralString

import orjson

from hub.core.call import Call
from hub.core.names import make_id, split_id
from hub.core.times import rfc3339
from hub.features.queues import contract as c
from hub.features.queues import rules
from hub.log.log import agent_name, append, find_stream, load_stream
from hub.storage.interface import Row, Tx

MOST_REASONS: Final = 100
_QUEUE: Final[LiteralString] = (
    "select log, owner, open_to, max_attempts, paused, mode, strategy, assign_timeout_ms, max_open, draining, open_tasks,"
    " keep_days"
    " from queue "
)
_TASK: Final[LiteralString] = (
    "select task.seq, body, priority, state, result, reason, attempts, expires_at, task.reasons, grp, sticky, worker,"
    " lease.token, lease.agent, lease.attempt, lease.until, lease.handed_at, lease.reasons, lease.progress, lease.note"
    " from task left join lease on lease.log = task.log and lease.seq = task.seq where task.log = :log"
)
# Of a group only the oldest open task is ever ready.
_READY: Final[LiteralString] = (
    " and state = 'open' and task.ready_at <= :now"
    " and (lease.token is null or ((lease.token = '' or lease.until <= :now) and lease.ready_at <= :now))"
    " and (grp is null or not exists (select 1 from task earlier where earlier.log = task.log"
    " and earlier.state = 'open' and earlier.grp = task.grp and earlier.seq < task.seq))"
)
_UNASSIGNED: Final[LiteralString] = " and (lease.token is null or lease.until = 0)"  # what was lapsing is settled first
_IN_ORDER: Final[LiteralString] = " order by sort_at, task.seq limit :limit"


@dataclass(frozen=True, slots=True)
class Queue:
    log: int
    owner: int
    open_to: c.OpenTo
    max_attempts: int
    paused: bool
    mode: c.QueueMode
    strategy: c.Strategy
    assign_timeout_ms: int
    max_open: int
    draining: bool
    open_tasks: int
    keep_days: int | None

    @property
    def pushes(self) -> bool:
        return self.mode == "push"


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task with its newest hand-out, if there was one."""

    seq: int
    body: str
    priority: c.Priority
    state: c.State
    result: str | None
    reason: str | None
    attempts: int
    expires_at: int
    reasons: tuple[str, ...]
    group: str | None
    sticky: str | None
    worker: int | None
    lease: rules.Lease | None

    @property
    def attempt(self) -> int:
        """How often an open task was handed out in this life."""
        return self.lease.attempt if self.lease is not None else 0

    @property
    def failed_because(self) -> tuple[str, ...]:
        """Reasons so far: an open task's are beside its lease, a dead one's in its event."""
        if self.state == "open":
            return self.lease.reasons if self.lease is not None else ()
        return self.reasons


def load_queue(tx: Tx, log: int) -> Queue | None:
    row = tx.row(_QUEUE + "where log = :log", log=log)
    return None if row is None else _queue(row)


def usable_queues(tx: Tx, call: Call) -> list[Queue]:
    """The queues open to the caller, oldest first, at most 200."""
    rows = tx.rows(
        _QUEUE + "where open_to = 'all' or owner = :owner order by log limit 200", owner=call.principal.owner
    )
    return [_queue(row) for row in rows]


def _queue(row: Row) -> Queue:
    return Queue(
        log=row[0],
        owner=row[1],
        open_to=row[2],
        max_attempts=row[3],
        paused=bool(row[4]),
        mode=row[5],
        strategy=row[6],
        assign_timeout_ms=row[7],
        max_open=row[8],
        draining=bool(row[9]),
        open_tasks=row[10],
        keep_days=row[11],
    )


def _open(tx: Tx, call: Call, log: int) -> Queue | None:
    """The queue; None also for one that is not open to the caller, so that it looks like a missing one."""
    queue = load_queue(tx, log)
    return queue if queue is not None and (queue.open_to == "all" or queue.owner == call.principal.owner) else None


def named(tx: Tx, call: Call, name: str) -> Queue:
    """The queue with this name; raises QueueNotFound."""
    log = find_stream(tx, "queue", name)
    queue = None if log is None else _open(tx, call, log)
    if queue is None:
        raise rules.QueueNotFound(f"queue {name!r} not found; list your queues or create it")
    return queue


def load_task(tx: Tx, log: int, seq: int) -> TaskRow | None:
    row = tx.row(_TASK + " and task.seq = :seq", log=log, seq=seq)
    return None if row is None else _task(row)


def find_task(tx: Tx, call: Call, task: str) -> tuple[Queue, TaskRow]:
    """The task with this id and its queue; raises TaskNotFound."""
    log, seq = split_id("t", task, rules.TaskNotFound)
    queue, found = _open(tx, call, log), load_task(tx, log, seq)
    if found is None or queue is None:
        raise rules.TaskNotFound(f"task {task!r} not found; ids come from results of enqueue and claim")
    return queue, found


def held(tx: Tx, call: Call, task: str, token: str) -> tuple[Queue, TaskRow, rules.Lease]:
    """A task the caller holds with this token; raises LeaseLost."""
    queue, row = find_task(tx, call, task)
    return queue, row, rules.must_hold(row.state, row.lease, token, call.agent, call.now_ms)


def _task(row: Row) -> TaskRow:
    lease = None
    if row[12] is not None:
        lease = rules.Lease(row[12], row[13], row[14], row[15], row[16] or 0, _texts(row[17]), row[18], row[19])
    return TaskRow(
        seq=row[0],
        body=row[1],
        priority=row[2],
        state=row[3],
        result=row[4],
        reason=row[5],
        attempts=row[6],
        expires_at=row[7],
        reasons=_texts(row[8]),
        group=row[9],
        sticky=row[10],
        worker=row[11],
        lease=lease,
    )


def _texts(kept: str | None) -> tuple[str, ...]:
    return () if kept is None else tuple(orjson.loads(kept))


def ready_tasks(tx: Tx, call: Call, log: int, limit: int) -> list[TaskRow]:
    """What may be handed out now, next one first."""
    return _list(tx, _TASK + _READY + _IN_ORDER, log=log, now=call.now_ms, limit=limit)


def unassigned_tasks(tx: Tx, call: Call, log: int, limit: int) -> list[TaskRow]:
    """What is ready in a push queue and assigned to nobody."""
    return _list(tx, _TASK + _READY + _UNASSIGNED + _IN_ORDER, log=log, now=call.now_ms, limit=limit)


def assigned_tasks(tx: Tx, call: Call, log: int, agent: int, limit: int) -> list[TaskRow]:
    """What is assigned to this worker and not started."""
    mine: LiteralString = " and state = 'open' and lease.token = '' and lease.agent = :agent and lease.until > :now"
    return _list(tx, _TASK + mine + _IN_ORDER, log=log, agent=agent, now=call.now_ms, limit=limit)


def due_tasks(tx: Tx, call: Call, log: int, limit: int) -> list[TaskRow]:
    """What time has changed: a lease, an assignment, a pause or the task's own time is over."""
    due: LiteralString = (
        " and state = 'open' and ((lease.until > 0 and lease.until <= :now)"
        " or (lease.ready_at > 0 and lease.ready_at <= :now)"
        " or (expires_at <= :now and (lease.until is null or lease.until <= :now))) order by task.seq limit :limit"
    )
    return _list(tx, _TASK + due, log=log, now=call.now_ms, limit=limit)


def dead_tasks(tx: Tx, log: int, limit: int) -> list[TaskRow]:
    return _list(tx, _TASK + " and state = 'dead' order by task.seq limit :limit", log=log, limit=limit)


def _list(tx: Tx, sql: LiteralString, **params: Any) -> list[TaskRow]:
    return [_task(row) for row in tx.rows(sql, **params)]


def view(tx: Tx, call: Call, log: int, row: TaskRow) -> c.Task:
    """The task as the caller may see it."""
    lease = row.lease if row.state == "open" else None
    holds = lease is not None and lease.holds(call.now_ms)
    busy = lease is not None and call.now_ms < lease.until_ms
    worker = lease.agent if lease is not None and busy else row.worker
    return c.Task(
        id=make_id("t", log, row.seq),
        queue=load_stream(tx, log).name,
        body=orjson.loads(row.body),
        priority=row.priority,
        state=row.state,
        attempt=row.attempt if row.state == "open" else row.attempts,
        lease_token=lease.token if lease is not None and holds and lease.agent == call.agent else None,
        lease_expires_at=rfc3339(lease.until_ms) if lease is not None and holds else None,
        result=None if row.result is None else orjson.loads(row.result),
        reason=row.reason,
        reasons=row.failed_because,
        worker=None if worker is None else agent_name(tx, worker),
        group=row.group,
        progress=lease.progress if lease is not None and holds else None,
        note=lease.note if lease is not None and holds else None,
    )


def view_again(tx: Tx, call: Call, log: int, seq: int) -> c.Task:
    row = load_task(tx, log, seq)
    assert row is not None, "it was there a moment ago"
    return view(tx, call, log, row)


def describe(tx: Tx, call: Call, queue: Queue) -> c.QueueInfo:
    """The queue with its counts."""
    leased = tx.row(
        "select count(*) from lease where log = :log and token <> '' and until > :now", log=queue.log, now=call.now_ms
    )
    return c.QueueInfo(
        queue=load_stream(tx, queue.log).name,
        open_to=queue.open_to,
        mode=queue.mode,
        strategy=queue.strategy if queue.pushes else None,
        max_attempts=queue.max_attempts,
        max_open=queue.max_open,
        keep_days=queue.keep_days,
        paused=queue.paused,
        draining=queue.draining,
        ready=len(ready_tasks(tx, call, queue.log, 100)),
        leased=0 if leased is None else leased[0],
        open=queue.open_tasks,
        dead=len(dead_tasks(tx, queue.log, 100)),
    )


# --- the lease of a task ----------------------------------------------------------------------------------------


def take(tx: Tx, call: Call, log: int, row: TaskRow, lease_s: float) -> None:
    """Hand the task to the caller."""
    tx.run(
        "insert into lease (log, seq, token, agent, attempt, until, ready_at, reasons, handed_at)"
        " values (:log, :seq, :token, :agent, :attempt, :until, 0, :reasons, :now)"
        " on conflict (log, seq) do update set token = excluded.token, agent = excluded.agent,"
        " attempt = excluded.attempt, until = excluded.until, ready_at = 0, reasons = excluded.reasons,"
        " handed_at = excluded.handed_at, progress = null, note = null",
        log=log,
        seq=row.seq,
        token=call.random(16).hex(),
        agent=call.agent,
        attempt=row.attempt + 1,
        until=call.now_ms + int(lease_s * 1000),
        reasons=_kept(so_far(tx, call, row)),
        now=call.now_ms,
    )


def assign(tx: Tx, call: Call, queue: Queue, row: TaskRow, agent: int) -> None:
    """Reserve the task for a worker, who has to start it in time."""
    tx.run(
        "insert into lease (log, seq, token, agent, attempt, until, ready_at, reasons)"
        " values (:log, :seq, '', :agent, :attempt, :until, 0, :reasons)"
        " on conflict (log, seq) do update set token = '', agent = excluded.agent, until = excluded.until,"
        " ready_at = 0, reasons = excluded.reasons",
        log=queue.log,
        seq=row.seq,
        agent=agent,
        attempt=row.attempt,
        until=call.now_ms + queue.assign_timeout_ms,
        reasons=_kept(row.failed_because),
    )
    tx.wake(-agent)


def delay(tx: Tx, log: int, seq: int, ready_at: int) -> None:
    """A hand-out to nobody, so that the clock finds a new task when its time comes."""
    tx.run(
        "insert into lease (log, seq, token, agent, attempt, until, ready_at)"
        " values (:log, :seq, '', 0, 0, 0, :ready_at)",
        log=log,
        seq=seq,
        ready_at=ready_at,
    )


def hand_back(tx: Tx, log: int, seq: int, *, attempt: int, ready_at: int, reasons: tuple[str, ...]) -> None:
    """Nobody has the task any more. `agent` stays: who had it last."""
    tx.run(
        "update lease set token = '', until = 0, attempt = :attempt, ready_at = :ready_at, reasons = :reasons"
        " where log = :log and seq = :seq",
        attempt=attempt,
        ready_at=ready_at,
        reasons=_kept(reasons),
        log=log,
        seq=seq,
    )


def bury(tx: Tx, log: int, seq: int) -> None:
    """Forget the lease of a task that is over."""
    tx.run("delete from lease where log = :log and seq = :seq", log=log, seq=seq)


def ends(tx: Tx, call: Call, queue: Queue, row: TaskRow) -> bool:
    """Whether the task's time or attempts are over; it is a dead letter then."""
    reasons = so_far(tx, call, row)
    if row.expires_at <= call.now_ms:
        reason = "its ttl_s ran out before anybody finished it"
    elif row.attempt >= queue.max_attempts:
        reason = reasons[-1] if reasons else f"all {row.attempt} attempts failed"
    else:
        return False
    bury(tx, queue.log, row.seq)
    append(tx, call, queue.log, c.TaskDead(task=row.seq, attempts=row.attempt, reason=reason, reasons=reasons), actor=0)
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
