"""The Windows and macOS parts on recorded calls, and the clipboard programs of every system. Not run on the real ones."""

from __future__ import annotations

import base64
import ctypes
import json
from typing import Any, ClassVar

import pytest

from desktop_agent.backends.macos import MacWindows
from desktop_agent.backends.windows import WindowsWindows
from desktop_agent.clipboard import NoClipboard, SystemClipboard
from desktop_agent.flavors import MacFlavors, WaylandFlavors, WindowsFlavors, X11Flavors, of_this_system
from desktop_agent.window import Box, Window

PNG = b"\x89PNG\r\n\x1a\nsmall"


class User32:
    """Three windows: `Chat` in front of a hidden and of a minimised one; notes what acts."""

    titles: ClassVar = {11: "Chat", 12: "Hidden", 13: "Small"}

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.foreground = 13

    def GetTopWindow(self, parent: None) -> int:
        return 11

    def GetWindow(self, handle: int, relation: int) -> int:
        assert relation == 2
        return handle + 1 if handle < 13 else 0

    def IsWindowVisible(self, handle: int) -> bool:
        return handle != 12

    def IsIconic(self, handle: int) -> bool:
        return handle == 13

    def GetWindowTextW(self, handle: int, into: Any, most: int) -> int:
        into.value = self.titles[handle]
        return len(into.value)

    def GetWindowRect(self, handle: int, into: Any) -> bool:
        into._obj.left, into._obj.top, into._obj.right, into._obj.bottom = -10, 20, 390, 620
        return True

    def GetForegroundWindow(self) -> int:
        return self.foreground

    def SetForegroundWindow(self, handle: int) -> None:
        self.calls.append(("SetForegroundWindow", handle))
        self.foreground = handle

    def ShowWindow(self, handle: int, how: int) -> None:
        self.calls.append(("ShowWindow", handle, how))

    def keybd_event(self, *arguments: int) -> None:
        self.calls.append(("keybd_event", *arguments))

    def GetLastInputInfo(self, into: Any) -> bool:
        into._obj.at_ms = 2**32 - 500
        return bool(into._obj.size == ctypes.sizeof(into._obj))

    def GetTickCount(self) -> int:
        return 1000


def test_on_windows_visible_titled_windows_are_listed_activated_and_compared() -> None:
    user32 = User32()
    windows = WindowsWindows(user32)
    chat = Window(11, "Chat", Box(-10, 20, 400, 600))
    assert windows.windows() == (chat,)
    assert not windows.is_active(chat)
    assert windows.front() is None, "the minimised one is no place to go back to"
    windows.activate(chat)
    assert user32.calls == [
        ("keybd_event", 0x12, 0, 0, 0),
        ("SetForegroundWindow", 11),
        ("keybd_event", 0x12, 0, 2, 0),
    ]
    assert windows.is_active(chat)
    assert windows.front() == chat
    windows.activate(Window(13, "Small", Box(0, 0, 1, 1)))
    assert ("ShowWindow", 13, 9) in user32.calls


def test_on_windows_idle_time_survives_the_counter_turning_over() -> None:
    assert WindowsWindows(User32()).idle_s() == 1.5


class Mac:
    """System Events with two programs; the second script asks for the front one."""

    def __init__(self) -> None:
        self.scripts: list[str] = []
        self.front = [7, "Chat"]

    def __call__(self, script: str) -> str:
        self.scripts.append(script)
        if "frontmost: true" in script:
            return json.dumps(self.front) + "\n"
        if "AXRaise" in script:
            return ""
        return json.dumps([[9, 0, "Mail", [0, 25], [800, 600]], [7, 0, "Chat", [10, 50], [400, 500]]]) + "\n"


