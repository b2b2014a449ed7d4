"""The rest of the goals' table: peers told to be durable, many readers, growth, restarts, MCP, memory."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import uvloop

from bench import mcp, peers, scale
from bench.load import TEXT, HttpConnection, Sample, http_load, posts, ws_load
from bench.pair import Pair, Run, scaled, seconds
from bench.servers import Server
from hub.core.keys import Keys

ROOM = "/v1/rooms/bench/messages"
IMAGES = Path(__file__).parents[1] / "docs" / "images"


def sends_against(peer: peers.Sends, clients: int) -> Run:
    """Durable sends per second over HTTP, one in flight per client, against a peer's."""

    def run(subject: Server, _bare: Server) -> Pair:
        reference = peer(clients, 1, seconds())
        sample = uvloop.run(http_load(subject.url, subject.token, ROOM, clients, seconds()))
        return Pair(sample.rate, reference.rate, "sends/s", _percentiles(sample, reference))

    return run


def pipelined_against(peer: peers.Sends) -> Run:
    """Durable sends per second over WebSocket, 4 sockets × 256 in flight, against a peer's pipelines."""

    def run(subject: Server, _bare: Server) -> Pair:
        reference = peer(4, 256, seconds())
        sample = uvloop.run(ws_load(subject.ws + "/v1/ws", subject.token, posts(), 4, 256, seconds()))
        return Pair(sample.rate, reference.rate, "sends/s", _percentiles(sample, reference))

    return run


def _percentiles(sample: Sample, reference: Sample) -> str:
    return f"p99 {sample.percentile(0.99):.1f} ms, the peer's {reference.percentile(0.99):.1f} ms"


def batches(subject: Server, _bare: Server) -> Pair:
    """Messages per second in batches of 100, 4 clients, against raw SQLite in batches of 100 on the same disk."""

    keys = Keys()

    async def measure() -> float:
        until, began = time.perf_counter() + seconds(), time.perf_counter()

        async def one() -> int:
            http, done = await HttpConnection(subject.url, subject.token).open(), 0
            while time.perf_counter() < until:
                some = [{"op": "messages.post", "room": "bench", "text": f"{done + i} {TEXT}"} for i in range(100)]
                key = f"idempotency-key: {keys.new()}\r\n"
                status, raw = await http.request("POST", "/v1/batch", json.dumps({"operations": some}).encode(), key)
                assert status == 200, raw
                done += 100
            http.close()
            return done

        return sum(await asyncio.gather(*(one() for _ in range(4)))) / (time.perf_counter() - began)

    return Pair(float(uvloop.run(measure())), raw_batches(100), "msgs/s")


