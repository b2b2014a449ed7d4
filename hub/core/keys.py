"""Idempotency keys as our clients make them: they begin with the time.

The hub finds a key in an index that is ordered by it. Keys that were made at the same time lie beside each other there,
so the sends of one commit change one page of it; keys that begin with their maker or with chance change one page each.
"""

from __future__ import annotations

import secrets
import time
from itertools import count


class Keys:
    """Makes keys that nobody else makes. `maker` is unique to this one: of a process, say."""

    def __init__(self, maker: str = "") -> None:
        self.maker = maker or secrets.token_hex(8)
        self._numbers = count(1)

    def new(self) -> str:
        """The next key: up to 40 visible characters with the default maker, in the order of time."""
        return f"{time.time_ns() // 1000:x}-{self.maker}-{next(self._numbers):x}"
