"""Load generators, run in a process of their own: raw HTTP/1.1 and WebSocket clients that cost little themselves."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from hub.core.keys import Keys


@dataclass
class Sample:
    """What one run of a generator measured."""

    done: int = 0
    failed: int = 0
    seconds: float = 0
    latencies_ms: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.done / self.seconds if self.seconds else 0.0

    def percentile(self, q: float) -> float:
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * q))] if ordered else 0.0

    def plain(self) -> dict[str, float]:
        return {
            "rate": round(self.rate, 1),
            "done": self.done,
            "failed": self.failed,
            "p50_ms": round(self.percentile(0.50), 3),
            "p99_ms": round(self.percentile(0.99), 3),
        }


TEXT = ("The quick brown fox jumps over the lazy dog. " * 12)[:500]


def body(number: int) -> bytes:
    return json.dumps({"text": f"{number} {TEXT}"}).encode()


def posts() -> Callable[[int], str]:
    """Makes WebSocket frames that post a message each, by their number."""
    keys = Keys()

    def frame(number: int) -> str:
        fields = {"room": "bench", "text": TEXT, "idempotency_key": keys.new()}
        return json.dumps({"id": number, "op": "messages.post", **fields})

    return frame


class HttpConnection:
    """One keep-alive connection, one request at a time."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._head = f"host: {parts.netloc}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"

    async def open(self) -> HttpConnection:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    async def request(self, method: str, path: str, payload: bytes = b"", extra: str = "") -> tuple[int, bytes]:
        head = f"{method} {path} HTTP/1.1\r\n{self._head}{extra}content-length: {len(payload)}\r\n\r\n"
        self._writer.write(head.encode() + payload)
        raw = await self._reader.readuntil(b"\r\n\r\n")
        length = int(raw.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        return int(raw[9:12]), await self._reader.readexactly(length)

    def close(self) -> None:
        self._writer.close()


async def http_load(
    url: str, token: str, path: str, clients: int, seconds: float, *, method: str = "POST", keyed: bool = True
) -> Sample:
    """`clients` connections, one request in flight each, for `seconds`."""
    keys = Keys()
    sample, started = Sample(), time.perf_counter()
    until = started + seconds

    async def one(number: int) -> None:
        connection = await HttpConnection(url, token).open()
        count = 0
        while time.perf_counter() < until:
            count += 1
            extra = f"idempotency-key: {keys.new()}\r\n" if keyed and method == "POST" else ""
            began = time.perf_counter()
            status, _ = await connection.request(method, path, body(count) if method == "POST" else b"", extra)
            sample.latencies_ms.append((time.perf_counter() - began) * 1000)
            if status < 300:
                sample.done += 1
            else:
                sample.failed += 1
        connection.close()

    await asyncio.gather(*(one(i) for i in range(clients)))
    sample.seconds = time.perf_counter() - started
    return sample


async def open_socket(url: str, token: str, path: str = "/v1/ws") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A WebSocket connection (RFC 6455) as bare streams: a client library would cost more than what is measured."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=2**22)
    writer.write(_upgrade(parts.netloc, token, path))
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 "), head
    return reader, writer


def _upgrade(host: str, token: str, path: str) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nhost: {host}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        f"sec-websocket-version: 13\r\nsec-websocket-key: {base64.b64encode(secrets.token_bytes(16)).decode()}\r\n"
        f"authorization: Bearer {token}\r\n\r\n"
    ).encode()


_PING: Final = 0x89


