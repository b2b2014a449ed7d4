"""Queues and tasks: operations, their shapes, and the events of a queue's stream."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple

import orjson
from pydantic import Field, TypeAdapter

from hub.core.event import EventBody
from hub.core.names import AgentName, NewName, QueueName, make_id, split_id
from hub.core.operation import AnyOperation, Done, Operation, Request, Result

Priority = Literal["critical", "high", "normal", "low", "bulk"]
State = Literal["open", "done", "dead", "cancelled"]
OpenTo = Literal["owner", "all"]
QueueMode = Literal["pull", "push"]
Strategy = Literal["round_robin", "least_loaded", "fastest", "random", "weighted", "sticky"]
BreakerState = Literal["closed", "open", "half_open"]
Label = Annotated[str, Field(min_length=1, max_length=128)]
TaskId = Annotated[str, Field(max_length=40)]
LeaseS = Annotated[float, Field(ge=5, le=3600)]
WaitS = Annotated[float, Field(ge=0, le=55)]
FOREVER: Final = 2**62


class QueueInfo(Result):
    """A queue and how much is in it. `open` tasks are not finished; `ready` and `dead` are exact to 100."""

    queue: str
    open_to: OpenTo
    mode: QueueMode = "pull"
    strategy: Strategy | None = Field(default=None, exclude_if=lambda v: v is None)
    max_attempts: int
    max_open: int = 100_000
    keep_days: int | None = None
    paused: bool
    draining: bool = False
    ready: int
    leased: int = 0
    open: int = 0
    dead: int = 0

    def settled(self) -> bool:
        return self.ready > 0 and not self.paused


class Queues(Result):
    """The queues one may use."""

    items: tuple[QueueInfo, ...]


class Task(Result):
    """One task. `lease_token` is given to its claimant only; `attempt` counts hand-outs; `worker` has or had it."""

    id: str
    queue: str
    body: Any
    priority: Priority
    state: State
    attempt: int
    lease_token: str | None = None
    lease_expires_at: str | None = None
    result: Any = None
    reason: str | None = None
    reasons: tuple[str, ...] = Field(default=(), exclude_if=lambda v: not v)
    """Why each attempt so far failed, oldest first (the newest 100)."""
    worker: str | None = Field(default=None, exclude_if=lambda v: v is None)
    group: str | None = Field(default=None, exclude_if=lambda v: v is None)
    progress: float | None = Field(default=None, exclude_if=lambda v: v is None)
    note: str | None = Field(default=None, exclude_if=lambda v: v is None)

    def settled(self) -> bool:
        return self.state != "open"

    def pointer(self) -> tuple[int, int] | None:
        """A task that is done, or that nobody had yet, can be made again from its row."""
        untouched = self.state == "open" and not self.attempt and self.worker is None
        return split_id("t", self.id) if untouched or self.state == "done" else None


class HandOut(NamedTuple):
    """What a claim leaves for its repeat, per task."""

    task: str
    attempt: int
    token: str
    expires_at: str
    reasons: tuple[str, ...]


HandedOut: Final = TypeAdapter(tuple[HandOut, ...])
AckedAndHandedOut: Final = TypeAdapter(tuple[str, HandOut])


def hand_out(task: Task) -> tuple[object, ...]:
    """What a claim leaves of the task, see `HandOut`."""
    return (task.id, task.attempt, task.lease_token, task.lease_expires_at, task.reasons)


class Tasks(Result):
    """Tasks, the next to do first."""

    items: tuple[Task, ...]

    def to_keep(self) -> bytes:
        """What their rows will not say any more: whose hand-out this was. Bodies are kept once, in their rows."""
        return orjson.dumps([hand_out(task) for task in self.items])

    def settled(self) -> bool:
        return bool(self.items)


class Acknowledged(Task):
    """The finished task; `next` is the one taken with `next_lease_s`, if one was ready."""

    next: Task | None = Field(default=None, exclude_if=lambda v: v is None)

    def pointer(self) -> tuple[int, int] | None:
        return super().pointer() if self.next is None else None

    def to_keep(self) -> bytes:
        return orjson.dumps((self.id, *([] if self.next is None else [hand_out(self.next)])))


class Collected(Result):
    """Those of the tasks that are finished; `open` says how many are not."""

    items: tuple[Task, ...]
    open: int

    def settled(self) -> bool:
        return bool(self.items) or not self.open


class Redriven(Result):
    """How many dead letters are open again."""

    redriven: int


class WorkerInfo(Result):
    """A registered worker: `load` tasks of at most `capacity` now, how fast it is, whether it gets tasks."""

    agent: str
    weight: float
    capacity: int
    load: int
    latency_ms: float | None
    breaker: BreakerState
    alive: bool


class Workers(Result):
    """The registered workers of a queue."""

    items: tuple[WorkerInfo, ...]


class CreateQueue(Request[QueueInfo]):
    """Make a queue; `open_to: owner` lets the same person's agents in, `all` every agent.

    `pull`: workers compete. `push`: each task is assigned to a registered worker by `strategy`, and to another one
    when it is not started within `assign_timeout_s`.
    """

    queue: NewName
    open_to: OpenTo = "owner"
    mode: QueueMode = "pull"
    strategy: Strategy = "round_robin"
    assign_timeout_s: float = Field(default=5, ge=1, le=300)
    max_attempts: int = Field(default=5, ge=1, le=100)
    max_open: int = Field(default=100_000, ge=1, le=10_000_000)
    keep_days: int | None = Field(default=30, ge=1, le=3650, description="For finished tasks; null: for ever.")


class ListQueues(Request[Queues]):
    """The queues you may use."""


class GetQueue(Request[QueueInfo]):
    """One queue. `wait_s` waits until a task is ready."""

    queue: QueueName
    wait_s: WaitS = 0


class PauseQueue(Request[QueueInfo]):
    """Stop handing out tasks; leases that run may finish."""

    queue: QueueName


class DrainQueue(Request[QueueInfo]):
    """Accept no new tasks; what is there is still handed out."""

    queue: QueueName


class ResumeQueue(Request[QueueInfo]):
    """Accept and hand out tasks again."""

    queue: QueueName


class EnqueueTask(Request[Task]):
    """Put work into a queue; only tasks enqueued less than its priority's slack later overtake it (0/5/30/120/600 s).

    Tasks of one `group` are handed out one at a time, in the order they came, whatever their priority. `key` is what
    `sticky` queues go by (default: the group, else the task).
    """

    queue: QueueName
    body: Any
    priority: Priority = "normal"
    group: Label | None = None
    key: Label | None = None
    delay_s: float = Field(default=0, ge=0, le=30 * 86400)
    ttl_s: float | None = Field(default=None, gt=0, le=30 * 86400)


class GetTask(Request[Task]):
    """A task and its result; `wait_s` waits until it is finished."""

    task: TaskId
    wait_s: WaitS = 0


class CollectTasks(Request[Collected]):
    """The finished ones of up to 100 tasks; `wait_s` waits until one more is: leave out those you have."""

    tasks: tuple[TaskId, ...] = Field(min_length=1, max_length=100)
    wait_s: WaitS = 0


class ClaimTasks(Request[Tasks]):
    """Take up to `max` tasks for `lease_s` seconds, after that others may; `wait_s` waits, in line, for the first."""

    queue: QueueName
    max: int = Field(default=1, ge=1, le=10)
    lease_s: LeaseS = 60
    wait_s: WaitS = 0


class AckTask(Request[Acknowledged]):
    """Finish a task you hold, with its result; `next_lease_s` takes the queue's next one with it, for so long."""

    task: TaskId
    lease_token: str = Field(max_length=64)
    result: Any = None
    next_lease_s: LeaseS | None = None


