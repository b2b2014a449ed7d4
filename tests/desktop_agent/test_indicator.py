"""The small window with Pause and Stop, on a real display."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from desktop_agent.asking import Ask
from desktop_agent.control import Stopped, Switch
from desktop_agent.indicator import Indicator
from desktop_agent.window import Desktop, Point, Window
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.display, pytest.mark.timeout(300)]


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


ASK = Ask("alice in plan", "Is this\n" * 30 + "right? 🦀", "Type it into the window and send it?")


def height(desktop: Desktop) -> int:
    window = panel(desktop)
    return window.box.height if window else 0


async def asked(desktop: Desktop, indicator: Indicator) -> tuple[asyncio.Task[bool | None], Window]:
    low = height(desktop)
    task = asyncio.create_task(indicator.ask(ASK))
    await eventually(lambda: height(desktop) > low + 100, within_s=20, what="the question")
    window = panel(desktop)
    assert window is not None
    return task, window


async def pressed_until(desktop: Desktop, window: Window, right: int, task: asyncio.Task[bool | None]) -> bool | None:
    """Press the button at the lower edge; it does not work in the first moment."""
    place = Point(window.box.left + right, window.box.top + window.box.height - 22)
    while not task.done():
        desktop.click(place)
        await asyncio.wait([task], timeout=0.3)
    return task.result()


async def test_a_question_is_answered_by_its_buttons_and_goes_when_it_is_answered_elsewhere(desktop: Desktop) -> None:
    switch = Switch()
    indicator = await Indicator.start(switch)
    obeying = asyncio.create_task(indicator.obey())
    try:
        await eventually(lambda: panel(desktop), within_s=20)
        low = height(desktop)
        task, window = await asked(desktop, indicator)
        assert await pressed_until(desktop, window, 40, task) is True
        await eventually(lambda: height(desktop) == low)
        task, window = await asked(desktop, indicator)
        assert await pressed_until(desktop, window, 125, task) is False
        task, window = await asked(desktop, indicator)
        task.cancel()
        await eventually(lambda: height(desktop) == low, what="the question is away")
        assert not obeying.done(), "no click stopped or paused the agent"
        assert not switch.paused
        task, window = await asked(desktop, indicator)
        indicator._process.kill()
        assert await task is None
        assert await indicator.ask(ASK) is None
    finally:
        obeying.cancel()
        await indicator.close()


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
    assert await indicator.ask(ASK) is None
    obeying.cancel()
    await indicator.close()
