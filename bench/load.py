"""Load generators, run in a process of their own: raw HTTP/1.1 and WebSocket clients that cost little themselves."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol


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
    run = secrets.token_hex(4)
    sample, started = Sample(), time.perf_counter()
    until = started + seconds

    async def one(number: int) -> None:
        connection = await HttpConnection(url, token).open()
        count = 0
        while time.perf_counter() < until:
            count += 1
            extra = f"idempotency-key: {run}-{number}:{count}\r\n" if keyed and method == "POST" else ""
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
    writer.write(
        f"GET {path} HTTP/1.1\r\nhost: {parts.netloc}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        f"sec-websocket-version: 13\r\nsec-websocket-key: {base64.b64encode(secrets.token_bytes(16)).decode()}\r\n"
        f"authorization: Bearer {token}\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 "), head
    return reader, writer


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


async def ws_burst(url: str, token: str, frame: Callable[[int], str], count: int, in_flight: int) -> None:
    """`count` requests over one socket, at most `in_flight` of them unanswered."""
    protocol = "token." + base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")
    protocols = [Subprotocol("bridge.v1"), Subprotocol(protocol)]
    async with connect(url, subprotocols=protocols, compression=None, max_size=None) as socket:
        for number in range(count + in_flight):
            if number < count:
                await socket.send(frame(number))
            if number >= in_flight:
                answer = json.loads(await socket.recv())
                assert "problem" not in answer, answer
