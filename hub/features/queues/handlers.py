"""One function per operation of queues, tasks and workers: load, decide, append, return."""

from __future__ import annotations

from typing import Any

import orjson
from pydantic_core import to_json

from hub.core.call import Call
from hub.core.errors import Forbidden, NameTaken
from hub.core.names import split_id
from hub.core.operation import Done
from hub.features.queues import contract as c
from hub.features.queues import rules
from hub.features.queues.leases import and_reason, delay, end, ends, extend, hand_back, take
from hub.features.queues.project import done_row, enqueued_row
from hub.features.queues.ready import close_behind, enter_again, enter_new, next_ready
from hub.features.queues.tasks import (
    Queue,
    assigned_tasks,
    dead_tasks,
    describe,
    find_task,
    held,
    is_first,
    kept_task,
    load_task,
    named,
    open_tasks,
    usable_queues,
    view,
    view_again,
)
from hub.features.queues.workers import (
    assign_ready,
    capacity,
    describe_worker,
    failed,
    forget_worker,
    load_of,
    load_worker,
    load_workers,
    need_worker,
    saw,
    settle_before,
    succeeded,
)
from hub.kernel.agents.project import need_agent
from hub.log.handler import handles, replays, restores
from hub.log.log import agent_name, append, create_stream, find_stream, load_stream
from hub.storage.interface import Tx


def _plain(value: Any) -> Any:
    """The value as the log gives it back (an integer beyond 64 bits is a float there), so that rows equal a rebuild."""
    return orjson.loads(to_json(value))


# --- queues -----------------------------------------------------------------------------------------------------


@handles(c.CREATE)
def create_queue(tx: Tx, call: Call, request: c.CreateQueue) -> c.QueueInfo:
    if find_stream(tx, "queue", request.queue) is not None:
        raise NameTaken(f"queue {request.queue!r} exists already; use it or choose another name")
    log = create_stream(tx, call, "queue", request.queue).log
    made = c.QueueCreated(
        owner=call.principal.owner,
        open_to=request.open_to,
        max_attempts=request.max_attempts,
        mode=request.mode,
        strategy=request.strategy,
        assign_timeout_ms=int(request.assign_timeout_s * 1000),
        max_open=request.max_open,
        keep_days=request.keep_days,
    )
    append(tx, call, log, made)
    return describe(tx, call, named(tx, call, request.queue))


@handles(c.LIST)
def list_queues(tx: Tx, call: Call, request: c.ListQueues) -> c.Queues:
    return c.Queues(items=tuple(describe(tx, call, queue) for queue in usable_queues(tx, call)))


@handles(c.GET)
def get_queue(tx: Tx, call: Call, request: c.GetQueue) -> c.QueueInfo:
    queue = named(tx, call, request.queue)
    call.watch(queue.log)
    return describe(tx, call, queue)


def _must_own(call: Call, queue: Queue) -> None:
    if queue.owner != call.principal.owner:
        raise Forbidden("only the queue's owner pauses, drains, resumes it and manages its workers; ask them")


def _administer(tx: Tx, call: Call, name: str, event: c.QueuePaused | c.QueueDraining | c.QueueResumed) -> c.QueueInfo:
    queue = named(tx, call, name)
    _must_own(call, queue)
    append(tx, call, queue.log, event)
    after = named(tx, call, name)
    assign_ready(tx, call, after)
    return describe(tx, call, after)


@handles(c.PAUSE)
def pause_queue(tx: Tx, call: Call, request: c.PauseQueue) -> c.QueueInfo:
    return _administer(tx, call, request.queue, c.QueuePaused())


@handles(c.DRAIN)
def drain_queue(tx: Tx, call: Call, request: c.DrainQueue) -> c.QueueInfo:
    return _administer(tx, call, request.queue, c.QueueDraining())


@handles(c.RESUME)
def resume_queue(tx: Tx, call: Call, request: c.ResumeQueue) -> c.QueueInfo:
    return _administer(tx, call, request.queue, c.QueueResumed())


# --- workers ----------------------------------------------------------------------------------------------------


