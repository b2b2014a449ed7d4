"""When what need not be on time is done: together, so that a hub with many idle connections mostly sleeps.

Waking up costs more than what a heartbeat does. A thousand connections, each with timers of its own, wake the hub 150
times a second; on common beats it is a tenth of that.
"""

from __future__ import annotations

import math
from typing import Final

BEAT_S: Final = 0.25


def next_beat(now_s: float, delay_s: float) -> float:
    """The first beat that is at least `delay_s` after now, on the clock of `now_s`."""
    return math.ceil((now_s + delay_s) / BEAT_S) * BEAT_S
