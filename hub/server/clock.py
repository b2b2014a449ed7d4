"""The hub's time: follows the system clock by slewing, so a jump never moves leases, TTLs or order (P12)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

_FINE_S: Final = 0.0005
_SLEW: Final = 0.1  # at most 10 % faster or slower than real time while catching up with the system clock


class HubClock:
    """Milliseconds since 1970 that never go back and never jump while the hub runs."""

    def __init__(
        self,
        not_before_ms: int = 0,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._last = monotonic()
        self._now = max(wall() * 1000, float(not_before_ms))

    def __call__(self) -> int:
        tick = self._monotonic()
        if tick - self._last < _FINE_S:
            return int(self._now)
        elapsed = (tick - self._last) * 1000
        self._last = tick
        off = self._wall() * 1000 - (self._now + elapsed)
        most = elapsed * _SLEW
        self._now += elapsed + max(-most, min(most, off))
        return int(self._now)

    def not_before(self, at_ms: int) -> None:
        """After a restart: start no earlier than the newest event."""
        self._now = max(self._now, float(at_ms))