def _whom(tx: Tx, call: Call, queue: Queue, name: str) -> int:
    """The agent meant; others than oneself only for those who administer the queue."""
    agent = call.agent if name == "me" else need_agent(tx, name).id
    if agent != call.agent:
        call.principal.need("queue:admin")
        _must_own(call, queue)
    return agent


@handles(c.SET_WORKER)
def set_worker(tx: Tx, call: Call, request: c.SetWorker) -> c.WorkerInfo:
    queue = named(tx, call, request.queue)
    agent = _whom(tx, call, queue, request.agent)
    append(tx, call, queue.log, c.WorkerSet(agent=agent, weight=request.weight, capacity=request.capacity))
    worker = load_worker(tx, call, queue, agent)
    assert worker is not None, "it was registered a moment ago"
    if agent == call.agent:
        saw(tx, call, queue, worker)
    assign_ready(tx, call, queue)
    worker = load_worker(tx, call, queue, agent) or worker
    return describe_worker(worker, call.now_ms)


@handles(c.REMOVE_WORKER)
def remove_worker(tx: Tx, call: Call, request: c.RemoveWorker) -> Done:
    queue = named(tx, call, request.queue)
    agent = _whom(tx, call, queue, request.agent)
    if load_worker(tx, call, queue, agent) is not None:
        append(tx, call, queue.log, c.WorkerRemoved(agent=agent))
        forget_worker(tx, call, queue, agent)
        assign_ready(tx, call, queue)
    return Done()


@handles(c.WORKERS)
def list_workers(tx: Tx, call: Call, request: c.ListWorkers) -> c.Workers:
    workers = load_workers(tx, call, named(tx, call, request.queue).log)
    return c.Workers(items=tuple(describe_worker(worker, call.now_ms) for worker in workers))


# --- handing work out -------------------------------------------------------------------------------------------


@handles(c.ENQUEUE)
def enqueue_task(tx: Tx, call: Call, request: c.EnqueueTask) -> c.Task:
    queue = named(tx, call, request.queue)
    rules.may_enqueue(queue.draining, open_tasks(tx, queue.log), queue.max_open)
    delay_ms = int(request.delay_s * 1000)
    event = c.TaskEnqueued(
        body=_plain(request.body),
        priority=request.priority,
        delay_ms=delay_ms,
        ttl_ms=None if request.ttl_s is None else int(request.ttl_s * 1000),
        group=request.group,
        key=request.key,
    )
    placed = append(tx, call, queue.log, event)
    row = enqueued_row(placed, event)
    if delay_ms:
        delay(tx, queue.log, row.seq, call.now_ms + delay_ms)
    elif is_first(tx, queue.log, row):
        enter_new(tx, queue.log, row)
    if assign_ready(tx, call, queue):
        return view_again(tx, call, queue.log, row.seq)
    return view(tx, call, queue.log, row)


@replays(c.ENQUEUE)
def enqueued_again(tx: Tx, call: Call, log: int, seq: int) -> c.Task:
    """The task as it came in, whatever has happened to it since."""
    row = kept_task(tx, log, seq)
    fresh = row._replace(state="open", result=None, reason=None, attempts=0, reasons=(), worker=None, lease=None)
    return view(tx, call, log, fresh)


@handles(c.TASK)
def get_task(tx: Tx, call: Call, request: c.GetTask) -> c.Task:
    queue, row = find_task(tx, call, request.task)
    call.watch(queue.log)
    return view(tx, call, queue.log, row)


@handles(c.COLLECT)
def collect_tasks(tx: Tx, call: Call, request: c.CollectTasks) -> c.Collected:
    found = [find_task(tx, call, task) for task in dict.fromkeys(request.tasks)]
    call.watch(*{queue.log for queue, _ in found})
    over = [view(tx, call, queue.log, row) for queue, row in found if row.state != "open"]
    return c.Collected(items=tuple(over), open=len(found) - len(over))


@handles(c.CLAIM)
def claim_tasks(tx: Tx, call: Call, request: c.ClaimTasks) -> c.Tasks:
    queue = named(tx, call, request.queue)
    return c.Tasks.trusted(deduplicated=False, items=tuple(_hand_out(tx, call, queue, request.max, request.lease_s)))


