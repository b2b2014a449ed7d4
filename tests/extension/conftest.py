"""A real Chromium with the extension, a real hub in a process of its own, and an imitation of claude.ai."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx2
import pytest
from playwright.async_api import BrowserContext, Page, Worker, async_playwright

from tests.extension.site import Site, imitation
from tests.extension.wire import FLAG
from tests.faults.world import World
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
EXTENSION = ROOT / "extension"
ID = "jlobenjgedfgfcjmcklhmfoildicnhoj"


# shorter than for people, longer than the machine needs
PATIENCE = {"graceMs": 3000, "portMs": 3000, "findMs": 4000, "readyMs": 6000, "healthMs": 500}


def flags(extension: Path, site: Site) -> list[str]:
    """Chromium's: the extension loaded, claude.ai mapped to the imitation, nothing else reachable, LNA enforced."""
    places = f"MAP claude.ai:443 127.0.0.1:{site.port}, MAP near.example:443 127.0.0.1:{site.near_port}"
    return [
        FLAG,
        f"--disable-extensions-except={extension}",
        f"--load-extension={extension}",
        f"--host-resolver-rules={places}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
        f"--ip-address-space-overrides=127.0.0.1:{site.port}=public",
        "--ignore-certificate-errors",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]


class Evaluates(Protocol):
    """An extension page in which a test can run a function."""

    async def evaluate(self, expression: str, arg: Any = None, /) -> Any: ...


@dataclass
class Desk:
    """A browser with the extension in a room: ask as `ada`, decide what the site answers, see what came back."""

    world: World
    site: Site
    ui: Evaluates
    http: httpx2.AsyncClient
    profile: Path
    ada: str = ""

    async def request(self, **message: Any) -> Any:
        """What an extension page asks of the worker. Raises what the worker refuses."""
        answer = await self.ui.evaluate("(m) => chrome.runtime.sendMessage(m)", message)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer.get("ok")

    async def view(self) -> Any:
        return await self.request(type="view")

    async def join(self, tab: int, mode: str = "auto") -> str:
        """Let an open tab join; its agent's name once it is in the room."""
        assert tab not in {known["id"] for known in (await self.view())["tabs"]}
        await self.request(type="join", tab=tab)
        if mode == "auto":
            await self.request(type="mode", tab=tab, mode="auto")

        async def ready() -> Any:
            tabs = (await self.view())["tabs"]
            return next((t for t in tabs if t["id"] == tab and t["online"] and "build" in t["rooms"]), None)

        return str((await eventually(ready, within_s=20, what="the tab is an agent in the room"))["agent"])

    async def ask(self, text: str, to: str = "@browser", **more: Any) -> str:
        """Post a question as ada; its id."""
        body = {"text": text, "kind": "question", "intent": "request", "to": [to], **more}
        posted = await self.http.post("/v1/rooms/build/messages", json=body)
        assert posted.status_code == 201, posted.text
        return str(posted.json()["id"])

    async def answers(self, question: str) -> list[dict[str, Any]]:
        page = await self.http.get(f"/v1/rooms/build/questions/{question}/answers")
        return list(page.json()["items"])

    async def answer(self, question: str, within_s: float = 40) -> dict[str, Any]:
        """The one answer; fails when there is none in time, or more than one."""
        found = await eventually(lambda: self._try(question), within_s=within_s, what=f"an answer to {question}")
        assert len(found) == 1, found
        return dict(found[0])

    async def _try(self, question: str) -> list[dict[str, Any]]:
        try:
            return await self.answers(question)
        except httpx2.TransportError:
            return []

    async def job(self, question: str, agent: str = "browser-1") -> dict[str, Any]:
        answer = await self.http.get(f"/v1/rooms/build/jobs/{question}", params={"agent": agent})
        return dict(answer.json())


