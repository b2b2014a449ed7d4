"""Files under faults: kill -9 in the middle of uploads, and memory while a gigabyte goes by."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from hub.storage.blobs import MARK
from tests.faults.world import World
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio
KILLS = int(os.environ.get("UPLOAD_KILLS", "5"))
ROOMS = ("one", "two")
MIB = 1024 * 1024


@dataclass
class Sent:
    """What one uploader knows: digests by (room, name), acknowledged or perhaps there."""

    acknowledged: dict[tuple[str, str], str] = field(default_factory=dict)
    tried: dict[tuple[str, str], str] = field(default_factory=dict)


async def make_rooms(world: World) -> None:
    async with world.client() as client:
        for room in ROOMS:
            assert (await client.post("/v1/rooms", json={"room": room})).status_code == 201


async def upload(client: httpx2.AsyncClient, room: str, name: str, content: bytes, stop: asyncio.Event) -> bool:
    """Upload one file, trying again with the same key until it is acknowledged or the run ends."""
    path, key = f"/v1/rooms/{room}/files", {"idempotency-key": f"{room}/{name}"}
    while not stop.is_set():
        try:
            answer = await client.post(path, params={"name": name}, content=content, headers=key)
        except httpx2.TransportError:
            await asyncio.sleep(0.02)
            continue
        if answer.status_code == 201:
            assert answer.json()["sha256"] == hashlib.sha256(content).hexdigest()
            return True
        assert answer.status_code in (409, 429, 503), answer.text
        await asyncio.sleep(0.02)
    return False


async def uploader(world: World, number: int, sent: Sent, stop: asyncio.Event) -> None:
    """Upload one file after the other; now and then bytes that other uploaders send as well."""
    dice = random.Random(number)
    async with world.client() as client:
        for count in range(10_000):
            if stop.is_set():
                return
            seed, size = dice.choice([f"{number}/{count}", f"same{count % 5}"]), dice.choice([100, 70_000, 600_000])
            content = random.Random(f"{seed}/{size}").randbytes(size)
            where, digest = (dice.choice(ROOMS), f"u{number}-{count}"), hashlib.sha256(content).hexdigest()
            sent.tried[where] = digest
            if await upload(client, *where, content, stop):
                sent.acknowledged[where] = digest


async def listed(world: World) -> dict[tuple[str, str], dict[str, Any]]:
    """Every file of every room, read through."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    async with world.client() as client:
        for room in ROOMS:
            before: dict[str, str] = {}
            while True:
                page = (await client.get(f"/v1/rooms/{room}/files", params={"limit": "500", **before})).json()
                found |= {(room, item["name"]): item for item in page["items"]}
                if not page["has_more"]:
                    break
                before = {"before": page["items"][-1]["id"]}
    return found


def on_disk(world: World) -> list[Path]:
    return [path for path in (world.home / "blobs").rglob("*") if path.is_file() and path.name != MARK]


@pytest.mark.timeout(300)
async def test_a_kill_during_uploads_leaves_no_file_without_bytes_and_no_bytes_without_file(tmp_path: Path) -> None:
    world = World(tmp_path)
    await asyncio.to_thread(world.start)
    await make_rooms(world)
    sent, stop, dice = Sent(), asyncio.Event(), random.Random(1)
    tasks = [asyncio.create_task(uploader(world, number, sent, stop)) for number in range(6)]
    for _ in range(KILLS):
        seen = len(sent.tried)
        await eventually(lambda seen=seen: len(sent.tried) > seen + dice.randint(5, 30), within_s=30)  # type: ignore[misc]
        await asyncio.to_thread(world.end, signal.SIGKILL)
        await asyncio.to_thread(world.start)
    stop.set()
    await asyncio.wait_for(asyncio.gather(*tasks), 60)
    await asyncio.to_thread(world.end, signal.SIGKILL)
    await asyncio.to_thread(world.start)
    found = await listed(world)
    missing = [where for where in sent.acknowledged if where not in found]
    assert missing == [], "acknowledged files are there"
    wrong = [where for where, item in found.items() if sent.tried.get(where) != item["sha256"]]
    assert wrong == [], "what is there was sent, byte for byte"
    needed = {item["sha256"] for item in found.values()}
    await eventually(lambda: len(on_disk(world)) == len(needed), within_s=20, what="garbage is collected at the start")
    assert {hashlib.sha256(path.read_bytes()).hexdigest() for path in on_disk(world)} == needed
    async with world.client() as client:
        for room, name in random.Random(2).sample(sorted(found), 20):
            got = await client.get(f"/v1/rooms/{room}/files/{name}/content")
            assert hashlib.sha256(got.content).hexdigest() == found[room, name]["sha256"]
    assert len(sent.acknowledged) > KILLS * 5, "the load was too small to prove anything"
    await asyncio.to_thread(world.end, signal.SIGTERM)


