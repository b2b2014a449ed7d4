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

    `body` says whether there is more of it at once. `first_due` is a query whose one value is when `body` would find
    something to do (ms), as the rows are now: null for never, 0 where that depends on more than rows and time. With it
    the chore rests until then while nothing is written; without it `body` runs every `every_s` seconds in any case.
    """

    every_s: float
    body: Callable[[Tx, Call], bool]
    first_due: LiteralString | None = None
