"""Presence and reach of agents, in memory; last-seen times are written behind (P11). Never decides delivery."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal

from hub.core.call import Presence, Trace

ONLINE_MS: Final = 45_000
AWAY_MS: Final = 5 * 60_000
Reach = Literal["push", "stream", "poll", "none"]


class PresenceBoard:
    """Last heartbeat and live connections per agent id."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._seen: dict[int, int] = {}
        self._exited: dict[int, tuple[int, int]] = {}
        self._connections: dict[int, Counter[Reach]] = {}
        self._via: dict[int, str] = {}
        self._dirty: set[int] = set()
        self._started = now_ms()

    def heartbeat(self, agent: int, now_ms: int | None = None) -> None:
        """Any call is a sign of life."""
        self._seen[agent] = self._now_ms() if now_ms is None else now_ms
        self._exited.pop(agent, None)
        self._dirty.add(agent)

    def gone(self, agent: int) -> None:
        """The client's process ended: offline now, not after a timeout, unless another connection lives."""
        if not self._connections.get(agent):
            self._exited[agent] = (self._seen.get(agent, self._now_ms()), self._now_ms())
            self._seen[agent] = min(self._seen.get(agent, 0), self._now_ms() - AWAY_MS)
            self._dirty.add(agent)

    @contextmanager
    def connected(self, agent: int, reach: Reach, via: str = "") -> Iterator[None]:
        """Hold while a stream, a push path or a waiting poll is open; `via` names the way into a session."""
        if via:
            self._via[agent] = via
        count = self._connections.setdefault(agent, Counter())
        count[reach] += 1
        self.heartbeat(agent)
        try:
            yield
        finally:
            count[reach] -= 1
            count += Counter()  # lets go of what fell to zero
            if not count:
                self._connections.pop(agent, None)
                self._via.pop(agent, None)
            self.heartbeat(agent)

    def state(self, agent: int) -> Presence:
        """Presence (`online` < 45 s, `away` < 5 min, else `offline`) and how mail gets there now."""
        live = self._connections.get(agent)
        if live:
            best: Reach = next(reach for reach in ("push", "stream", "poll") if live[reach])
            return ("online", best)
        age = self._now_ms() - self._seen.get(agent, -AWAY_MS * 2)
        if age < ONLINE_MS:
            return ("online", "poll")
        return ("away", "poll") if age < AWAY_MS else ("offline", "none")

    def trace(self, agent: int) -> Trace:
        """When the agent called last, when its client ended if nothing came since, and the way into its session."""
        if (exited := self._exited.get(agent)) is not None:
            return Trace(*exited)
        return Trace(self._seen.get(agent), via=self._via.get(agent, ""))

    def idle_for_s(self) -> float:
        """Seconds since anybody called; 0 while somebody is connected."""
        if self._connections:
            return 0.0
        newest = max(self._seen.values(), default=self._started)
        return max(0, self._now_ms() - max(newest, self._started)) / 1000

    def take_dirty(self) -> dict[int, int]:
        """Last-seen times that changed since the last call."""
        changed = {agent: self._seen[agent] for agent in self._dirty}
        self._dirty.clear()
        return changed

    def restore(self, seen: dict[int, int]) -> None:
        for agent, at in seen.items():
            self._seen.setdefault(agent, at)
