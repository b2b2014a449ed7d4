"""What grows: sockets, pollers, history, rooms, members. Costs of one send and one poll as they grow, as curves."""

from __future__ import annotations

import asyncio
import json
import math
import re
import secrets
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import uvloop

from bench.load import TEXT, HttpConnection, RawSocket
from bench.servers import Server, hub, post

_PACED = re.compile(rb"paced-(\d+)-")


# --- many readers -----------------------------------------------------------------------------------------------


def agents(server: Server, count: int) -> list[str]:
    """Tokens of members of the room `bench`."""
    made = []
    for _ in range(count):
        name = f"r{secrets.token_hex(4)}"
        made.append(str(post(server, "/v1/agents", {"name": name})["token"]))
        post(server, "/v1/rooms/bench/invites", {"agent": name})
        post(server, "/v1/rooms/bench/join", {}, made[-1])
    return made


async def long_pollers(server: Server, count: int, rounds: int) -> tuple[float, float, float]:
    """Woken pollers' p50 and p99 (ms after the send began), and the hub's CPU per poller and round (µs)."""
    tokens = agents(server, (count + 9) // 10)
    pollers = [await HttpConnection(server.url, tokens[i // 10]).open() for i in range(count)]
    sender = await HttpConnection(server.url, server.token).open()
    took: list[float] = []
    _, raw = await sender.request("GET", "/v1/rooms/bench")
    cursor, before = str(json.loads(raw)["cursor"]), server.cpu_s()
    for number in range(rounds):
        path = f"/v1/rooms/bench/events?cursor={cursor}&wait_s=50"
        began = [0.0]
        waiting = [asyncio.create_task(_timed(poller, path, began)) for poller in pollers]
        await _all_wait(server, count)
        began[0] = time.perf_counter()
        await sender.request("POST", "/v1/rooms/bench/messages", json.dumps({"text": f"{number} {TEXT}"}).encode())
        answers = await asyncio.gather(*waiting)
        took += [ms for ms, _ in answers]
        cursor = json.loads(answers[0][1])["cursor"]
        assert len({body for _, body in answers}) == 1, "everybody gets the same bytes"
    cpu_us = (server.cpu_s() - before) / (rounds * count) * 1e6
    for poller in (*pollers, sender):
        poller.close()
    took.sort()
    return took[len(took) // 2], took[int(len(took) * 0.99)], cpu_us


async def _timed(poller: HttpConnection, path: str, began: list[float]) -> tuple[float, bytes]:
    status, body = await poller.request("GET", path)
    assert status == 200, body
    return (time.perf_counter() - began[0]) * 1000, body


async def _all_wait(server: Server, count: int) -> None:
    admin = await HttpConnection(server.url, server.token).open()
    while True:
        _, raw = await admin.request("GET", "/v1/admin/stats")
        if json.loads(raw)["waiting"] >= count:
            break
        await asyncio.sleep(0.02)
    admin.close()


class Follower:
    """A WebSocket that notes when each message came."""

    def __init__(self, sent: dict[int, float], took: list[float], messages: int) -> None:
        self._sent, self._took, self._messages = sent, took, messages
        self._seen: set[int] = set()
        self.done = asyncio.Event()

    async def open(self, server: Server, token: str, cursor: str) -> Follower:
        self._socket = await RawSocket.open(server.url, token)
        frame = {"id": 1, "op": "subscribe", "cursors": {"bench": cursor}, "batch": True}
        self._socket.send(json.dumps(frame).encode())
        await self._socket.until(b'"ok"')
        self._socket.take = self._note
        return self

    def _note(self, data: bytes) -> None:
        now = time.perf_counter()
        for found in _PACED.findall(data):
            if (number := int(found)) not in self._seen:
                self._seen.add(number)
                self._took.append((now - self._sent[number]) * 1000)
        if len(self._seen) >= self._messages:
            self.done.set()

    def close(self) -> None:
        self._socket.close()


async def followers(
    server: Server, count: int, sent: dict[int, float], took: list[float], messages: int = 0
) -> list[Follower]:
    tokens = agents(server, (count + 19) // 20)
    sender = await HttpConnection(server.url, server.token).open()
    _, raw = await sender.request("GET", "/v1/rooms/bench")
    sender.close()
    cursor = str(json.loads(raw)["cursor"])
    return [await Follower(sent, took, messages).open(server, tokens[i // 20], cursor) for i in range(count)]


async def paced(server: Server, sockets: int, messages: int) -> tuple[float, float, float, float]:
    """10 messages a second to many sockets: p50 and p99 (ms), the slowest send's own answer (ms), the share of a core."""
    sent: dict[int, float] = {}
    answered: list[float] = []
    took: list[float] = []
    readers = await followers(server, sockets, sent, took, messages)
    sender = await HttpConnection(server.url, server.token).open()
    began, before = time.perf_counter(), server.cpu_s()
    for number in range(messages):
        await asyncio.sleep(max(0.0, began + number / 10 - time.perf_counter()))
        sent[number] = time.perf_counter()
        text = json.dumps({"text": f"paced-{number}- {TEXT}"}).encode()
        await sender.request("POST", "/v1/rooms/bench/messages", text)
        answered.append((time.perf_counter() - sent[number]) * 1000)
    for reader in readers:
        await reader.done.wait()
    share = (server.cpu_s() - before) / (time.perf_counter() - began)
    for reader in readers:
        reader.close()
    sender.close()
    took.sort()
    return took[len(took) // 2], took[int(len(took) * 0.99)], max(answered), share


async def idle(server: Server, sockets: int, seconds: float) -> tuple[float, float]:
    """Memory of an idle socket (KB) and the hub's share of a core while nothing happens."""
    agents(server, 1)
    before_kb = memory_kb(server)
    readers = await followers(server, sockets, {}, [])
    await asyncio.sleep(min(2.0, seconds))
    grown_kb, before = memory_kb(server) - before_kb, server.cpu_s()
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    share = (server.cpu_s() - before) / (time.perf_counter() - began)
    for reader in readers:
        reader.close()
    return grown_kb / sockets, share


def memory_kb(server: Server) -> float:
    """Memory of the hub that nobody else shares (KB)."""
    for line in Path(f"/proc/{server.process.pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(("Private_Dirty:", "Pss_Anon:")):
            return float(line.split()[1])
    raise RuntimeError("no memory figures")


# --- growth -----------------------------------------------------------------------------------------------------


def long_history(home: Path, events: int) -> None:
    """Give the room `bench` of a stopped hub this many messages: copies of its newest one."""
    with closing(sqlite3.connect(home / "hub.db")) as db:
        db.execute("pragma synchronous = off")
        log, head = db.execute("select id, head from log where kind = 'room' and name = 'bench'").fetchone()
        numbers = (
            "with recursive n(seq) as (select :head + 1 union all select seq + 1 from n where seq < :head + :more)"
        )
        given = {"log": log, "head": head, "more": events - head}
        db.execute(
            f"{numbers} insert into event select log, n.seq, type, actor, at, data, tombstone from event, n"
            " where log = :log and event.seq = :head",
            given,
        )
        columns = [row[1] for row in db.execute("pragma table_info(message)")]
        picked = ", ".join("n.seq" if name == "seq" else name for name in columns)
        db.execute(
            f"{numbers} insert into message select {picked} from message, n where log = :log and message.seq = :head",
            given,
        )
        db.execute("update log set head = :head + :more where id = :log", given)
        db.execute("update position set acked_seq = :head + :more, offered_seq = :head + :more where log = :log", given)
        db.commit()
        db.execute("pragma wal_checkpoint(truncate)")


@contextmanager
def prepared(fill: Callable[[Server], None], after: Callable[[Path], None] | None = None) -> Iterator[Server]:
    """A hub with the room `bench`, filled, then worked over while stopped, then running again."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        with hub(Path(folder)) as server:
            post(server, "/v1/rooms", {"room": "bench", "open_to": "all"})
            post(server, "/v1/rooms/bench/messages", {"text": TEXT})
            fill(server)
        if after is not None:
            after(Path(folder))
        (Path(folder) / "hub.json").unlink(missing_ok=True)
        with hub(Path(folder)) as server:
            yield server


async def costs(server: Server, times: int) -> tuple[float, float]:
    """Median hub time (ms, one client) of a send, and of a poll by another member that finds it."""
    name = f"r{secrets.token_hex(4)}"
    reader_token = str(post(server, "/v1/agents", {"name": name})["token"])
    post(server, "/v1/rooms/bench/join", {}, reader_token)
    sender = await HttpConnection(server.url, server.token).open()
    reader = await HttpConnection(server.url, reader_token).open()
    _, raw = await reader.request("POST", "/v1/inbox/poll", b"{}")
    sends, polls = [], []
    for number in range(times):
        began = time.perf_counter()
        await sender.request("POST", "/v1/rooms/bench/messages", json.dumps({"text": f"{number} {TEXT}"}).encode())
        sends.append((time.perf_counter() - began) * 1000)
        ask = json.dumps({"ack": json.loads(raw)["cursor"]}).encode()
        began = time.perf_counter()
        _, raw = await reader.request("POST", "/v1/inbox/poll", ask)
        polls.append((time.perf_counter() - began) * 1000)
    sender.close()
    reader.close()
    return median(sends), median(polls)


def fill_rooms(count: int) -> Callable[[Server], None]:
    def fill(server: Server) -> None:
        async def make() -> None:
            http = await HttpConnection(server.url, server.token).open()
            for start in range(0, count, 100):
                some = [{"op": "rooms.create", "room": f"room-{n}"} for n in range(start, min(count, start + 100))]
                status, body = await http.request("POST", "/v1/batch", json.dumps({"operations": some}).encode())
                assert status == 200, body
            http.close()

        uvloop.run(make())

    return fill


def fill_members(count: int) -> Callable[[Server], None]:
    def fill(server: Server) -> None:
        async def make() -> None:
            http = await HttpConnection(server.url, server.token).open()
            for number in range(count):
                status, raw = await http.request("POST", "/v1/agents", json.dumps({"name": f"m{number}"}).encode())
                assert status == 201, raw
                theirs = await HttpConnection(server.url, json.loads(raw)["token"]).open()
                await theirs.request("POST", "/v1/rooms/bench/join", b"{}")
                theirs.close()
            http.close()

        uvloop.run(make())

    return fill


def nothing(_server: Server) -> None:
    """The room as it is."""


def worlds(kind: str, sizes: list[int]) -> list[Any]:
    """One prepared hub per size."""
    if kind == "history":
        return [prepared(nothing, lambda home, n=size: long_history(home, n)) for size in sizes]  # type: ignore[misc]
    fill = fill_rooms if kind == "rooms" else fill_members
    return [prepared(fill(size)) for size in sizes]


def growth(kind: str, sizes: list[int], times: int, rounds: int = 5) -> dict[int, tuple[float, float]]:
    """Send and poll (ms) at each size, the sizes alternating; medians of the rounds."""
    with ExitStack() as stack:
        servers = [stack.enter_context(world) for world in worlds(kind, sizes)]
        taken: dict[int, list[tuple[float, float]]] = {size: [] for size in sizes}
        for _ in range(rounds):
            for size, server in zip(sizes, servers, strict=True):
                taken[size].append(uvloop.run(costs(server, times)))
    return {size: (median(send for send, _ in some), median(poll for _, poll in some)) for size, some in taken.items()}


def big_history(events: int, times: int) -> tuple[float, float, float]:
    """With a long history: p50 and p99 (ms) of a page of 100 messages from anywhere, and seconds until ready."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        home = Path(folder)
        with hub(home) as server:
            post(server, "/v1/rooms", {"room": "bench"})
            post(server, "/v1/rooms/bench/messages", {"text": TEXT})
        long_history(home, events)
        (home / "hub.json").unlink(missing_ok=True)
        began = time.perf_counter()
        with hub(home) as server:
            ready_s = time.perf_counter() - began
            took = uvloop.run(_pages(server, events, times))
    return took[len(took) // 2], took[int(len(took) * 0.99)], ready_s


async def _pages(server: Server, events: int, times: int) -> list[float]:
    http = await HttpConnection(server.url, server.token).open()
    _, raw = await http.request("GET", "/v1/rooms/bench/messages?limit=1")
    newest = json.loads(raw)["items"][0]
    prefix = newest["id"].rsplit("-", 1)[0]
    took = []
    for number in range(times):
        path = "/v1/rooms/bench/messages?limit=100"
        if number % 2:
            path += f"&before={prefix}-{1000 + (number * 7919) % (events - 2000)}" if events > 3000 else ""
        began = time.perf_counter()
        status, raw = await http.request("GET", path)
        took.append((time.perf_counter() - began) * 1000)
        assert status == 200, raw
    http.close()
    return sorted(took)


def memory_of_a_house(agents_count: int, messages: int) -> float:
    """Memory (MB) of a hub with this many agents in a room and messages in its log, after everybody polled."""
    with prepared(nothing, lambda home: long_history(home, messages)) as server:

        async def use() -> None:
            tokens = agents(server, agents_count)
            for token in tokens:
                http = await HttpConnection(server.url, token).open()
                await http.request("POST", "/v1/inbox/poll", b"{}")
                await http.request("GET", "/v1/rooms/bench/messages?limit=100")
                await http.request("POST", "/v1/rooms/bench/messages", json.dumps({"text": TEXT}).encode())
                http.close()

        uvloop.run(use())
        lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def curve(title: str, points: dict[int, tuple[float, float]]) -> str:
    """The curve as SVG: size (logarithmic) against the cost of a send and of a poll relative to the smallest size."""
    sizes = sorted(points)
    most = max(2.0, *(points[s][i] / points[sizes[0]][i] for s in sizes for i in (0, 1))) * 1.1
    low, high = math.log10(sizes[0]), math.log10(sizes[-1])

    def at(size: int, ratio: float) -> tuple[float, float]:
        return 50 + 330 * (math.log10(size) - low) / (high - low or 1), 170 - 140 * ratio / most

    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 420 210" font-family="sans-serif" font-size="11">',
        '<rect width="420" height="210" fill="white"/>',
        f'<text x="50" y="18" font-size="13">{title}</text>',
    ]
    for ratio in (1, 1.5, *range(2, math.ceil(most))):
        y = at(sizes[0], ratio)[1]
        parts.append(
            f'<line x1="50" y1="{y:.0f}" x2="380" y2="{y:.0f}" stroke="{"#c33" if ratio == 1.5 else "#ddd"}"/>'
        )
        parts.append(f'<text x="44" y="{y + 4:.0f}" text-anchor="end">{ratio:g} ×</text>')
    for size in sizes:
        parts.append(f'<text x="{at(size, 0)[0]:.0f}" y="188" text-anchor="middle">{size:,}</text>')
    for index, (name, color) in enumerate((("send", "#1668b8"), ("poll", "#0a7d48"))):
        line = [at(size, points[size][index] / points[sizes[0]][index]) for size in sizes]
        path = " ".join(f"{x:.0f},{y:.0f}" for x, y in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.0f}" cy="{y:.0f}" r="3" fill="{color}"/>' for x, y in line]
        parts.append(f'<text x="{60 + 60 * index}" y="204" fill="{color}">■ {name}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
