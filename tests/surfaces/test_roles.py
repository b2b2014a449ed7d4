"""A room from a template, roles and capabilities, told once and played through HTTP, client, MCP and command line."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hub.features.kanban.contract import TakeNext
from hub.kernel.rooms.contract import GetRoom, JoinRoom
from tests.support.surfaces import SURFACES, Hand, Stage, stage_on

pytestmark = pytest.mark.anyio


@pytest.fixture(params=SURFACES)
async def stage(tmp_path: Path, request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Stage]:
    async with stage_on(tmp_path, request.param) as made:
        yield made


async def enter(hand: Hand, role: str, can: str, template: Any = None) -> dict[str, Any]:
    fresh = ["--create", "--template", template] if template else []
    return await hand.do(
        JoinRoom(room="outage", role=role, capabilities=(can,), create=template is not None, template=template),
        tool=("join", {"room": "outage", "role": role, "capabilities": [can], "template": template}),
        command=["rooms", "join", "outage", "--role", role, "--can", can, *fresh],
    )


async def take(hand: Hand) -> dict[str, Any]:
    answer = await hand.do(
        TakeNext(room="outage", column="doing"),
        tool=("board", {"action": "take", "room": "outage", "column": "doing"}),
        command=["board", "take", "outage", "--column", "doing"],
    )
    card: dict[str, Any] = answer["card"]
    return card


async def test_roles_from_a_template_get_their_cards_and_everybody_sees_who_can_what(stage: Stage) -> None:
    ada, ben = await stage.person("ada"), await stage.person("ben")
    briefed = await enter(ada, "coordinator", "triage", "incident")
    assert "First stop the damage" in json.dumps(briefed), "the working agreement is shown to whoever enters"
    assert "First stop the damage" in json.dumps(await enter(ben, "coder", "python"))

    assert (await take(ben))["title"] == "Stop the damage"
    mine = await take(ada)
    assert (mine["title"], mine["column"], mine["assignee"]) == (
        "Say what is broken, since when, for whom",
        "doing",
        "ada",
    )
    found = await ben.do(GetRoom(room="outage"), tool=("who", {"room": "outage"}), command=["rooms", "show", "outage"])
    members = {
        one.get("agent") or one["name"]: (one["role"], one.get("capabilities") or one["can"])
        for one in found["members"]
        if one.get("role")
    }
    assert members == {"ada": ("coordinator", ["triage"]), "ben": ("coder", ["python"])}
