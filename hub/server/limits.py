"""Rate limits: token buckets per principal, and per address before authentication. Bounded memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hub.core.errors import RateLimited

_MOST_BUCKETS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_s` tokens a second, up to `burst` at once."""

    per_s: float
    burst: float


class Buckets:
    """Token buckets by key; the least recently used go when there are too many."""

    def __init__(self, rate: Rate, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._monotonic = monotonic
        self._buckets: OrderedDict[object, list[float]] = OrderedDict()

    def take(self, key: object, cost: float = 1) -> float:
        """Take `cost` tokens; 0 when there were enough, else seconds until there are (and nothing was taken)."""
        now = self._monotonic()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = [self.rate.burst, now]
            if len(self._buckets) > _MOST_BUCKETS:
                self._buckets.popitem(last=False)
        level = min(self.rate.burst, bucket[0] + (now - bucket[1]) * self.rate.per_s)
        bucket[1] = now
        if level < cost:
            bucket[0] = level
            return (cost - level) / self.rate.per_s
        bucket[0] = level - cost
        return 0.0


@dataclass(frozen=True, slots=True)
class LimitSettings:
    reads: Rate = Rate(1000, 2000)
    writes: Rate = Rate(200, 1000)
    wrong_tokens: Rate = Rate(5, 50)
    sockets: int = 20
    waits: int = 10


class Limits:
    """All limits of one hub process."""

    def __init__(self, settings: LimitSettings | None = None) -> None:
        self.settings = settings or LimitSettings()
        self.reads = Buckets(self.settings.reads)
        self.writes = Buckets(self.settings.writes)
        self.wrong_tokens = Buckets(self.settings.wrong_tokens)
        self._open: dict[tuple[str, int], int] = {}

    def spend(self, agent: int, *, write: bool, cost: float = 1) -> None:
        """Raises RateLimited with the time after which to try again."""
        buckets = self.writes if write else self.reads
        wait_s = buckets.take(agent, cost)
        if wait_s:
            what = "writes" if write else "reads"
            raise RateLimited(
                f"more than {buckets.rate.per_s:g} {what} a second; wait {wait_s:.1f} s, or send several in one batch",
                retry_after_s=round(wait_s, 3),
            )

    def open(self, what: str, agent: int) -> None:
        """Count one long-lived thing (`sockets`, `waits`); raises RateLimited beyond the limit."""
        most = self.settings.sockets if what == "sockets" else self.settings.waits
        count = self._open.get((what, agent), 0)
        if count >= most:
            raise RateLimited(f"you have {count} open {what} already, the most allowed; close one", retry_after_s=1)
        self._open[what, agent] = count + 1

    def close(self, what: str, agent: int) -> None:
        count = self._open.get((what, agent), 0) - 1
        if count > 0:
            self._open[what, agent] = count
        else:
            self._open.pop((what, agent), None)