async def small_uploads(world: World, size_bytes: int, load: str, each_bytes: int = 32 * 1024) -> None:
    """So many bytes in small files, half into each room, each file different."""
    waiting = iter(range(size_bytes // each_bytes))

    async def work(client: httpx2.AsyncClient) -> None:
        for number in waiting:
            name = f"{load}-{number}"
            content = hashlib.sha256(name.encode()).digest() * (each_bytes // 32)
            assert await upload(client, ROOMS[number % 2], name, content, asyncio.Event())

    async with world.client() as client:
        await asyncio.gather(*(work(client) for _ in range(8)))


async def memory_during(world: World, *loads_bytes: int) -> list[int]:
    """The hub's memory after each load, in bytes."""
    await asyncio.to_thread(world.start)
    await make_rooms(world)
    memory = []
    for number, load in enumerate(loads_bytes):
        await small_uploads(world, load, f"load{number}")
        memory.append(world.memory_bytes())
    await asyncio.to_thread(world.end, signal.SIGTERM)
    return memory


def in_mib(memory: list[int]) -> str:
    return " → ".join(f"{size / MIB:.1f}" for size in memory) + " MiB"


@pytest.mark.timeout(240)
async def test_many_small_uploads_keep_memory_flat(tmp_path: Path) -> None:
    """With little room for the database's pages, which would hide what else grows."""
    world = World(tmp_path, module="tests.faults.small_cache")
    memory = await memory_during(world, 16 * MIB, 16 * MIB, 16 * MIB)
    assert memory[-1] - memory[0] < 6 * MIB, in_mib(memory)


@pytest.mark.faults
@pytest.mark.timeout(1800)
async def test_a_gibibyte_of_small_uploads_keeps_memory_flat(tmp_path: Path) -> None:
    """As a hub is run: SQLite keeps up to 32 MiB of pages for each connection, and the database is larger than that."""
    memory = await memory_during(World(tmp_path), 102 * MIB, *[256 * MIB] * 4)
    print(in_mib(memory))
    assert memory[-1] - memory[0] < (64 + 8) * MIB, in_mib(memory)


@pytest.mark.timeout(120)
async def test_large_files_going_both_ways_stay_out_of_memory(tmp_path: Path) -> None:
    world = World(tmp_path)
    await asyncio.to_thread(world.start)
    await make_rooms(world)
    async with world.client() as client:
        content = os.urandom(20 * MIB)
        await client.post("/v1/rooms/one/files", params={"name": "warm"}, content=content[:MIB])
        before = world.memory_bytes()
        both = [client.post("/v1/rooms/one/files", params={"name": f"big{i}"}, content=content) for i in range(4)]
        assert [answer.status_code for answer in await asyncio.gather(*both)] == [201] * 4
        fetched = await asyncio.gather(*(client.get(f"/v1/rooms/one/files/big{i}/content") for i in range(4)))
        assert [answer.content == content for answer in fetched] == [True] * 4
    grown = world.memory_bytes(peak=True) - before
    await asyncio.to_thread(world.end, signal.SIGTERM)
    assert grown < 24 * MIB, f"grew by {grown / MIB:.1f} MiB while 160 MiB went by"
