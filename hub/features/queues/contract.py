"""Queues and tasks: operations, their shapes, and the events of a queue's stream."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from hub.core.event import EventBody
from hub.core.names import NewName, QueueName
from hub.core.operation import AnyOperation, Operation, Request, Result

Priority = Literal["critical", "high", "normal", "low", "bulk"]
State = Literal["open", "done", "dead", "cancelled"]
OpenTo = Literal["owner", "all"]
TaskId = Annotated[str, Field(max_length=40)]
LeaseS = Annotated[float, Field(ge=5, le=3600)]
WaitS = Annotated[float, Field(ge=0, le=55)]
FOREVER: Final = 2**62


class QueueInfo(Result):
    """A queue and how much waits in it. `ready` is exact to 100."""

    queue: str
    open_to: OpenTo
    max_attempts: int
    paused: bool
    ready: int

    def settled(self) -> bool:
        return self.ready > 0 and not self.paused


class Queues(Result):
    """The queues one may use."""

    items: tuple[QueueInfo, ...]


class Task(Result):
    """One task. `lease_token` is given to its claimant only; `attempt` counts hand-outs."""

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

    def settled(self) -> bool:
        return self.state != "open"


class Tasks(Result):
    """Tasks, the next to do first."""

    items: tuple[Task, ...]

    def settled(self) -> bool:
        return bool(self.items)


class CreateQueue(Request[QueueInfo]):
    """Make a queue; `open_to: owner` lets the same person's agents in, `all` every agent."""

    queue: NewName
    open_to: OpenTo = "owner"
    max_attempts: int = Field(default=5, ge=1, le=100)


class ListQueues(Request[Queues]):
    """The queues you may use."""


class GetQueue(Request[QueueInfo]):
    """One queue. `wait_s` waits until a task is ready."""

    queue: QueueName
    wait_s: WaitS = 0


class PauseQueue(Request[QueueInfo]):
    """Stop handing out tasks; leases that run may finish."""

    queue: QueueName


class ResumeQueue(Request[QueueInfo]):
    """Hand out tasks again."""

    queue: QueueName


class EnqueueTask(Request[Task]):
    """Put work into a queue; at most `slack` of its priority later tasks overtake it (0/5/30/120/600 s)."""

    queue: QueueName
    body: Any
    priority: Priority = "normal"
    delay_s: float = Field(default=0, ge=0, le=30 * 86400)
    ttl_s: float | None = Field(default=None, gt=0, le=30 * 86400)


class GetTask(Request[Task]):
    """A task and its result; `wait_s` waits until it is finished."""

    task: TaskId
    wait_s: WaitS = 0


class ClaimTasks(Request[Tasks]):
    """Take up to `max` tasks for `lease_s` seconds, after that others may; `wait_s` waits, in line, for the first."""

    queue: QueueName
    max: int = Field(default=1, ge=1, le=10)
    lease_s: LeaseS = 60
    wait_s: WaitS = 0


class AckTask(Request[Task]):
    """Finish a task you hold, with its result."""

    task: TaskId
    lease_token: str = Field(max_length=64)
    result: Any = None


class NackTask(Request[Task]):
    """Report that an attempt failed; it is tried again after a backoff, or `delay_s`, until attempts run out."""

    task: TaskId
    lease_token: str = Field(max_length=64)
    reason: str = Field(default="", max_length=2000)
    delay_s: float | None = Field(default=None, ge=0, le=3600)


class ExtendTask(Request[Task]):
    """Keep a task you hold for `lease_s` seconds from now."""

    task: TaskId
    lease_token: str = Field(max_length=64)
    lease_s: LeaseS = 60


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


class QueueCreated(EventBody):
    type: ClassVar[str] = "queue.created"
    owner: int
    open_to: OpenTo
    max_attempts: int


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


class TaskDone(EventBody):
    type: ClassVar[str] = "task.done"
    task: int
    attempt: int
    result: Any = None


class TaskDead(EventBody):
    type: ClassVar[str] = "task.dead"
    task: int
    attempts: int
    reason: str
    reasons: tuple[str, ...] = ()


class TaskCancelled(EventBody):
    type: ClassVar[str] = "task.cancelled"
    task: int


class TaskRedriven(EventBody):
    type: ClassVar[str] = "task.redriven"
    task: int


CREATE = Operation("queues.create", "POST /v1/queues", "task:send", CreateQueue, QueueInfo, 201, lock="hub")
LIST = Operation("queues.list", "GET /v1/queues", "room:read", ListQueues, Queues)
GET = Operation("queues.get", "GET /v1/queues/{queue}", "room:read", GetQueue, QueueInfo)
PAUSE = Operation("queues.pause", "POST /v1/queues/{queue}/pause", "queue:admin", PauseQueue, QueueInfo, lock="queue")
RESUME = Operation(
    "queues.resume", "POST /v1/queues/{queue}/resume", "queue:admin", ResumeQueue, QueueInfo, lock="queue"
)
ENQUEUE = Operation("tasks.enqueue", "POST /v1/queues/{queue}/tasks", "task:send", EnqueueTask, Task, 201, "queue")
CLAIM = Operation("queues.claim", "POST /v1/queues/{queue}/claim", "task:claim", ClaimTasks, Tasks, lock="queue")
DEAD = Operation("queues.dead", "GET /v1/queues/{queue}/dead", "room:read", ListDead, Tasks)
TASK = Operation("tasks.get", "GET /v1/tasks/{task}", "room:read", GetTask, Task)
ACK = Operation("tasks.ack", "POST /v1/tasks/{task}/ack", "task:claim", AckTask, Task, lock="task")
NACK = Operation("tasks.nack", "POST /v1/tasks/{task}/nack", "task:claim", NackTask, Task, lock="task")
EXTEND = Operation("tasks.extend", "POST /v1/tasks/{task}/extend", "task:claim", ExtendTask, Task, lock="task")
RELEASE = Operation("tasks.release", "POST /v1/tasks/{task}/release", "task:claim", ReleaseTask, Task, lock="task")
CANCEL = Operation("tasks.cancel", "POST /v1/tasks/{task}/cancel", "task:send", CancelTask, Task, lock="task")
REDRIVE = Operation("tasks.redrive", "POST /v1/tasks/{task}/redrive", "task:send", RedriveTask, Task, lock="task")
OPERATIONS: list[AnyOperation] = [
    CREATE,
    LIST,
    GET,
    PAUSE,
    RESUME,
    ENQUEUE,
    CLAIM,
    DEAD,
    TASK,
    ACK,
    NACK,
    EXTEND,
    RELEASE,
    CANCEL,
    REDRIVE,
]
