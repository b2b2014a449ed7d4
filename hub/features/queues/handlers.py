"""One function per operation of queues and tasks: load, decide, append, return."""

from __future__ import annotations

from typing import Any, Final, LiteralString

import orjson
from pydantic_core import to_json

from hub.core.call import Call
from hub.core.errors import Forbidden, NameTaken
from hub.core.names import make_id, split_id
from hub.core.times import rfc3339
from hub.features.queues import contract as c
from hub.features.queues import rules
from hub.log.handler import handles
from hub.log.log import append, create_stream, find_stream, load_stream
from hub.storage.interface import Row, Tx

_MOST_REASONS: Final = 100
_SELECT: LiteralString = (
    "select task.seq, body, priority, state, result, reason, attempts, sort_at, task.ready_at, expires_at,"
    " lease.token, lease.agent, lease.attempt, lease.until, lease.ready_at, task.reasons,"
    " lease.reasons from task"
    " left join lease on lease.log = task.log and lease.seq = task.seq where task.log = :log"
)


def _plain(value: Any) -> Any:
    """The value as the log gives it back (an integer beyond 64 bits is a float there), so that rows equal a rebuild."""
    return orjson.loads(to_json(value))


def _queue(tx: Tx, log: int) -> Row | None:
    return tx.row("select log, owner, open_to, max_attempts, paused from queue where log = :log", log=log)


def _open(tx: Tx, call: Call, log: int) -> Row | None:
    """The queue's row; None also for one that is not open to the caller, so that it looks like a missing one."""
    row = _queue(tx, log)
    return row if row is not None and (row[2] == "all" or row[1] == call.principal.owner) else None


def _named(tx: Tx, call: Call, queue: str) -> Row:
    log = find_stream(tx, "queue", queue)
    row = None if log is None else _open(tx, call, log)
    if row is None:
        raise rules.QueueNotFound(f"queue {queue!r} not found; list your queues or create it")
    return row


def _task(tx: Tx, call: Call, task: str) -> tuple[Row, Row]:
    """(queue row, task row) of an id."""
    log, seq = split_id("t", task, rules.TaskNotFound)
    queue, row = _open(tx, call, log), tx.row(_SELECT + " and task.seq = :seq", log=log, seq=seq)
    if row is None or queue is None:
        raise rules.TaskNotFound(f"task {task!r} not found; ids come from results of enqueue and claim")
    return queue, row


def _lease(row: Row) -> rules.Lease | None:
    return None if row[10] is None else rules.Lease(row[10], row[11], row[12], row[13])


def _reasons(row: Row) -> tuple[str, ...]:
    """Why the attempts so far failed: an open task's are beside its lease, a dead one's in its event."""
    kept = row[16] if row[3] == "open" else row[15]
    return () if kept is None else tuple(orjson.loads(kept))


def _lapsed(attempt: int) -> str:
    return f"the lease of attempt {attempt} ran out"


def _so_far(row: Row) -> tuple[str, ...]:
    """The reasons of a task whose lease, if it has one, is over."""
    return _and(_reasons(row), _lapsed(row[12])) if row[10] else _reasons(row)


def _and(reasons: tuple[str, ...], reason: str) -> tuple[str, ...]:
    """The newest reasons, this one last."""
    return (*reasons, reason)[-_MOST_REASONS:]


def _view(tx: Tx, call: Call, log: int, row: Row) -> c.Task:
    lease = _lease(row)
    held = lease is not None and lease.token != "" and row[3] == "open" and call.now_ms < lease.until_ms
    mine = held and lease is not None and lease.agent == call.agent
    return c.Task(
        id=make_id("t", log, row[0]),
        queue=load_stream(tx, log).name,
        body=orjson.loads(row[1]),
        priority=row[2],
        state=row[3],
        attempt=lease.attempt if lease is not None and row[3] == "open" else row[6],
        lease_token=lease.token if mine and lease is not None else None,
        lease_expires_at=rfc3339(lease.until_ms) if held and lease is not None else None,
        result=None if row[4] is None else orjson.loads(row[4]),
        reason=row[5],
        reasons=_reasons(row),
    )


