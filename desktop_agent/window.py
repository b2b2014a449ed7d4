"""Windows, places and the one interface to a desktop. Backends implement it; nothing here touches a screen."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Protocol

OWN_TITLE: Final = "Desktop agent"  # of the small window with Pause and Stop


@dataclass(frozen=True, slots=True)
class Point:
    """A place on the screen, in its own pixels."""

    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle on the screen, in its own pixels."""

    left: int
    top: int
    width: int
    height: int

    def contains(self, point: Point) -> bool:
        return self.left <= point.x < self.left + self.width and self.top <= point.y < self.top + self.height


@dataclass(frozen=True, slots=True)
class Window:
    """A visible window. `id` means something to its backend only."""

    id: int | str
    title: str
    box: Box


@dataclass(frozen=True, slots=True)
class Picture:
    """Pixels of a rectangle: rows of RGB, no padding."""

    width: int
    height: int
    rgb: bytes


class NoDesktop(Exception):
    """Keys and mouse cannot be used here; the message says why and what works instead."""


class Hitch(Exception):
    """Something at the desktop is not as it must be. Nothing was sent; trying again later is safe."""


class Refused(Hitch):
    """Nothing was sent, and trying again would not help."""


class NoWindow(Hitch):
    """The window is not there (or not the only one); the message says what to do."""


class Desktop(Protocol):
    """Windows, keyboard, mouse and screen of one desktop. Every call acts at once and returns."""

    modifier: str

    def close(self) -> None:
        """Let go of what was opened for it."""
        ...

    def windows(self) -> tuple[Window, ...]:
        """Visible windows with a title, the lowest first where the system says so."""
        ...

    def activate(self, window: Window) -> None:
        """Ask for the window to come to the front with the keyboard. `is_active` says whether it did."""
        ...

    def is_active(self, window: Window) -> bool:
        """Whether keys go to this window now."""
        ...

    def front(self) -> Window | None:
        """The window that keys go to now, if it is one of `windows`."""
        ...

    def click(self, point: Point) -> None: ...

    def move(self, point: Point) -> None:
        """Put the pointer there without a click."""
        ...

    def press(self, *keys: str) -> None:
        """One chord: all keys down in order, then up."""
        ...

    def pointer(self) -> Point: ...

    def screen(self) -> Box: ...

    def idle_s(self) -> float | None:
        """Seconds since the last key or mouse event, ours included; None where the system does not say."""
        ...

    def picture(self, box: Box) -> Picture: ...


def find(desktop: Desktop, title: str) -> Window:
    """The one window whose whole title matches the pattern. Raises NoWindow for none and for several."""
    pattern = re.compile(title)
    matching = [window for window in desktop.windows() if pattern.fullmatch(window.title)]
    if not matching:
        raise NoWindow(f"no window's whole title matches {title!r}; open it, or correct the profile's title")
    if len(matching) > 1:
        raise NoWindow(
            f"{len(matching)} windows match {title!r}; close all but one, or make the profile's title narrower"
        )
    return matching[0]
