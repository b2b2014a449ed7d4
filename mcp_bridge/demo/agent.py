"""One scripted agent of the demo: `python -m mcp_bridge.demo.agent ROLE`. A real MCP client over stdio."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

ROOM: Final = "demo"
WAIT_S: Final = 30


async def call(client: Client, tool: str, /, **arguments: Any) -> dict[str, Any]:
    """A tool's structured answer; the text of a refusal becomes the error."""
    result = await client.call_tool(tool, arguments)
    if result.is_error:
        raise RuntimeError(getattr(result.content[0], "text", "refused"))
    found: dict[str, Any] = result.structured_content or {}
    return found


async def wait_for(client: Client, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first message that fits, reading whatever else comes."""
    async with asyncio.timeout(WAIT_S):
        while True:
            page = await call(client, "poll", wait_s=10)
            for message in page.get("messages", []):
                if fits(message):
                    return dict(message)


async def everybody(client: Client) -> None:
    """Wait until all three are in the room."""
    async with asyncio.timeout(WAIT_S):
        while not set(SCRIPTS) <= {m["name"] for m in (await call(client, "who", room=ROOM))["members"]}:
            await call(client, "poll", wait_s=0.2)


async def planner(client: Client) -> None:
    await call(client, "join", room=ROOM, role="coordinator", topic="Ship the release notes")
    await everybody(client)
    await call(client, "send", text="Plan: writer drafts the notes, reviewer checks them. Say so when you are stuck.")
    asked = await call(client, "ask", text="Which version are we releasing?", to="reviewer", wait_s=20)
    version = asked["answers"][0]["text"]
    await call(
        client,
        "send",
        text=f"It is {version}. Please draft the notes and hand them to the reviewer.",
        room=ROOM,
        to=["writer"],
        intent="request",
    )
    await wait_for(client, lambda m: "approved" in m["text"].lower())
    await call(client, "send", text="Done. Thanks, both.")


async def writer(client: Client) -> None:
    await call(client, "join", room=ROOM, role="coder")
    task = await wait_for(client, lambda m: "writer" in m.get("to", []))
    await call(client, "send", text="Drafting.", reply_to=task["id"])
    await call(
        client,
        "send",
        text="Handover to reviewer. Done: draft of the notes, three points. Open: the wording of point two. Next: your check.",
        room=ROOM,
        to=["reviewer"],
        intent="request",
        needs_ack=True,
    )
    await wait_for(client, lambda m: m["from"] == "planner" and m["text"].startswith("Done"))


async def reviewer(client: Client) -> None:
    await call(client, "join", room=ROOM, role="reviewer")
    question = await wait_for(client, lambda m: m.get("kind") == "question")
    await call(client, "send", text="1.0.0", reply_to=question["id"])
    handover = await wait_for(client, lambda m: m["from"] == "writer" and "Handover" in m["text"])
    await call(client, "send", text="I have it.", intent="ack", reply_to=handover["id"])
    await call(client, "send", text="Approved, with point two shortened.", reply_to=handover["id"])
    await wait_for(client, lambda m: m["from"] == "planner" and m["text"].startswith("Done"))


SCRIPTS: Final[dict[str, Callable[[Client], Awaitable[None]]]] = {
    "planner": planner,
    "writer": writer,
    "reviewer": reviewer,
}


async def play(role: str) -> None:
    """Play one role through a relay of our own."""
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "mcp_bridge", "mcp", "--name", role],
        env={**os.environ, "BRIDGE_AUTOJOIN": "0"},
    )
    async with Client(stdio_client(parameters)) as client:
        await SCRIPTS[role](client)


if __name__ == "__main__":
    asyncio.run(play(sys.argv[1]))
