"""What a feature wants done as time passes. Its `chores.py` lists them in `CHORES`; `hub/server/timers.py` runs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import LiteralString

from hub.core.call import Call
from hub.storage.interface import Tx


@dataclass(frozen=True, slots=True)
class Chore:
    """A bounded amount of work, done again and again.

    `body` says whether there is more of it at once. It runs every `every_s` seconds, but not before `first_due` while
    nothing is written: a query whose one value is when `body` would find something to do (ms) as the rows are now; null
    for never, 0 where that depends on more than rows and time.
    """

    every_s: float
    body: Callable[[Tx, Call], bool]
    first_due: LiteralString | None = None