class NackTask(Request[Task]):
    """Report that an attempt failed; it is tried again after a backoff, or `delay_s`, until attempts run out."""

    task: TaskId
    lease_token: str = Field(max_length=64)
    reason: str = Field(default="", max_length=2000)
    delay_s: float | None = Field(default=None, ge=0, le=3600)


class ExtendTask(Request[Task]):
    """Keep a task you hold for `lease_s` seconds from now, and say how far you are (`progress` 0 to 1, `note`)."""

    task: TaskId
    lease_token: str = Field(max_length=64)
    lease_s: LeaseS = 60
    progress: float | None = Field(default=None, ge=0, le=1)
    note: str | None = Field(default=None, max_length=500)


class ReleaseTask(Request[Task]):
    """Give a task back untouched: it is ready at once and the attempt does not count."""

    task: TaskId
    lease_token: str = Field(max_length=64)


class CancelTask(Request[Task]):
    """Withdraw a task that is not finished; whoever holds it learns it at the next call."""

    task: TaskId


class ListDead(Request[Tasks]):
    """Dead letters of a queue with their reasons, oldest first."""

    queue: QueueName
    limit: int = Field(default=50, ge=1, le=200)


class RedriveTask(Request[Task]):
    """Bring a dead letter back with all its attempts."""

    task: TaskId


