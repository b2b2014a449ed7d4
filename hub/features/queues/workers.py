"""Workers of a queue: loading them with load and health, and assigning the tasks of a push queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from hub.core.call import Call
from hub.core.names import MODEL_KINDS, make_id
from hub.features.queues import contract as c
from hub.features.queues import rules
from hub.features.queues.leases import assign, ends, hand_back, so_far
from hub.features.queues.ready import ready_tasks
from hub.features.queues.strategies import CLOSED, Breaker, Worker, choose, given
from hub.features.queues.tasks import DUE, Queue, TaskRow, assigned_tasks, due_tasks, load_task
from hub.kernel.agents.project import load_agent
from hub.log.log import agent_name, append, load_stream
from hub.storage.interface import Tx

ALIVE_MS: Final = 60_000  # longer than a claim waits: a worker in line at another hub lives
_LOOK_MS: Final = 50
_LOOK_AHEAD: Final = 1000  # tasks looked at for `sticky`, whose next one may have to wait for its worker


def load_workers(tx: Tx, call: Call, log: int) -> list[Worker]:
    """The registered workers as they stand now."""
    busy = tx.rows(
        "select agent, count(*) from lease where log = :log and until > :now group by agent", log=log, now=call.now_ms
    )
    loads = {row[0]: row[1] for row in busy}
    rows = tx.rows(
        "select worker.agent, weight, capacity, turns, latency_ms, failures, opens, open_until, seen_at from worker"
        " left join workload on workload.log = worker.log and workload.agent = worker.agent"
        " where worker.log = :log order by worker.agent",
        log=log,
    )
    return [
        Worker(
            agent=row[0],
            name=agent_name(tx, row[0]),
            weight=row[1],
            capacity=row[2],
            load=loads.get(row[0], 0),
            turns=row[3] or 0.0,
            latency_ms=row[4],
            breaker=CLOSED if row[5] is None else Breaker(row[5], row[6], row[7]),
            alive=call.presence(row[0])[0] == "online" or call.now_ms - (row[8] or 0) < ALIVE_MS,
        )
        for row in rows
    ]


def load_worker(tx: Tx, call: Call, queue: Queue, agent: int) -> Worker | None:
    """The worker, or None for an agent that is not registered."""
    return next((worker for worker in load_workers(tx, call, queue.log) if worker.agent == agent), None)


def capacity(tx: Tx, log: int, agent: int) -> int | None:
    """How many tasks the agent may hold; None when it is not registered."""

    def load() -> dict[int, int]:
        return {row[0]: row[1] for row in tx.rows("select agent, capacity from worker where log = :log", log=log)}

    return tx.memo(("capacities", log), load).get(agent)


def load_of(tx: Tx, call: Call, log: int, agent: int) -> int:
    """How many tasks the agent has now."""
    row = tx.row(
        "select count(*) from lease where log = :log and agent = :agent and until > :now",
        log=log,
        agent=agent,
        now=call.now_ms,
    )
    return 0 if row is None else int(row[0])


def need_worker(tx: Tx, call: Call, queue: Queue) -> Worker:
    """The caller as a worker of the queue; raises NotAWorker."""
    worker = load_worker(tx, call, queue, call.agent)
    if worker is None:
        name = load_stream(tx, queue.log).name
        raise rules.NotAWorker(
            f"queue {name!r} assigns its tasks to registered workers; register first: PUT /v1/queues/{name}/workers/me"
        )
    return worker


def describe_worker(worker: Worker, now_ms: int) -> c.WorkerInfo:
    return c.WorkerInfo(
        agent=worker.name,
        weight=worker.weight,
        capacity=worker.capacity,
        load=worker.load,
        latency_ms=None if worker.latency_ms is None else round(worker.latency_ms, 1),
        breaker=worker.breaker.state(now_ms),
        alive=worker.alive,
    )


def _save(tx: Tx, log: int, worker: Worker, seen_at: int = 0) -> None:
    tx.run(
        "insert into workload (log, agent, turns, latency_ms, failures, opens, open_until, seen_at)"
        " values (:log, :agent, :turns, :latency_ms, :failures, :opens, :open_until, :seen_at)"
        " on conflict (log, agent) do update set turns = excluded.turns, latency_ms = excluded.latency_ms,"
        " failures = excluded.failures, opens = excluded.opens, open_until = excluded.open_until,"
        " seen_at = case when excluded.seen_at = 0 then workload.seen_at else excluded.seen_at end",
        log=log,
        agent=worker.agent,
        turns=float(worker.turns),
        latency_ms=worker.latency_ms,
        failures=worker.breaker.failures,
        opens=worker.breaker.opens,
        open_until=worker.breaker.open_until_ms,
        seen_at=seen_at,
    )


def saw(tx: Tx, call: Call, queue: Queue, worker: Worker) -> None:
    """The worker asked for work: it lives."""
    _save(tx, queue.log, replace(worker, alive=True), call.now_ms)


def forget_worker(tx: Tx, call: Call, queue: Queue, agent: int) -> None:
    """Take back what the worker has not started, and its history."""
    tx.run("delete from workload where log = :log and agent = :agent", log=queue.log, agent=agent)
    rows = tx.rows(
        "select seq from lease where log = :log and agent = :agent and token = '' and until > :now order by seq",
        log=queue.log,
        agent=agent,
        now=call.now_ms,
    )
    for one in rows:
        if (row := load_task(tx, queue.log, one[0])) is not None:
            hand_back(tx, queue.log, row, attempt=row.attempt, ready_at=0, reasons=row.failed_because)


def succeeded(tx: Tx, call: Call, queue: Queue, lease: rules.Lease) -> None:
    """The holder finished: its latency counts, its breaker closes."""
    worker = load_worker(tx, call, queue, lease.agent)
    if worker is not None:
        _save(tx, queue.log, worker.finished(max(1, call.now_ms - lease.handed_at_ms)), call.now_ms)


def failed(tx: Tx, call: Call, queue: Queue, agent: int) -> None:
    """The holder failed, died or did not start in time."""
    worker = load_worker(tx, call, queue, agent)
    if worker is not None:
        _save(tx, queue.log, replace(worker, breaker=worker.breaker.failed(call.now_ms)))


def assign_ready(tx: Tx, call: Call, queue: Queue, *, asking: int = 0) -> int:
    """Give unassigned tasks of a push queue to workers that have room; how many were given.

    `asking` is a worker that looks for them in the same transaction, so it is not told.
    """
    if not queue.pushes or queue.paused:
        return 0
    workers = load_workers(tx, call, queue.log)
    room = sum(worker.capacity - worker.load for worker in workers if worker.free(call.now_ms))
    if not room:
        return 0
    count = 0
    for row in ready_tasks(tx, queue.log, _LOOK_AHEAD if queue.strategy == "sticky" else room):
        chosen = _choose(call, queue, row, workers)
        if chosen is None:
            continue
        if chosen.agent != asking:
            _tell(tx, call, queue, row, chosen.agent)
        assign(tx, call, queue, row, chosen.agent)
        after = given(queue.strategy, chosen, workers)
        workers = [after if worker.agent == after.agent else worker for worker in workers]
        _save(tx, queue.log, after)
        count += 1
    return count


def _tell(tx: Tx, call: Call, queue: Queue, row: TaskRow, agent: int) -> None:
    """A notice for an agent with a model, once until it has nothing to start: it may wait in `poll`, or not at all."""
    if load_agent(tx, agent).kind not in MODEL_KINDS or assigned_tasks(tx, call, queue.log, agent, 1):
        return
    name, within_s = load_stream(tx, queue.log).name, queue.assign_timeout_ms / 1000
    append(tx, call, queue.log, c.TaskAssigned(task=row.seq, agent=agent, queue=name, within_s=within_s), actor=0)


def _choose(call: Call, queue: Queue, row: TaskRow, workers: Sequence[Worker]) -> Worker | None:
    """The strategy's choice; not who failed this task last, where somebody else can have it."""
    last = row.lease.agent if row.lease is not None and row.failed_because else 0
    others = [worker for worker in workers if worker.agent != last]
    key = row.sticky or row.group or make_id("t", queue.log, row.seq)
    usable = others if any(worker.usable(call.now_ms) for worker in others) else workers
    return choose(queue.strategy, usable, key=key, noise=call.random(8), now_ms=call.now_ms)