def _hand_out(tx: Tx, call: Call, queue: Queue, most: int, lease_s: float) -> list[c.Task]:
    """Up to `most` tasks for the caller, as far as the queue has them and the caller may hold them."""
    taken = list[c.Task]()
    room = _assigned_to_me(tx, call, queue) if queue.pushes else _room(tx, call, queue)
    most = 0 if queue.paused else min(most, room)
    while len(taken) < most:
        left = most - len(taken)
        rows = (
            assigned_tasks(tx, call, queue.log, call.agent, left) if queue.pushes else next_ready(tx, queue.log, left)
        )
        if not rows:
            break
        for row in rows:
            if not ends(tx, call, queue, row):
                taken.append(view(tx, call, queue.log, take(tx, call, queue.log, row, lease_s)))
    return taken


@restores(c.CLAIM)
def claimed_again(tx: Tx, call: Call, kept: bytes) -> c.Tasks:
    """The tasks as they were handed out, whatever has happened to them since."""
    handed_out = c.HandedOut.validate_json(kept)
    return c.Tasks(items=tuple(_handed_out(tx, call, one) for one in handed_out))


def _handed_out(tx: Tx, call: Call, was: c.HandOut) -> c.Task:
    log, seq = split_id("t", was.task, rules.TaskNotFound)
    now = view(tx, call, log, kept_task(tx, log, seq))
    return now.model_copy(
        update={
            "state": "open",
            "attempt": was.attempt,
            "lease_token": was.token,
            "lease_expires_at": was.expires_at,
            "reasons": was.reasons,
            "result": None,
            "reason": None,
            "worker": agent_name(tx, call.agent),
            "progress": None,
            "note": None,
        }
    )


def _assigned_to_me(tx: Tx, call: Call, queue: Queue) -> int:
    """A push queue: what is due moves on first, then mine is mine. Waits in a line of its own."""
    call.watch(-call.agent)
    call.stand_in_line(queue.log, call.agent)
    saw(tx, call, queue, need_worker(tx, call, queue))
    settle_before(tx, call, queue)
    assign_ready(tx, call, queue, asking=call.agent)
    return 10


def _room(tx: Tx, call: Call, queue: Queue) -> int:
    """How many more tasks the caller may hold. One without room waits in a line of its own, in nobody's way."""
    call.watch(queue.log)
    call.stand_in_line(queue.log)
    if not queue.paused:
        settle_before(tx, call, queue)
    most = capacity(tx, queue.log, call.agent)
    if most is None:
        return 10
    load = load_of(tx, call, queue.log, call.agent)
    if load >= most:
        call.stand_in_line(queue.log, call.agent)
    return max(0, most - load)


# --- what a holder does -----------------------------------------------------------------------------------------


@handles(c.ACK)
def ack_task(tx: Tx, call: Call, request: c.AckTask) -> c.Acknowledged:
    queue, row, lease = held(tx, call, request.task, request.lease_token)
    done = c.TaskDone.trusted(task=row.seq, attempt=lease.attempt, result=_plain(request.result))
    placed = end(tx, call, queue.log, row, done)
    if queue.pushes:
        succeeded(tx, call, queue, lease)
        assign_ready(tx, call, queue)
    following = None if request.next_lease_s is None else _following(tx, call, queue, request.next_lease_s)
    return _acknowledged(view(tx, call, queue.log, done_row(placed, row, done)), following)


def _following(tx: Tx, call: Call, queue: Queue, lease_s: float) -> c.Task | None:
    """The next task for who has just finished one; none for a worker that was taken out of a push queue meanwhile."""
    if queue.pushes and capacity(tx, queue.log, call.agent) is None:
        return None
    return next(iter(_hand_out(tx, call, queue, 1, lease_s)), None)


def _acknowledged(task: c.Task, following: c.Task | None) -> c.Acknowledged:
    return c.Acknowledged.trusted(**vars(task), next=following)


@replays(c.ACK)
def acknowledged_again(tx: Tx, call: Call, log: int, seq: int) -> c.Acknowledged:
    """A finished task stays as it is."""
    return _acknowledged(view(tx, call, log, kept_task(tx, log, seq)), None)


