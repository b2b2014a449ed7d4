"""When what need not be on time is done: together, so that a hub with many idle connections mostly sleeps.

Waking up costs more than what a heartbeat does: after seconds of sleep nothing is left in the processor's caches, and
the first code to run takes ten times as long. A thousand connections with timers of their own wake the hub 150 times a
second; on common beats it is once in two seconds.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Final
from weakref import WeakKeyDictionary

log = logging.getLogger("hub")
BEAT_S: Final = 2.0
_AT_ONCE: Final = 50  # calls before others get their turn


def next_beat(now_s: float, delay_s: float) -> float:
    """The first beat that is at least `delay_s` after now, on the clock of `now_s`."""
    return math.ceil((now_s + delay_s) / BEAT_S) * BEAT_S


def seconds_to_beat(delay_s: float) -> float:
    """How long it is to the first beat that is at least `delay_s` from now, on the running loop's clock."""
    now_s = asyncio.get_running_loop().time()
    return next_beat(now_s, delay_s) - now_s


class Beat:
    """A call that is to come."""

    __slots__ = ("__weakref__", "_among", "call")

    def __init__(self, call: Callable[[], None], among: dict[Beat, None]) -> None:
        self.call: Callable[[], None] | None = call
        self._among = among
        among[self] = None

    def cancel(self) -> None:
        """It does not come, unless it has, and nothing of it is kept."""
        self.call = None
        self._among.pop(self, None)


class Beats:
    """Calls on the beats of one loop: one timer for all that wait for the same beat."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[float, dict[Beat, None]] = {}

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Beat:
        """`call` on the first beat that is at least `delay_s` from now."""
        at_s = next_beat(self._loop.time(), delay_s)
        waiting = self._waiting.get(at_s)
        if waiting is None:
            waiting = self._waiting[at_s] = {}
            self._loop.call_at(at_s, self._strike, at_s)
        return Beat(call, waiting)

    def _strike(self, at_s: float) -> None:
        self._call(list(self._waiting.pop(at_s)), 0)

    def _call(self, beats: list[Beat], begin: int) -> None:
        """Some of them, then the others in the loop's next turn: a message must not wait for a thousand pings."""
        end = begin + _AT_ONCE
        for beat in beats[begin:end]:
            if beat.call is not None:
                try:
                    beat.call()
                except Exception:  # its connection is broken; the others' beats must not be lost with it
                    log.exception("a heartbeat failed")
        if end < len(beats):
            self._loop.call_soon(self._call, beats, end)


_BEATS: WeakKeyDictionary[asyncio.AbstractEventLoop, Beats] = WeakKeyDictionary()


def beats_of(loop: asyncio.AbstractEventLoop) -> Beats:
    """The beats of this loop, the same for everybody."""
    beats = _BEATS.get(loop)
    if beats is None:
        beats = _BEATS[loop] = Beats(loop)
    return beats
