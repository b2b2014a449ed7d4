"""Bytes of files over a real socket: whole or not at all, in any part, and never something a browser would run."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from hub.settings import Settings
from hub.storage.blobs import MARK
from mcp_bridge.serve import Served, serving
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio
FILES = "/v1/rooms/build/files"


@pytest.fixture
async def served(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Served]:
    """A hub with small limits and little patience."""
    settings = Settings(
        home=tmp_path, port=0, log_level="error", file_bytes=2_000_000, room_files_bytes=3_000_000, body_idle_s=0.3
    )
    async with serving(settings) as running:
        async with client_of(running) as client:
            assert (await client.post("/v1/rooms", json={"room": "build"})).status_code == 201
        yield running


def client_of(served: Served) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        base_url=served.url, headers={"authorization": f"Bearer {served.token}"}, timeout=httpx2.Timeout(10)
    )


@pytest.fixture
async def http(served: Served) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(served) as client:
        yield client


def on_disk(served: Served) -> list[Path]:
    found = (served.hub.settings.home / "blobs").rglob("*")
    return sorted(path for path in found if path.is_file() and path.name != MARK)


async def shared(http: httpx2.AsyncClient) -> list[str]:
    return [item["name"] for item in (await http.get(FILES)).json()["items"]]


def head(served: Served, name: str, *lines: str) -> bytes:
    """The head of an upload."""
    host = served.url.removeprefix("http://")
    lead = [f"POST {FILES}?name={name} HTTP/1.1", f"host: {host}", f"authorization: Bearer {served.token}", *lines]
    return "\r\n".join([*lead, "", ""]).encode()


async def raw(served: Served, parts: Iterable[bytes], *, then_close: bool = False) -> tuple[int, dict[str, Any]]:
    """Send bytes on a new connection until the hub closes it; the answer's status and body (0 when there was none)."""
    host, port = served.url.removeprefix("http://").split(":")
    incoming, outgoing = await asyncio.open_connection(host, int(port))
    reading = asyncio.create_task(everything(incoming))
    with suppress(ConnectionError):
        for part in parts:
            outgoing.write(part)
            await outgoing.drain()
    if then_close:
        outgoing.close()
    async with asyncio.timeout(8):
        answer = await reading
    outgoing.close()
    lead, _, body = answer.partition(b"\r\n\r\n")
    return (int(lead.split(b" ", 2)[1]), json.loads(body) if body else {}) if lead else (0, {})


async def everything(incoming: asyncio.StreamReader) -> bytes:
    """What arrives until the connection ends, however it ends."""
    answer = b""
    with suppress(ConnectionError):
        while data := await incoming.read(65536):
            answer += data
    return answer


async def test_a_streamed_upload_comes_back_byte_for_byte(served: Served, http: httpx2.AsyncClient) -> None:
    content = bytes(range(256)) * 6000

    async def stream() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 70_001):
            yield content[start : start + 70_001]

    digest = hashlib.sha256(content)
    headers = {"content-digest": f"sha-256=:{base64.b64encode(digest.digest()).decode()}:", "idempotency-key": "k"}
    made = await http.post(FILES, params={"name": "raw.bin"}, content=stream(), headers=headers)
    assert made.status_code == 201, made.text
    body = made.json()
    assert (body["sha256"], body["size_bytes"], body["version"]) == (digest.hexdigest(), len(content), 1)
    again = await http.post(FILES, params={"name": "raw.bin"}, content=content, headers=headers)
    assert (again.json()["id"], again.json()["deduplicated"]) == (body["id"], True)
    for name in ("raw.bin", body["id"]):
        got = await http.get(f"{FILES}/{name}/content")
        assert (got.status_code, got.content == content) == (200, True)
    assert len(on_disk(served)) == 1


