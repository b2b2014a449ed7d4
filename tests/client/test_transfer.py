"""Files through the typed client: resumed, repeated, checked, and only ordinary files."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from hub.client import HubClient, SyncHubClient
from hub.core.errors import HubUnreachable, TooLarge
from hub.features.files.contract import ListFiles
from hub.kernel.files.contract import DigestMismatch, NotAFile
from hub.kernel.rooms.contract import CreateRoom
from mcp_bridge.serve import Served
from tests.server.conftest import served
from tests.support.hubs import TestHub

pytestmark = pytest.mark.anyio
__all__ = ["served"]


class Breaking(httpx2.AsyncBaseTransport):
    """Breaks the first answers: loses them whole, or cuts their bodies short."""

    def __init__(self, hub: TestHub, *, lose: int = 0, cut: int = 0, after: int = 70_000) -> None:
        self._inner = httpx2.ASGITransport(app=hub.app.asgi)
        self._lose = lose
        self._cut = cut
        self._after = after
        self.ranges: list[str | None] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await self._inner.handle_async_request(request)
        if request.method == "POST" and self._lose:
            self._lose -= 1
            raise httpx2.ReadError("the answer was lost")
        if request.url.path.endswith("/content"):
            self.ranges.append(request.headers.get("range"))
            if self._cut:
                self._cut -= 1
                return httpx2.Response(answer.status_code, headers=answer.headers, stream=_Short(answer, self._after))
        return answer


class _Short(httpx2.AsyncByteStream):
    def __init__(self, answer: httpx2.Response, after: int) -> None:
        self._answer = answer
        self._after = after

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield (await self._answer.aread())[: self._after]
        raise httpx2.ReadError("the connection broke")


@pytest.fixture
async def room(hub: TestHub) -> TestHub:
    await (await hub.local()).call(CreateRoom(room="build"))
    return hub


def client(hub: TestHub, transport: httpx2.AsyncBaseTransport | None = None, tries: int = 4) -> HubClient:
    transport = transport or httpx2.ASGITransport(app=hub.app.asgi)
    return HubClient("http://127.0.0.1", hub.local_token, transport=transport, tries=tries)


async def test_a_download_that_breaks_off_goes_on_where_it_stopped(room: TestHub) -> None:
    content = os.urandom(300_000)
    transport = Breaking(room, cut=2)
    told: list[tuple[int, int]] = []
    async with client(room, transport) as hub:
        shared = await hub.share_file("build", content, name="big.bin")
        target = io.BytesIO()
        assert (await hub.fetch_file("build", "big.bin", target, progress=lambda *p: told.append(p))).id == shared.id
    assert target.getvalue() == content
    assert transport.ranges == [None, "bytes=70000-", "bytes=140000-"]
    assert told[-1] == (300_000, 300_000)


async def test_an_upload_whose_answer_is_lost_shares_once(room: TestHub, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one" * 100_000)
    async with client(room, Breaking(room, lose=2)) as hub:
        shared = await hub.share_file("build", path, text="look")
        assert (shared.name, shared.version, shared.deduplicated) == ("a.txt", 1, True)
        assert len((await hub.call(ListFiles(room="build", name="a.txt"))).items) == 1


async def test_bytes_damaged_on_the_way_are_noticed(room: TestHub) -> None:
    class Damaging(httpx2.ASGITransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            answer = await super().handle_async_request(request)
            if request.url.path.endswith("/content"):
                return httpx2.Response(200, headers=answer.headers, stream=_Bytes((await answer.aread())[:-1] + b"!"))
            return answer

    class _Bytes(httpx2.AsyncByteStream):
        def __init__(self, content: bytes) -> None:
            self._content = content

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield self._content

    async with client(room, Damaging(app=room.app.asgi)) as hub:
        await hub.share_file("build", b"content.", name="a.txt")
        with pytest.raises(DigestMismatch):
            await hub.fetch_file("build", "a.txt", io.BytesIO())


async def test_a_hub_that_never_answers_is_said_to_have_confirmed_nothing(room: TestHub) -> None:
    async with client(room, Breaking(room, lose=9), tries=2) as hub:
        with pytest.raises(HubUnreachable, match="nothing is confirmed"):
            await hub.share_file("build", b"one", name="a.txt")


async def test_devices_pipes_and_directories_are_refused_at_once(room: TestHub, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    async with client(room) as hub:
        for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path, tmp_path / "missing"):
            with pytest.raises(NotAFile):
                await hub.share_file("build", path, name="x")
        assert (await hub.call(ListFiles(room="build"))).items == ()


async def test_an_empty_file_is_a_file(room: TestHub) -> None:
    async with client(room) as hub:
        await hub.share_file("build", b"", name="empty")
        target = io.BytesIO()
        assert (await hub.fetch_file("build", "empty", target)).size_bytes == 0
    assert target.getvalue() == b""


async def test_the_blocking_client_shares_and_fetches_too(served: Served) -> None:
    def script() -> bytes:
        with SyncHubClient(served.url, served.token) as hub:
            hub.call(CreateRoom(room="build"))
            hub.share_file("build", b"hello", name="a.txt")
            target = io.BytesIO()
            hub.fetch_file("build", "a.txt", target)
            return target.getvalue()

    assert await asyncio.to_thread(script) == b"hello"


async def test_a_refusal_in_the_middle_of_an_upload_is_heard(served: Served) -> None:
    async with HubClient(served.url, served.token, tries=1) as hub:
        await hub.call(CreateRoom(room="build"))
        with pytest.raises(TooLarge, match="at most; split it"):
            await hub.share_file("build", b"x" * 30_000_000, name="big")
