"""One suite every store must pass: SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from hub.core.errors import Conflict
from hub.log.schema import MIGRATIONS
from hub.storage.interface import Growth, Migration, Store, StoreError, Tx
from hub.storage.postgres import PostgresStore
from hub.storage.sqlite import SqliteStore
from tests.support.postgres import postgres_server
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]
SCHEMA = [
    *MIGRATIONS,
    Migration("test-1", "create table thing (log {int} not null, name {text}, primary key (log));\n"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_server() as url:
        yield url


async def fresh_database(url: str) -> str:
    """A new database on the server."""
    connection = await asyncpg.connect(url)
    name = f"t{await connection.fetchval('select count(*) from pg_database')}"
    await connection.execute(f"create database {name}")
    await connection.close()
    return url.replace("/postgres?", f"/{name}?")


@pytest.fixture(params=["sqlite", "postgres"])
async def store(
    tmp_path: Path, request: pytest.FixtureRequest, server: str, anyio_backend: str
) -> AsyncIterator[Store]:
    made: Store = SqliteStore(tmp_path) if request.param == "sqlite" else PostgresStore(await fresh_database(server))
    await made.open(SCHEMA)
    yield made
    await made.drain()


def put(tx: Tx, number: int, name: str = "x") -> None:
    tx.stage("thing", (number, name))


def names(tx: Tx) -> list[str]:
    return [row[0] for row in tx.rows("select name from thing order by log")]


async def test_a_body_sees_what_it_staged(store: Store) -> None:
    def body(tx: Tx) -> list[str]:
        put(tx, 1, "a")
        tx.defer("k", "update thing set name = :name where log = 1", name="b")
        return names(tx)

    assert await store.write(body) == ["b"]
    assert await store.read(names) == ["b"]


async def test_a_failing_body_leaves_nothing_and_the_others_stay(store: Store) -> None:
    growths: list[Growth] = []
    store.on_growth = growths.extend

    def bad(tx: Tx) -> None:
        put(tx, 100)
        assert names(tx)
        tx.run("insert into thing (log, name) values (101, 'y')")
        tx.remember("key", "wrong")
        tx.grew(7, 1, b"wrong")
        raise Conflict("no")

    def good(tx: Tx, number: int) -> str:
        put(tx, number, str(number))
        tx.grew(1, number, b"%d" % number)
        return tx.memo("key", lambda: "loaded")

    calls: list[Any] = [store.write(lambda tx, n=n: good(tx, n), locks=(1,)) for n in range(1, 6)]  # type: ignore[misc]
    calls.insert(2, store.write(bad, locks=(1,)))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [r for r in results if not isinstance(r, Exception)] == ["loaded"] * 5
    assert [type(r) for r in results if isinstance(r, Exception)] == [Conflict]
    assert await store.read(names) == ["1", "2", "3", "4", "5"]
    assert b"wrong" not in [frame for growth in growths for _, frame in growth.frames]


async def test_a_row_refused_at_the_end_of_a_batch_fails_its_own_body_only(store: Store) -> None:
    await store.write(lambda tx: put(tx, 3, "first"))
    calls = [store.write(lambda tx, n=n: put(tx, n, str(n)), locks=(1,)) for n in range(1, 6)]  # type: ignore[misc]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(r, Exception) for r in results] == [False, False, True, False, False]
    assert await store.read(names) == ["1", "2", "first", "4", "5"]


def once(tx: Tx, number: int, *, strict: bool = False) -> str:
    """What a keyed call does: the first one of a number puts it, every later one finds the first."""

    def load() -> str | None:
        row = tx.peek("select name from thing where log = :number", number=number)
        return None if row is None else str(row[0])

    found = tx.find_rare(("thing", number), load, sure=False)
    if found is not None:
        return f"again {found}"
    if strict and tx.row("select 1 from thing where log = :number", number=number):
        raise Conflict("taken")
    put(tx, number, str(number))
    tx.remember_for_batch(("thing", number), str(number))
    return str(number)


async def test_a_rare_key_that_exists_is_found_whatever_else_is_in_the_batch(store: Store) -> None:
    await store.write(lambda tx: once(tx, 3))
    calls: list[Any] = [store.write(lambda tx, n=n: once(tx, n), locks=(1,)) for n in (1, 2, 3, 4, 4, 5)]  # type: ignore[misc]
    assert await asyncio.gather(*calls) == ["1", "2", "again 3", "4", "again 4", "5"]
    assert await store.read(names) == ["1", "2", "3", "4", "5"]


async def test_a_rare_key_is_found_when_another_body_wrote_the_batch_down_before(store: Store) -> None:
    await store.write(lambda tx: once(tx, 3))
    calls: list[Any] = [
        store.write(lambda tx: once(tx, 3), locks=(1,)),
        store.write(names, locks=(1,)),
        store.write(lambda tx: once(tx, 4), locks=(1,)),
    ]
    assert await asyncio.gather(*calls) == ["again 3", ["3"], "4"]
    assert await store.read(names) == ["3", "4"]


async def test_a_body_that_would_refuse_a_repeat_gets_the_first_result_instead(store: Store) -> None:
    await store.write(lambda tx: once(tx, 3, strict=True))
    calls: list[Any] = [store.write(lambda tx, n=n: once(tx, n, strict=True), locks=(1,)) for n in (2, 3, 4)]  # type: ignore[misc]
    assert await asyncio.gather(*calls) == ["2", "again 3", "4"]
    together = await store.write(lambda tx: tx.each(lambda tx, n: once(tx, n, strict=True), (4, 5, 3)), locks=(1,))
    assert together == ["again 4", "5", "again 3"]
    assert await store.read(names) == ["2", "3", "4", "5"]


async def test_a_number_of_more_than_64_bits_is_an_overflow_wherever_it_is_used(store: Store) -> None:
    for body in (
        lambda tx: tx.run("update log set head = :head where id = 1", head=2**64),
        lambda tx: tx.rows("select 1 from log where head = :head", head=2**64),
    ):
        with pytest.raises(OverflowError):
            await store.write(body)
    with pytest.raises(OverflowError):
        await store.read(lambda tx: tx.rows("select 1 from log where head = :head", head=2**64))


async def test_growth_is_published_after_commit_in_order(store: Store) -> None:
    seen: list[int] = []
    counts: list[int] = []

    def on_growth(growth: Sequence[Growth]) -> None:
        for one in growth:
            seen.extend(seq for seq, _ in one.frames)

    store.on_growth = on_growth

    def body(tx: Tx, number: int) -> None:
        put(tx, number)
        tx.grew(1, number, b"f%d" % number)
        counts.append(len(seen))

    await asyncio.gather(*(store.write(lambda tx, n=n: body(tx, n), locks=(1,)) for n in range(1, 30)))  # type: ignore[misc]
    assert seen == list(range(1, 30))
    assert counts[0] == 0, "growth was published before the commit"


async def test_a_read_is_one_snapshot(store: Store) -> None:
    await store.write(lambda tx: put(tx, 1))
    first = await store.read(lambda tx: (names(tx), names(tx)))
    assert first[0] == first[1] == ["x"]


async def test_writing_in_a_read_is_refused(store: Store) -> None:
    with pytest.raises(Exception, match=r"read|write"):
        await store.read(lambda tx: tx.run("insert into thing (log, name) values (1, 'x')"))


async def test_a_lock_serialises_load_and_change(store: Store) -> None:
    """The classic lost update: forty increments of one row, each loading first."""
    await store.write(lambda tx: tx.run("insert into log values (5, 'room', 'x', 1, 0, 0, 0)"))

    def increment(tx: Tx) -> None:
        row = tx.row("select head from log where id = 5")
        assert row is not None
        tx.run("update log set head = :head where id = 5", head=row[0] + 1)

    await asyncio.gather(*(store.write(increment, locks=(5,)) for _ in range(40)))
    head = await store.read(lambda tx: tx.row("select head from log where id = 5"))
    assert head is not None
    assert head[0] == 40


async def test_a_newer_schema_is_refused(store: Store, tmp_path: Path) -> None:
    await store.drain()
    same: Any = store
    other: Store = SqliteStore(tmp_path) if isinstance(store, SqliteStore) else PostgresStore(same._url)
    with pytest.raises(StoreError, match="newer version"):
        await other.open(MIGRATIONS)


async def test_a_caller_that_gives_up_while_waiting_holds_nobody_up(store: Store) -> None:
    await store.write(lambda tx: tx.run("insert into log values (5, 'room', 'x', 1, 0, 0, 0)"))
    await store.write(lambda tx: tx.run("insert into log values (6, 'room', 'y', 1, 0, 0, 0)"))
    calls = [asyncio.create_task(store.write(names, locks=locks)) for locks in [(6,), (5, 6), (5, 6)]]
    await asyncio.wait(calls, timeout=0)
    for call in calls[1:]:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await asyncio.wait_for(store.write(lambda tx: put(tx, 1), locks=(5,)), 5)


async def test_every_concurrent_growth_reaches_another_hub(server: str) -> None:
    url = await fresh_database(server)
    one, two = PostgresStore(url), PostgresStore(url)
    await one.open(SCHEMA)
    await two.open(SCHEMA)
    heard: set[int] = set()
    two.on_growth = lambda growth: heard.update(g.log for g in growth)

    def grow(tx: Tx, number: int) -> None:
        put(tx, number)
        tx.grew(number, 1, b"")

    await asyncio.gather(*(one.write(lambda tx, n=n: grow(tx, n)) for n in range(1, 400)))  # type: ignore[misc]
    await eventually(lambda: heard == set(range(1, 400)), what="each of 399 streams is heard of")
    await one.drain()
    await two.drain()


async def test_growth_of_which_nobody_told_is_found_though_it_came_before_the_first_look(server: str) -> None:
    url = await fresh_database(server)
    writing, waiting = PostgresStore(url), PostgresStore(url)
    seen: list[Growth] = []
    await writing.open(SCHEMA)
    await waiting.open(SCHEMA)
    try:
        waiting.on_growth = lambda growth: seen.extend(growth)
        await writing.write(lambda tx: tx.run("insert into log values (1, 'room', 'a', 1, 7, 0, 0)"))
        waiting.watched = lambda: [1]  # it looks once a second
        await eventually(lambda: seen)
        assert (seen[0].log, seen[0].head) == (1, 7)
    finally:
        await waiting.drain()
        await writing.drain()


def _run(tx: Tx, body: Callable[[Tx], Any]) -> Any:
    return body(tx)


async def test_bodies_together_are_one_transaction_and_each_is_kept_or_undone_by_itself(store: Store) -> None:
    grown: list[Sequence[Growth]] = []
    store.on_growth = grown.append
    loaded: list[str] = []

    def good(number: int) -> Any:
        def body(tx: Tx) -> int:
            put(tx, number)
            tx.remember("newest", number)
            tx.grew(1, number, b"")
            return len(names(tx))

        return body

    def bad(tx: Tx) -> int:
        put(tx, 99)
        tx.run("update thing set name = 'spoilt'")
        tx.remember("newest", 99)
        tx.grew(1, 99, b"")
        raise Conflict("no")

    def newest(tx: Tx) -> int:
        loaded.append("asked")
        return tx.memo("newest", lambda: -1)

    results = await store.write(lambda tx: tx.each(_run, [good(1), bad, good(2), newest, bad]))
    assert [r if isinstance(r, int) else type(r) for r in results] == [1, Conflict, 2, 2, Conflict]
    assert await store.read(names) == ["x", "x"]
    assert [growth.head for change in grown for growth in change] == [2], "one commit, without what was undone"


async def test_a_body_that_breaks_takes_none_of_the_others_with_it(store: Store) -> None:
    def broken(tx: Tx) -> None:
        put(tx, 2)
        raise RuntimeError("a bug")

    results = await store.write(lambda tx: tx.each(_run, [lambda tx: put(tx, 1), broken, lambda tx: put(tx, 3)]))
    assert [type(one) for one in results] == [type(None), RuntimeError, type(None)]
    assert len(await store.read(names)) == 2


async def test_what_raises_after_its_parts_leaves_nothing_of_them(store: Store) -> None:
    def body(tx: Tx) -> None:
        put(tx, 1)
        tx.each(put, (2, 3))
        put(tx, 4)
        raise Conflict("after all")

    calls = [store.write(lambda tx: put(tx, 5), locks=(1,)), store.write(body, locks=(1,))]
    calls.append(store.write(lambda tx: put(tx, 6), locks=(1,)))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(one) for one in results] == [type(None), Conflict, type(None)]
    assert len(await store.read(names)) == 2


async def test_what_a_body_wrote_beside_its_parts_is_not_undone_with_them(store: Store) -> None:
    def refused(tx: Tx, number: int) -> None:
        put(tx, number)
        raise Conflict("no")

    def body(tx: Tx) -> None:
        put(tx, 1)
        tx.each(refused, (2, 3))
        put(tx, 4)

    await store.write(body)
    assert await store.read(lambda tx: [row[0] for row in tx.rows("select log from thing order by log")]) == [1, 4]