async def test_an_upload_cut_at_any_chunk_leaves_nothing(served: Served, http: httpx2.AsyncClient) -> None:
    chunks = [bytes([i]) * 60_000 for i in range(20)]
    length = head(served, "cut.bin", f"content-length: {60_000 * 20}")
    chunked = head(served, "cut.bin", "transfer-encoding: chunked")
    pieces = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
    for cut in range(20):
        await raw(served, [length, *chunks[:cut]], then_close=True)
        await raw(served, [chunked, *pieces[:cut]], then_close=True)
    await raw(served, [length, *chunks[:-1], chunks[-1][:-1]], then_close=True)
    await raw(served, [chunked, *pieces], then_close=True)  # everything but the end of the body
    await eventually(lambda: on_disk(served) == [], what="no byte of a broken upload stays")
    assert await shared(http) == []
    status, body = await raw(served, [chunked.replace(b"host", b"connection: close\r\nhost", 1), *pieces, b"0\r\n\r\n"])
    assert (status, body["size_bytes"]) == (201, 60_000 * 20)


async def test_an_endless_body_is_stopped_at_the_limit(served: Served, http: httpx2.AsyncClient) -> None:
    sent = 0

    def endless() -> Iterable[bytes]:
        nonlocal sent
        yield head(served, "endless.bin", "transfer-encoding: chunked")
        piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        while sent < 2_000_000_000:
            sent += 0x10000
            yield piece

    status, body = await raw(served, endless())
    assert (status, body["code"]) == (413, "too-large")
    assert sent < 50_000_000, "it was stopped, not read to the end"
    assert on_disk(served) == []
    announced = await raw(served, [head(served, "big.bin", "content-length: 2000001")])
    assert (announced[0], announced[1]["code"]) == (413, "too-large")
    assert await shared(http) == []


async def test_a_body_that_stands_still_is_given_up(served: Served, http: httpx2.AsyncClient) -> None:
    status, body = await raw(served, [head(served, "slow.bin", "content-length: 1000"), b"x" * 10])
    assert (status, body["code"]) == (408, "body-too-slow")
    assert "nothing was stored" in body["detail"]
    assert on_disk(served) == []
    assert await shared(http) == []


async def test_a_trickle_is_given_up_although_it_never_stands_still(served: Served) -> None:
    host, port = served.url.removeprefix("http://").split(":")
    incoming, outgoing = await asyncio.open_connection(host, int(port))
    outgoing.write(head(served, "trickle.bin", "content-length: 1000000"))
    answer = asyncio.create_task(incoming.read())

    async def one_more() -> bool:
        outgoing.write(b"x")
        return answer.done()

    await eventually(one_more, within_s=10, what="the trickle is refused")
    outgoing.close()
    assert b"body-too-slow" in answer.result()


@pytest.mark.parametrize(
    ("query", "headers", "status", "code"),
    [
        ("name=..%2F..%2Fetc%2Fpasswd", {}, 422, "invalid"),
        ("name=..", {}, 422, "invalid"),
        ("name=a%00b", {}, 422, "invalid"),
        ("name=%E2%80%AEtxt.exe", {}, 422, "invalid"),
        ("name=%ff%fe", {}, 400, "malformed"),
        ("text=hi", {}, 422, "invalid"),
        ("name=a&name=b", {}, 422, "invalid"),
        ("name=a&content=x", {}, 422, "invalid"),
        ("name=a&from=eve", {}, 422, "sender-mismatch"),
        ("name=a&sha256=" + "0" * 64, {}, 422, "digest-mismatch"),
        ("name=a", {"content-digest": "sha-256=:" + "A" * 43 + "=:"}, 422, "digest-mismatch"),
        ("name=a", {"content-digest": "sha-256=:" + "=" * 44 + ":"}, 400, "malformed"),
        ("name=a", {"idempotency-key": "ü"}, 422, "invalid"),
    ],
)
async def test_a_wrong_upload_is_refused_by_name_and_leaves_nothing(
    served: Served, http: httpx2.AsyncClient, query: str, headers: dict[str, str], status: int, code: str
) -> None:
    sent = {name.encode(): value.encode() for name, value in headers.items()}
    answer = await http.post(f"{FILES}?{query}", content=b"hello", headers=sent)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert on_disk(served) == []
    assert await shared(http) == []


