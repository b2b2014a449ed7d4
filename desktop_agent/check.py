"""What `doctor` looks at on the desktop. Changes nothing: the clipboard holds afterwards what it held before."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

from desktop_agent.backends import open_desktop, reason_against
from desktop_agent.clipboard import Clipboard, NoClipboard, SystemClipboard, guarded
from desktop_agent.window import Desktop, NoDesktop

_LIBRARIES: Final = ("pyautogui", "pyperclip", "mss", "PIL", "markdownify")
_PACKAGES: Final = {"wl-copy": "wl-clipboard", "wl-paste": "wl-clipboard"}
_SETTINGS: Final = "System Settings > Privacy & Security >"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at, and what to do when it is not well. `optional`: all else works without it."""

    name: str
    fine: bool
    found: str
    fix: str = ""
    optional: bool = False


def look(platform: str = sys.platform, env: Mapping[str, str] | None = None) -> list[Finding]:
    """Programs and libraries, display, permissions, windows, the screen's picture, and a clipboard round trip."""
    env = os.environ if env is None else env
    findings = [*tool_findings(platform, env)]
    against = reason_against(platform, env)
    if against:
        findings.append(
            Finding("desktop", False, against, "`mcp-bridge desktop assist` works on any desktop with a clipboard")
        )
        return [*findings, clipboard_finding(SystemClipboard())] if "WAYLAND_DISPLAY" in env else findings
    if platform == "darwin":
        findings += mac_permissions(mac_library())
    try:
        desktop = open_desktop()
    except NoDesktop as error:
        fix = "pip install 'multi-agent-bridge[desktop]', and run this inside a desktop session"
        return [*findings, Finding("desktop", False, str(error), fix)]
    with closing(desktop):
        return [*findings, *desktop_findings(desktop), clipboard_finding(SystemClipboard())]


def tool_findings(
    platform: str,
    env: Mapping[str, str],
    which: Callable[[str], object] = shutil.which,
    library: Callable[[str], object] = find_spec,
) -> list[Finding]:
    """The programs and libraries that the agent needs here, and Tk for the small window."""
    wanted = programs(platform, env)
    absent = [program for program in wanted if not which(program)]
    packages = sorted({_PACKAGES.get(program, program) for program in absent})
    missing = [name for name in _LIBRARIES if not library(name)]
    return [
        Finding(
            "programs",
            not absent,
            f"{', '.join(absent)} missing" if absent else ", ".join(wanted),
            f"install {' '.join(packages)} (Debian: apt install {' '.join(packages)})"
            if platform == "linux"
            else "it comes with the system: correct PATH",
        ),
        Finding(
            "libraries",
            not missing,
            f"{', '.join(missing)} missing" if missing else ", ".join(_LIBRARIES),
            "pip install 'multi-agent-bridge[desktop]'",
        ),
        Finding(
            "small window",
            bool(library("_tkinter")),
            "Tk is there" if library("_tkinter") else "this Python has no Tk: no window with Pause, Stop and questions",
            "install Tk for this Python (Debian: apt install python3-tk); Ctrl-C and the corner stop it without",
            optional=True,
        ),
    ]


def programs(platform: str, env: Mapping[str, str]) -> tuple[str, ...]:
    """The programs by which this system's clipboard and windows are reached."""
    if platform == "win32":
        return ("powershell",)
    if platform == "darwin":
        return ("osascript",)
    return ("wl-copy", "wl-paste") if env.get("WAYLAND_DISPLAY") else ("xclip",)


def mac_library() -> Any:
    """The system's library that knows the permissions."""
    library = ctypes.CDLL("/System/Library/Frameworks/ApplicationServices.framework/ApplicationServices")
    library.AXIsProcessTrusted.restype = library.CGPreflightScreenCaptureAccess.restype = ctypes.c_bool
    return library


def mac_permissions(library: Any) -> list[Finding]:
    """Whether macOS lets this program press keys, and see other programs' windows. Asks, and shows no dialog."""
    presses, sees = bool(library.AXIsProcessTrusted()), bool(library.CGPreflightScreenCaptureAccess())
    return [
        Finding(
            "accessibility",
            presses,
            "allowed" if presses else "macOS drops every key and click of this program",
            f"allow this terminal under {_SETTINGS} Accessibility, then start it again",
        ),
        Finding(
            "screen recording",
            sees,
            "allowed" if sees else "windows look empty: answers come later, and files are refused",
            f"allow this terminal under {_SETTINGS} Screen Recording, then start it again",
            optional=True,
        ),
    ]


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
            "a picture of one colour, so answers are only looked for now and then: unlock the screen, switch it on",
            optional=True,
        ),
        Finding(
            "idle time",
            idle is not None,
            "known" if idle is not None else "not known",
            "without it keys you press are not noticed; on X11 install libXss (Debian: apt install libxss1)",
            optional=True,
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
