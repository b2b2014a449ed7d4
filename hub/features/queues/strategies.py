"""Which worker of a push queue gets the next task, and when a worker is left alone. Pure; time and noise come in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from math import log
from typing import Final

from hub.features.queues.contract import BreakerState, Strategy

FAILURES_TO_OPEN: Final = 3
OPEN_MS: Final = 30_000
LONGEST_OPEN_MS: Final = 300_000
SMOOTHING: Final = 0.3  # weight of the newest latency in the average
_EXPLORE: Final = 16  # of 256 choices of `fastest` go to whoever waited longest, so that a recovered worker shows


@dataclass(frozen=True, slots=True)
class Breaker:
    """Consecutive failures, how often it opened in a row, and until when it is open."""

    failures: int = 0
    opens: int = 0
    open_until_ms: int = 0

    def state(self, now_ms: int) -> BreakerState:
        if not self.opens:
            return "closed"
        return "open" if now_ms < self.open_until_ms else "half_open"

    def lets_through(self, load: int, now_ms: int) -> bool:
        """Whether the worker may get a task: half open, only one at a time, the probe."""
        state = self.state(now_ms)
        return state == "closed" or (state == "half_open" and load == 0)

    def failed(self, now_ms: int) -> Breaker:
        """After a failure: three in a row open it, a failed probe opens it for longer."""
        failures = self.failures + 1
        if not self.opens and failures < FAILURES_TO_OPEN:
            return replace(self, failures=failures)
        pause = min(OPEN_MS << min(self.opens, 10), LONGEST_OPEN_MS)
        return Breaker(failures, self.opens + 1, now_ms + pause)


CLOSED: Final = Breaker()


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker as a strategy sees it. `turns` is its virtual time: the share it has had, in rounds."""

    agent: int
    name: str
    weight: float = 1.0
    capacity: int = 1
    load: int = 0
    turns: float = 0.0
    latency_ms: float | None = None
    breaker: Breaker = CLOSED
    alive: bool = True

    def usable(self, now_ms: int) -> bool:
        """Alive and not behind an open breaker."""
        return self.alive and self.breaker.lets_through(self.load, now_ms)

    def free(self, now_ms: int) -> bool:
        """Usable, with room for one more task."""
        return self.load < self.capacity and self.usable(now_ms)

    def finished(self, took_ms: float) -> Worker:
        """After a success: the average follows the newest latency, the breaker closes."""
        known = self.latency_ms
        average = took_ms if known is None else known + SMOOTHING * (took_ms - known)
        return replace(self, latency_ms=average, breaker=CLOSED)


def choose(strategy: Strategy, workers: Sequence[Worker], *, key: str, noise: bytes, now_ms: int) -> Worker | None:
    """The worker for the next task, or None when it has to wait.

    `key` matters to `sticky` only, which waits for its worker rather than spill over; `noise` is 8 random bytes.
    """
    if strategy == "sticky":
        usable = [worker for worker in workers if worker.usable(now_ms)]
        best = max(usable, key=lambda worker: (affinity(worker, key), worker.agent), default=None)
        return best if best is not None and best.free(now_ms) else None
    free = sorted((worker for worker in workers if worker.free(now_ms)), key=lambda worker: worker.agent)
    return _CHOICES[strategy](free, noise) if free else None


def given(strategy: Strategy, worker: Worker, workers: Sequence[Worker]) -> Worker:
    """The worker after it got a task. One that is new or comes back starts level with the others, not with a debt.

    Level: before its newest task, each of the others had had the least. Nobody who is always free is ever below that.
    """
    others = [other.turns - _step(strategy, other) for other in workers if other.alive and other.agent != worker.agent]
    turns = max(worker.turns, max(others, default=0.0))
    return replace(worker, load=worker.load + 1, turns=turns + _step(strategy, worker))


def _step(strategy: Strategy, worker: Worker) -> float:
    return 1 / worker.weight if strategy == "weighted" else 1.0


def affinity(worker: Worker, key: str) -> float:
    """Weighted rendezvous hashing: the highest wins, so keys of others stay when a worker comes or goes.

    Thaler and Ravishankar 1998; the weighted form is from Schindelhauer and Schomaker 2005.
    """
    digest = blake2b(f"{key}\0{worker.name}".encode(), digest_size=8).digest()
    return worker.weight / -log((int.from_bytes(digest, "big") + 1) / (2**64 + 1))


def _longest_ago(free: Sequence[Worker], _noise: bytes) -> Worker:
    return min(free, key=lambda worker: (worker.turns, worker.agent))


def _least_loaded(free: Sequence[Worker], _noise: bytes) -> Worker:
    return min(free, key=lambda worker: (worker.load, worker.turns, worker.agent))


def _fastest(free: Sequence[Worker], noise: bytes) -> Worker:
    """Who would be done first; an unknown worker is tried, and now and then whoever had no turn for long."""
    if noise[0] < _EXPLORE:
        return _longest_ago(free, noise)
    return min(free, key=lambda worker: ((worker.latency_ms or 0.0) * (worker.load + 1), worker.turns, worker.agent))


def _random(free: Sequence[Worker], noise: bytes) -> Worker:
    return free[int.from_bytes(noise, "big") % len(free)]


_CHOICES: Final[dict[Strategy, Callable[[Sequence[Worker], bytes], Worker]]] = {
    "round_robin": _longest_ago,
    "least_loaded": _least_loaded,
    "fastest": _fastest,
    "random": _random,
    "weighted": _longest_ago,
}
