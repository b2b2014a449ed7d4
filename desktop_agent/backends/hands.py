"""Keys, mouse and screen by pyautogui and mss, the same on every system; windows by the system's own backend."""

from __future__ import annotations

import contextlib
import io
import time
import warnings
from typing import Any, Final, Protocol

from desktop_agent.backends.x11 import ready_without_authority
from desktop_agent.window import Box, NoDesktop, Picture, Point, Window

_BETWEEN_S: Final = 0.02  # between two events; without it X11 programs miss some


class Windows(Protocol):
    """What differs between the systems."""

    def close(self) -> None: ...

    def windows(self) -> tuple[Window, ...]: ...

    def activate(self, window: Window) -> None: ...

    def is_active(self, window: Window) -> bool: ...

    def front(self) -> Window | None: ...

    def idle_s(self) -> float | None: ...


class Hands:
    """A real desktop. `modifier` is the key that copies and pastes here: ctrl, or command on macOS."""

    def __init__(self, windows: Windows, modifier: str) -> None:
        self.modifier = modifier
        self._system = windows
        self._gui = _pyautogui()
        self._gui.PAUSE = 0
        self._gui.FAILSAFE = False  # the corner is checked before every step, where nothing is half done

    def close(self) -> None:
        self._system.close()

    def windows(self) -> tuple[Window, ...]:
        return self._system.windows()

    def activate(self, window: Window) -> None:
        self._system.activate(window)

    def is_active(self, window: Window) -> bool:
        return self._system.is_active(window)

    def front(self) -> Window | None:
        return self._system.front()

    def idle_s(self) -> float | None:
        return self._system.idle_s()

    def click(self, point: Point) -> None:
        time.sleep(_BETWEEN_S)  # before the event: right after it, the caller takes the time of it
        self._gui.click(point.x, point.y)

    def move(self, point: Point) -> None:
        time.sleep(_BETWEEN_S)
        self._gui.moveTo(point.x, point.y)

    def press(self, *keys: str) -> None:
        time.sleep(_BETWEEN_S)
        self._gui.hotkey(*keys)

    def pointer(self) -> Point:
        x, y = self._gui.position()
        return Point(int(x), int(y))

    def screen(self) -> Box:
        width, height = self._gui.size()
        return Box(0, 0, int(width), int(height))

    def picture(self, box: Box) -> Picture:
        """The part of the box that is on the screen. On macOS without the permission it shows only the background."""
        import mss

        with mss.MSS() as grabber:
            everything = grabber.monitors[0]
            left, top = max(box.left, everything["left"]), max(box.top, everything["top"])
            right = min(box.left + box.width, everything["left"] + everything["width"])
            bottom = min(box.top + box.height, everything["top"] + everything["height"])
            if right <= left or bottom <= top:
                return Picture(0, 0, b"")
            try:
                shot = grabber.grab({"left": left, "top": top, "width": right - left, "height": bottom - top})
            except mss.ScreenShotError:  # the screen changed its size meanwhile
                return Picture(0, 0, b"")
        return Picture(shot.width, shot.height, bytes(shot.rgb))


def _pyautogui() -> Any:
    """The library, which looks for a display when imported. Raises NoDesktop with what to do."""
    ready_without_authority()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # its modules have invalid escapes and unclosed files
            import pyautogui

            return pyautogui
    except ImportError as error:
        raise NoDesktop("pyautogui is missing: pip install 'multi-agent-bridge[desktop]'") from error
    except (Exception, SystemExit) as error:  # mouseinfo ends the process where Tk is missing
        raise NoDesktop(f"this desktop cannot be used ({type(error).__name__}: {error})"[:300]) from error
