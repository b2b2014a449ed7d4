"""The live page in a real browser: sign in by link, rooms, live messages, writing, text shown as text."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from PIL import Image
from playwright.async_api import Page, Route, async_playwright, expect

from hub.settings import Settings
from mcp_bridge.serve import Served, serving

pytestmark = [pytest.mark.anyio, pytest.mark.browser]
FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
async def served(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Served]:
    async with serving(Settings(home=tmp_path, port=0, log_level="error")) as running:
        yield running


@pytest.fixture
async def page(anyio_backend: str) -> AsyncIterator[Page]:
    chromium = shutil.which("chromium")
    assert chromium, "Chromium is not installed; .ci/install does it"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield await browser.new_page(viewport={"width": 1100, "height": 520})
        await browser.close()


async def test_a_person_signs_in_reads_live_and_writes(served: Served, page: Page) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    async with httpx2.AsyncClient(base_url=served.url, headers={"authorization": f"Bearer {served.token}"}) as http:
        await http.post("/v1/rooms", json={"room": "build", "topic": "The build"})
        await http.post("/v1/rooms/build/messages", json={"text": "<img src=x onerror=alert(1)> stays text"})
        code = (await http.post("/v1/login-codes")).json()["code"]
        await page.goto(f"{served.url}/#code={code}")
        await expect(page.locator("#state")).to_have_text("Live", timeout=10_000)
        assert "code=" not in page.url
        await expect(page.locator("#messages")).to_contain_text("<img src=x onerror=alert(1)> stays text")
        assert await page.locator("#messages img").count() == 0
        await http.post("/v1/rooms/build/messages", json={"text": "live one"})
        await expect(page.locator("#messages")).to_contain_text("live one", timeout=5000)
        await page.fill("#text", "from the page")
        await page.click("form button")
        await expect(page.locator("#messages")).to_contain_text("from the page", timeout=5000)
        texts = [m["text"] for m in (await http.get("/v1/rooms/build/messages")).json()["items"]]
        assert texts[-1] == "from the page"
        await http.post("/v1/rooms/build/decisions", json={"what": "<b>Port</b> 7411."})
        await expect(page.locator("#decisions li")).to_have_text("<b>Port</b> 7411.", timeout=5000)
        await page.click("#rooms button")
        await expect(page.locator("#decisions li")).to_have_count(1, timeout=5000)
        await http.post("/v1/rooms", json={"room": "later"})
        await expect(page.locator("#rooms")).to_contain_text("later", timeout=5000)
    assert errors == []


async def test_every_message_stands_on_the_page_once_however_history_and_stream_overlap(
    served: Served, page: Page
) -> None:
    async with httpx2.AsyncClient(base_url=served.url, headers={"authorization": f"Bearer {served.token}"}) as http:

        async def say(text: str) -> None:
            (await http.post("/v1/rooms/build/messages", json={"text": text})).raise_for_status()

        async def after_history(route: Route) -> None:
            """The stream, which begins with what is unread, once the history stands there."""
            await expect(lines).to_have_count(1, timeout=10_000)
            await route.continue_()

        async def late(route: Route) -> None:
            """The history as it was, delivered after the stream brought something newer."""
            answer = await route.fetch()
            await say("while history was on its way")
            for name in ("told", "twice"):  # opening a room lists rooms once; the second list is the stream's doing
                await http.post("/v1/rooms", json={"room": name})
                await expect(page.locator("#rooms")).to_contain_text(name, timeout=5000)
            await route.fulfill(response=answer)

        lines = page.locator("#messages li:not(.fact)")
        await page.route("**/v1/stream", after_history)
        await http.post("/v1/rooms", json={"room": "build"})
        await say("before the page")
        code = (await http.post("/v1/login-codes")).json()["code"]
        await page.goto(f"{served.url}/#code={code}")
        await expect(page.locator("#state")).to_have_text("Live", timeout=10_000)
        await say("live one")
        await expect(lines).to_contain_text(["before the page", "live one"], timeout=5000)
        await expect(lines).to_have_count(2)
        await page.route("**/v1/rooms/build/messages?limit=200", late)
        await page.locator("#rooms button", has_text="build").click()
        texts = ["before the page", "live one", "while history was on its way"]
        await expect(lines).to_contain_text(texts, timeout=10_000)
        await expect(lines).to_have_count(3)


async def test_a_dropped_file_is_shared_shown_small_and_saved_again(served: Served, page: Page, tmp_path: Path) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    picture = io.BytesIO()
    Image.new("RGB", (600, 300), (0, 128, 0)).save(picture, "PNG")
    async with httpx2.AsyncClient(base_url=served.url, headers={"authorization": f"Bearer {served.token}"}) as http:
        await http.post("/v1/rooms", json={"room": "build"})
        code = (await http.post("/v1/login-codes")).json()["code"]
        await page.goto(f"{served.url}/#code={code}")
        await expect(page.locator("#state")).to_have_text("Live", timeout=10_000)
        name = "<img src=x onerror=alert(1)>.png"
        dropped = await page.evaluate_handle(DROP, [base64.b64encode(picture.getvalue()).decode(), name])
        await page.dispatch_event("#conversation", "drop", {"dataTransfer": dropped})
        await expect(page.locator(".files button")).to_contain_text(f"{name} (", timeout=5000)
        small = page.locator(".files img")
        await expect(small).to_have_count(1, timeout=10_000)
        assert await small.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [256, 128]
        async with page.expect_download() as saving:
            await page.click(".files button")
        saved = await (await saving.value).path()
        assert Path(saved).read_bytes() == picture.getvalue()
        await page.set_input_files("#file", {"name": "a.txt", "mimeType": "text/html", "buffer": b"<b>hi"})
        await expect(page.locator(".files button").last).to_have_text("a.txt (5 bytes)", timeout=5000)
        shared = (await http.get("/v1/rooms/build/files")).json()["items"]
        assert [(item["name"], item["media_type"]) for item in shared] == [
            ("a.txt", "text/plain; charset=utf-8"),
            (name, "image/png"),
        ]
    assert errors == []


DROP = """([content, name]) => {
  const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
  const made = new DataTransfer();
  made.items.add(new File([bytes], name));
  return made;
}"""


async def test_a_used_link_says_what_to_do(served: Served, page: Page) -> None:
    await page.goto(f"{served.url}/#code=used")
    await expect(page.locator("#state")).to_contain_text("mcp-bridge open", timeout=10_000)
    await page.goto(served.url)
    await expect(page.locator("#state")).to_contain_text("Not signed in", timeout=10_000)
