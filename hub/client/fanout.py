"""Fan-out: many bodies over one queue, results as they come, whatever fails on the way."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from hub.core.caller import Caller
from hub.core.errors import RateLimited
from hub.features.queues.contract import CollectTasks, EnqueueTask, Priority, RedriveTask, State, Task

MOST_OPEN: Final = 100
_WAIT_S: Final = 50.0
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the body at `index`. `open` when time ran out first: the task goes on without you."""

    index: int
    body: Any
    task: str
    state: State
    result: Any = None
    reasons: tuple[str, ...] = ()
    worker: str | None = None

    @property
    def ok(self) -> bool:
        return self.state == "done"


@dataclass(slots=True)
class _Run:
    """The tasks of one fan-out that are not over yet."""

    caller: Caller
    queue: str
    priority: Priority
    key: str
    waiting: Iterator[tuple[int, Any]]
    retries: dict[str, int]
    open: dict[str, tuple[int, Any]]
    more: bool = True

    async def fill(self, most: int) -> None:
        """Enqueue until `most` are open. A full queue is no failure while some of ours can still end."""
        while self.more and len(self.open) < most:
            upcoming = next(self.waiting, None)
            if upcoming is None:
                self.more = False
                return
            if not await self._enqueue(*upcoming):
                return

    async def _enqueue(self, index: int, body: Any) -> bool:
        request = EnqueueTask(queue=self.queue, body=body, priority=self.priority)
        try:
            made = await self.caller.call(request, key=f"{self.key}:{index}")
        except RateLimited:
            if not self.open:
                raise
            self.waiting = _put_back((index, body), self.waiting)
            return False
        self.open[made.id] = (index, body)
        return True

    async def finished(self, wait_s: float, retries: int) -> list[Outcome]:
        """Those that ended by now; dead letters with retries left start over."""
        request = CollectTasks(tasks=tuple(self.open), wait_s=wait_s)
        made: list[Outcome] = []
        for task in (await self.caller.call(request)).items:
            tried = self.retries.get(task.id, 0)
            if task.state == "dead" and tried < retries:
                self.retries[task.id] = tried + 1
                await self.caller.call(RedriveTask(task=task.id), key=f"{self.key}:{task.id}:{tried}")
            else:
                made.append(_outcome(task, *self.open.pop(task.id)))
        return made


def _put_back(item: tuple[int, Any], rest: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    yield item
    yield from rest


def _outcome(task: Task, index: int, body: Any) -> Outcome:
    return Outcome(index, body, task.id, task.state, task.result, task.reasons, task.worker)


async def fan_out(
    caller: Caller,
    queue: str,
    bodies: Iterable[Any],
    *,
    concurrency: int = 32,
    retries: int = 0,
    priority: Priority = "normal",
    timeout_s: float | None = None,
    progress: Progress | None = None,
) -> AsyncIterator[Outcome]:
    """Outcomes of one task per body, as they end; at most `concurrency` (1 to 100) are in the queue at once.

    A dead letter is redriven up to `retries` times. After `timeout_s` the rest comes as it is, `open`; bodies that
    were not enqueued by then are left out. `progress(done, total)` is called after each. Nothing is sent twice when
    an answer gets lost.
    """
    if not 1 <= concurrency <= MOST_OPEN:
        raise ValueError(f"concurrency is 1 to {MOST_OPEN}")
    everything = list(bodies)
    run = _Run(caller, queue, priority, secrets.token_hex(8), iter(enumerate(everything)), {}, {})
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    done = 0
    while True:
        await run.fill(concurrency)
        if not run.open:
            return
        left = _WAIT_S if deadline is None else min(_WAIT_S, deadline - time.monotonic())
        if left <= 0:
            break
        for outcome in await run.finished(left, retries):
            done += 1
            if progress is not None:
                progress(done, len(everything))
            yield outcome
    for task, (index, body) in run.open.items():
        yield Outcome(index, body, task, "open")


def bar(done: int, total: int, *, width: int = 32) -> str:
    """`[######······] 12/24`, for a terminal line that is written over."""
    full = width * done // total if total else width
    return f"[{'#' * full}{'·' * (width - full)}] {done}/{total}"
