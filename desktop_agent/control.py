"""The person stays in control: pause, stop, corner, their own mouse and keys, and how often the agent may type."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from desktop_agent.window import Desktop, Hitch, Point, Window

_HOUR_S: Final = 3600.0
_NEAR_PX: Final = 3
_SAME_EVENT_S: Final = 0.02  # Windows counts idle time in steps of 16 ms


class Halt(Hitch):
    """The sequence ended before anything was sent; the message says why."""


class Stopped(Exception):
    """The person stopped the agent: nothing more is typed or clicked."""


@dataclass(slots=True)
class Switch:
    """Pause and Stop, set by the indicator or by the corner."""

    paused: bool = False
    stopped: bool = False


@dataclass(slots=True)
class Rate:
    """At most `per_hour` prompts in any hour, `gap_s` apart."""

    per_hour: int = 30
    gap_s: float = 5
    _at_s: deque[float] = field(default_factory=deque)

    def wait_s(self, now_s: float) -> float:
        """How long until the next one may go; 0 for now."""
        while self._at_s and now_s - self._at_s[0] >= _HOUR_S:
            self._at_s.popleft()
        waits = [0.0]
        if self._at_s:
            waits.append(self._at_s[-1] + self.gap_s - now_s)
        if len(self._at_s) >= self.per_hour:
            waits.append(self._at_s[0] + _HOUR_S - now_s)
        return max(waits)

    def count(self, now_s: float) -> None:
        self._at_s.append(now_s)


@dataclass(frozen=True, slots=True)
class Pace:
    """Time for the sequence: a clock, and how to let some of it pass. Both are replaced in tests."""

    now_s: Callable[[], float]
    pause: Callable[[float], Awaitable[None]]


class Watch:
    """Knows what the agent itself did last, so that anything else must have been the person."""

    def __init__(self, desktop: Desktop, switch: Switch, pace: Pace, *, quiet_s: float = 1.5) -> None:
        self._desktop = desktop
        self._switch = switch
        self._pace = pace
        self._quiet_s = quiet_s
        self._left_at = desktop.pointer()
        self._acted_s = pace.now_s()

    async def clear(self) -> None:
        """Returns once the person has neither paused nor touched anything for a moment. Raises Stopped."""
        self._left_at = self._desktop.pointer()
        since_s = self._pace.now_s()
        while True:
            self._stop_if_asked()
            here = self._desktop.pointer()
            if self._switch.paused or self._typed() or _apart(here, self._left_at):
                since_s, self._left_at = self._pace.now_s(), here
                self._acted_s = max(self._acted_s, since_s - (self._desktop.idle_s() or 0))
            if self._pace.now_s() - since_s >= self._quiet_s:
                break
            await self._pace.pause(0.1)
        self.acted()

    def acted(self, at: Point | None = None) -> None:
        """Call right after every event of our own, with the place the pointer was put to."""
        self._acted_s = self._pace.now_s()
        if at is not None:
            self._left_at = at

    def check(self, window: Window | None = None) -> None:
        """Raises when the person stopped, paused, moved the mouse, typed, or took the focus away from `window`."""
        self._stop_if_asked()
        if self._switch.paused:
            raise Halt("paused")
        if _apart(self._desktop.pointer(), self._left_at):
            raise Halt("the mouse was moved")
        if self._typed():
            raise Halt("a key was pressed")
        if window is not None and not self._desktop.is_active(window):
            raise Halt(f"the window {window.title!r} lost the focus")

    def _typed(self) -> bool:
        """Whether the last event came clearly after our own last one."""
        now_s, idle_s = self._pace.now_s(), self._desktop.idle_s()  # in this order a slow answer looks earlier
        return idle_s is not None and now_s - idle_s > self._acted_s + _SAME_EVENT_S

    def _stop_if_asked(self) -> None:
        screen, here = self._desktop.screen(), self._desktop.pointer()
        right, bottom = screen.left + screen.width - 1, screen.top + screen.height - 1
        if here.x in (screen.left, right) and here.y in (screen.top, bottom):
            self._switch.stopped = True
        if self._switch.stopped:
            raise Stopped("stopped by the person at this desktop")


def _apart(one: Point, other: Point) -> bool:
    return abs(one.x - other.x) > _NEAR_PX or abs(one.y - other.y) > _NEAR_PX
