"""Desktops the agent can drive: which one this is, opened when asked for and never at import."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from desktop_agent.window import Desktop, NoDesktop


def reason_against(platform: str, env: Mapping[str, str]) -> str:
    """Why keys and mouse cannot be used here; empty when they can."""
    if platform in ("win32", "darwin"):
        return ""
    if env.get("WAYLAND_DISPLAY") or env.get("XDG_SESSION_TYPE") == "wayland":
        return (
            "this is a Wayland session, where no program may type into another's window; "
            "use `mcp-bridge desktop assist`, or log in to an X11 session"
        )
    if not env.get("DISPLAY"):
        return "there is no display here (DISPLAY is not set); run this inside a desktop session"
    return ""


def open_desktop() -> Desktop:
    """This machine's desktop. Raises NoDesktop with the reason and what works instead."""
    against = reason_against(sys.platform, os.environ)
    if against:
        raise NoDesktop(against)
    from desktop_agent.backends.hands import Hands

    if sys.platform == "win32":
        from desktop_agent.backends.windows import WindowsWindows, user32

        return Hands(WindowsWindows(user32()), "ctrl")
    if sys.platform == "darwin":
        from desktop_agent.backends.macos import MacWindows, osascript

        return Hands(MacWindows(osascript), "command")
    from desktop_agent.backends.x11 import X11Windows

    return Hands(X11Windows(), "ctrl")