async def test_a_full_room_refuses_before_and_after_the_bytes(served: Served, http: httpx2.AsyncClient) -> None:
    for name in ("a", "b"):
        content = name.encode() * 1_400_000
        assert (await http.post(FILES, params={"name": name}, content=content)).status_code == 201

    async def unannounced() -> AsyncIterator[bytes]:
        yield b"c" * 400_000

    bodies: list[bytes | AsyncIterator[bytes]] = [b"c" * 400_000, unannounced()]
    for sent in bodies:
        answer = await http.post(FILES, params={"name": "c"}, content=sent)
        body = answer.json()
        assert (answer.status_code, body["code"]) == (413, "room-full")
        assert (body["used_bytes"], body["quota_bytes"]) == (2_800_000, 3_000_000)
        assert "holds 2,800,000 of 3,000,000 bytes" in body["detail"]
    assert len(on_disk(served)) == 2


async def test_ranges_give_exactly_the_asked_bytes(http: httpx2.AsyncClient) -> None:
    content = bytes(range(256)) * 4
    await http.post(FILES, params={"name": "r.bin"}, content=content)
    etag = f'"{hashlib.sha256(content).hexdigest()}"'
    for asked, first, last in (
        ("0-0", 0, 0),
        ("5-", 5, 1023),
        ("-7", 1017, 1023),
        ("1000-9999", 1000, 1023),
        ("-9999", 0, 1023),
    ):
        got = await http.get(f"{FILES}/r.bin/content", headers={"range": f"bytes={asked}"})
        assert (got.status_code, got.content) == (206, content[first : last + 1]), asked
        assert got.headers["content-range"] == f"bytes {first}-{last}/1024"
        assert got.headers["etag"] == etag
    for whole in ("bytes=0-1,5-6", "bytes=9-5", "bytes=-", "lines=1-2", "bytes=a-b"):
        got = await http.get(f"{FILES}/r.bin/content", headers={"range": whole})
        assert (got.status_code, got.content) == (200, content), whole
    for outside in ("bytes=1024-", "bytes=-0"):
        got = await http.get(f"{FILES}/r.bin/content", headers={"range": outside})
        assert (got.status_code, got.headers["content-range"]) == (416, "bytes */1024")
        assert got.json()["code"] == "range-not-satisfiable"
    same = await http.get(f"{FILES}/r.bin/content", headers={"range": "bytes=0-3", "if-range": etag})
    other = await http.get(f"{FILES}/r.bin/content", headers={"range": "bytes=0-3", "if-range": '"other"'})
    assert (same.status_code, other.status_code, len(other.content)) == (206, 200, 1024)
    looked = await http.head(f"{FILES}/r.bin/content")
    assert (looked.status_code, looked.headers["content-length"], looked.content) == (200, "1024", b"")


