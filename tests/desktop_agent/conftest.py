"""The display of this test process, and a clipboard on it. pyautogui binds to the first display it sees."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from desktop_agent.clipboard import SystemClipboard
from desktop_agent.flavors.unix import X11Flavors
from desktop_agent.window import Desktop
from tests.support.display import display


@pytest.fixture(scope="session")
def screen() -> Iterator[str]:
    """DISPLAY, set for this process and its children until the session ends."""
    before = {name: os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY")}
    with display() as name:
        os.environ.update(DISPLAY=name, XAUTHORITY=os.devnull)
        os.environ.pop("WAYLAND_DISPLAY", None)
        yield name
        close_what_libraries_left_open()
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@pytest.fixture(scope="session")
def desktop(screen: str) -> Iterator[Desktop]:
    """The real desktop on this display."""
    from desktop_agent.backends.hands import Hands
    from desktop_agent.backends.x11 import X11Windows

    with closing(Hands(X11Windows(), "ctrl")) as hands:
        yield hands


def close_what_libraries_left_open() -> None:
    """pyautogui and its helpers keep connections and pipes in module variables, which warnings make errors."""
    for name in ("pyautogui._pyautogui_x11", "mouseinfo", "pyscreeze"):
        module: Any = sys.modules.get(name)
        if module is None:
            continue
        if hasattr(module, "_display"):
            module._display.close()
        which = getattr(module, "whichProc", None)
        for pipe in (which.stdout, which.stderr) if which else ():
            pipe.close()


@pytest.fixture
def x11(screen: str) -> SystemClipboard:
    """The real X11 clipboard by pyperclip and xclip, holding `mine`."""
    import pyperclip

    pyperclip.set_clipboard("xclip")
    clipboard = SystemClipboard(kinds=X11Flavors())
    clipboard.write("mine")
    return clipboard
