"""Any history of a pull queue agrees with a model small enough to be right: who holds what, what comes next, what ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from hub.features.queues import contract as c
from hub.features.queues.rules import SLACK_MS, LeaseLost, NotAWorker, TaskFinished
from hub.features.queues.tasks import load_queue
from hub.features.queues.workers import assign_ready, settle_due
from tests.support.memory import MemoryHub

BOSS, WORKERS = 1, (2, 3, 4)
MAX_ATTEMPTS = 3
HISTORIES = 2000
HUB: list[MemoryHub] = []  # one for all histories, each with a queue of its own
worker = st.sampled_from(WORKERS)


@dataclass
class ModelTask:
    """What the promises say about one task, without SQL."""

    seq: int
    sort_at: int
    ready_at: int
    expires_at: float
    group: str | None
    state: str = "open"
    attempt: int = 0
    holder: int | None = None
    token: str | None = None
    until: int = 0

    def held(self, now: int) -> bool:
        return self.state == "open" and self.holder is not None and now < self.until

    def over(self, now: int) -> bool:
        """Whether nobody may have it any more, though it was not buried yet."""
        return self.expires_at <= now or self.attempt >= MAX_ATTEMPTS


@dataclass
class Model:
    tasks: dict[str, ModelTask] = field(default_factory=dict)
    paused: bool = False

    def ready(self, now: int) -> list[str]:
        """Ids in the order in which they are handed out."""
        heads: dict[str, int] = {}
        for task in self.tasks.values():
            if task.state == "open" and task.group is not None:
                heads[task.group] = min(task.seq, heads.get(task.group, task.seq))
        fitting = [
            (task.sort_at, task.seq, name)
            for name, task in self.tasks.items()
            if task.state == "open"
            and not task.held(now)
            and task.ready_at <= now
            and not task.over(now)
            and (task.group is None or heads[task.group] == task.seq)
        ]
        return [name for _, _, name in sorted(fitting)]

    def settle(self, now: int) -> None:
        """What time has ended is dead."""
        for task in self.tasks.values():
            if task.state == "open" and not task.held(now) and task.over(now):
                task.state = "dead"

    def claim(self, most: int, now: int) -> list[str]:
        """The tasks that must be handed out now. What time has ended is settled first."""
        if self.paused:
            return []
        self.settle(now)
        taken: list[str] = []
        while len(taken) < most and (names := self.ready(now)):
            taken.append(names[0])
            self.tasks[names[0]].holder, self.tasks[names[0]].until = 0, now + 1  # from here on its group is closed
        return taken


class QueueHistory(RuleBasedStateMachine):
    """Dispatchers, three workers, the clock and the clockwork do what they like."""

    leases = Bundle("leases")  # (worker, task, token): held once, perhaps lost since

    def __init__(self) -> None:
        super().__init__()
        if not HUB:
            HUB.append(MemoryHub())
        self.hub = HUB[0]
        self.name = f"q{len(HUB)}"
        HUB.append(self.hub)
        self.hub.run(BOSS, c.CreateQueue(queue=self.name, open_to="all", max_attempts=MAX_ATTEMPTS))
        self.log = self.hub.tx.row("select max(log) from queue")[0]  # type: ignore[index]
        self.model = Model()

    @property
    def now(self) -> int:
        return self.hub.now_ms

    @rule(
        priority=st.sampled_from(list(SLACK_MS)),
        delay_s=st.sampled_from([0, 0, 0, 7]),
        ttl_s=st.sampled_from([None, None, 15]),
        group=st.sampled_from([None, None, "a", "b"]),
    )
    def enqueue(self, priority: Any, delay_s: int, ttl_s: int | None, group: str | None) -> None:
        request = c.EnqueueTask(queue=self.name, body=1, priority=priority, delay_s=delay_s, ttl_s=ttl_s, group=group)
        made = self.hub.run(BOSS, request)
        expires = float("inf") if ttl_s is None else self.now + ttl_s * 1000
        self.model.tasks[made.id] = ModelTask(
            len(self.model.tasks), self.now + SLACK_MS[priority], self.now + delay_s * 1000, expires, group
        )

    @rule(seconds=st.sampled_from([1, 3, 6, 11, 40]))
    def time_passes(self, seconds: int) -> None:
        self.hub.now_ms += seconds * 1000

    @rule()
    def clockwork(self) -> None:
        queue = load_queue(self.hub.tx, self.log)
        assert queue is not None
        settle_due(self.hub.tx, self.hub.call(0), queue, 100)
        self.hub.tx.keep()
        self.model.settle(self.now)

    @rule(target=leases, by=worker, most=st.sampled_from([1, 1, 2, 5]), lease_s=st.sampled_from([5, 10]))
    def claim(self, by: int, most: int, lease_s: int) -> Any:
        got = self.hub.run(by, c.ClaimTasks(queue=self.name, max=most, lease_s=lease_s)).items
        return self._handed_out(by, got, most, lease_s)

    def _handed_out(self, by: int, got: Sequence[c.Task], most: int, lease_s: int) -> Any:
        """These are the tasks the worker must have got now; the first lease of them."""
        assert [task.id for task in got] == self.model.claim(most, self.now)
        for task in got:
            known = self.model.tasks[task.id]
            known.attempt += 1
            assert task.attempt == known.attempt
            known.holder, known.token, known.until = by, task.lease_token, self.now + lease_s * 1000
        return (by, got[0].id, got[0].lease_token) if got else None

    def _by_holder(self, lease: Any, request: type[Any], **fields: Any) -> tuple[ModelTask, Any] | None:
        """Do something as the holder once known: the task and the answer, or None when it was refused: lease lost."""
        assume(lease is not None)
        by, name, token = lease
        task = self.model.tasks[name]
        asked = request(task=name, lease_token=token, **fields)
        if task.held(self.now) and (task.holder, task.token) == (by, token):
            return task, self.hub.run(by, asked)
        with pytest.raises(LeaseLost):
            self.hub.run(by, asked)
        return None

    @rule(lease=leases)
    def ack(self, lease: Any) -> None:
        if (found := self._by_holder(lease, c.AckTask, result=1)) is not None:
            found[0].state = "done"

    @rule(target=leases, lease=leases)
    def ack_and_take_the_next(self, lease: Any) -> Any:
        if (found := self._by_holder(lease, c.AckTask, result=1, next_lease_s=10)) is None:
            return None
        task, answer = found
        task.state = "done"
        return self._handed_out(lease[0], [answer.next] if answer.next else [], 1, 10)

    @rule(lease=leases, other=worker)
    def another_worker_cannot_use_the_token(self, lease: Any, other: int) -> None:
        assume(lease is not None and lease[0] != other)
        with pytest.raises(LeaseLost):
            self.hub.run(other, c.AckTask(task=lease[1], lease_token=lease[2]))

    @rule(lease=leases, delay_s=st.sampled_from([0, 2]))
    def nack(self, lease: Any, delay_s: int) -> None:
        if (found := self._by_holder(lease, c.NackTask, delay_s=delay_s)) is not None:
            task = found[0]
            task.holder, task.ready_at = None, self.now + delay_s * 1000
            if task.attempt >= MAX_ATTEMPTS:
                task.state = "dead"

    @rule(lease=leases)
    def extend(self, lease: Any) -> None:
        if (found := self._by_holder(lease, c.ExtendTask, lease_s=20, progress=0.5)) is not None:
            found[0].until = self.now + 20_000

    @rule(lease=consumes(leases))
    def release(self, lease: Any) -> None:
        if (found := self._by_holder(lease, c.ReleaseTask)) is not None:
            task = found[0]
            task.holder, task.attempt = None, task.attempt - 1

    @rule(pick=st.integers(0, 30))
    def cancel(self, pick: int) -> None:
        assume(self.model.tasks)
        name, task = list(self.model.tasks.items())[pick % len(self.model.tasks)]
        if task.state != "open":
            with pytest.raises(TaskFinished):
                self.hub.run(BOSS, c.CancelTask(task=name))
            return
        self.hub.run(BOSS, c.CancelTask(task=name))
        task.state = "cancelled"

    @rule()
    def redrive(self) -> None:
        dead = [task for task in self.model.tasks.values() if task.state == "dead"]
        assert self.hub.run(BOSS, c.RedriveQueue(queue=self.name)).redriven == len(dead)
        for task in dead:
            task.state, task.attempt, task.holder, task.expires_at = "open", 0, None, float("inf")
            task.sort_at = task.ready_at = self.now

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        self.hub.run(BOSS, c.PauseQueue(queue=self.name) if paused else c.ResumeQueue(queue=self.name))
        self.model.paused = paused

    @invariant()
    def every_task_is_where_the_model_says(self) -> None:
        for name, task in self.model.tasks.items():
            seen = self.hub.run(BOSS, c.GetTask(task=name))
            assert (seen.state, seen.lease_expires_at is not None) == (task.state, task.held(self.now)), name
        counted = self.hub.run(BOSS, c.GetQueue(queue=self.name))
        states = [task.state for task in self.model.tasks.values()]
        held = sum(task.held(self.now) for task in self.model.tasks.values())
        assert (counted.open, counted.dead, counted.leased) == (states.count("open"), states.count("dead"), held)
        assert counted.ready == len(self.model.ready(self.now))


@pytest.mark.timeout(600)  # under a minute of work, on a machine that others use too
def test_every_history_agrees_with_the_model() -> None:
    run_state_machine_as_test(
        QueueHistory,
        settings=settings(
            max_examples=HISTORIES,
            stateful_step_count=25,
            deadline=None,
            derandomize=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


class PushHistory(RuleBasedStateMachine):
    """Any history of a push queue: nobody holds more than its capacity or what is not its own, and nothing is lost."""

    leases = Bundle("push leases")

    def __init__(self) -> None:
        super().__init__()
        if not HUB:
            HUB.append(MemoryHub())
        self.hub = HUB[0]
        self.name = f"p{len(HUB)}"
        self.hub.reset_noise()
        HUB.append(self.hub)
        self.done: set[str] = set()
        self.sent: list[str] = []
        self.capacity = dict.fromkeys(WORKERS, 0)
        self.most = dict.fromkeys(WORKERS, 0)  # a capacity that shrinks takes nothing back

    @initialize(strategy=st.sampled_from(get_args(c.Strategy)))
    def make(self, strategy: Any) -> None:
        made = c.CreateQueue(queue=self.name, open_to="all", mode="push", strategy=strategy, max_attempts=100)
        self.hub.run(BOSS, made)
        self.log = self.hub.tx.row("select max(log) from queue")[0]  # type: ignore[index]
        self.register(WORKERS[0], 2)

    @rule(by=worker, capacity=st.integers(1, 3))
    def register(self, by: int, capacity: int) -> None:
        self.hub.run(by, c.SetWorker(queue=self.name, agent="me", capacity=capacity))
        self.capacity[by] = capacity
        self.most[by] = max(self.most[by], capacity)

    @rule(by=worker)
    def leave(self, by: int) -> None:
        self.hub.run(by, c.RemoveWorker(queue=self.name, agent="me"))
        self.capacity[by] = 0

    @rule(group=st.sampled_from([None, None, "a"]), key=st.sampled_from(["k", "l", "m"]))
    def enqueue(self, group: str | None, key: str) -> None:
        self.sent.append(self.hub.run(BOSS, c.EnqueueTask(queue=self.name, body=1, group=group, key=key)).id)

    @rule(seconds=st.sampled_from([1, 6, 11, 40]))
    def time_passes(self, seconds: int) -> None:
        self.hub.now_ms += seconds * 1000
        self.clockwork()

    def clockwork(self) -> None:
        queue = load_queue(self.hub.tx, self.log)
        assert queue is not None
        settle_due(self.hub.tx, self.hub.call(0), queue, 1000)
        assign_ready(self.hub.tx, self.hub.call(0), queue)
        self.hub.tx.keep()

    @rule(target=leases, by=worker)
    def claim(self, by: int) -> Any:
        if not self.capacity[by]:
            with pytest.raises(NotAWorker):
                self.hub.run(by, c.ClaimTasks(queue=self.name))
            return None
        items = self.hub.run(by, c.ClaimTasks(queue=self.name, lease_s=10)).items
        for task in items:
            assert task.id not in self.done
        return (by, items[0].id, items[0].lease_token, self.hub.now_ms + 10_000) if items else None

    @rule(target=leases, lease=leases, how=st.sampled_from(["ack", "ack and take the next", "nack"]))
    def end(self, lease: Any, how: str) -> Any:
        assume(lease is not None)
        by, name, token, until = lease
        asked: Any = c.NackTask if how == "nack" else c.AckTask
        fields = {"ack": {}, "ack and take the next": {"next_lease_s": 10}, "nack": {"delay_s": 0}}[how]
        try:
            answer = self.hub.run(by, asked(task=name, lease_token=token, **fields))
        except LeaseLost:
            return None
        assert self.hub.now_ms < until, "accepted after its lease"
        assert name not in self.done, "accepted twice"
        if how != "nack":
            self.done.add(name)
        if how != "ack and take the next" or answer.next is None:
            return None
        assert answer.next.id not in self.done
        assert self.capacity[by], "handed out to who left"
        return (by, answer.next.id, answer.next.lease_token, self.hub.now_ms + 10_000)

    @invariant()
    def nobody_has_more_than_fits_and_each_task_is_somewhere(self) -> None:
        if not self.sent:
            return
        busy = self.hub.tx.rows(
            "select agent, count(*) from lease where log = :log and until > :now group by agent",
            log=self.log,
            now=self.hub.now_ms,
        )
        assert all(row[1] <= self.most[row[0]] for row in busy)
        states = {name: self.hub.run(BOSS, c.GetTask(task=name)).state for name in self.sent}
        assert {name for name, state in states.items() if state == "done"} == self.done
        assert set(states.values()) <= {"open", "done"}

    def teardown(self) -> None:
        """Whatever happened: one working worker finishes all of it."""
        if not self.sent:
            return
        self.register(WORKERS[0], 3)
        for by in WORKERS[1:]:
            self.leave(by)
        for _ in range(200):
            self.hub.now_ms += 301_000  # leases, pauses and breakers are over
            self.clockwork()
            for task in self.hub.run(WORKERS[0], c.ClaimTasks(queue=self.name, max=10)).items:
                self.hub.run(WORKERS[0], c.AckTask(task=task.id, lease_token=task.lease_token or ""))
                self.done.add(task.id)
            if len(self.done) == len(self.sent):
                return
        raise AssertionError(f"lost: {set(self.sent) - self.done}")


@pytest.mark.timeout(600)
def test_no_history_of_a_push_queue_loses_a_task_or_overloads_a_worker() -> None:
    run_state_machine_as_test(
        PushHistory,
        settings=settings(
            max_examples=300, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
