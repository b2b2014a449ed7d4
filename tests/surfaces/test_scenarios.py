"""What users do, told once and played through every surface: in-process, HTTP and MCP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from hub.client import HubClient, LocalCaller
from hub.core.caller import Caller
from hub.core.errors import HubError
from hub.features.messages.contract import FindMessage, GetReceipts, PostDirect, PostMessage
from hub.features.search.contract import Search
from hub.kernel.agents.contract import RegisterAgent
from hub.kernel.inbox.contract import PollInbox
from hub.kernel.rooms.contract import JoinRoom
from hub.settings import Settings
from mcp_bridge.serve import Served, serving
from tests.mcp.conftest import call

pytestmark = pytest.mark.anyio


class Refused(Exception):
    """The surface said no; the text says why."""


class Person(Protocol):
    """What somebody can do, whatever the surface."""

    async def join(self, room: str) -> None: ...
    async def say(self, text: str, *, room: str | None = None, to: str | None = None, re: str | None = None) -> str: ...
    async def news(self) -> list[tuple[str, str, str]]: ...
    async def find(self, words: str) -> list[str]: ...
    async def state_of(self, message: str) -> str: ...


class ByOperations:
    """Through a `Caller`: in-process or HTTP."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._cursor: str | None = None

    async def join(self, room: str) -> None:
        await self._do(JoinRoom(room=room, create=True))

    async def say(self, text: str, *, room: str | None = None, to: str | None = None, re: str | None = None) -> str:
        if re is not None:
            parent = (await self._caller.call(FindMessage(message=re))).message
            return (await self._caller.call(PostMessage(room=parent.room, text=text, reply_to=re))).id
        if room is None and to is not None:
            return (await self._caller.call(PostDirect(agent=to, text=text))).id
        assert room is not None
        try:
            return (await self._caller.call(PostMessage(room=room, text=text, to=(to,) if to else ()))).id
        except HubError as error:
            raise Refused(error.detail) from error

    async def news(self) -> list[tuple[str, str, str]]:
        page = await self._caller.call(PollInbox(ack=self._cursor))
        self._cursor = page.cursor
        return [(m.id, m.sender, m.text) for m in page.messages]

    async def find(self, words: str) -> list[str]:
        return [m.text for m in (await self._caller.call(Search(q=words))).items]

    async def state_of(self, message: str) -> str:
        room = (await self._caller.call(FindMessage(message=message))).message.room
        return (await self._caller.call(GetReceipts(room=room, message=message))).receipts[0].state

    async def _do(self, request: JoinRoom) -> None:
        await self._caller.call(request)


class ByTools:
    """Through MCP tools."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def join(self, room: str) -> None:
        await call(self._client, "join", room=room)

    async def say(self, text: str, *, room: str | None = None, to: str | None = None, re: str | None = None) -> str:
        given = {"text": text, "room": room, "to": to, "reply_to": re}
        result = await self._client.call_tool("send", {k: v for k, v in given.items() if v is not None})
        if result.is_error:
            raise Refused(getattr(result.content[0], "text", ""))
        assert result.structured_content is not None
        return str(result.structured_content["id"])

    async def news(self) -> list[tuple[str, str, str]]:
        return [(m["id"], m["from"], m["text"]) for m in (await call(self._client, "poll")).get("messages", [])]

    async def find(self, words: str) -> list[str]:
        return [m["text"] for m in (await call(self._client, "history", query=words)).get("messages", [])]

    async def state_of(self, message: str) -> str:
        return str((await call(self._client, "who", message=message))["receipts"][0]["state"])


class Stage:
    """Makes people on one surface of one hub."""

    def __init__(self, served: Served, surface: str, stack: AsyncExitStack) -> None:
        self._served = served
        self._surface = surface
        self._stack = stack

    async def person(self, name: str) -> Person:
        async with HubClient(self._served.url, self._served.token) as local:
            token = (await local.call(RegisterAgent(name=name, kind="code"))).token
        assert token is not None
        if self._surface == "in-process":
            principal = await self._served.hub.authenticator.authenticate(token)
            return ByOperations(LocalCaller(self._served.hub.dispatch, principal))
        if self._surface == "http":
            return ByOperations(await self._stack.enter_async_context(HubClient(self._served.url, token)))
        http = httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}, timeout=30)
        await self._stack.enter_async_context(http)
        transport = streamable_http_client(f"{self._served.url}/mcp", http_client=http)
        return ByTools(await self._stack.enter_async_context(Client(transport)))


@pytest.fixture(params=["in-process", "http", "mcp"])
async def stage(tmp_path: Path, request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Stage]:
    async with serving(Settings(home=tmp_path, port=0, log_level="error")) as served, AsyncExitStack() as stack:
        yield Stage(served, request.param, stack)


async def test_a_message_is_news_once_and_then_no_more(stage: Stage) -> None:
    ada, ben = await stage.person("ada"), await stage.person("ben")
    for person in (ada, ben):
        await person.join("build")
    sent = await ada.say("hello", room="build")
    assert await ben.news() == [(sent, "ada", "hello")]
    assert await ben.news() == []
    assert await ada.news() == []


async def test_an_addressed_message_is_seen_only_after_its_reader_went_on(stage: Stage) -> None:
    ada, ben = await stage.person("ada"), await stage.person("ben")
    for person in (ada, ben):
        await person.join("build")
    sent = await ada.say("please look", room="build", to="ben")
    assert await ada.state_of(sent) == "queued"
    assert [text for _, _, text in await ben.news()] == ["please look"]
    assert await ada.state_of(sent) in ("queued", "delivered")
    await ben.news()
    assert await ada.state_of(sent) == "seen"
    await ben.say("done", re=sent)
    assert await ada.state_of(sent) == "answered"


async def test_a_direct_message_stays_between_two(stage: Stage) -> None:
    ada, ben, eve = await stage.person("ada"), await stage.person("ben"), await stage.person("eve")
    for person in (ada, ben, eve):
        await person.join("build")
    await ada.say("psst treasure", to="ben")
    assert [text for _, _, text in await ben.news()] == ["psst treasure"]
    assert await eve.news() == []
    assert await eve.find("treasure") == []
    assert await ada.find("treasure") == ["psst treasure"]


async def test_a_wrong_room_is_refused_with_the_right_one(stage: Stage) -> None:
    ada = await stage.person("ada")
    await ada.join("build")
    with pytest.raises(Refused, match="did you mean 'build'"):
        await ada.say("x", room="biuld")
