"""Voters at the same moment, on both stores; on PostgreSQL through two hubs, so that only its locks keep order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from hub.client import LocalCaller
from hub.core.caller import Caller
from hub.core.names import split_id
from hub.features.voting.contract import CastBallot, GetProposal, OpenProposal, Proposal, Rule
from hub.features.voting.handlers import cast_ballot
from hub.kernel.rooms.contract import CreateRoom, JoinRoom, UpdateMember
from hub.server.timers import Clockwork
from hub.storage.interface import Tx
from hub.storage.postgres import PostgresStore
from tests.storage.test_conformance import fresh_database
from tests.support.hubs import TestHub, running_hub
from tests.support.postgres import postgres_server
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]
VOTERS = ("ada", "ben", "cy", "dan", "eve", "fay")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@asynccontextmanager
async def two_hubs(home: Path, server: str) -> AsyncIterator[tuple[TestHub, TestHub]]:
    """Two hubs over one PostgreSQL database."""
    url = await fresh_database(server)
    async with (
        running_hub(home / "a", store=PostgresStore(url)) as one,
        running_hub(home / "b", store=PostgresStore(url)) as two,
    ):
        yield one, two


async def through(hub: TestHub, token: str) -> Caller:
    return LocalCaller(hub.app.dispatch, await hub.app.authenticator.authenticate(token))


async def six(first: TestHub, second: TestHub) -> list[Caller]:
    """Members of a room, in turn at one hub and at the other; nobody else votes."""
    for name in VOTERS:
        await first.agent(name, "code")
    hubs = [first, second] * 3
    callers = [await through(hub, first.tokens[name]) for hub, name in zip(hubs, VOTERS, strict=True)]
    await callers[0].call(CreateRoom(room="build", open_to="all"))
    for caller in callers[1:]:
        await caller.call(JoinRoom(room="build"))
    await (await first.local()).call(UpdateMember(room="build", agent="local", access="reader"))
    return callers


async def vote(caller: Caller, proposal: Proposal) -> Proposal:
    return await caller.call(CastBallot(room="build", proposal=proposal.id, choice="approve"))


async def all_close(callers: list[Caller]) -> None:
    """60 proposals that only the sixth ballot closes; their 360 ballots are cast at once."""
    rule = Rule(mode="consensus")
    opened = [OpenProposal(room="build", title=str(number), rule=rule) for number in range(60)]
    made = await asyncio.gather(*(callers[0].call(one) for one in opened))
    await asyncio.gather(*(vote(caller, proposal) for proposal in made for caller in callers))
    closed = [await callers[0].call(GetProposal(room="build", proposal=p.id)) for p in made]
    assert [(p.state, len(p.ballots)) for p in closed] == [("approved", 6)] * 60


async def test_sixty_proposals_with_six_voters_at_once_all_close(hub: TestHub) -> None:
    await all_close(await six(hub, hub))


async def test_sixty_proposals_with_six_voters_at_two_hubs_all_close(tmp_path: Path, server: str) -> None:
    async with two_hubs(tmp_path, server) as (one, two):
        await all_close(await six(one, two))


async def test_a_deadline_counts_a_ballot_that_is_being_committed_at_another_hub(tmp_path: Path, server: str) -> None:
    """The clock of one hub closes while a ballot, cast in time, has not committed at the other."""
    async with two_hubs(tmp_path, server) as (one, two), waiting_room(one) as gate:
        ada, ben, *_ = await six(one, one)
        made = await ada.call(OpenProposal(room="build", title="x", deadline_s=60))
        principal = await one.app.authenticator.authenticate(one.tokens["ben"])
        call, ballot = one.app.dispatch.call(principal), CastBallot(room="build", proposal=made.id, choice="approve")

        def slowly(tx: Tx) -> Proposal:
            cast = cast_ballot(tx, call, ballot)
            tx.rows("select pg_advisory_xact_lock(7)")
            return cast

        log = split_id("p", made.id)[0]
        voting = asyncio.create_task(one.app.store.write(slowly, locks=(log,)))
        await eventually(lambda: waiting(gate, 1), what="the ballot waits to commit")
        two.clock.now_ms = one.clock.now_ms + 100_000
        closing = asyncio.create_task(two.app.dispatch.service(Clockwork).run_due())
        await eventually(lambda: waiting(gate, 2), what="the clock waits for the ballot")
        await gate.execute("select pg_advisory_unlock(7)")
        await asyncio.gather(voting, closing)
        done = await ben.call(GetProposal(room="build", proposal=made.id))
        assert (done.state, [b.agent for b in done.ballots], done.arithmetic["cast"]) == ("approved", ["ben"], 1)


@asynccontextmanager
async def waiting_room(hub: TestHub) -> AsyncIterator[Any]:
    """A connection that holds lock 7 of the hub's database."""
    store: Any = hub.app.store
    connection = await asyncpg.connect(store._url)
    await connection.execute("select pg_advisory_lock(7)")
    try:
        yield connection
    finally:
        await connection.close()


async def waiting(connection: Any, count: int) -> bool:
    return bool(await connection.fetchval("select count(*) >= $1 from pg_locks where not granted", count))
