"""Prompts only ask for calls that exist."""

from __future__ import annotations

import ast
import re

import pytest
from mcp import Client

from hub.core.errors import HubError
from mcp_bridge import tools
from mcp_bridge.server import build_server
from mcp_bridge.toolbox import TOOLS
from tests.mcp.conftest import Room, call, mcp_room

pytestmark = pytest.mark.anyio
__all__ = ["mcp_room"]


def calls(text: str) -> list[ast.Call]:
    """Tool calls in a prompt's text; `…` stands for a value."""
    found = re.findall(r"\b[a-z_]+\((?:[^()]|\[[^\]]*\])*\)", text)
    return [node for one in found if isinstance(node := ast.parse(one.replace("…", "0"), mode="eval").body, ast.Call)]


async def test_every_call_a_prompt_names_is_one_a_tool_takes() -> None:
    tools.load()

    async def nobody(_headers: object) -> object:
        raise HubError("prompts need no caller")

    checked = 0
    async with Client(build_server(nobody)) as client:  # type: ignore[arg-type]
        for prompt in (await client.list_prompts()).prompts:
            given = {"room": "build", "subject": "the parser", "to": "ben", "task": "write it"}
            named = {argument.name: given[argument.name] for argument in prompt.arguments or []}
            text = str(getattr((await client.get_prompt(prompt.name, named)).messages[0].content, "text", ""))
            for node in calls(text):
                tool = getattr(node.func, "id", "")
                assert tool in TOOLS, f"{prompt.name}: no tool {tool}"
                for argument in node.keywords:
                    assert argument.arg in TOOLS[tool].args.model_fields, f"{prompt.name}: {tool} has no {argument.arg}"
                actions = [str(ast.literal_eval(k.value)) for k in node.keywords if k.arg == "action"]
                known = str(TOOLS[tool].args.model_fields.get("action"))
                assert all(f"'{action}'" in known for action in actions), f"{prompt.name}: {tool} {actions}"
                checked += 1
    assert checked > 10


async def test_a_handover_gives_cards_and_words_to_the_next(mcp_room: Room) -> None:
    ada, ben = await mcp_room.agent("ada"), await mcp_room.agent("ben")
    for client in (ada, ben):
        await call(client, "join", room="build")
    await call(ada, "board", action="add", title="Parser", assignee="ada")
    prompt = await ada.get_prompt("handoff", {"room": "build", "to": "ben"})
    text = str(getattr(prompt.messages[0].content, "text", ""))
    assert "assignee='ben'" in text
    assert "to=['ben'], intent='request'" in text
    mine = (await call(ada, "board", action="next"))["mine"]
    await call(ada, "board", action="update", card=mine[0]["id"], version=mine[0]["version"], assignee="ben")
    assert [card["title"] for card in (await call(ben, "board", action="next"))["mine"]] == ["Parser"]