class RedriveQueue(Request[Redriven]):
    """Bring up to `limit` dead letters of a queue back, oldest first."""

    queue: QueueName
    limit: int = Field(default=100, ge=1, le=1000)


class SetWorker(Request[WorkerInfo]):
    """Register a worker (`me` or an agent of the queue's owner), or change it.

    It holds at most `capacity` tasks at once; `weight` is its share of a `weighted` queue.
    """

    queue: QueueName
    agent: AgentName
    weight: float = Field(default=1, ge=0.01, le=1000)
    capacity: int = Field(default=1, ge=1, le=1000)


class RemoveWorker(Request[Done]):
    """Take a worker out; what it has not started goes to others."""

    queue: QueueName
    agent: AgentName


class ListWorkers(Request[Workers]):
    """The registered workers of a queue, with load, latency and health."""

    queue: QueueName


class QueueCreated(EventBody):
    type: ClassVar[str] = "queue.created"
    owner: int
    open_to: OpenTo
    max_attempts: int
    mode: QueueMode = "pull"
    strategy: Strategy = "round_robin"
    assign_timeout_ms: int = 5000
    max_open: int = 100_000
    keep_days: int | None = None


class QueueDraining(EventBody):
    type: ClassVar[str] = "queue.draining"


class WorkerSet(EventBody):
    type: ClassVar[str] = "worker.set"
    agent: int
    weight: float
    capacity: int


class WorkerRemoved(EventBody):
    type: ClassVar[str] = "worker.removed"
    agent: int


class QueuePaused(EventBody):
    type: ClassVar[str] = "queue.paused"


class QueueResumed(EventBody):
    type: ClassVar[str] = "queue.resumed"


class TaskEnqueued(EventBody):
    type: ClassVar[str] = "task.enqueued"
    body: Any
    priority: Priority
    delay_ms: int = 0
    ttl_ms: int | None = None
    group: str | None = None
    key: str | None = None

    def blank(self) -> bytes:
        return self.model_copy(update={"body": None}).model_dump_json().encode()


class TaskAssigned(EventBody):
    """A push queue chose this worker and tells it. Others wait in `claim`; an agent with a model may be elsewhere."""

    type: ClassVar[str] = "task.assigned"
    task: int
    agent: int
    queue: str
    within_s: float

    def blank(self) -> bytes:
        return self.model_dump_json().encode()

    def concerns(self) -> tuple[int, ...]:
        return (self.agent,)

    def subject(self, log: int, seq: int) -> str:
        return make_id("t", log, self.task)

    def notice(self) -> str:
        return f"a task of queue {self.queue} is assigned to you; claim it within {self.within_s:g} s or it moves on"


class TaskDone(EventBody):
    type: ClassVar[str] = "task.done"
    task: int
    attempt: int
    result: Any = None

    def blank(self) -> bytes:
        return self.model_copy(update={"result": None}).model_dump_json().encode()


