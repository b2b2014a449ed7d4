"""What `doctor` looks at on the desktop. Changes nothing: the clipboard holds afterwards what it held before."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from desktop_agent.backends import open_desktop, reason_against
from desktop_agent.clipboard import Clipboard, NoClipboard, SystemClipboard, guarded
from desktop_agent.window import Desktop, NoDesktop


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at, and what to do when it is not well."""

    name: str
    fine: bool
    found: str
    fix: str = ""


def look(platform: str = sys.platform, env: Mapping[str, str] | None = None) -> list[Finding]:
    """Display and keys, windows, the screen's picture, and a clipboard round trip."""
    against = reason_against(platform, os.environ if env is None else env)
    if against:
        return [Finding("desktop", False, against, "`mcp-bridge desktop assist` works on any desktop with a clipboard")]
    try:
        desktop = open_desktop()
    except NoDesktop as error:
        return [
            Finding("desktop", False, str(error), "pip install 'multi-agent-bridge[desktop]', in a desktop session")
        ]
    return [*desktop_findings(desktop), clipboard_finding(SystemClipboard())]


def desktop_findings(desktop: Desktop) -> list[Finding]:
    """Whether windows, pictures and idle time can be seen."""
    try:
        windows, screen = desktop.windows(), desktop.screen()
    except NoDesktop as error:
        return [Finding("desktop", False, str(error), "give the permission it names, then start again")]
    shown = f"{screen.width}×{screen.height}, {len(windows)} windows"
    picture = desktop.picture(screen)
    step = max(1, picture.width * picture.height // 1000)
    colours = len({picture.rgb[i : i + 3] for i in range(0, len(picture.rgb), 3 * step)})
    idle = desktop.idle_s()
    return [
        Finding("desktop", True, shown),
        Finding(
            "screen",
            colours > 1,
            f"{colours} colours in a sample",
            "a picture of one colour: on macOS allow Screen Recording for this terminal (answers come later without)",
        ),
        Finding(
            "idle time",
            idle is not None,
            "known" if idle is not None else "not known",
            "without it keys you press are not noticed; on X11 install libXss (Debian: libxss1)",
        ),
    ]


def clipboard_finding(clipboard: Clipboard) -> Finding:
    """Text written can be read back, and what was there comes back."""
    told: list[str] = []
    text = f"mcp-bridge doctor {secrets.token_hex(4)} ✓ 🦀"
    try:
        with guarded(clipboard, told.append) as guard:
            clipboard.write(guard.note(text))
            fine = clipboard.read() == text
    except NoClipboard as error:
        return Finding("clipboard", False, str(error), "on Linux: install xclip (X11) or wl-clipboard (Wayland)")
    return Finding("clipboard", fine and not told, "a round trip" if not told else told[0], "close clipboard managers")