def raw_batches(size: int) -> float:
    """Rows per second of bare SQLite, `size` a commit, synchronous=FULL."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        database = sqlite3.connect(Path(folder) / "raw.db", isolation_level=None)
        database.execute("pragma journal_mode=wal")
        database.execute("pragma synchronous=full")
        database.execute("create table event (log int, seq int, data text, primary key (log, seq))")
        began, done = time.perf_counter(), 0
        while time.perf_counter() - began < seconds():
            database.execute("begin")
            for _ in range(size):
                done += 1
                database.execute("insert into event values (1, ?, ?)", (done, TEXT))
            database.execute("commit")
        rate = done / (time.perf_counter() - began)
        database.close()
    return rate


def wake_against_redis(quantile: float, wake: Callable[[Server, int], list[float]]) -> Run:
    """Send → a waiting WebSocket has it (ms), against a blocked XREAD of a Redis that fsyncs."""

    def run(subject: Server, _bare: Server) -> Pair:
        times = int(150 * seconds())
        theirs, ours = peers.redis_wake(times), wake(subject, times)
        at = min(times - 1, int(times * quantile))
        return Pair(ours[at], theirs[at], "ms", f"{times} messages")

    return run


def ten_a_second(subject: Server, _bare: Server) -> Pair:
    """10 messages a second to 1,000 sockets: p99 (ms), against its limit."""
    sockets = scaled(1000, 50)
    p50, p99, slowest, share = uvloop.run(scale.paced(subject, sockets, scaled(60, 5)))
    told = (
        f"{sockets} sockets, p50 {p50:.1f} ms, the slowest commit {slowest:.0f} ms, {share:.0%} of a core (aim: 30 ms)"
    )
    return Pair(p99, 100, "ms", told)


def idle_memory(subject: Server, _bare: Server) -> Pair:
    """Memory of an idle socket (KB), against its limit."""
    sockets = scaled(1000, 50)
    each, _ = uvloop.run(scale.idle(subject, sockets, 1))
    return Pair(each, 80, "KB", f"{sockets} sockets (aim: 40 KB)")


def idle_cpu(subject: Server, _bare: Server) -> Pair:
    """What 1,000 idle sockets cost (% of a core, heartbeats included), against its limit."""
    sockets = scaled(1000, 50)
    _, share = uvloop.run(scale.idle(subject, sockets, scaled(40, 2)))
    return Pair(share * 100, 2, "%", f"{sockets} sockets (aim: 1 %)")


def woken_pollers(subject: Server, _bare: Server) -> Pair:
    """1,000 long-polls of one room woken by one message: p99, against p50."""
    count = scaled(1000, 50)
    p50, p99, cpu_us = uvloop.run(scale.long_pollers(subject, count, scaled(8, 1)))
    return Pair(p99, p50, "ms", f"{count} pollers, {cpu_us:.0f} µs CPU each and round (aim: 3)")


def growth(kind: str, sizes: list[int], quick: list[int]) -> Run:
    """Cost of a send or a poll (ms, the one that grew more) at the largest size, against the smallest."""

    def run(_subject: Server, _bare: Server) -> Pair:
        used = quick if scaled(1, 0) == 0 else sizes
        points = scale.growth(kind, used, scaled(150, 5), scaled(5, 1))
        if used is sizes:
            (IMAGES / f"growth-{kind}.svg").write_text(scale.curve(f"Cost against {kind}", points), "utf-8")
        first, last = points[used[0]], points[used[-1]]
        ratios = [last[i] / first[i] for i in (0, 1)]
        worse = ratios.index(max(ratios))
        told = f"{kind} {used[0]:,} → {used[-1]:,}: send {ratios[0]:.2f} ×, poll {ratios[1]:.2f} × (aim: 1.2)"
        return Pair(last[worse], first[worse], "ms", told)

    return run


def page_of_a_long_history(_subject: Server, _bare: Server) -> Pair:
    """A page of 100 messages, from anywhere in a million: p99 (ms), against its limit."""
    events = scaled(1_000_000, 5000)
    p50, p99, _ = scale.big_history(events, scaled(400, 20))
    return Pair(p99, 30, "ms", f"{events:,} events, p50 {p50:.1f} ms (aim: 15 ms)")


def ready_after_restart(_subject: Server, _bare: Server) -> Pair:
    """Process start → ready with a million events (s), against its limit."""
    events = scaled(1_000_000, 5000)
    _, _, ready_s = scale.big_history(events, 2)
    return Pair(ready_s, 3, "s", f"{events:,} events, interpreter and imports included (aim: 1 s)")


def mcp_call(subject: Server, _bare: Server) -> Pair:
    """Server CPU of a tool call over /mcp (poll, nothing new; µs), against the SDK's own trivial tool."""
    with mcp.trivial() as trivial:
        reference = mcp.call_cpu_us(trivial, "echo", {"text": "x"}, seconds())
    cpu_us = mcp.call_cpu_us(subject, "poll", {"wait_s": 0}, seconds())
    return Pair(cpu_us, reference, "µs", "2026-07-28 (aim: 1.3)")


def first_frame(subject: Server, _bare: Server) -> Pair:
    """Process start → first frame over stdio (ms, median), against its limit."""
    took = mcp.first_frame_ms(subject.home, scaled(15, 2))
    return Pair(took[len(took) // 2], 400, "ms", f"worst of {len(took)}: {took[-1]:.0f} ms (aim: 200 ms)")


def memory(_subject: Server, _bare: Server) -> Pair:
    """Memory of a hub with 100 agents and 100,000 messages (MB), against its limit."""
    used = scale.memory_of_a_house(scaled(100, 5), scaled(100_000, 1000))
    return Pair(used, 160, "MB", "(aim: 120 MB)")