class TaskDead(EventBody):
    type: ClassVar[str] = "task.dead"
    task: int
    attempts: int
    reason: str
    reasons: tuple[str, ...] = ()

    def blank(self) -> bytes:
        return self.model_copy(update={"reason": "", "reasons": ()}).model_dump_json().encode()


class TaskCancelled(EventBody):
    type: ClassVar[str] = "task.cancelled"
    task: int

    def blank(self) -> bytes:
        return self.model_dump_json().encode()


class TasksForgotten(EventBody):
    """Finished tasks were kept long enough: their rows are gone, their events are blank."""

    type: ClassVar[str] = "tasks.forgotten"
    tasks: tuple[int, ...]


class TaskRedriven(EventBody):
    type: ClassVar[str] = "task.redriven"
    task: int


_Q, _T = "/v1/queues/{queue}", "/v1/tasks/{task}"
CREATE = Operation("queues.create", "POST /v1/queues", "task:send", CreateQueue, QueueInfo, 201, lock="hub")
LIST = Operation("queues.list", "GET /v1/queues", "room:read", ListQueues, Queues)
GET = Operation("queues.get", f"GET {_Q}", "room:read", GetQueue, QueueInfo)
PAUSE = Operation("queues.pause", f"POST {_Q}/pause", "queue:admin", PauseQueue, QueueInfo, lock="queue")
DRAIN = Operation("queues.drain", f"POST {_Q}/drain", "queue:admin", DrainQueue, QueueInfo, lock="queue")
RESUME = Operation("queues.resume", f"POST {_Q}/resume", "queue:admin", ResumeQueue, QueueInfo, lock="queue")
SET_WORKER = Operation("workers.set", f"PUT {_Q}/workers/{{agent}}", "task:claim", SetWorker, WorkerInfo, lock="queue")
REMOVE_WORKER = Operation(
    "workers.remove", f"DELETE {_Q}/workers/{{agent}}", "task:claim", RemoveWorker, Done, lock="queue"
)
WORKERS = Operation("workers.list", f"GET {_Q}/workers", "room:read", ListWorkers, Workers)
ENQUEUE = Operation("tasks.enqueue", f"POST {_Q}/tasks", "task:send", EnqueueTask, Task, 201, "queue")
CLAIM = Operation("queues.claim", f"POST {_Q}/claim", "task:claim", ClaimTasks, Tasks, lock="queue")
DEAD = Operation("queues.dead", f"GET {_Q}/dead", "room:read", ListDead, Tasks)
REDRIVE_ALL = Operation("queues.redrive", f"POST {_Q}/redrive", "task:send", RedriveQueue, Redriven, lock="queue")
TASK = Operation("tasks.get", f"GET {_T}", "room:read", GetTask, Task)
COLLECT = Operation("tasks.collect", "POST /v1/tasks/collect", "room:read", CollectTasks, Collected, lock="none")
ACK = Operation("tasks.ack", f"POST {_T}/ack", "task:claim", AckTask, Acknowledged, lock="task")
NACK = Operation("tasks.nack", f"POST {_T}/nack", "task:claim", NackTask, Task, lock="task")
EXTEND = Operation("tasks.extend", f"POST {_T}/extend", "task:claim", ExtendTask, Task, lock="task")
RELEASE = Operation("tasks.release", f"POST {_T}/release", "task:claim", ReleaseTask, Task, lock="task")
CANCEL = Operation("tasks.cancel", f"POST {_T}/cancel", "task:send", CancelTask, Task, lock="task")
REDRIVE = Operation("tasks.redrive", f"POST {_T}/redrive", "task:send", RedriveTask, Task, lock="task")
OPERATIONS: list[AnyOperation] = [
    CREATE,
    LIST,
    GET,
    PAUSE,
    DRAIN,
    RESUME,
    SET_WORKER,
    REMOVE_WORKER,
    WORKERS,
    ENQUEUE,
    CLAIM,
    DEAD,
    REDRIVE_ALL,
    TASK,
    COLLECT,
    ACK,
    NACK,
    EXTEND,
    RELEASE,
    CANCEL,
    REDRIVE,
]
