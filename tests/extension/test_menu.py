"""The context menu as a person uses it, with keys on a screen: no program can press it otherwise."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from Xlib import XK, X
from Xlib.ext import xtest

from desktop_agent.backends.x11 import connected
from tests.extension.conftest import Desk
from tests.extension.plain import plain_desk
from tests.support.display import display
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.display]

OPEN = "async () => (await chrome.tabs.create({url: 'https://near.example/plain'})).id"
READ = """(tab) => chrome.scripting.executeScript({target: {tabId: tab}, func: () => document.body.innerText})
    .then(([got]) => got.result, (error) => String(error))"""


class Hands:
    """Keys on an X display without a window manager."""

    def __init__(self) -> None:
        self._display = connected()
        self._root = self._display.screen().root

    def close(self) -> None:
        self._display.close()

    def ask_for_menu(self) -> None:
        """By the keyboard's key for it, in the browser's page; the pointer is away, for it would choose too."""
        xtest.fake_input(self._display, X.MotionNotify, x=1279, y=899)
        browser = max(self._shown(), key=lambda window: window.get_geometry().width)
        browser.set_input_focus(X.RevertToParent, X.CurrentTime)
        self._key("Menu")

    def menu(self) -> bool:
        """Whether a menu is open: a window that asks no window manager."""
        return any(w.get_attributes().override_redirect and w.get_geometry().height > 100 for w in self._shown())

    def choose(self) -> None:
        """The extension's item: above Inspect and View page source, which are the last."""
        for name in ("Up", "Up", "Up", "Return"):
            self._key(name)

    def _shown(self) -> list[Any]:
        return [w for w in self._root.query_tree().children if w.get_attributes().map_state == X.IsViewable]

    def _key(self, name: str) -> None:
        self._press(X.KeyPress, X.KeyRelease, self._display.keysym_to_keycode(XK.string_to_keysym(name)))

    def _press(self, down: int, up: int, what: int) -> None:
        xtest.fake_input(self._display, down, what)
        xtest.fake_input(self._display, up, what)
        self._display.sync()


async def test_a_click_in_the_context_menu_is_the_permission_to_read_that_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of a site that the extension may not read; the person asks for it, and it may."""
    with display() as screen:
        monkeypatch.setenv("DISPLAY", screen)
        monkeypatch.setenv("XAUTHORITY", os.devnull)
        async with plain_desk(tmp_path, screen=screen) as desk:
            tab = await desk.ui.evaluate(OPEN)

            async def refused() -> bool:
                return "Cannot access contents of the page" in str(await desk.ui.evaluate(READ, tab))

            await eventually(refused, what="the page is there and closed to the extension")
            with closing(Hands()) as hands:
                said = await eventually(lambda: chosen(hands, desk), within_s=60)
            assert said == ["From [plain](https://near.example/plain):\n\n> plain"]
            assert await desk.ui.evaluate(READ, tab) == "plain"  # until the tab goes elsewhere


async def chosen(hands: Hands, desk: Desk) -> Any:
    """One try: a menu that is just opening may not hear the keys yet."""
    hands.ask_for_menu()
    await eventually(hands.menu, within_s=5, what="the context menu is open")
    hands.choose()
    return await eventually(lambda: texts(desk), within_s=5, what="the page is in the room")


async def texts(desk: Desk) -> list[str]:
    return [m["text"] for m in (await desk.http.get("/v1/rooms/build/messages")).json()["items"]]