class RawSocket(asyncio.Protocol):
    """A WebSocket that hands on its bytes as they come, without a task: a thousand of them share one processor."""

    def __init__(self) -> None:
        self.take: Callable[[bytes], None] = self._look
        self._head = b""
        self._wanted = b""
        self._found: asyncio.Future[None] | None = None

    @classmethod
    async def open(cls, url: str, token: str, path: str = "/v1/ws") -> RawSocket:
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        transport, made = await loop.create_connection(cls, parts.hostname or "127.0.0.1", parts.port or 80)
        transport.write(_upgrade(parts.netloc, token, path))
        made.transport = transport
        head = await made.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        return made

    transport: asyncio.Transport

    async def until(self, mark: bytes) -> bytes:
        """Everything up to the read in which `mark` came."""
        self.take, self._head, self._wanted = self._look, b"", mark
        self._found = asyncio.get_running_loop().create_future()
        await self._found
        return self._head

    def _look(self, data: bytes) -> None:
        self._head += data
        if self._found is not None and self._wanted in self._head and not self._found.done():
            self._found.set_result(None)

    def data_received(self, data: bytes) -> None:
        if data[0] == _PING and len(data) == 2 + data[1]:  # unanswered for 20 s, it ends the connection
            self.transport.write(b"\x8a" + bytes([0x80 | data[1]]) + b"\0\0\0\0" + data[2:])
        else:
            self.take(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._found is not None and not self._found.done():
            self._found.set_exception(ConnectionError("the hub closed the socket"))

    def send(self, *texts: bytes) -> None:
        self.transport.write(b"".join(map(text_frame, texts)))

    def close(self) -> None:
        self.transport.close()


class Marks:
    """Counts a mark in a stream of bytes, also where a read ends within it. `done` is set at `wanted`."""

    def __init__(self, mark: bytes, wanted: int) -> None:
        self.seen = 0
        self.done = asyncio.Event()
        self._mark, self._wanted, self._rest = mark, wanted, b""

    def take(self, data: bytes) -> None:
        text = self._rest + data
        self.seen += text.count(self._mark)
        cut = text.rfind(self._mark)
        start = cut + len(self._mark) if cut >= 0 else 0
        self._rest = text[max(start, len(text) - len(self._mark) + 1) :]
        if self.seen >= self._wanted:
            self.done.set()


def text_frame(data: bytes) -> bytes:
    """One client frame of up to 64 KiB; its mask of zeros leaves the data as it is."""
    size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
    return b"\x81" + size + b"\0\0\0\0" + data


async def ws_load(
    url: str, token: str, frame: Callable[[int], str], sockets: int, in_flight: int, seconds: float
) -> Sample:
    """`sockets` connections with `in_flight` pipelined requests each."""
    sample, started = Sample(), time.perf_counter()
    until = started + seconds
    protocol = "token." + base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")

    async def one() -> None:
        async with connect(
            url,
            subprotocols=[Subprotocol("bridge.v1"), Subprotocol(protocol)],
            compression=None,
            max_size=None,
        ) as socket:
            sent: dict[int, float] = {}
            number = 0
            for _ in range(in_flight):
                number += 1
                sent[number] = time.perf_counter()
                await socket.send(frame(number))
            async for raw in socket:
                answer = json.loads(raw)
                began = sent.pop(answer.get("re", answer.get("id")), None)
                if began is None:
                    continue
                sample.latencies_ms.append((time.perf_counter() - began) * 1000)
                sample.done += "problem" not in answer
                sample.failed += "problem" in answer
                if time.perf_counter() < until:
                    number += 1
                    sent[number] = time.perf_counter()
                    await socket.send(frame(number))
                elif not sent:
                    return

    await asyncio.gather(*(one() for _ in range(sockets)))
    sample.seconds = time.perf_counter() - started
    return sample


async def ws_burst(
    url: str, token: str, path: str, frame: Callable[[int], bytes], count: int, in_flight: int, answer: bytes
) -> None:
    """`count` requests over one socket, at most `in_flight` of them unanswered; each answer has `answer` in it once."""
    socket = await RawSocket.open(url, token, path)
    answers, refusals = Marks(answer, count), Marks(b'"problem":{', 1)
    sent = min(count, in_flight)

    def take(data: bytes) -> None:
        nonlocal sent
        answers.take(data)
        refusals.take(data)
        more = min(count, answers.seen + in_flight)
        if more > sent:
            socket.send(*(frame(number) for number in range(sent, more)))
            sent = more

    socket.take = take
    socket.send(*(frame(number) for number in range(sent)))
    await answers.done.wait()
    assert not refusals.seen
    socket.close()
