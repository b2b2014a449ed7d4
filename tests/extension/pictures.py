"""Takes the pictures in docs/images anew. `python -m tests.extension.pictures`."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Final

from tests.extension.conftest import ID, ROOT, Rig, rig_in
from tests.extension.site import Reply, say
from tests.support.waiting import eventually

FOLDER: Final = ROOT / "docs" / "images"
QUESTION: Final = (
    "Which three papers of this year compare vector clocks with hybrid clocks? One line each, with a link."
)
ANSWER: Final = (
    "Three that fit:\n\n1. **Clocks in practice** compares both on 40 clusters\n2. **Hybrid time, revisited** proves the bound\n"
    "3. **When order is enough** argues for neither\n\n```python\nassert hlc.now() >= wall.now()\n```"
)

GROWING: Final = (
    "Two of the three publish code: Hybrid time, revisited has an implementation in Go, and Clocks in practice"
)


async def take(rig: Rig) -> None:
    """Popup, side panel and options, in a room where something happens."""
    rig.site.answer = lambda prompt: say(ANSWER)
    await rig.request(type="options", options={"autoPerHour": 30})
    first = await rig.tab()
    await rig.http.post(
        "/v1/rooms/build/messages", json={"text": "The clock module is next. I collect what was written about it."}
    )
    await rig.answer(await rig.ask(QUESTION, to=first))
    second = await rig.tab(mode="assist")
    question = await rig.ask("Does our README explain the clock well? Quote the weakest sentence.", to=second)

    async def waits() -> bool:
        return bool((await rig.job(question, second)).get("pending"))

    await eventually(waits, within_s=20)
    await rig.http.post("/v1/rooms/build/files", json={"name": "glossary.md", "content": "# Words"})
    terms = await rig.http.post("/v1/rooms/build/files", json={"name": "clock-design.md", "content": "# Clock"})
    file = {"room": "build", "id": terms.json()["id"], "name": "clock-design.md"}
    await rig.request(type="tab", tab=await rig.tab_id(first), change={"context": True, "files": [file]})
    await shoot(rig, f"popup.html?tab={await rig.tab_id(second)}", "extension-popup", 360, 620)
    await shoot(rig, f"popup.html?tab={await rig.tab_id(first)}", "extension-popup-dark", 360, 660, dark=True)
    go = asyncio.Event()
    rig.site.answer = lambda prompt: Reply([GROWING, go, "."])
    await rig.ask("And which of them has code?", to=first)
    await shoot(rig, "panel.html", "extension-panel", 420, 760, wanted="is writing")
    go.set()
    await shoot(rig, "options.html", "extension-options", 760, 1090)


async def shoot(
    rig: Rig, name: str, picture: str, width: int, height: int, *, dark: bool = False, wanted: str = ""
) -> None:
    page = await rig.context.new_page()
    await page.set_viewport_size({"width": width, "height": height})
    await page.emulate_media(color_scheme="dark" if dark else "light")
    await page.goto(f"chrome-extension://{ID}/ui/{name}")
    await page.wait_for_function(
        "() => /connected/.test(document.body.innerText) && !/not been looked/.test(document.body.innerText)"
    )
    await page.wait_for_function("(wanted) => document.body.innerText.includes(wanted)", arg=wanted)
    await page.screenshot(path=FOLDER / f"{picture}.png")
    await page.close()


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with rig_in(Path(folder)) as rig:
            await take(rig)


if __name__ == "__main__":
    asyncio.run(main())
