"""The Windows and macOS parts on recorded calls, and the clipboard programs of every system. Not run on the real ones."""

from __future__ import annotations

import base64
import ctypes
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desktop_agent.backends.macos import MacWindows
from desktop_agent.backends.windows import WindowsWindows
from desktop_agent.clipboard import NoClipboard, SystemClipboard
from desktop_agent.flavors import MOST_BYTES, of_this_system
from desktop_agent.flavors.macos import MacFlavors
from desktop_agent.flavors.unix import WaylandFlavors, X11Flavors, in_time, paths_of, saved
from desktop_agent.flavors.windows import WindowsFlavors
from desktop_agent.window import Box, Window

PNG = b"\x89PNG\r\n\x1a\nsmall"
RICH = {"UnicodeText": "é".encode(), "HTML Format": b"Version:0.9", "PNG": PNG, "FileDrop": b"C:\\a\nC:\\b"}


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
    offered = Programs(TARGETS=b"TARGETS\nTIMESTAMP\nimage/png\nimage/bmp\nSTRING", png=PNG, STRING=b"caf\xe9")
    assert X11Flavors().html(offered) == ""
    assert X11Flavors().files(offered) == ()
    assert X11Flavors().save(offered) == {"image/png": PNG, "UTF8_STRING": "café".encode()}
    assert not any("bmp" in word for command, _ in offered.run for word in command)


def test_x11_html_may_come_as_utf_16() -> None:
    assert X11Flavors().html(Programs(TARGETS=b"text/html", html="<b>é</b>".encode("utf-16"))) == "<b>é</b>"


def test_more_than_a_clipboard_should_hold_is_not_kept() -> None:
    large = b"x" * (MOST_BYTES - 1)
    assert [*saved([("a", large), ("b", b"xx"), ("c", b"x")])] == ["a", "c"]


def test_an_owner_that_hangs_does_not_hold_up_the_agent_and_text_comes_first() -> None:
    times = iter([0.0, 0.1, 4.9, 5.1, 99.0])
    assert [*in_time(["text/html", "STRING", "image/png", "x"], lambda: next(times))] == ["STRING", "text/html"]


@given(st.lists(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1), max_size=4))
def test_paths_survive_the_list_of_addresses(names: list[str]) -> None:
    paths = tuple(Path("/tmp/files") / name for name in names if name not in (".", ".."))
    uris = "# a comment\r\n" + "".join(f"{path.as_uri()}\r\n" for path in paths)
    assert paths_of(uris.encode()) == paths


def test_wayland_uses_wl_clipboard_and_keeps_the_one_kind_it_can_give_back() -> None:
    programs = Programs(**{"list": b"text/html\nimage/png\ntext/plain", "type text/html": b"<b>x</b>", "type": b"x"})
    wayland = WaylandFlavors()
    assert wayland.html(programs) == "<b>x</b>"
    assert wayland.save(programs) == {"UTF8_STRING": b"x"}
    assert wayland.save(Programs(list=b"text/html\nimage/png", type=PNG)) == {"image/png": PNG}
    assert wayland.save(Programs()) == {}
    copying = Programs(**{"wl-copy": b""})
    assert wayland.restore(copying, {"image/png": PNG})
    assert wayland.put_files(copying, [Path("/a b")])
    assert copying.run == [
        (["wl-copy", "--type", "image/png"], PNG),
        (["wl-copy", "--type", "text/uri-list"], b"file:///a%20b\r\n"),
    ]


def test_macos_keeps_every_type_of_every_item_and_gives_them_back() -> None:
    items = b'[{"public.utf8-plain-text":"eA==","public.html":"PGI+"},{"public.file-url":"ZmlsZTovLy9h"}]'
    programs = Programs(**{"«class HTML»": "«data HTML3C623E78»".encode(), "JavaScript": items + b"\n"})
    mac = MacFlavors()
    assert mac.html(programs) == "<b>x"
    kinds = mac.save(programs)
    assert mac.restore(programs, kinds)
    command, script = programs.run[-1]
    assert command == ["osascript", "-l", "JavaScript", "-"]
    assert f"const made = {items.decode()}.map(" in script.decode()
    assert mac.save(Programs(JavaScript=b"[]\n")) == {}
    assert not mac.restore(Programs(), kinds), "a program that fails is no success"


def test_macos_puts_files_there_as_addresses_and_reads_their_paths() -> None:
    programs = Programs(JavaScript='["/tmp/a b.txt", "/tmp/ü"]\n'.encode())
    assert MacFlavors().files(programs) == (Path("/tmp/a b.txt"), Path("/tmp/ü"))
    assert MacFlavors().put_files(programs, [Path('/tmp/a "b".txt')])
    assert '["/tmp/a \\"b\\".txt"].map((path) => $.NSURL.fileURLWithPath(path))' in programs.run[-1][1].decode()


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node to read the scripts")
def test_the_scripts_for_macos_are_javascript() -> None:
    programs = Programs(JavaScript=b"[]")
    mac = MacFlavors()
    mac.save(programs)
    mac.files(programs)
    mac.restore(programs, {"pasteboard items": b"[{}]"})
    mac.put_files(programs, [Path("/a")])
    for _, script in programs.run:
        done = subprocess.run(["node", "--check", "-"], input=script, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()


def test_windows_passes_bytes_as_base64_and_html_without_its_envelope() -> None:
    envelope = "Version:0.9\r\n<html><!--StartFragment--><b>é</b><!--EndFragment--></html>"
    found = {name: base64.b64encode(data).decode() for name, data in RICH.items()}
    programs = Programs(
        GetText=base64.b64encode(envelope.encode()), GetDataObject=json.dumps(found).encode(), SetData=b""
    )
    assert WindowsFlavors().html(programs) == "<b>é</b>"
    kinds = WindowsFlavors().save(programs)
    assert kinds == RICH
    assert WindowsFlavors().restore(programs, kinds)
    assert json.loads(programs.run[-1][1]) == found
    assert WindowsFlavors().save(Programs()) == {}


def test_windows_puts_files_there_as_explorer_does_and_reads_their_paths() -> None:
    listed = base64.b64encode("C:\\a b.txt\nC:\\ü.png".encode())
    programs = Programs(GetFileDropList=listed, SetFileDropList=b"")
    assert WindowsFlavors().files(programs) == (Path("C:\\a b.txt"), Path("C:\\ü.png"))
    assert WindowsFlavors().files(Programs(GetFileDropList=b"")) == ()
    putting = Programs(SetFileDropList=b"")
    assert WindowsFlavors().put_files(putting, [Path("C:\\a b.txt"), Path("C:\\ü.png")])
    assert json.loads(putting.run[-1][1]) == {"FileDrop": listed.decode()}


def test_each_system_gets_its_own_programs() -> None:
    kinds = [
        type(of_this_system(name, env)).__name__
        for name, env in [("win32", {}), ("darwin", {}), ("linux", {"WAYLAND_DISPLAY": "w"}), ("linux", {})]
    ]
    assert kinds == ["WindowsFlavors", "MacFlavors", "WaylandFlavors", "X11Flavors"]


def test_contents_that_cannot_be_put_back_are_an_error_and_not_silence() -> None:
    with pytest.raises(NoClipboard, match="image/png"):
        SystemClipboard(Programs(), X11Flavors()).restore({"image/png": PNG})
    with pytest.raises(NoClipboard, match="files cannot be put"):
        SystemClipboard(Programs(), X11Flavors()).put_files([Path("/a")])
