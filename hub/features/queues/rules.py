"""Who holds a task, what comes first, when to try again. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from hub.core.errors import Conflict, NotFound, RateLimited

SLACK_MS: Final = {"critical": 0, "high": 5_000, "normal": 30_000, "low": 120_000, "bulk": 600_000}
LONGEST_BACKOFF_MS: Final = 300_000


class QueueNotFound(NotFound):
    code, title = "queue-not-found", "Queue not found"


class TaskNotFound(NotFound):
    code, title = "task-not-found", "Task not found"


class LeaseLost(Conflict):
    code, title = "lease-lost", "The lease is lost"


class TaskFinished(Conflict):
    code, title = "task-finished", "The task is finished"


class NotAWorker(Conflict):
    code, title = "not-a-worker", "Not a worker of this queue"


class QueueIsDraining(Conflict):
    code, title = "queue-draining", "The queue takes no new tasks"


class QueueFull(RateLimited):
    code, title = "queue-full", "The queue is full"


class Lease(NamedTuple):
    """The newest hand-out of a task. An empty token means that nobody holds it: with `until_ms` it is assigned."""

    token: str
    agent: int
    attempt: int
    until_ms: int
    handed_at_ms: int
    reasons: tuple[str, ...] = ()
    progress: float | None = None
    note: str | None = None

    def holds(self, now_ms: int) -> bool:
        """Whether somebody works on the task now."""
        return self.token != "" and now_ms < self.until_ms


def sort_key(at_ms: int, priority: str) -> int:
    """Tasks are handed out by this, then by seq: one is overtaken only by tasks at most its slack younger."""
    return at_ms + SLACK_MS[priority]


def must_hold(state: str, lease: Lease | None, token: str, agent: int, now_ms: int) -> Lease:
    """The lease, if this agent holds the task now with this token. Raises LeaseLost."""
    held = lease is not None and lease.token == token != "" and lease.agent == agent and lease.holds(now_ms)
    if state != "open" or lease is None or not held:
        raise LeaseLost("you do not hold this task any more (its lease ran out or it ended); claim the next one")
    return lease


def may_enqueue(draining: bool, open_tasks: int, max_open: int) -> None:
    """Raises QueueIsDraining, or QueueFull: a busy queue slows its dispatchers down instead of growing for ever."""
    if draining:
        raise QueueIsDraining("the queue is being drained and takes no new tasks; wait until its owner resumes it")
    if open_tasks >= max_open:
        raise QueueFull(
            f"the queue has {open_tasks} unfinished tasks, the most allowed; try again when some are done",
            retry_after_s=1,
        )


def must_be(state: str, wanted: str) -> None:
    if state != wanted:
        raise TaskFinished(f"the task is {state}; this works on tasks that are {wanted}")


def backoff_ms(attempt: int, random: bytes) -> int:
    """1 s × 2 per attempt, at most 300 s, with full jitter."""
    longest = min(1000 << min(attempt - 1, 20), LONGEST_BACKOFF_MS)
    return int.from_bytes(random, "big") % (longest + 1)
