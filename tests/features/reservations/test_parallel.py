"""Many agents at the same moment, on both stores: nobody ever holds what conflicts. The log is the witness."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.client import LocalCaller
from hub.core.caller import Caller
from hub.core.errors import HubError
from hub.core.names import split_id
from hub.features.reservations.contract import ReleaseAll, Renew, Reservation, Reserve
from hub.kernel.inbox.contract import ReadEvents
from hub.kernel.rooms.contract import CreateRoom, JoinRoom, LeaveRoom
from hub.storage.postgres import PostgresStore
from tests.features.reservations.test_globs import matches
from tests.log.test_rebuild import same_after_rebuild
from tests.storage.test_conformance import fresh_database
from tests.support.hubs import TestHub, running_hub
from tests.support.postgres import postgres_server

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]
NAMES = ("ada", "ben", "cy", "dan", "eve", "fay")
PATTERNS = ("**", "a/*", "a/b", "*/b", "a/**", "?", "b/c", "b/**/c", "**/c")
PATHS = [list(p) for n in (1, 2, 3) for p in itertools.product("abc", repeat=n)]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_server() as url:
        yield url


def meets(mine: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    """By trying every path."""
    return any(
        any(matches(p.split("/"), path) for p in mine) and any(matches(q.split("/"), path) for q in theirs)
        for path in PATHS
    )


async def witness(caller: Caller) -> int:
    """Replay the room's log and check every grant against what was held then; how many grants there were."""
    events = (await caller.call(ReadEvents(room="build", limit=1000))).items
    held: dict[str, tuple[str, str, tuple[str, ...]]] = {}
    grants = 0
    for event in events:
        data: Any = event["data"]
        if event["type"] == "reservation.made":
            paths = tuple(data["paths"])
            for who, mode, theirs in held.values():
                both = who != event["actor"] and "exclusive" in (mode, data["mode"]) and meets(paths, theirs)
                assert not both, f"{event['actor']} got {paths} while {who} held {theirs}"
            held[str(event["seq"])] = (event["actor"], data["mode"], paths)
            grants += 1
        elif event["type"] == "reservation.released":
            held.pop(str(split_id("r", data["reservation"])[1]))
        elif event["type"] == "member.left":
            held = {key: one for key, one in held.items() if one[0] != data["name"]}
    return grants


async def struggle(hubs: tuple[TestHub, TestHub], seed: int) -> None:
    """Six agents, half at each hub, ask, renew, release and leave at once, while time jumps between rounds."""
    dice = random.Random(seed)
    first = hubs[0]
    for name in NAMES:
        await first.agent(name, "code")
    callers = []
    for hub, name in zip(hubs * 3, NAMES, strict=True):
        callers.append(LocalCaller(hub.app.dispatch, await hub.app.authenticator.authenticate(first.tokens[name])))
    await callers[0].call(CreateRoom(room="build", open_to="all"))
    for caller in callers[1:]:
        await caller.call(JoinRoom(room="build"))
    mine: dict[int, str] = {}

    async def act(number: int) -> None:
        step, caller = dice.randrange(8), callers[number]
        try:
            if step == 0:
                await caller.call(ReleaseAll(room="build"))
            elif step == 1 and number:
                await caller.call(LeaveRoom(room="build"))
                await caller.call(JoinRoom(room="build"))
            elif step == 2 and number in mine:
                await caller.call(Renew(room="build", reservation=mine[number], ttl_s=60))
            else:
                made: Reservation = await caller.call(ask(dice))
                mine[number] = made.id
        except HubError:
            return

    for _ in range(15):
        await asyncio.gather(*(act(number) for number in range(6) for _ in range(2)))
        jump = dice.choice([0, 20, 45])
        for hub in {id(hub): hub for hub in hubs}.values():
            hub.clock.advance(jump)
    assert await witness(callers[0]) >= 20, "the test would prove little"
    assert await first.app.store.write(same_after_rebuild) == []


def ask(dice: random.Random) -> Reserve:
    paths = tuple(dice.sample(PATTERNS, dice.randint(1, 2)))
    mode = dice.choice(["exclusive", "exclusive", "shared"])
    return Reserve.model_validate({"room": "build", "paths": paths, "mode": mode, "ttl_s": dice.choice([30, 60])})


@pytest.mark.parametrize("seed", range(6))
async def test_no_two_agents_ever_hold_what_conflicts(hub: TestHub, seed: int) -> None:
    await struggle((hub, hub), seed)


@pytest.mark.parametrize("seed", range(3))
async def test_no_two_agents_ever_hold_what_conflicts_at_two_hubs(tmp_path: Path, server: str, seed: int) -> None:
    url = await fresh_database(server)
    async with (
        running_hub(tmp_path / "a", store=PostgresStore(url)) as one,
        running_hub(tmp_path / "b", store=PostgresStore(url)) as two,
    ):
        await struggle((one, two), seed)