@restores(c.ACK)
def acknowledged_and_claimed_again(tx: Tx, call: Call, kept: bytes) -> c.Acknowledged:
    task, handed_out = c.AckedAndHandedOut.validate_json(kept)
    log, seq = split_id("t", task, rules.TaskNotFound)
    return _acknowledged(view(tx, call, log, kept_task(tx, log, seq)), _handed_out(tx, call, handed_out))


@handles(c.NACK)
def nack_task(tx: Tx, call: Call, request: c.NackTask) -> c.Task:
    queue, row, lease = held(tx, call, request.task, request.lease_token)
    reason = request.reason or f"attempt {lease.attempt} failed"
    reasons = and_reason(row.failed_because, reason)
    if lease.attempt >= queue.max_attempts:
        dead = c.TaskDead(task=row.seq, attempts=lease.attempt, reason=reason, reasons=reasons)
        end(tx, call, queue.log, row, dead)
    else:
        jitter = rules.backoff_ms(lease.attempt, call.random(8))
        pause_ms = jitter if request.delay_s is None else int(request.delay_s * 1000)
        ready_at = call.now_ms + pause_ms if pause_ms else 0
        hand_back(tx, queue.log, row, attempt=lease.attempt, ready_at=ready_at, reasons=reasons)
        tx.grew(queue.log, load_stream(tx, queue.log).head, b"")
    if queue.pushes:
        failed(tx, call, queue, lease.agent)
        assign_ready(tx, call, queue)
    return view_again(tx, call, queue.log, row.seq)


@handles(c.EXTEND)
def extend_task(tx: Tx, call: Call, request: c.ExtendTask) -> c.Task:
    queue, row, lease = held(tx, call, request.task, request.lease_token)
    return view(tx, call, queue.log, extend(tx, call, queue.log, row, lease, request))


@handles(c.RELEASE)
def release_task(tx: Tx, call: Call, request: c.ReleaseTask) -> c.Task:
    queue, row, lease = held(tx, call, request.task, request.lease_token)
    hand_back(tx, queue.log, row, attempt=lease.attempt - 1, ready_at=0, reasons=row.failed_because)
    tx.grew(queue.log, load_stream(tx, queue.log).head, b"")
    assign_ready(tx, call, queue)
    return view_again(tx, call, queue.log, row.seq)


# --- ends and returns -------------------------------------------------------------------------------------------


@handles(c.CANCEL)
def cancel_task(tx: Tx, call: Call, request: c.CancelTask) -> c.Task:
    queue, row = find_task(tx, call, request.task)
    rules.must_be(row.state, "open")
    end(tx, call, queue.log, row, c.TaskCancelled(task=row.seq))
    assign_ready(tx, call, queue)
    return view_again(tx, call, queue.log, row.seq)


@handles(c.DEAD)
def list_dead(tx: Tx, call: Call, request: c.ListDead) -> c.Tasks:
    log = named(tx, call, request.queue).log
    return c.Tasks(items=tuple(view(tx, call, log, row) for row in dead_tasks(tx, log, request.limit)))


def _revive(tx: Tx, call: Call, queue: Queue, seq: int) -> None:
    append(tx, call, queue.log, c.TaskRedriven(task=seq))
    row = load_task(tx, queue.log, seq)
    assert row is not None, "it was dead a moment ago"
    if row.group is not None:
        close_behind(tx, queue.log, row)
    enter_again(tx, queue.log, row)


@handles(c.REDRIVE)
def redrive_task(tx: Tx, call: Call, request: c.RedriveTask) -> c.Task:
    queue, row = find_task(tx, call, request.task)
    rules.must_be(row.state, "dead")
    _revive(tx, call, queue, row.seq)
    assign_ready(tx, call, queue)
    return view_again(tx, call, queue.log, row.seq)


@handles(c.REDRIVE_ALL)
def redrive_queue(tx: Tx, call: Call, request: c.RedriveQueue) -> c.Redriven:
    queue = named(tx, call, request.queue)
    rows = dead_tasks(tx, queue.log, request.limit)
    for row in rows:
        _revive(tx, call, queue, row.seq)
    assign_ready(tx, call, queue)
    return c.Redriven(redriven=len(rows))
