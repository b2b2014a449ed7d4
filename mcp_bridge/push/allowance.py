"""How often a session may be disturbed: a second apart, and never more than its client takes in a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

SPACING_S: Final = 1.0
# Claude Code 2.1.332 drops a peer's messages beyond about 30 at once and one every 2 s after that, with no answer
BURST: Final = 20
REFILL_S: Final = 2.5


class Allowance:
    """A bucket of writes; `free_at` is when the next may be made. What comes meanwhile goes together."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._credit, self._at = float(BURST), clock()
        self.free_at = 0.0

    def spend(self) -> None:
        """A write was made."""
        now = self._clock()
        self._credit = min(BURST, self._credit + (now - self._at) / REFILL_S) - 1
        self._at = now
        self.free_at = now + max(SPACING_S, (1 - self._credit) * REFILL_S)