def test_on_macos_windows_are_listed_raised_by_name_and_compared() -> None:
    mac = Mac()
    windows = MacWindows(mac, lambda: '    "HIDIdleTime" = 2500000000\n')
    mail, chat = windows.windows()
    assert chat == Window("7:Chat", "Chat", Box(10, 50, 400, 500))
    assert (windows.is_active(chat), windows.is_active(mail)) == (True, False)
    assert windows.front() == chat
    windows.activate(Window('9:a "quoted" one', 'a "quoted" one', mail.box))
    assert "unixId: 9" in mac.scripts[-1]
    assert 'name: "a \\"quoted\\" one"' in mac.scripts[-1]
    assert windows.idle_s() == 2.5
    assert MacWindows(mac, lambda: "").idle_s() is None


class Programs:
    """Answers by the last word of the command; notes what was run and given."""

    def __init__(self, **answers: bytes) -> None:
        self.answers = answers
        self.run: list[tuple[list[str], bytes]] = []

    def __call__(self, command: list[str], data: bytes) -> bytes | None:
        self.run.append((command, data))
        return next((out for word, out in self.answers.items() if word in " ".join(command)), None)


def test_x11_asks_only_for_what_is_offered() -> None:
    offered = Programs(TARGETS=b"TARGETS\nimage/png\n", png=PNG)
    assert X11Flavors().image(offered) == PNG
    assert X11Flavors().html(offered) == ""
    assert X11Flavors().put_image(offered, PNG)
    assert offered.run[-1] == (["xclip", "-selection", "clipboard", "-t", "image/png", "-i"], PNG)


def test_x11_html_may_come_as_utf_16() -> None:
    assert X11Flavors().html(Programs(TARGETS=b"text/html", html="<b>é</b>".encode("utf-16"))) == "<b>é</b>"


def test_wayland_uses_wl_clipboard() -> None:
    programs = Programs(list=b"text/html\nimage/png", html=b"<b>x</b>", png=PNG)
    assert WaylandFlavors().html(programs) == "<b>x</b>"
    assert WaylandFlavors().image(programs) == PNG
    assert WaylandFlavors().put_image(programs, PNG)
    assert programs.run[-1][0] == ["wl-copy", "--type", "image/png"]
    assert WaylandFlavors().image(Programs()) == b""


def test_macos_passes_bytes_as_hexadecimal() -> None:
    programs = Programs(HTML="«data HTML3C623E78»".encode(), PNGf=f"«data PNGf{PNG.hex()}»".encode(), osascript=b"")
    assert MacFlavors().html(programs) == "<b>x"
    assert MacFlavors().image(programs) == PNG
    assert MacFlavors().put_image(programs, PNG)
    assert programs.run[-1][1].decode() == f"set the clipboard to «data PNGf{PNG.hex().upper()}»"


def test_windows_passes_bytes_as_base64_and_html_without_its_envelope() -> None:
    envelope = "Version:0.9\r\n<html><!--StartFragment--><b>é</b><!--EndFragment--></html>"
    programs = Programs(GetText=base64.b64encode(envelope.encode()), GetImage=base64.b64encode(PNG), SetImage=b"")
    assert WindowsFlavors().html(programs) == "<b>é</b>"
    assert WindowsFlavors().image(programs) == PNG
    assert WindowsFlavors().put_image(programs, PNG)
    assert base64.b64decode(programs.run[-1][1]) == PNG
    assert WindowsFlavors().image(Programs(GetImage=b"")) == b""


def test_each_system_gets_its_own_programs() -> None:
    kinds = [
        type(of_this_system(name, env)).__name__
        for name, env in [("win32", {}), ("darwin", {}), ("linux", {"WAYLAND_DISPLAY": "w"}), ("linux", {})]
    ]
    assert kinds == ["WindowsFlavors", "MacFlavors", "WaylandFlavors", "X11Flavors"]


def test_a_picture_that_cannot_be_put_back_is_an_error_and_not_silence() -> None:
    with pytest.raises(NoClipboard, match="picture"):
        SystemClipboard(Programs(), X11Flavors()).put_image(PNG)