def _again(tx: Tx, call: Call, log: int, seq: int) -> c.Task:
    row = tx.row(_SELECT + " and task.seq = :seq", log=log, seq=seq)
    assert row is not None, "it was there a moment ago"
    return _view(tx, call, log, row)


def _info(tx: Tx, call: Call, queue: Row) -> c.QueueInfo:
    return c.QueueInfo(
        queue=load_stream(tx, queue[0]).name,
        open_to=queue[2],
        max_attempts=queue[3],
        paused=bool(queue[4]),
        ready=len(_ready(tx, call, queue[0], 100)),
    )


def _ready(tx: Tx, call: Call, log: int, limit: int) -> list[Row]:
    return tx.rows(
        _SELECT + " and state = 'open' and task.ready_at <= :now"
        " and (lease.token is null or (lease.until <= :now and lease.ready_at <= :now))"
        " order by sort_at, task.seq limit :limit",
        log=log,
        now=call.now_ms,
        limit=limit,
    )


@handles(c.CREATE)
def create_queue(tx: Tx, call: Call, request: c.CreateQueue) -> c.QueueInfo:
    if find_stream(tx, "queue", request.queue) is not None:
        raise NameTaken(f"queue {request.queue!r} exists already; use it or choose another name")
    log = create_stream(tx, call, "queue", request.queue).log
    made = c.QueueCreated(owner=call.principal.owner, open_to=request.open_to, max_attempts=request.max_attempts)
    append(tx, call, log, made)
    return _info(tx, call, _named(tx, call, request.queue))


@handles(c.LIST)
def list_queues(tx: Tx, call: Call, request: c.ListQueues) -> c.Queues:
    rows = tx.rows(
        "select log, owner, open_to, max_attempts, paused from queue where open_to = 'all' or owner = :owner"
        " order by log limit 200",
        owner=call.principal.owner,
    )
    return c.Queues(items=tuple(_info(tx, call, row) for row in rows))


@handles(c.GET)
def get_queue(tx: Tx, call: Call, request: c.GetQueue) -> c.QueueInfo:
    queue = _named(tx, call, request.queue)
    call.watch(queue[0])
    return _info(tx, call, queue)


def _administer(tx: Tx, call: Call, name: str, event: c.QueuePaused | c.QueueResumed) -> c.QueueInfo:
    queue = _named(tx, call, name)
    if queue[1] != call.principal.owner:
        raise Forbidden("only the queue's owner pauses and resumes it; ask them")
    append(tx, call, queue[0], event)
    return _info(tx, call, _named(tx, call, name))


@handles(c.PAUSE)
def pause_queue(tx: Tx, call: Call, request: c.PauseQueue) -> c.QueueInfo:
    return _administer(tx, call, request.queue, c.QueuePaused())


@handles(c.RESUME)
def resume_queue(tx: Tx, call: Call, request: c.ResumeQueue) -> c.QueueInfo:
    return _administer(tx, call, request.queue, c.QueueResumed())


@handles(c.ENQUEUE)
def enqueue_task(tx: Tx, call: Call, request: c.EnqueueTask) -> c.Task:
    log = _named(tx, call, request.queue)[0]
    ttl_ms = None if request.ttl_s is None else int(request.ttl_s * 1000)
    delay_ms = int(request.delay_s * 1000)
    event = c.TaskEnqueued(body=_plain(request.body), priority=request.priority, delay_ms=delay_ms, ttl_ms=ttl_ms)
    seq = append(tx, call, log, event).seq
    if delay_ms:  # a hand-out to nobody, so that the clock finds it when its time comes
        tx.run(
            "insert into lease (log, seq, token, agent, attempt, until, ready_at)"
            " values (:log, :seq, '', 0, 0, 0, :ready_at)",
            log=log,
            seq=seq,
            ready_at=call.now_ms + delay_ms,
        )
    return _again(tx, call, log, seq)


