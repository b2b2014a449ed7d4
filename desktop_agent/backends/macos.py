"""Windows of macOS, by System Events through osascript (JavaScript). Tested on recorded calls only.

Needs the Accessibility permission for the terminal (or the program) that runs the agent.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from typing import Any, Final

from desktop_agent.window import Box, NoDesktop, Window

# runs a script: its output. Raises NoDesktop when the system refuses.
Script = Callable[[str], str]
_TIMEOUT_S: Final = 15

_LIST: Final = """
const out = [];
for (const p of Application("System Events").processes.whose({visible: true, backgroundOnly: false})()) {
  let n = 0;
  for (const w of p.windows()) {
    try { out.push([p.unixId(), n, w.name() || p.name(), w.position(), w.size()]); } catch (e) {}
    n += 1;
  }
}
JSON.stringify(out.reverse());
"""
_RAISE: Final = """
const p = Application("System Events").processes.whose({unixId: PID})[0];
const w = p.windows.whose({name: TITLE})[0];
w.actions.byName("AXRaise").perform();
p.frontmost = true;
"""
_FRONT: Final = """
const p = Application("System Events").processes.whose({frontmost: true})[0];
JSON.stringify([p.unixId(), p.windows().length ? (p.windows()[0].name() || p.name()) : ""]);
"""


def osascript(script: str) -> str:
    """Run JavaScript for Automation."""
    try:
        done = subprocess.run(
            ["osascript", "-l", "JavaScript", "-"], input=script, capture_output=True, text=True, timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoDesktop(f"osascript did not answer ({error})") from error
    if done.returncode:
        raise NoDesktop(
            f"macOS refused ({done.stderr.strip()[:200]}); allow this terminal under System Settings > "
            "Privacy & Security > Accessibility (and Screen Recording)"
        )
    return done.stdout


class MacWindows:
    """Windows of visible programs. An id is the program's process id and the window's title."""

    def __init__(self, script: Script, ioreg: Callable[[], str] | None = None) -> None:
        self._script = script
        self._ioreg = ioreg or _hid_system

    def close(self) -> None:
        """Nothing was opened."""

    def windows(self) -> tuple[Window, ...]:
        rows: list[Any] = json.loads(self._script(_LIST))
        return tuple(
            Window(f"{pid}:{title}", title, Box(int(at[0]), int(at[1]), int(size[0]), int(size[1])))
            for pid, _, title, at, size in rows
            if title
        )

    def activate(self, window: Window) -> None:
        pid, _, title = str(window.id).partition(":")
        self._script(_RAISE.replace("PID", str(int(pid))).replace("TITLE", json.dumps(title)))

    def is_active(self, window: Window) -> bool:
        return self._front() == window.id

    def front(self) -> Window | None:
        front = self._front()
        return next((window for window in self.windows() if window.id == front), None)

    def _front(self) -> str:
        pid, title = json.loads(self._script(_FRONT))
        return f"{pid}:{title}"

    def idle_s(self) -> float | None:
        found = re.search(r'"HIDIdleTime" = (\d+)', self._ioreg())
        return int(found[1]) / 1e9 if found else None


def _hid_system() -> str:
    try:
        return subprocess.run(
            ["ioreg", "-c", "IOHIDSystem", "-d", "4"], capture_output=True, text=True, timeout=_TIMEOUT_S
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
