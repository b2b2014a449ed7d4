"""The system's clipboard through a pyperclip whose answers are scripted."""

from __future__ import annotations

import subprocess
import sys

import pyperclip
import pytest

from desktop_agent import clipboard
from desktop_agent.clipboard import NoClipboard, SystemClipboard
from tests.mcp.test_relay import ROOT


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