@handles(c.TASK)
def get_task(tx: Tx, call: Call, request: c.GetTask) -> c.Task:
    queue, row = _task(tx, call, request.task)
    call.watch(queue[0])
    return _view(tx, call, queue[0], row)


@handles(c.CLAIM)
def claim_tasks(tx: Tx, call: Call, request: c.ClaimTasks) -> c.Tasks:
    queue = _named(tx, call, request.queue)
    log, taken = queue[0], list[c.Task]()
    call.watch(log)
    call.stand_in_line(log)
    while not queue[4] and len(taken) < request.max:
        ready = _ready(tx, call, log, request.max - len(taken))
        if not ready:
            break
        for row in ready:
            if not _ends(tx, call, queue, row):
                _take(tx, call, log, row, request.lease_s)
                taken.append(_again(tx, call, log, row[0]))
    return c.Tasks(items=tuple(taken))


def _ends(tx: Tx, call: Call, queue: Row, row: Row) -> bool:
    """Whether the task's time or attempts are over; it is a dead letter then."""
    attempts = row[12] or 0
    if row[9] <= call.now_ms:
        reason = "its ttl_s ran out before anybody finished it"
    elif attempts >= queue[3]:
        reason = _lapsed(attempts)
    else:
        return False
    _bury(tx, queue[0], row[0])
    event = c.TaskDead(task=row[0], attempts=attempts, reason=reason, reasons=_so_far(row))
    append(tx, call, queue[0], event, actor=0)
    return True


def _bury(tx: Tx, log: int, seq: int) -> None:
    """Forget the lease of a task that is over."""
    tx.run("delete from lease where log = :log and seq = :seq", log=log, seq=seq)


def return_lapsed(tx: Tx, call: Call, log: int, limit: int) -> int:
    """What became due in a queue: dead letters are buried, the rest wakes who waits. How many tasks that were."""
    queue = _queue(tx, log)
    assert queue is not None, "the queue of a task"
    rows = tx.rows(
        _SELECT + " and state = 'open' and ((lease.until > 0 and lease.until <= :now)"
        " or (lease.ready_at > 0 and lease.ready_at <= :now)"
        " or (expires_at <= :now and (lease.until is null or lease.until <= :now))) order by task.seq limit :limit",
        log=log,
        now=call.now_ms,
        limit=limit,
    )
    for row in rows:
        if not _ends(tx, call, queue, row):
            _hand_back(tx, log, row[0], attempt=row[12], ready_at=0, reasons=_so_far(row))
    if rows:
        tx.grew(log, load_stream(tx, log).head, b"")
    return len(rows)


def _take(tx: Tx, call: Call, log: int, row: Row, lease_s: float) -> None:
    tx.run(
        "insert into lease (log, seq, token, agent, attempt, until, ready_at, reasons)"
        " values (:log, :seq, :token, :agent, :attempt, :until, 0, :reasons)"
        " on conflict (log, seq) do update set token = excluded.token, agent = excluded.agent,"
        " attempt = excluded.attempt, until = excluded.until, ready_at = 0, reasons = excluded.reasons",
        log=log,
        seq=row[0],
        token=call.random(16).hex(),
        agent=call.agent,
        attempt=(row[12] or 0) + 1,
        until=call.now_ms + int(lease_s * 1000),
        reasons=_kept(_so_far(row)),
    )


def _kept(reasons: tuple[str, ...]) -> str | None:
    return orjson.dumps(reasons).decode() if reasons else None


def _held(tx: Tx, call: Call, task: str, token: str) -> tuple[Row, Row, rules.Lease]:
    queue, row = _task(tx, call, task)
    return queue, row, rules.must_hold(row[3], _lease(row), token, call.agent, call.now_ms)