async def test_an_unchanged_file_is_not_sent_again_and_a_new_version_is(http: httpx2.AsyncClient) -> None:
    await http.post(FILES, params={"name": "a.txt"}, content=b"one")
    got = await http.get(f"{FILES}/a.txt/content")
    again = await http.get(f"{FILES}/a.txt/content", headers={"if-none-match": f'"x", {got.headers["etag"]}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", got.headers["etag"])
    await http.post(FILES, params={"name": "a.txt"}, content=b"two")
    newer = await http.get(f"{FILES}/a.txt/content", headers={"if-none-match": got.headers["etag"]})
    old = await http.get(f"{FILES}/a.txt/content", params={"version": 1})
    assert (newer.content, old.content) == (b"two", b"one")


POLYGLOTS = {
    "page.html": (b"<html><script>alert(1)</script>", "text/plain; charset=utf-8"),
    "image.svg": (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "text/plain; charset=utf-8"),
    "code.js": (b"alert(1)", "text/plain; charset=utf-8"),
    "gif-and-js.gif": (b"GIF89a/*\x00\x00*/=1;alert(1)", "image/gif"),
    "html-in-png.png": (b"\x89PNG\r\n\x1a\n<html><script>alert(1)</script>", "image/png"),
    "says-png.png": (b"<html><script>alert(1)</script>", "text/plain; charset=utf-8"),
    "zip-at-the-end.pdf": (b"%PDF-1.4 <script>alert(1)</script> PK\x03\x04", "application/pdf"),
    "utf7.csv": (b"+ADw-script+AD4-", "text/csv; charset=utf-8"),
    "utf16.html": ("<script>alert(1)</script>".encode("utf-16"), "application/octet-stream"),
    "empty.html": (b"", "text/plain; charset=utf-8"),
}


@pytest.mark.parametrize("name", POLYGLOTS)
async def test_no_file_is_served_as_something_a_browser_runs(http: httpx2.AsyncClient, name: str) -> None:
    content, served_as = POLYGLOTS[name]
    made = await http.post(
        FILES, params={"name": name}, content=content, headers={"content-type": "text/html; charset=utf-7"}
    )
    got = await http.get(f"{FILES}/{made.json()['id']}/content")
    assert (got.content, got.headers["content-type"]) == (content, served_as)
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert got.headers["content-disposition"].startswith("attachment; ")
    assert got.headers["cross-origin-resource-policy"] == "same-origin"
    assert got.headers["cache-control"] == "private, no-cache"


async def test_a_name_cannot_break_out_of_its_header(http: httpx2.AsyncClient) -> None:
    name = 'a"; filename=evil.html; x="文\'.txt'
    made = await http.post(FILES, params={"name": name}, content=b"x")
    got = await http.get(f"{FILES}/{made.json()['id']}/content")
    assert got.headers["content-disposition"] == (
        'attachment; filename="a_; filename=evil.html; x=__\'.txt"; '
        "filename*=UTF-8''a%22%3B%20filename%3Devil.html%3B%20x%3D%22%E6%96%87%27.txt"
    )


async def test_bytes_need_a_token_a_scope_and_membership(served: Served, http: httpx2.AsyncClient) -> None:
    await http.post(FILES, params={"name": "a.txt"}, content=b"one")
    made = await http.post("/v1/agents", json={"name": "eve", "scopes": ["room:read", "file:read"]})
    eve = {"authorization": f"Bearer {made.json()['token']}"}
    async with httpx2.AsyncClient(base_url=served.url, timeout=10) as stranger:
        assert (await stranger.get(f"{FILES}/a.txt/content")).status_code == 401
        assert (await stranger.post(FILES, params={"name": "b"}, content=b"x")).status_code == 401
        foreign = await stranger.get(f"{FILES}/a.txt/content", headers=eve)
        missing = await stranger.get("/v1/rooms/none/files/a.txt/content", headers=eve)
        assert (foreign.status_code, foreign.json()["code"]) == (404, "room-not-found")
        assert foreign.json()["detail"].replace("build", "none") == missing.json()["detail"]
        refused = await stranger.post(FILES, params={"name": "b"}, content=b"x", headers=eve)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert (await stranger.put(f"{FILES}/a.txt/content", headers=eve)).status_code == 405
        ticket = (await http.post("/v1/tickets")).json()["ticket"]
        first = await stranger.get(f"{FILES}/a.txt/content", params={"ticket": ticket})
        second = await stranger.get(f"{FILES}/a.txt/content", params={"ticket": ticket})
        assert (first.content, second.status_code) == (b"one", 401)
    assert len(on_disk(served)) == 1


async def test_lost_bytes_are_said_and_not_invented(served: Served, http: httpx2.AsyncClient) -> None:
    await http.post(FILES, params={"name": "a.txt"}, content=b"one")
    on_disk(served)[0].unlink()
    answer = await http.get(f"{FILES}/a.txt/content")
    assert (answer.status_code, answer.json()["code"]) == (404, "bytes-missing")
    again = await http.get(f"{FILES}/a.txt/part")
    assert again.json()["code"] == "bytes-missing"
