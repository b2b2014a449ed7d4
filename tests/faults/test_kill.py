"""kill -9 of the hub under load loses no acknowledged message."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest

from tests.faults.checker import Attempt, History, check
from tests.faults.world import World, kill_often, reader, whole_log, writer

pytestmark = pytest.mark.anyio
KILLS = int(os.environ.get("KILLS_PER_RUN", "50"))


async def rounds(world: World, history: History, kills: int, seed: int) -> None:
    """Writers and readers go on while the hub is killed and started again."""
    stop, dice = asyncio.Event(), random.Random(seed)
    tasks = [asyncio.create_task(writer(world, f"w{i}", history, stop)) for i in range(6)]
    tasks += [asyncio.create_task(reader(world, history, stop)) for _ in range(2)]
    await kill_often(world, dice, kills, lambda: len(history.attempts), least=10, apart_s=(0.02, 0.25))
    stop.set()
    await asyncio.wait_for(asyncio.gather(*tasks), 30)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", [1, 2])
async def test_a_hundred_kills_lose_no_acknowledged_message(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path)
    await asyncio.to_thread(world.start)
    async with world.client() as client:
        await client.post("/v1/rooms", json={"room": "build"})
    history = History()
    await rounds(world, history, KILLS, seed)
    log = await whole_log(world)
    world.end(signal.SIGTERM)
    assert check(history, log) == []
    acknowledged = sum(attempt.ok for attempt in history.attempts)
    assert acknowledged > KILLS * 5, "the load was too small to prove anything"


async def test_a_normal_stop_under_load_answers_or_refuses_everything(tmp_path: Path) -> None:
    world = World(tmp_path)
    await asyncio.to_thread(world.start)
    async with world.client() as client:
        await client.post("/v1/rooms", json={"room": "build"})
        history, stop = History(), asyncio.Event()
        tasks = [asyncio.create_task(writer(world, f"w{i}", history, stop)) for i in range(4)]
        while len(history.attempts) < 200:
            await asyncio.sleep(0.005)
        ended = asyncio.create_task(asyncio.to_thread(world.end, signal.SIGTERM))
        await asyncio.wait_for(ended, 12)
        await asyncio.to_thread(world.start)
        stop.set()
        await asyncio.gather(*tasks)
    assert check(history, await whole_log(world)) == []
    world.end(signal.SIGTERM)


def entry(seq: int, text: str = "", at: str = "2026-01-01T00:00:00.000Z") -> dict[str, object]:
    return {"seq": seq, "type": "message.posted", "at": at, "data": {"text": text}}


def test_the_checker_notices_each_kind_of_lie() -> None:
    ok = Attempt("a", "x", began=0, ended=1, ok=True, seq=1)
    assert check(History([ok]), [entry(1, "x")]) == []
    assert check(History([ok]), []) != [], "an acknowledged message is missing"
    assert check(History([ok]), [entry(1, "x"), entry(2, "x")]) != [], "a message stands twice"
    assert check(History([ok]), [entry(1, "x"), entry(3, "y")]) != [], "a gap"
    assert check(History([ok]), [entry(1, "x"), entry(2, "y")]) != [], "an invented message"
    late = Attempt("b", "y", began=2, ended=3, ok=True, seq=1)
    early = Attempt("a", "x", began=0, ended=1, ok=True, seq=2)
    assert check(History([early, late]), [entry(1, "y"), entry(2, "x")]) != [], "real-time order"
    assert check(History([ok], [[1, 3]]), [entry(1, "x")]) != [], "a reader skipped something"
    back = [entry(1, "x", "2026-01-02"), entry(2, "y", "2026-01-01")]
    assert check(History([ok, Attempt("b", "y", 0)]), back) != [], "time goes back"
