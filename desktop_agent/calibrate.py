"""Make a profile by pointing: the person puts the pointer where the text box is, then on the conversation."""

from __future__ import annotations

import re
from collections.abc import Callable

from desktop_agent.profile import Profile, Spot
from desktop_agent.window import Box, Desktop, Hitch, Point, Window

Wait = Callable[[str], None]


def calibrate(desktop: Desktop, name: str, wait: Wait) -> Profile:
    """A profile for the window under the pointer. `wait` shows what to point at and returns when it is done."""
    wait("Put the pointer into the chat window's text box")
    at = desktop.pointer()
    window = under(desktop, at)
    wait("Now put it on an empty place of the conversation, where a click does nothing")
    there = desktop.pointer()
    again = under(desktop, there)
    if again.id != window.id:
        raise Hitch(f"the two places are in two windows ({window.title!r} and {again.title!r}); try again")
    return Profile(
        name=name,
        title=re.escape(window.title),
        input=Spot(x=_share(at.x - window.box.left, window.box.width), bottom_px=_up(window.box, at)),
        transcript=Spot(
            x=_share(there.x - window.box.left, window.box.width),
            y=_share(there.y - window.box.top, window.box.height),
        ),
    )


def under(desktop: Desktop, point: Point) -> Window:
    """The highest window there. Raises Hitch when there is none."""
    there = [window for window in desktop.windows() if window.box.contains(point)]
    if not there:
        raise Hitch("there is no window with a title under the pointer; try again")
    return there[-1]


def _share(offset: int, size: int) -> float:
    return round(min(1.0, max(0.0, offset / max(1, size - 1))), 4)


def _up(box: Box, point: Point) -> int:
    return max(1, box.top + box.height - point.y)
