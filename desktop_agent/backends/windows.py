"""Windows of Microsoft Windows, by user32. Tested on recorded calls only."""

from __future__ import annotations

import ctypes
from typing import Any, Final

from desktop_agent.window import Box, Window

_NEXT_BELOW: Final = 2  # GW_HWNDNEXT
_RESTORE: Final = 9  # SW_RESTORE
_ALT: Final = 0x12
_KEY_UP: Final = 2
_LONGEST: Final = 512
_MOST: Final = 5_000  # the order may change while it is walked; this ends a walk in circles


class _Rect(ctypes.Structure):
    _fields_ = (("left", ctypes.c_long), ("top", ctypes.c_long), ("right", ctypes.c_long), ("bottom", ctypes.c_long))


class _LastInput(ctypes.Structure):
    _fields_ = (("size", ctypes.c_uint), ("at_ms", ctypes.c_uint))


def user32() -> Any:
    """The system's library, made aware of the real pixels of every screen."""
    windll: Any = getattr(ctypes, "windll")  # noqa: B009 (exists on Windows only)
    windll.user32.SetProcessDPIAware()
    windll.user32.GetTickCount = windll.kernel32.GetTickCount
    return windll.user32


class WindowsWindows:
    """Top-level windows, walked from the highest down."""

    def __init__(self, user32: Any) -> None:
        self._user32 = user32

    def close(self) -> None:
        """Nothing was opened."""

    def windows(self) -> tuple[Window, ...]:
        found: list[Window] = []
        handle = self._user32.GetTopWindow(None)
        for _ in range(_MOST):
            if not handle:
                break
            window = self._window(handle)
            if window is not None:
                found.append(window)
            handle = self._user32.GetWindow(handle, _NEXT_BELOW)
        return tuple(reversed(found))

    def activate(self, window: Window) -> None:
        """Windows lets a process take the foreground only after input; a tap on Alt counts as one."""
        if self._user32.IsIconic(window.id):
            self._user32.ShowWindow(window.id, _RESTORE)
        self._user32.keybd_event(_ALT, 0, 0, 0)
        self._user32.SetForegroundWindow(window.id)
        self._user32.keybd_event(_ALT, 0, _KEY_UP, 0)

    def is_active(self, window: Window) -> bool:
        return bool(self._user32.GetForegroundWindow() == window.id)

    def front(self) -> Window | None:
        handle = self._user32.GetForegroundWindow()
        return self._window(handle) if handle else None

    def idle_s(self) -> float | None:
        last = _LastInput(size=ctypes.sizeof(_LastInput))
        if not self._user32.GetLastInputInfo(ctypes.byref(last)):
            return None
        return float((self._user32.GetTickCount() - last.at_ms) % 2**32) / 1000

    def _window(self, handle: int) -> Window | None:
        """What is visible, not minimised, and has a title."""
        if not self._user32.IsWindowVisible(handle) or self._user32.IsIconic(handle):
            return None
        title, box = ctypes.create_unicode_buffer(_LONGEST), _Rect()
        if not self._user32.GetWindowTextW(handle, title, _LONGEST):
            return None
        if not self._user32.GetWindowRect(handle, ctypes.byref(box)):
            return None
        return Window(handle, title.value, Box(box.left, box.top, box.right - box.left, box.bottom - box.top))