def settle_due(tx: Tx, call: Call, queue: Queue, limit: int) -> int:
    """What became due in a queue: dead letters are buried, the rest is ready. How many tasks that were."""
    rows = due_tasks(tx, call, queue.log, limit)
    for row in rows:
        lease = row.lease
        if lease is not None and queue.pushes and 0 < lease.until_ms <= call.now_ms:
            failed(tx, call, queue, lease.agent)
        if not ends(tx, call, queue, row):
            hand_back(tx, queue.log, row, attempt=row.attempt, ready_at=0, reasons=so_far(tx, call, row))
    if rows:
        tx.grew(queue.log, load_stream(tx, queue.log).head, b"")
    return len(rows)


def settle_before(tx: Tx, call: Call, queue: Queue) -> None:
    """What time has changed, before anything is handed out; at most every 50 ms, and a look at indexes when it is nothing.

    At most 100: when more is due at one moment, the clockwork goes on with the rest.
    """
    looked_ms = tx.memo(("settled", queue.log), lambda: 0)
    if 0 <= call.now_ms - looked_ms < _LOOK_MS:
        return
    tx.remember(("settled", queue.log), call.now_ms)
    if tx.peek(DUE + " limit 1", log=queue.log, now=call.now_ms) is not None:
        settle_due(tx, call, queue, 100)