@dataclass
class Rig(Desk):
    """The browser as a test drives it: its tabs by name, its worker."""

    ui: Page
    context: BrowserContext = field(kw_only=True)
    extension: Path = field(kw_only=True)
    pages: dict[str, Page] = field(default_factory=dict, kw_only=True)

    @property
    def worker(self) -> Worker:
        return self.context.service_workers[-1]

    def raise_version(self) -> str:
        """Make what the browser loads the next version of itself; its number."""
        place = self.extension / "manifest.json"
        manifest = json.loads(place.read_text("utf-8"))
        first, last = manifest["version"].rsplit(".", 1)
        manifest["version"] = f"{first}.{int(last) + 1}"
        place.write_text(json.dumps(manifest), "utf-8")
        return str(manifest["version"])

    async def tab(self, mode: str = "auto", path: str = "/new") -> str:
        """A new tab in the room; its agent's name."""
        page = await self.context.new_page()
        await page.goto(f"https://claude.ai{path}")
        found = await self.ui.evaluate("() => chrome.tabs.query({url: 'https://claude.ai/*'})")
        agent = await self.join(max(t["id"] for t in found), mode)
        self.pages[agent] = page
        return agent

    async def tab_id(self, agent: str) -> int:
        return int(next(t["id"] for t in (await self.view())["tabs"] if t["agent"] == agent))

    async def close_tabs(self) -> None:
        for page in [p for p in self.context.pages if p is not self.ui]:
            await page.close()
        self.pages.clear()
        await eventually(self._no_tabs, within_s=20, what="all tabs left")

    async def _no_tabs(self) -> bool:
        return not (await self.view())["tabs"]


@asynccontextmanager
async def hub_and_site(folder: Path) -> AsyncIterator[tuple[World, Site, Path]]:
    """A hub in a process of its own, the imitation, and a profile in which an unpacked extension may reload itself."""
    (folder / "hub").mkdir()
    world = World(folder / "hub")
    profile = folder / "profile"
    (profile / "Default").mkdir(parents=True)
    preferences = {"extensions": {"ui": {"developer_mode": True}}}
    (profile / "Default" / "Preferences").write_text(json.dumps(preferences))
    try:
        await asyncio.to_thread(world.start)
        async with imitation(folder) as site:
            yield world, site, profile
    finally:
        world.end()


def chromium() -> str:
    found = shutil.which("chromium")
    assert found, "Chromium is not installed; .ci/install does it"
    return found


def unpacked(folder: Path) -> Path:
    """What `make extension` packs, as whoever gets the zip loads it."""
    command = [sys.executable, str(EXTENSION / "pack.py"), str(folder)]
    made = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.split()
    with zipfile.ZipFile(made[0]) as archive:
        archive.extractall(folder / "extension")
    return folder / "extension"


@asynccontextmanager
async def rig_in(folder: Path) -> AsyncIterator[Rig]:
    """Start everything, pair the browser, make the room. The extension is the packed one, unpacked where a test may update it."""
    extension = unpacked(folder)
    async with hub_and_site(folder) as (world, site, profile), async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            str(profile), headless=True, executable_path=chromium(), chromium_sandbox=False, args=flags(extension, site)
        )
        try:
            async with httpx2.AsyncClient(timeout=20) as http:
                rig = Rig(world, site, await _own_page(context), http, profile, context=context, extension=extension)
                await enter(rig)
                yield rig
        finally:
            await context.close()


async def _own_page(context: BrowserContext) -> Page:
    ui = context.pages[0] if context.pages else await context.new_page()

    async def opened() -> bool:
        try:
            await ui.goto(f"chrome-extension://{ID}/ui/options.html")
        except Exception:
            return False
        return True

    await eventually(opened, within_s=30, what="the extension is loaded")
    return ui


async def enter(desk: Desk) -> None:
    """Make the room, have ada in it, pair the browser."""
    async with desk.world.client() as local:
        await local.post("/v1/rooms", json={"room": "build", "open_to": "owner"})
        made = (await local.post("/v1/agents", json={"name": "ada", "kind": "code"})).json()
        pairing = (await local.post("/v1/browsers/pair", json={})).json()
    desk.ada = made["token"]
    desk.http.base_url = desk.world.url
    desk.http.headers["authorization"] = f"Bearer {desk.ada}"
    await desk.http.post("/v1/rooms/build/join", json={})
    await desk.request(type="pair", url=desk.world.url, token=pairing["token"])
    await desk.request(type="options", options={"autoPerHour": 600, "timings": PATIENCE})


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def module_rig(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Rig]:
    async with rig_in(tmp_path_factory.mktemp("extension")) as rig:
        yield rig


@pytest.fixture
async def rig(module_rig: Rig) -> AsyncIterator[Rig]:
    """The module's browser and hub, without tabs and with a plain site."""
    module_rig.site.prompts.clear()
    module_rig.site.retried.clear()
    module_rig.site.files.clear()
    module_rig.site.answer = Site(0, "").answer
    yield module_rig
    await module_rig.close_tabs()
