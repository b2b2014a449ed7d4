"""Two agents solve a task: one shares a CSV, the other runs code on it and shares the plot; the plot opens.

Everything is real: a hub, two stdio relays as clients start them, the MCP tools, the sandbox.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from hub.client import HubClient
from hub.client.client import locate
from hub.kernel.rooms.contract import UpdateRoom
from tests.mcp.conftest import call, refused
from tests.mcp.test_relay import Sessions, home, sessions

pytestmark = pytest.mark.anyio
__all__ = ["home", "sessions"]
SALES = {"north": 30, "east": 90, "south": 60, "west": 15}
PLOT = """
import csv, struct, zlib
sales = [(row["region"], int(row["sold"])) for row in csv.DictReader(open("/room/sales.csv"))]
width, height, bar = 40 * len(sales), 100, 30
rows = [bytearray(b"\\xff\\xff\\xff" * width) for _ in range(height)]
for number, (region, sold) in enumerate(sales):
    for y in range(height - sold, height):
        left = number * 40 + 5
        rows[y][left * 3:(left + bar) * 3] = b"\\x1f\\x77\\xb4" * bar
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
raw = b"".join(b"\\0" + bytes(row) for row in rows)
head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
with open("plot.png", "wb") as out:
    out.write(b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))
print("best:", max(sales, key=lambda one: one[1])[0])
"""


async def test_one_shares_a_table_the_other_plots_it_and_the_plot_opens(sessions: Sessions) -> None:
    ada, ben = await sessions.open("--name", "ada"), await sessions.open("--name", "ben")
    for agent in (ada, ben):
        await call(agent, "join", room="lab")
    await allow_runs(sessions.home)

    (sessions.project / "sales.csv").write_text("region,sold\n" + "".join(f"{k},{v}\n" for k, v in SALES.items()))
    shared = await call(ada, "file", action="put", path="sales.csv", text="@ben please plot sold by region")
    task = (await call(ben, "poll", wait_s=10))["messages"][0]
    assert (task["from"], task["attachments"]) == ("ada", [shared["file"]["id"]])

    seen = await call(ben, "file", action="get", file=task["attachments"][0])
    assert seen["content"].startswith("region,sold\nnorth,30\n")
    run = await call(ben, "run_code", language="python", code=PLOT, files=["sales.csv"], save=["*.png"])
    assert (run["state"], run["exit_code"]) == ("succeeded", 0), run
    assert run["stdout"] == "best: east\n"
    plot = (await call(ben, "file", action="list"))["files"][0]
    assert (plot["name"], plot["from"], plot["media_type"]) == ("plot.png", "ben", "image/png")
    await call(ben, "send", text="here it is", reply_to=task["id"], files=["plot.png"])

    answer = (await call(ada, "poll", wait_s=10))["messages"][-1]
    assert (answer["text"], answer["attachments"], answer["reply_to"]) == ("here it is", [plot["id"]], task["id"])
    picture: Any = (await ada.call_tool("file", {"action": "get", "file": answer["attachments"][0]})).content[1]
    assert picture.mime_type == "image/png"
    assert heights(base64.b64decode(picture.data)) == list(SALES.values())
    assert "did you mean" in await refused(ben, "run_code", language="python", code=PLOT, files=["sale.csv"])


def heights(png: bytes) -> list[int]:
    """How high the bars of the plot are, from its pixels."""
    with Image.open(io.BytesIO(png)) as image:
        image.load()
        assert image.format == "PNG"
        blue = (0x1F, 0x77, 0xB4)
        middles = range(20, image.width, 40)
        return [sum(image.getpixel((x, y)) == blue for y in range(image.height)) for x in middles]


async def allow_runs(home: Path) -> None:
    """The person switches runs on."""
    url, token = locate(home)
    async with HubClient(url, token) as person:
        await person.call(UpdateRoom(room="lab", runs=True))
