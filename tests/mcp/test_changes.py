"""Change notifications: who hears what, in both protocol eras."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from hub.client import HubClient
from hub.kernel.rooms.contract import LeaveRoom
from hub.settings import Settings
from mcp_bridge.serve import serving
from tests.mcp.conftest import Mode, Room, call
from tests.support.waiting import eventually

INBOX = "inbox://me"


class Ear:
    """What one client was told, by URI."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def __call__(self, message: Any) -> None:
        if getattr(message, "method", "") == "notifications/resources/updated":
            self.heard.append(str(message.params.uri))


@asynccontextmanager
async def listening(room: Room, name: str, *uris: str) -> AsyncIterator[tuple[Client, Ear]]:
    """A client that hears about these resources, by the way of its era."""
    ear = Ear()
    headers = {"authorization": f"Bearer {await room.token(name)}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(30, read=90)) as http,
        Client(
            streamable_http_client(f"{room.served.url}/mcp", http_client=http), mode=room.mode, message_handler=ear
        ) as client,
    ):
        if room.mode == "legacy":
            for uri in uris:
                await client.session.subscribe_resource(uri)  # pyright: ignore[reportDeprecated]
            yield client, ear
            return
        async with client.listen(resource_subscriptions=uris) as subscription:

            async def drain() -> None:
                async for event in subscription:
                    ear.heard.append(str(event.uri))  # type: ignore[union-attr]

            task = asyncio.create_task(drain())
            yield client, ear
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(params=["auto", "legacy"])
async def room(tmp_path: Path, request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Room]:
    async with serving(Settings(home=tmp_path, port=0, log_level="error")) as served:
        mode: Mode = request.param
        made = Room(served, mode)
        try:
            yield made
        finally:
            await made.close()


pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:resources/subscribe")]


async def test_a_member_hears_that_its_room_and_inbox_changed(room: Room) -> None:
    ada = await room.agent("ada")
    async with listening(room, "ben", "room://build", INBOX) as (ben, ear):
        await call(ada, "join", room="build")
        await call(ben, "join", room="build")
        ear.heard.clear()
        await call(ada, "send", text="x")
        await eventually(lambda: {"room://build", INBOX} <= set(ear.heard), what="both notifications")


async def test_an_outsider_hears_nothing_of_a_room_it_named(room: Room) -> None:
    ada = await room.agent("ada")
    async with (
        listening(room, "eve", "room://build", "room://build/events", INBOX) as (eve, outsider),
        listening(room, "ben", "room://build") as (ben, member),
    ):
        await call(ada, "join", room="build")
        await call(ben, "join", room="build")
        await call(ada, "send", text="secret")
        await eventually(lambda: member.heard, what="the member's notification")
        await call(eve, "join", room="own")  # something of eve's own, so that everything before has been delivered
        await call(ada, "send", text="for eve", to=["eve"], room=None)
        await eventually(lambda: INBOX in outsider.heard, what="eve's own notification")
        assert not [uri for uri in outsider.heard if "build" in uri]


async def test_a_member_that_left_hears_nothing_any_more(room: Room) -> None:
    ada = await room.agent("ada")
    async with listening(room, "ben", "room://build", "room://own") as (ben, ear):
        await call(ada, "join", room="build")
        await call(ben, "join", room="build")
        async with HubClient(room.served.url, room.tokens["ben"]) as client:
            await client.call(LeaveRoom(room="build"))
        await call(ben, "join", room="own")
        await eventually(lambda: "room://own" in ear.heard)
        ear.heard.clear()
        await call(ada, "send", text="x")
        await call(ben, "send", text="mine", room="own")
        await eventually(lambda: "room://own" in ear.heard)
        assert "room://build" not in ear.heard


async def test_a_reader_of_the_board_hears_of_cards_and_not_of_messages(room: Room) -> None:
    ada = await room.agent("ada")
    async with listening(room, "ben", "room://build", "room://build/board") as (ben, ear):
        await call(ada, "join", room="build")
        await call(ben, "join", room="build")
        await call(ada, "send", text="x")
        await eventually(lambda: "room://build" in ear.heard)
        assert "room://build/board" not in ear.heard
        await call(ada, "board", action="add", title="Write it down")
        await eventually(lambda: "room://build/board" in ear.heard)
