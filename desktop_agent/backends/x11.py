"""Windows of an X11 desktop, with or without a window manager, by python3-xlib (which pyautogui needs anyway)."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from desktop_agent.window import Box, NoDesktop, Window

_DEEPEST: Final = 4  # without a window manager's list: how far below the root a titled window may be
_DIRECT: Final = 2  # source indication "pager": a person asked for it, so focus stealing prevention steps back


def connected() -> Any:
    """A connection to the display in DISPLAY. Raises NoDesktop."""
    from Xlib import display, error

    ready_without_authority()
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it leaves the authority file unclosed
            return display.Display()
    except (error.DisplayError, OSError) as problem:
        raise NoDesktop(f"no X server at DISPLAY={os.environ.get('DISPLAY')}: {problem}") from problem


def ready_without_authority() -> None:
    """python3-xlib wants an authority file even where the server asks for none."""
    file = os.environ.get("XAUTHORITY") or str(Path.home() / ".Xauthority")
    if "DISPLAY" in os.environ and not Path(file).is_file():
        os.environ["XAUTHORITY"] = os.devnull


class X11Windows:
    """The windows of the display in DISPLAY."""

    def __init__(self) -> None:
        from Xlib import X, Xatom, error

        self._x, self._atoms, self._gone = X, Xatom, (error.BadWindow, error.BadDrawable, error.BadMatch)
        self._ignored = error.CatchError
        self._display = connected()
        self._root = self._display.screen().root
        self._idle = _Idle.open()

    def close(self) -> None:
        self._display.close()

    def windows(self) -> tuple[Window, ...]:
        """Those the window manager lists, lowest first; without one, every titled window on the screen."""
        listed = self._property(self._root, "_NET_CLIENT_LIST_STACKING") if self._managed() else None
        found = (
            [self._display.create_resource_object("window", n) for n in listed]
            if listed is not None
            else self._titled(self._root, _DEEPEST)
        )
        return tuple(window for one in found if (window := self._window(one)) is not None)

    def activate(self, window: Window) -> None:
        target = self._display.create_resource_object("window", window.id)
        if self._managed():
            from Xlib.protocol import event

            message = event.ClientMessage(
                window=target,
                client_type=self._atom("_NET_ACTIVE_WINDOW"),
                data=(32, [_DIRECT, self._x.CurrentTime, 0, 0, 0]),
            )
            mask = self._x.SubstructureRedirectMask | self._x.SubstructureNotifyMask
            self._root.send_event(message, event_mask=mask)
        else:
            catch = self._ignored(*self._gone)
            target.configure(stack_mode=self._x.Above, onerror=catch)
            target.set_input_focus(self._x.RevertToPointerRoot, self._x.CurrentTime, onerror=catch)
        self._display.sync()

    def is_active(self, window: Window) -> bool:
        """Whether the keyboard's focus is this window or inside it."""
        return window.id in self._focus()

    def front(self) -> Window | None:
        focus = self._focus()
        return next((window for window in self.windows() if window.id in focus), None)

    def _focus(self) -> set[int]:
        """Ids of the window that has the focus and of all around it."""
        focus, found = self._display.get_input_focus().focus, set()
        with contextlib.suppress(*self._gone):
            while not isinstance(focus, int):
                found.add(focus.id)
                focus = focus.query_tree().parent
        return found

    def idle_s(self) -> float | None:
        return self._idle.idle_s() if self._idle else None

    def _titled(self, parent: Any, depth: int) -> Iterator[Any]:
        """Titled windows below `parent`, lowest first; nothing inside a titled one."""
        for child in self._children(parent):
            if self._window(child) is not None:
                yield child
            elif depth > 1:
                yield from self._titled(child, depth - 1)

    def _children(self, window: Any) -> list[Any]:
        with contextlib.suppress(*self._gone):
            return list(window.query_tree().children)
        return []

    def _window(self, window: Any) -> Window | None:
        """What is visible and has a title; None for the rest and for what closed meanwhile."""
        with contextlib.suppress(*self._gone):
            title = self._title(window)
            if title and window.get_attributes().map_state == self._x.IsViewable:
                size, at = window.get_geometry(), self._root.translate_coords(window, 0, 0)
                return Window(window.id, title, Box(at.x, at.y, size.width, size.height))
        return None

    def _title(self, window: Any) -> str:
        modern = window.get_full_property(self._atom("_NET_WM_NAME"), self._atom("UTF8_STRING"))
        if modern is not None:
            return _text(modern.value)
        old = window.get_full_property(self._atoms.WM_NAME, self._x.AnyPropertyType)
        return _text(old.value) if old is not None else ""

    def _managed(self) -> bool:
        """Whether a window manager that understands requests to activate is running."""
        check = self._property(self._root, "_NET_SUPPORTING_WM_CHECK")
        if not check:
            return False
        with contextlib.suppress(*self._gone):
            self._display.create_resource_object("window", check[0]).get_geometry()
            return self._property(self._root, "_NET_ACTIVE_WINDOW") is not None
        return False

    def _property(self, window: Any, name: str) -> Any:
        with contextlib.suppress(*self._gone):
            found = window.get_full_property(self._atom(name), self._x.AnyPropertyType)
            return found.value if found is not None else None
        return None

    def _atom(self, name: str) -> int:
        return int(self._display.intern_atom(name))


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


class _Info(ctypes.Structure):
    """XScreenSaverInfo."""

    _fields_ = (
        ("window", ctypes.c_ulong),
        ("state", ctypes.c_int),
        ("kind", ctypes.c_int),
        ("til_or_since", ctypes.c_ulong),
        ("idle_ms", ctypes.c_ulong),
        ("event_mask", ctypes.c_ulong),
    )


class _Idle:
    """Time since the last key or mouse event, by the X server's screen saver extension (libXss)."""

    def __init__(self, xss: Any, display: int, root: int) -> None:
        self._xss, self._display, self._root, self._info = xss, display, root, _Info()

    @classmethod
    def open(cls) -> _Idle | None:
        """None where the library or the extension is missing."""
        try:
            x11, xss = ctypes.CDLL("libX11.so.6"), ctypes.CDLL("libXss.so.1")
        except OSError:
            return None
        x11.XOpenDisplay.restype = ctypes.c_void_p
        x11.XDefaultRootWindow.argtypes, x11.XDefaultRootWindow.restype = [ctypes.c_void_p], ctypes.c_ulong
        xss.XScreenSaverQueryInfo.argtypes = [ctypes.c_void_p, ctypes.c_ulong, ctypes.POINTER(_Info)]
        display = x11.XOpenDisplay(None)
        return cls(xss, display, x11.XDefaultRootWindow(display)) if display else None

    def idle_s(self) -> float | None:
        answered = self._xss.XScreenSaverQueryInfo(self._display, self._root, ctypes.byref(self._info))
        return self._info.idle_ms / 1000 if answered else None
