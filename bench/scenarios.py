"""What is measured: each scenario gives one pair (subject, reference) per round."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import uvloop
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from bench import goals, peers, queues, sandbox, scale
from bench.load import TEXT, HttpConnection, Marks, RawSocket, http_load, posts, ws_burst, ws_load
from bench.pair import Pair, Run, seconds
from bench.servers import Server, post

ROOM = "/v1/rooms/bench/messages"


def prepare(subject: Server) -> None:
    post(subject, "/v1/rooms", {"room": "bench"})


def durable_http(clients: int) -> Run:
    """Sends per second over HTTP, each on disk before its answer, against a bare Starlette echo."""

    def run(subject: Server, bare: Server) -> Pair:
        reference = uvloop.run(http_load(bare.url, "none", "/echo", clients, seconds()))
        before = subject.cpu_s()
        sample = uvloop.run(http_load(subject.url, subject.token, ROOM, clients, seconds()))
        cpu_us = (subject.cpu_s() - before) / max(1, sample.done) * 1e6
        detail = f"p50 {sample.percentile(0.5):.1f} p99 {sample.percentile(0.99):.1f} ms, {cpu_us:.0f} µs CPU"
        return Pair(sample.rate, reference.rate, "sends/s", detail)

    return run


def durable_websocket(subject: Server, bare: Server) -> Pair:
    """Pipelined sends per second over WebSocket, 16 sockets × 16 in flight, against a bare WebSocket echo."""
    reference = uvloop.run(
        ws_load(bare.ws + "/ws", "x", lambda n: json.dumps({"id": n, "text": TEXT}), 16, 16, seconds())
    )
    sample = uvloop.run(ws_load(subject.ws + "/v1/ws", subject.token, posts(), 16, 16, seconds()))
    return Pair(sample.rate, reference.rate, "sends/s", f"p99 {sample.percentile(0.99):.0f} ms")


def send_under_reads(subject: Server, _bare: Server) -> Pair:
    """Sends while 32 other clients saturate the hub with reads, against the same sends alone."""

    async def both() -> tuple[float, float]:
        reads = asyncio.create_task(
            http_load(subject.url, subject.token, "/v1/rooms/bench/messages?limit=1", 32, seconds(), method="GET")
        )
        sends = await http_load(subject.url, subject.token, ROOM, 16, seconds() * 0.8)
        return sends.rate, (await reads).rate

    alone = uvloop.run(http_load(subject.url, subject.token, ROOM, 16, seconds()))
    loaded, reads = uvloop.run(both())
    return Pair(loaded, alone.rate, "sends/s", f"{reads:.0f} reads/s beside it")


def wake_latency(subject: Server, _bare: Server) -> Pair:
    """Send → a waiting WebSocket has it (ms, p50), against the send's own round trip."""
    arrived, answered = uvloop.run(_wakes(subject, int(150 * seconds())))
    p99 = arrived[int(len(arrived) * 0.99)]
    return Pair(arrived[len(arrived) // 2], answered[len(answered) // 2], "ms", f"p99 {p99:.2f} ms")


def websocket_wakes(subject: Server, times: int) -> list[float]:
    """Send over one WebSocket → another one has it (ms), sorted."""
    return uvloop.run(_wakes(subject, times))[0]


async def _wakes(subject: Server, times: int) -> tuple[list[float], list[float]]:
    """When a waiting reader had each message, and when its sender had its answer (ms after the send), sorted."""
    protocol = "token." + base64.urlsafe_b64encode(subject.token.encode()).decode().rstrip("=")
    offered = [Subprotocol("bridge.v1"), Subprotocol(protocol)]
    url = subject.ws + "/v1/ws"
    arrived: list[float] = []
    answered: list[float] = []
    async with (
        connect(url, subprotocols=offered, compression=None) as reader,
        connect(url, subprotocols=offered, compression=None) as sender,
    ):
        await reader.send(json.dumps({"id": 1, "op": "subscribe", "cursors": {"bench": await _cursor(subject)}}))
        await reader.recv()

        async def send(number: int, began: float) -> None:
            await sender.send(json.dumps({"id": number, "op": "messages.post", "room": "bench", "text": f"{number}"}))
            await sender.recv()
            answered.append((time.perf_counter() - began) * 1000)

        for number in range(times):
            began = time.perf_counter()
            sending = asyncio.create_task(send(number, began))
            while b'"event"' not in (await reader.recv(decode=False)):
                pass
            arrived.append((time.perf_counter() - began) * 1000)
            await sending
    return sorted(arrived), sorted(answered)


async def _cursor(server: Server) -> str:
    connection = await HttpConnection(server.url, server.token).open()
    _, raw = await connection.request("GET", "/v1/rooms/bench")
    connection.close()
    return str(json.loads(raw)["cursor"])


def fan_out(sockets: int) -> Run:
    """Deliveries per second of a pipelined burst to many sockets, against a bare broadcast of one frame per event."""

    def run(subject: Server, bare: Server) -> Pair:
        events = max(64, int(60_000 * seconds() / sockets))
        reference = uvloop.run(_bare_burst(bare, sockets, events))
        return Pair(uvloop.run(_burst(subject, sockets, events)), reference, "deliv/s", f"{events} events")

    return run


async def _burst(server: Server, sockets: int, events: int) -> float:
    """Every event is durable and checked before it goes out."""
    tokens = scale.agents(server, (sockets + 19) // 20)
    asked = json.dumps({"id": 1, "op": "subscribe", "cursors": {"bench": await _cursor(server)}, "batch": True})
    readers = []
    for number in range(sockets):
        readers.append(await RawSocket.open(server.url, tokens[number // 20]))
        readers[-1].send(asked.encode())
        await readers[-1].until(b'"ok"')
    post_frame: dict[str, object] = {"op": "messages.post", "room": "bench", "text": TEXT}
    return await _deliveries(server, "/v1/ws", readers, events, post_frame, b'{"re":')


async def _bare_burst(server: Server, sockets: int, events: int) -> float:
    """Nothing is stored or checked: the frame goes to each socket in turn."""
    readers = [await RawSocket.open(server.url, server.token, "/follow") for _ in range(sockets)]
    frame: dict[str, object] = {
        "type": "message.posted",
        "text": TEXT,
        "sender": "someone",
        "room": "bench",
        "seq": 1,
        "at": 1,
    }
    return await _deliveries(server, "/broadcast", readers, events, frame, b'{"id": ')


async def _deliveries(
    server: Server, path: str, readers: list[RawSocket], events: int, frame: dict[str, object], answer: bytes
) -> float:
    """Readers only count events in the bytes, so that the server is what is measured."""
    counts = [Marks(b'message.posted"', events) for _ in readers]
    for reader, count in zip(readers, counts, strict=True):
        reader.take = count.take
    text = json.dumps(frame)[1:]
    began = time.perf_counter()
    await ws_burst(server.url, server.token, path, lambda n: f'{{"id": {n}, {text}'.encode(), events, 256, answer)
    for count in counts:
        await count.done.wait()
    took = time.perf_counter() - began
    for reader in readers:
        reader.close()
    return len(readers) * events / took


def sqlite_batches(subject: Server, _bare: Server) -> Pair:
    """Messages per second at 64 clients, against raw SQLite in batches of 64 on the same disk."""
    sample = uvloop.run(http_load(subject.url, subject.token, ROOM, 64, seconds()))
    return Pair(sample.rate, goals.raw_batches(64), "msgs/s")


Hub = Callable[[Server, float, int], Coroutine[Any, Any, float]]


def claim_and_ack(peer: Callable[[float, int], float], named: str, ours: Hub = queues.hub_pairs) -> Run:
    """Claim + acknowledge per second of 16 workers against a peer's consumer group."""

    def run(subject: Server, _bare: Server) -> Pair:
        backlog = int(6000 * seconds())
        reference = peer(seconds(), backlog * 5)
        return Pair(uvloop.run(ours(subject, seconds(), backlog)), reference, "pairs/s", named)

    return run


def sandbox_overhead(_subject: Server, _bare: Server) -> Pair:
    """Python's `pass` in the sandbox (ms, median), against a plain process."""
    subject, reference, detail = sandbox.overhead(int(20 * seconds()) or 5)
    return Pair(subject, reference, "ms", detail)


def latency_beside_runs(subject: Server, _bare: Server) -> Pair:
    """A send (ms, median) while runs burn the processor, against the same hub at rest."""
    busy, quiet, detail = sandbox.beside_runs(subject, 2 * seconds())
    return Pair(busy, quiet, "ms", detail)


ALL: dict[str, Run] = {
    "send-http-16": durable_http(16),
    "send-http-64": durable_http(64),
    "send-websocket-16x16": durable_websocket,
    "send-under-reads": send_under_reads,
    "wake-latency": wake_latency,
    "fan-out-100": fan_out(100),
    "fan-out-1000": fan_out(1000),
    "send-against-raw-sqlite": sqlite_batches,
    "claim-ack-redis": claim_and_ack(queues.redis_pairs, "16 workers, WebSocket; both fsync before each answer"),
    "claim-ack-10-redis": claim_and_ack(
        partial(queues.redis_pairs, count=10),
        "16 workers, ten tasks a claim, their acks together; both fsync",
        partial(queues.hub_pairs, count=10),
    ),
    "claim-ack-next-redis": claim_and_ack(
        partial(queues.redis_pairs, together=True),
        "16 workers; an ack takes the next task in one call, XACK and XREADGROUP in one write; both fsync",
        queues.hub_next,
    ),
    "claim-ack-nats-sync": claim_and_ack(
        partial(queues.nats_pairs, durable=True), "16 workers, WebSocket; both fsync before each answer"
    ),
    "claim-ack-nats": claim_and_ack(queues.nats_pairs, "16 workers, WebSocket; only the hub fsyncs before each answer"),
    "sandbox-overhead": sandbox_overhead,
    "latency-beside-runs": latency_beside_runs,
    "send-nats-16": goals.sends_against(peers.nats_sends, 16),
    "send-nats-64": goals.sends_against(peers.nats_sends, 64),
    "send-redis-16": goals.sends_against(peers.redis_sends, 16),
    "send-redis-64": goals.sends_against(peers.redis_sends, 64),
    "websocket-nats-4x256": goals.pipelined_against(peers.nats_sends),
    "websocket-redis-4x256": goals.pipelined_against(peers.redis_sends),
    "batch-100": goals.batches,
    "wake-redis-p50": goals.wake_against_redis(0.5, websocket_wakes),
    "wake-redis-p99": goals.wake_against_redis(0.99, websocket_wakes),
    "paced-1000": goals.ten_a_second,
    "idle-1000-memory": goals.idle_memory,
    "idle-1000-cpu": goals.idle_cpu,
    "pollers-1000": goals.woken_pollers,
    "growth-history": goals.growth("history", [1000, 10_000, 100_000, 1_000_000], [100, 1000]),
    "growth-rooms": goals.growth("rooms", [10, 100, 1000, 10_000], [10, 100]),
    "growth-members": goals.growth("members", [2, 10, 100, 1000], [2, 20]),
    "page-of-a-million": goals.page_of_a_long_history,
    "ready-with-a-million": goals.ready_after_restart,
    "mcp-call": goals.mcp_call,
    "stdio-first-frame": goals.first_frame,
    "memory": goals.memory,
}
SPREAD = {"sandbox-overhead", "latency-beside-runs", "ready-with-a-million", "stdio-first-frame"}  # share all cores
ONCE = {  # alternate inside, need a fresh hub, or take long
    "growth-history",
    "growth-rooms",
    "growth-members",
    "memory",
    "idle-1000-memory",
    "idle-1000-cpu",
    "paced-1000",
    "pollers-1000",
}