def _hand_back(tx: Tx, log: int, seq: int, *, attempt: int, ready_at: int, reasons: tuple[str, ...]) -> None:
    tx.run(
        "update lease set token = '', until = 0, attempt = :attempt, ready_at = :ready_at, reasons = :reasons"
        " where log = :log and seq = :seq",
        attempt=attempt,
        ready_at=ready_at,
        reasons=_kept(reasons),
        log=log,
        seq=seq,
    )


@handles(c.ACK)
def ack_task(tx: Tx, call: Call, request: c.AckTask) -> c.Task:
    queue, row, lease = _held(tx, call, request.task, request.lease_token)
    _bury(tx, queue[0], row[0])
    append(tx, call, queue[0], c.TaskDone(task=row[0], attempt=lease.attempt, result=_plain(request.result)))
    return _again(tx, call, queue[0], row[0])


@handles(c.NACK)
def nack_task(tx: Tx, call: Call, request: c.NackTask) -> c.Task:
    queue, row, lease = _held(tx, call, request.task, request.lease_token)
    reason = request.reason or f"attempt {lease.attempt} failed"
    reasons = _and(_reasons(row), reason)
    if lease.attempt >= queue[3]:
        _bury(tx, queue[0], row[0])
        append(tx, call, queue[0], c.TaskDead(task=row[0], attempts=lease.attempt, reason=reason, reasons=reasons))
    else:
        jitter = rules.backoff_ms(lease.attempt, call.random(8))
        delay = jitter if request.delay_s is None else int(request.delay_s * 1000)
        _hand_back(tx, queue[0], row[0], attempt=lease.attempt, ready_at=call.now_ms + delay, reasons=reasons)
    return _again(tx, call, queue[0], row[0])


@handles(c.EXTEND)
def extend_task(tx: Tx, call: Call, request: c.ExtendTask) -> c.Task:
    queue, row, _held_lease = _held(tx, call, request.task, request.lease_token)
    until = call.now_ms + int(request.lease_s * 1000)
    tx.run("update lease set until = :until where log = :log and seq = :seq", until=until, log=queue[0], seq=row[0])
    return _again(tx, call, queue[0], row[0])


@handles(c.RELEASE)
def release_task(tx: Tx, call: Call, request: c.ReleaseTask) -> c.Task:
    queue, row, lease = _held(tx, call, request.task, request.lease_token)
    _hand_back(tx, queue[0], row[0], attempt=lease.attempt - 1, ready_at=0, reasons=_reasons(row))
    tx.grew(queue[0], load_stream(tx, queue[0]).head, b"")
    return _again(tx, call, queue[0], row[0])


@handles(c.CANCEL)
def cancel_task(tx: Tx, call: Call, request: c.CancelTask) -> c.Task:
    queue, row = _task(tx, call, request.task)
    rules.must_be(row[3], "open")
    _bury(tx, queue[0], row[0])
    append(tx, call, queue[0], c.TaskCancelled(task=row[0]))
    return _again(tx, call, queue[0], row[0])


@handles(c.DEAD)
def list_dead(tx: Tx, call: Call, request: c.ListDead) -> c.Tasks:
    log = _named(tx, call, request.queue)[0]
    rows = tx.rows(_SELECT + " and state = 'dead' order by task.seq limit :limit", log=log, limit=request.limit)
    return c.Tasks(items=tuple(_view(tx, call, log, row) for row in rows))


@handles(c.REDRIVE)
def redrive_task(tx: Tx, call: Call, request: c.RedriveTask) -> c.Task:
    queue, row = _task(tx, call, request.task)
    rules.must_be(row[3], "dead")
    _bury(tx, queue[0], row[0])
    append(tx, call, queue[0], c.TaskRedriven(task=row[0]))
    return _again(tx, call, queue[0], row[0])
