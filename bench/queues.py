"""Claim + acknowledge: the hub's queues against consumer groups of Redis Streams and NATS JetStream.

All hold the same backlog; each of 16 workers takes one task, acknowledges it, takes the next. The load generators are
raw protocol clients in one process, so that the servers are what is measured.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import uvloop
from websockets.asyncio.client import ClientConnection, connect

from bench.load import TEXT, HttpConnection
from bench.servers import Server, free_port, wait_for

WORKERS = 16
BATCH = 100


class Missing(Exception):
    """A peer that is not installed; its row is left out."""


async def pairs_per_second(
    work: Callable[[int, Callable[[], bool]], Coroutine[Any, Any, int]], seconds: float
) -> float:
    """What 16 workers do together; each works until told, or until the backlog ends."""
    until = time.perf_counter() + seconds
    began = time.perf_counter()
    done = await asyncio.gather(*(work(number, lambda: time.perf_counter() < until) for number in range(WORKERS)))
    return sum(done) / (time.perf_counter() - began)


# --- the hub ----------------------------------------------------------------------------------------------------


async def hub_pairs(server: Server, seconds: float, backlog: int) -> float:
    """Over WebSocket, every call with an idempotency key, every change on disk before its answer."""
    queue = f"bench-{secrets.token_hex(4)}"
    http = await HttpConnection(server.url, server.token).open()
    await http.request("POST", "/v1/queues", json.dumps({"queue": queue}).encode())
    one = {"op": "tasks.enqueue", "queue": queue, "body": TEXT}
    for _ in range(backlog // BATCH):
        status, _body = await http.request("POST", "/v1/batch", json.dumps({"operations": [one] * BATCH}).encode())
        assert status == 200
    http.close()
    headers = {"authorization": f"Bearer {server.token}"}

    async def work(number: int, going: Callable[[], bool]) -> int:
        async with connect(server.ws + "/v1/ws", additional_headers=headers, compression=None) as socket:
            done = 0
            while going():
                key = f"{queue}-{number}-{done}"
                taken = await _ask(socket, {"op": "queues.claim", "queue": queue, "idempotency_key": key})
                if not taken["items"]:
                    return done
                task = taken["items"][0]
                held = {"task": task["id"], "lease_token": task["lease_token"]}
                await _ask(socket, {"op": "tasks.ack", **held, "result": "ok", "idempotency_key": key})
                done += 1
            return done

    return await pairs_per_second(work, seconds)


async def _ask(socket: ClientConnection, frame: dict[str, Any]) -> dict[str, Any]:
    await socket.send(json.dumps({"id": 1, **frame}))
    answer = json.loads(await socket.recv())
    assert "ok" in answer, answer
    return dict(answer["ok"])


# --- Redis ------------------------------------------------------------------------------------------------------


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield
    finally:
        process.terminate()
        process.wait(10)


def redis_pairs(seconds: float, backlog: int) -> float:
    """XREADGROUP COUNT 1, XACK; `appendfsync always`."""
    if shutil.which("redis-server") is None:
        raise Missing("redis-server")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        options = ["--port", str(port), "--dir", folder, "--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        with running(["redis-server", *options], port):
            return float(uvloop.run(_redis(port, seconds, backlog)))


class Redis:
    """One connection of the Redis protocol (RESP2), one command at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def command(self, *parts: str) -> Any:
        self._writer.write(resp(parts))
        return await self.answer()

    async def many(self, command: tuple[str, ...], times: int) -> None:
        self._writer.write(resp(command) * times)
        for _ in range(times):
            await self.answer()

    async def answer(self) -> Any:
        line = (await self._reader.readuntil(b"\r\n"))[:-2]
        kind, rest = line[:1], line[1:]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b"$":
            return None if rest == b"-1" else (await self._reader.readexactly(int(rest) + 2))[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [await self.answer() for _ in range(int(rest))]
        return rest

    def close(self) -> None:
        self._writer.close()


def resp(parts: tuple[str, ...]) -> bytes:
    return f"*{len(parts)}\r\n".encode() + b"".join(b"$%d\r\n%b\r\n" % (len(p.encode()), p.encode()) for p in parts)


async def _redis(port: int, seconds: float, backlog: int) -> float:
    async def opened() -> Redis:
        return Redis(*await asyncio.open_connection("127.0.0.1", port))

    first = await opened()
    await first.command("XGROUP", "CREATE", "q", "g", "0", "MKSTREAM")
    for _ in range(backlog // BATCH):
        await first.many(("XADD", "q", "*", "body", TEXT), BATCH)
    first.close()

    async def work(number: int, going: Callable[[], bool]) -> int:
        redis, done = await opened(), 0
        while going():
            found = await redis.command("XREADGROUP", "GROUP", "g", f"w{number}", "COUNT", "1", "STREAMS", "q", ">")
            if not found:
                break
            await redis.command("XACK", "q", "g", found[0][1][0][0].decode())
            done += 1
        redis.close()
        return done

    return await pairs_per_second(work, seconds)


# --- NATS JetStream ---------------------------------------------------------------------------------------------


def nats_pairs(seconds: float, backlog: int) -> float:
    """A durable pull consumer, one message a request, acknowledgements confirmed. Debian's server does not fsync each."""
    if shutil.which("nats-server") is None:
        raise Missing("nats-server")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        config = Path(folder) / "nats.conf"
        config.write_text(f'port: {port}\nhost: "127.0.0.1"\njetstream {{ store_dir: "{folder}/js" }}\n')
        with running(["nats-server", "-c", str(config)], port):
            return float(uvloop.run(_nats(port, seconds, backlog)))


class Nats:
    """One connection of the NATS protocol; requests answered in order on one inbox."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.inbox = f"_INBOX.{secrets.token_hex(8)}"

    async def start(self) -> None:
        await self._reader.readuntil(b"\r\n")  # INFO
        self._writer.write(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n')
        self._writer.write(f"SUB {self.inbox} 1\r\n".encode())

    def publish(self, subject: str, payload: bytes) -> None:
        self._writer.write(f"PUB {subject} {self.inbox} {len(payload)}\r\n".encode() + payload + b"\r\n")

    async def message(self) -> tuple[str, bytes]:
        """(reply subject, payload) of the next message; keeps the connection alive."""
        while True:
            line = (await self._reader.readuntil(b"\r\n"))[:-2].decode()
            verb, *rest = line.split(" ")
            if verb == "PING":
                self._writer.write(b"PONG\r\n")
            elif verb in ("MSG", "HMSG"):
                payload = await self._reader.readexactly(int(rest[-1]) + 2)
                named = rest[2:-1] if verb == "MSG" else rest[2:-2]
                return (named[0] if named else ""), payload[:-2]
            elif verb == "-ERR":
                raise RuntimeError(line)

    async def request(self, subject: str, payload: bytes = b"") -> tuple[str, bytes]:
        self.publish(subject, payload)
        return await self.message()

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def nats(port: int) -> AsyncIterator[Nats]:
    made = Nats(*await asyncio.open_connection("127.0.0.1", port))
    await made.start()
    try:
        yield made
    finally:
        made.close()


async def _nats(port: int, seconds: float, backlog: int) -> float:
    async with nats(port) as first:
        stream = {"name": "q", "subjects": ["q"], "retention": "workqueue", "storage": "file"}
        consumer = {
            "stream_name": "q",
            "config": {"durable_name": "g", "ack_policy": "explicit", "max_ack_pending": 10_000},
        }
        for subject, asked in (("STREAM.CREATE.q", stream), ("CONSUMER.DURABLE.CREATE.q.g", consumer)):
            _, answer = await first.request(f"$JS.API.{subject}", json.dumps(asked).encode())
            assert b'"error"' not in answer, answer
        for _ in range(backlog // BATCH):
            for _ in range(BATCH):
                first.publish("q", TEXT.encode())
            for _ in range(BATCH):
                await first.message()

    async def work(_number: int, going: Callable[[], bool]) -> int:
        async with nats(port) as mine:
            done = 0
            while going():
                reply, _ = await mine.request("$JS.API.CONSUMER.MSG.NEXT.q.g", b'{"batch":1,"no_wait":true}')
                if not reply:
                    break
                await mine.request(reply, b"+ACK")
                done += 1
            return done

    return await pairs_per_second(work, seconds)
