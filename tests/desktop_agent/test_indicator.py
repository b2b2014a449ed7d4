"""The small window with Pause and Stop, on a real display."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from desktop_agent.control import Stopped, Switch
from desktop_agent.indicator import Indicator
from desktop_agent.window import Desktop, Point, Window
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.display]


def panel(desktop: Desktop) -> Window | None:
    return next((window for window in desktop.windows() if window.title == "Desktop agent"), None)


def at(window: Window, right: int, down: int) -> Point:
    return Point(window.box.left + right, window.box.top + down)


async def test_pause_resume_and_stop_do_what_they_say(desktop: Desktop) -> None:
    switch = Switch()
    indicator = await Indicator.start(switch)
    obeying = asyncio.create_task(indicator.obey())
    window = await eventually(lambda: panel(desktop), within_s=20)
    indicator.show("helper: typed")
    await pressed(desktop, window, 40, lambda: switch.paused)
    await pressed(desktop, window, 40, lambda: not switch.paused)
    await pressed(desktop, window, 130, lambda: switch.stopped)
    with pytest.raises(Stopped):
        await obeying
    await indicator.close()
    assert panel(desktop) is None


async def pressed(desktop: Desktop, window: Window, right: int, done: object) -> None:
    """Click a button that may not be drawn yet, until it worked."""
    assert callable(done)
    desktop.click(at(window, right, 52))
    await eventually(done, within_s=10)


async def test_without_tk_the_agent_works_on_and_nothing_stops(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tkinter.py").write_text("raise ImportError('no Tk')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", sys.executable)
    switch = Switch()
    indicator = await Indicator.start(switch)
    obeying = asyncio.create_task(indicator.obey())
    await eventually(lambda: indicator._process.returncode is not None, within_s=20)
    indicator.show("still working")
    assert (obeying.done(), switch) == (False, Switch())
    obeying.cancel()
    await indicator.close()
