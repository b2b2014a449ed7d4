"""Movers that really run at the same time, on both stores: what they did is what the log says, and nothing else."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.client.client import SyncHubClient
from hub.core.errors import Conflict, Invalid
from hub.features.kanban import contract as c
from hub.kernel.agents.contract import RegisterAgent
from hub.kernel.inbox.contract import ReadEvents
from hub.kernel.rooms.contract import CreateRoom, JoinRoom
from tests.faults.world import World
from tests.features.kanban.fold import FoldedBoard, folded_names
from tests.log.test_rebuild import same_after_rebuild
from tests.storage.test_conformance import fresh_database
from tests.support.hubs import TestHub, running_hub
from tests.support.postgres import postgres_server

COLUMNS = (
    c.Column(column="todo"),
    c.Column(column="doing", wip=2),
    c.Column(column="review", wip=1),
    c.Column(column="done", done=True),
)
NAMES = ("ada", "ben", "cy", "dan", "eve", "fay")


def step(dice: random.Random, cards: list[c.CardLine]) -> Any:
    """Something a mover may try, from what it has seen of the board."""
    if not cards or dice.random() < 0.1:
        return c.AddCard(room="build", title=f"card {dice.randrange(1000)}", column=dice.choice(["todo", "doing"]))
    card, other = dice.choice(cards), dice.choice(cards)
    seen = {"room": "build", "card": card.id, "version": card.version}
    column = dice.choice(COLUMNS).column
    return dice.choice(
        [
            c.MoveCard.model_validate({**seen, "column": column}),
            c.MoveCard.model_validate({**seen, "column": other.column, "before": other.id}),
            c.ClaimCard(room="build", card=card.id, column=dice.choice([None, "doing"])),
            c.TakeNext(room="build", column=dice.choice([None, "doing", "review"])),
            c.UpdateCard.model_validate({**seen, "title": f"t{dice.randrange(1000)}", "assignee": None}),
            c.UpdateCard.model_validate({**seen, "blocked_by": [other.id]}),
            c.UpdateCard.model_validate({**seen, "archived": dice.random() < 0.7}),
            c.CommentCard(room="build", card=card.id, text="hm"),
        ]
    )


def must_be_the_fold(events: list[dict[str, Any]], board: c.Board) -> FoldedBoard:
    """Every event kept the rules, and the board is what they add up to."""
    folded = FoldedBoard(folded_names(events)).take(events)
    live = [card.model_dump(exclude={"deduplicated", "blocked"}) for card in board.cards]
    assert live == folded.lines()
    return folded


# --- in one process, many histories ---------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_board_is_the_fold_of_its_events_after_any_history(
    seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    asyncio.run(_any_history(tmp_path_factory.mktemp("hub"), seed))


@pytest.mark.faults
@pytest.mark.timeout(3600)
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
def test_a_board_is_the_fold_of_its_events_after_two_thousand_histories(seed: int) -> None:
    with TemporaryDirectory() as home:
        asyncio.run(_any_history(Path(home), seed))


async def _any_history(home: Path, seed: int) -> None:
    dice = random.Random(seed)
    async with running_hub(home) as hub:
        callers = [await hub.agent(name) for name in NAMES[:3]]
        await callers[0].call(CreateRoom(room="build", open_to="all"))
        for caller in callers[1:]:
            await caller.call(JoinRoom(room="build"))
        await callers[0].call(c.ConfigureBoard(room="build", columns=COLUMNS))
        for _ in range(15):  # all act at once on what they saw before
            seen = list((await callers[0].call(c.GetBoard(room="build", archived=True))).cards)
            tries = [caller.call(step(dice, seen)) for caller in callers]
            for result in await asyncio.gather(*tries, return_exceptions=True):
                if isinstance(result, BaseException) and not isinstance(result, Conflict | Invalid):
                    raise result
        events = (await callers[0].call(ReadEvents(room="build", limit=500))).items
        must_be_the_fold(list(events), await callers[0].call(c.GetBoard(room="build")))
        assert await hub.app.store.write(same_after_rebuild) == []


# --- processes and threads ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@contextmanager
def hubs(home: Path, count: int) -> Iterator[list[World]]:
    """So many hub processes; all over the database the environment names."""
    worlds = [World(home / str(number)) for number in range(count)]
    try:
        for world in worlds:
            world.home.mkdir(parents=True)
            world.start()
        yield worlds
    finally:
        for world in worlds:
            world.end(signal.SIGTERM)


def work(url: str, token: str, seed: int, steps: int) -> list[c.Card]:
    """One mover's day; what the hub told it. A refusal that is not one of the board's rules fails the test."""
    dice, told = random.Random(seed), list[c.Card]()
    with SyncHubClient(url, token) as client:
        for _ in range(steps):
            cards = list(client.call(c.GetBoard(room="build", archived=True)).cards)
            try:
                result = client.call(step(dice, cards))
            except (Conflict, Invalid):
                continue
            if isinstance(result, c.Card):
                told.append(result)
    return told


@pytest.mark.postgres
@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_parallel_movers_lose_nothing_and_overfill_nothing(
    store: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if store == "postgres":
        url = asyncio.run(fresh_database(request.getfixturevalue("postgres")))
        monkeypatch.setenv("BRIDGE_DATABASE_URL", url)
    with hubs(tmp_path, 1 if store == "sqlite" else 2) as worlds:
        tokens = _members(worlds[0])
        with ThreadPoolExecutor(len(NAMES)) as pool:
            days = [
                pool.submit(work, worlds[number % len(worlds)].url, token, number, 40)
                for number, token in enumerate(tokens)
            ]
            told = [card for day in days for card in day.result()]
        with SyncHubClient(worlds[0].url, tokens[0]) as client:
            events = _all_events(client)
            board = client.call(c.GetBoard(room="build", limit=c.MOST_CARDS))
    folded = must_be_the_fold(events, board)
    assert len(told) > 60, "the movers were busy"
    assert max(card.version for card in folded.cards.values()) > 5, "they met on the same cards"


def _members(world: World) -> list[str]:
    """Tokens of six members of a room with a board and some cards."""
    with SyncHubClient(world.url, world.token) as local:
        tokens = [local.call(RegisterAgent(name=name)).token or "" for name in NAMES]
        local.call(CreateRoom(room="build", open_to="all"))
        local.call(c.ConfigureBoard(room="build", columns=COLUMNS))
        for number in range(4):
            local.call(c.AddCard(room="build", title=f"start {number}"))
    for token in tokens:
        with SyncHubClient(world.url, token) as client:
            client.call(JoinRoom(room="build"))
    return tokens


def _all_events(client: SyncHubClient) -> list[dict[str, Any]]:
    events, cursor, more = list[dict[str, Any]](), None, True
    while more:
        page = client.call(ReadEvents(room="build", cursor=cursor, limit=500))
        events, cursor, more = [*events, *page.items], page.cursor, page.has_more
    return events


@pytest.mark.anyio
async def test_of_many_who_claim_one_card_at_once_exactly_one_gets_it(surface_hub: TestHub) -> None:
    callers = [await surface_hub.agent(name) for name in NAMES]
    await callers[0].call(CreateRoom(room="build", open_to="all"))
    for caller in callers[1:]:
        await caller.call(JoinRoom(room="build"))
    card = await callers[0].call(c.AddCard(room="build", title="x"))
    tries = [caller.call(c.ClaimCard(room="build", card=card.id)) for caller in callers]
    results = await asyncio.gather(*tries, return_exceptions=True)
    won = [result for result in results if isinstance(result, c.Card)]
    assert len(won) == 1
    assert sum(isinstance(result, Conflict) for result in results) == len(NAMES) - 1
    assert (await callers[0].call(c.GetCard(room="build", card=card.id))).assignee == won[0].assignee
