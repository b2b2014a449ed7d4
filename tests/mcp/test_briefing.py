"""What a newcomer is told: everything that matters, and never more than 2,000 tokens."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import Client

from hub.client import LocalCaller
from hub.core.caller import Caller
from hub.features.kanban.contract import AddCard
from hub.features.messages.contract import PostMessage
from hub.features.voting.contract import OpenProposal, Rule
from hub.kernel.agents.contract import RegisterAgent
from hub.kernel.rooms.contract import CreateChannel, CreateRoom, JoinRoom, UpdateRoom
from hub.settings import Settings
from mcp_bridge import briefing
from mcp_bridge.serve import Served, serving
from tests.mcp.conftest import Room, call, mcp_room

__all__ = ["mcp_room"]

MOST_TOKENS = 2000


def tokens(result: Any) -> float:
    """Of the whole result as it goes over the wire: four bytes are one."""
    wire = result.model_dump(mode="json", by_alias=True, exclude_none=True)
    return len(json.dumps(wire, ensure_ascii=False, separators=(",", ":")).encode()) / 4


@pytest.fixture
async def room(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Room]:
    limits: dict[str, Any] = {"writes_per_s": 1e6, "write_burst": 1e6, "reads_per_s": 1e6}
    async with serving(Settings(home=tmp_path, port=0, log_level="error", **limits)) as served:
        made = Room(served, "auto")
        try:
            yield made
        finally:
            await made.close()


async def inside(served: Served, token: str) -> Caller:
    """A caller without the network between."""
    return LocalCaller(served.hub.dispatch, await served.hub.authenticator.authenticate(token))


async def overfull(room: Room, filler: str) -> Client:
    """A newcomer at the door of a room in which everything is as long and as many as it can be."""
    boss = await inside(room.served, room.served.token)
    long = {"role": "r" * 64, "capabilities": tuple(f"{'c' * 61}{n:02d}" for n in range(20))}
    await boss.call(CreateRoom(room="build", open_to="all", topic=filler * 1000))
    await boss.call(UpdateRoom(room="build", agreement=filler * 8000))
    names = [f"{'n' * 60}-{number:03d}" for number in range(120)]
    for name in names:
        token = (await boss.call(RegisterAgent(name=name, kind="code"))).token
        await (await inside(room.served, token or "")).call(JoinRoom.model_validate({"room": "build", **long}))
    for number in range(30):
        await boss.call(CreateChannel(room="build", channel=f"{'k' * 60}-{number:02d}"))
    posts = [PostMessage(room="build", text=f"{number} {filler * 500}") for number in range(1500)]
    posts += [PostMessage(room="build", text=filler * 900, kind="question", to=tuple(names[:40])) for _ in range(20)]
    await asyncio.gather(*(boss.call(post) for post in posts))
    options = tuple(f"{number:02d}{filler * 38}"[:80].strip() for number in range(20))
    for _ in range(10):
        rule = Rule(mode="plurality")
        await boss.call(OpenProposal(room="build", title=f"t{filler * 250}", options=options, rule=rule))
    newcomer = await room.agent("n" * 64)
    await call(newcomer, "join", room="build", role="q" * 64)
    for _ in range(10):
        await boss.call(AddCard(room="build", title=f"c{filler * 60}", assignee="n" * 64))
    return newcomer


@pytest.mark.anyio
@pytest.mark.parametrize(
    "filler", ["x", "漢", '"', "\u202e", "🙂", "\n"], ids=["x", "cjk", "quote", "bidi", "emoji", "line"]
)
async def test_a_briefing_takes_less_than_2000_tokens_however_full_the_room_is(room: Room, filler: str) -> None:
    newcomer = await overfull(room, filler)
    result = await newcomer.call_tool("join", {"room": "build", "role": "coordinator"})
    assert not result.is_error, result.content
    assert tokens(result) < MOST_TOKENS
    data = result.structured_content or {}
    for name in ("topic", "agreement", "members", "channels", "last", "questions", "proposals", "cards", "your_role"):
        assert data.get(name), f"nothing of {name} is left"
    assert len(data["members"]) + data["more_members"] == 122


@pytest.mark.anyio
async def test_a_newcomer_learns_who_is_there_what_is_open_and_how_to_work(mcp_room: Room) -> None:
    ada, ben = await mcp_room.agent("ada"), await mcp_room.agent("ben")
    made = await call(ada, "join", room="ship", template="build", role="coordinator", capabilities=["python", "gpu"])
    assert (made["created"], made["channels"], made["topic"]) == (
        True,
        ["design", "review"],
        "Build something together",
    )
    assert made["your_role"].startswith("split the work into cards")
    await call(ada, "send", text="Shall we begin?")
    await call(ada, "propose", title="Tabs or spaces?", options=["tabs", "spaces"])
    await call(ada, "board", action="add", title="Parser", assignee="ada", column="in_progress")
    told = await call(ben, "join", room="ship", role="coder", template="incident")
    assert told["note"] == "the room existed before, so no template was used"
    assert "Nobody reviews their own work" in told["agreement"]
    assert told["your_role"].startswith("take a card")
    by_name = {m["name"]: m for m in told["members"]}
    assert (by_name["ada"]["role"], by_name["ada"]["can"]) == ("coordinator", ["python", "gpu"])
    assert [m["text"] for m in told["last"]] == ["Shall we begin?"]
    assert [p["title"] for p in told["proposals"]] == ["Tabs or spaces?"]
    again = await call(ada, "join", room="ship")
    assert [card["title"] for card in again["cards"]] == ["Parser"]
    assert again["role"] == "coordinator", "coming back keeps the role"


@pytest.mark.anyio
async def test_the_text_of_a_briefing_has_the_working_agreement_in_its_envelope(mcp_room: Room) -> None:
    ada = await mcp_room.agent("ada")
    result = await ada.call_tool("join", {"room": "ship", "template": "incident"})
    text = str(getattr(result.content[0], "text", ""))
    marker = re.search(r"^<([0-9a-f]{8})>$", text, re.MULTILINE)
    assert marker is not None, text
    before, peers, after = re.split(rf"</?{marker[1]}>\n?", text.partition("\n")[2])
    assert "First stop the damage" in peers
    assert "damage" not in before + after


@pytest.mark.anyio
async def test_who_shows_the_whole_agreement_and_members_hear_of_a_change(mcp_room: Room) -> None:
    ada, ben = await mcp_room.agent("ada"), await mcp_room.agent("ben")
    for client in (ada, ben):
        await call(client, "join", room="ship")
    local = await inside(mcp_room.served, mcp_room.served.token)
    await local.call(UpdateRoom(room="ship", agreement="be kind\n" * 900))
    assert (await call(ben, "who", room="ship"))["agreement"] == "be kind\n" * 900
    assert [m["text"] for m in (await call(ben, "poll"))["messages"]] == [
        "The working agreement of this room has changed; read it with who(room=…)."
    ]


@given(st.text(max_size=200), st.integers(3, 120))
def test_a_cut_text_fits_and_is_a_beginning(text: str, most: int) -> None:
    if any("\ud800" <= char <= "\udfff" for char in text):
        return
    made = briefing.cut(text, most)
    assert briefing.size(made) - 2 <= max(most, 3)
    assert made == text or (made.endswith("…") and text.startswith(made[:-1]))


@given(
    st.lists(st.dictionaries(st.text("abc", max_size=3), st.text("xyz", max_size=40), max_size=2)), st.integers(2, 300)
)
def test_what_fits_is_the_beginning_and_no_larger(items: list[Any], most: int) -> None:
    kept = briefing.fit(items, most)
    assert kept == items[: len(kept)]
    assert briefing.size(kept) <= most
    if len(kept) < len(items):
        assert briefing.size(items[: len(kept) + 1]) > most - 1
