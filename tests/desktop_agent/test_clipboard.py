"""The system's clipboard: through a pyperclip whose answers are scripted, and the real one of X11."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyperclip
import pytest

from desktop_agent import clipboard
from desktop_agent.clipboard import NoClipboard, SystemClipboard, guarded
from tests.mcp.test_relay import ROOT
from tests.support.waiting import eventually_sync


def scripted(monkeypatch: pytest.MonkeyPatch, *reads: str) -> list[str]:
    """Let reads give these texts, the last one for ever; the list tells which are still to come."""
    left = list(reads)
    monkeypatch.setattr(pyperclip, "copy", lambda text: None)
    monkeypatch.setattr(pyperclip, "paste", lambda: left.pop(0) if len(left) > 1 else left[0])
    monkeypatch.setattr(clipboard, "_STEP_S", 0)
    return left


def test_a_write_returns_only_when_the_text_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    left = scripted(monkeypatch, "old", "", "new\r\nline", "later")
    SystemClipboard().write("new\nline")
    assert left == ["later"]


def test_a_clipboard_that_another_program_keeps_replacing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, "theirs")
    with pytest.raises(NoClipboard, match="another program"):
        SystemClipboard().write("ours")


@pytest.mark.display
def test_a_pipe_behind_a_command_ends_although_the_clipboard_keeps_its_text(x11: SystemClipboard) -> None:
    code = "from desktop_agent.clipboard import SystemClipboard\nSystemClipboard().write('kept')\nprint('done')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert (done.stdout, x11.read()) == ("done\n", "kept"), done.stderr


HTML = "<h1>naïve 🦀</h1>" + "<p>long</p>" * 40_000
RICH = {
    "text/html": HTML.encode(),
    "UTF8_STRING": "naïve 🦀 long".encode(),
    "text/rtf": b"{\\rtf1 naive}",
    "image/png": b"\x89PNG" + bytes(range(256)) * 2000,
    "application/x-own": b"\0\1\2",
}


def target(name: str) -> bytes:
    """What another program gets when it asks the clipboard for this."""
    command = ["xclip", "-selection", "clipboard", "-o", "-t", name]
    return subprocess.run(command, capture_output=True, timeout=20).stdout


@pytest.mark.display
def test_everything_that_was_on_the_clipboard_comes_back_to_every_program_that_asks(x11: SystemClipboard) -> None:
    x11.restore(RICH)
    with guarded(x11, pytest.fail) as guard:
        x11.write(guard.note("ours"))
        assert x11.html() == ""
    assert {name: target(name) for name in RICH} == RICH
    assert {target(name) for name in ("STRING", "text/plain", "text/plain;charset=utf-8", "TEXT")} == {
        RICH["UTF8_STRING"]
    }
    assert x11.read() == "naïve 🦀 long"
    assert int.from_bytes(subprocess.check_output(["xclip", "-selection", "clipboard", "-o", "-t", "TIMESTAMP"])) > 0


@pytest.mark.display
def test_a_file_managers_files_come_back_and_files_can_be_put_there(x11: SystemClipboard, tmp_path: Path) -> None:
    theirs, ours = (tmp_path / "my report.txt", tmp_path / "ü.png"), (tmp_path / "ours.txt",)
    x11.put_files(theirs)
    assert target("x-special/gnome-copied-files").decode().split("\n") == ["copy", *(p.as_uri() for p in theirs)]
    with guarded(x11, pytest.fail) as guard:
        x11.put_files(guard.note_files(ours))
        assert target("text/uri-list").decode() == f"{ours[0].as_uri()}\r\n"
    assert (x11.files(), x11.read()) == (theirs, "\n".join(map(str, theirs)))


@pytest.mark.display
def test_what_another_program_copied_meanwhile_stays(x11: SystemClipboard, tmp_path: Path) -> None:
    with guarded(x11, pytest.fail) as guard:
        x11.put_files(guard.note_files([tmp_path]))
        x11.restore({"text/html": b"<b>theirs</b>", "UTF8_STRING": b"theirs"})
    assert (x11.html(), x11.read()) == ("<b>theirs</b>", "theirs")


@pytest.mark.display
def test_the_program_that_holds_the_clipboard_ends_when_somebody_copies(x11: SystemClipboard) -> None:
    x11.restore(RICH)
    mine = [p for p in Path("/proc").glob("[0-9]*") if holds(p)]
    assert mine
    x11.write("new")
    eventually_sync(lambda: not any(map(holds, mine)), what="the holder's end")


def holds(process: Path) -> bool:
    """Whether it is a holder on this test's display."""
    try:
        command, env = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
    except OSError:
        return False
    return b"desktop_agent.holder" in command and f"DISPLAY={os.environ['DISPLAY']}\0".encode() in env
