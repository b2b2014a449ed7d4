"""What only SQLite can show: when COMMIT answers, what a full disk does, who may open the directory."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hub.core.errors import ReadOnly, StorageFull, Unavailable
from hub.log.schema import MIGRATIONS
from hub.storage.directory import refuse_network_file_system
from hub.storage.interface import Migration, StoreError, Tx
from hub.storage.sqlite import SqliteStore
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio
SCHEMA = [
    *MIGRATIONS,
    Migration("test-1", "create table thing (log {int} not null, name {text}, primary key (log));\n"),
]


@pytest.fixture
async def store(tmp_path: Path, anyio_backend: str) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path)
    await made.open(SCHEMA)
    yield made
    await made.drain()


def put(tx: Tx, number: int, name: str = "x") -> None:
    tx.stage("thing", (number, name))


async def count(store: SqliteStore) -> int:
    return len(await store.read(lambda tx: tx.rows("select 1 from thing")))


async def test_every_commit_waits_for_the_disk(store: SqliteStore) -> None:
    modes = await store.write(lambda tx: [tx.rows("pragma synchronous")[0][0], tx.rows("pragma journal_mode")[0][0]])
    assert modes == [2, "wal"], "2 is FULL"


class SlowCommit:
    """Stands before the commit thread's queue and holds commits back until told."""

    def __init__(self, store: Any) -> None:
        self.release = threading.Event()
        self._queue = store._commits
        store._commits = self

    def put(self, commit: Any) -> None:
        def held() -> None:
            self.release.wait(10)
            commit()

        self._queue.put(held if commit is not None else None)

    def get(self) -> Any:
        return self._queue.get()


async def test_nobody_is_answered_before_the_commit_returned(store: SqliteStore) -> None:
    slow = SlowCommit(store)
    growths: list[Any] = []
    store.on_growth = lambda growth: growths.extend(growth)

    def body(tx: Tx) -> None:
        put(tx, 1)
        tx.grew(1, 1, b"frame")

    writing = asyncio.create_task(store.write(body))
    done, _ = await asyncio.wait({writing}, timeout=0.3)
    assert not done
    assert growths == [], "readers must not hear of it either"
    assert await count(store) == 0
    slow.release.set()
    await asyncio.wait_for(writing, 5)
    assert await count(store) == 1


async def test_while_one_commit_waits_the_next_batch_collects(store: SqliteStore) -> None:
    slow = SlowCommit(store)
    first = asyncio.create_task(store.write(lambda tx: put(tx, 0)))
    await asyncio.wait({first}, timeout=0.05)
    rest = [asyncio.create_task(store.write(lambda tx, n=n: put(tx, n))) for n in range(1, 51)]  # type: ignore[misc]
    await asyncio.wait(rest, timeout=0.05)
    slow.release.set()
    await asyncio.gather(first, *rest)
    assert await count(store) == 51


async def test_a_failed_commit_is_an_unknown_outcome_and_the_store_recovers(store: SqliteStore) -> None:
    private: Any = store
    queue = private._commits

    class Broken:
        def put(self, commit: Any) -> None:
            private._commits = queue

            def fail() -> None:
                private._loop.call_soon_threadsafe(private._finish, *fail_arguments(commit))

            queue.put(fail)

        def get(self) -> Any:
            return queue.get()

    def fail_arguments(commit: Any) -> tuple[Any, ...]:
        cells = dict(zip(commit.__code__.co_freevars, (c.cell_contents for c in commit.__closure__), strict=True))
        return cells["jobs"], sqlite3.OperationalError("disk I/O error"), ()

    private._commits = Broken()
    with pytest.raises(Unavailable, match="same idempotency key"):
        await store.write(lambda tx: put(tx, 1))
    assert store.health() is not None
    with pytest.raises(ReadOnly):
        await store.write(lambda tx: put(tx, 2))
    private._probe_at = 0.0
    await store.write(lambda tx: put(tx, 3))
    assert store.health() is None
    assert await store.read(lambda tx: [row[0] for row in tx.rows("select log from thing")]) == [3]


async def test_a_full_disk_fails_its_own_body_and_the_others_go_on(store: SqliteStore) -> None:
    page = await store.write(lambda tx: tx.rows("pragma page_count")[0][0])
    await store.write(lambda tx: tx.rows(f"pragma max_page_count = {page + 5}"))

    def greedy(tx: Tx) -> None:
        tx.run("insert into thing (log, name) values (100, :name)", name="x" * 1_000_000)

    calls: list[Any] = [store.write(lambda tx: put(tx, 1)), store.write(greedy), store.write(lambda tx: put(tx, 2))]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(r) for r in results if r is not None] == [StorageFull]
    assert await store.read(lambda tx: [row[0] for row in tx.rows("select log from thing order by log")]) == [1, 2]


async def test_another_program_holding_the_database_only_delays(store: SqliteStore) -> None:
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("begin immediate")
    writing = asyncio.create_task(store.write(lambda tx: put(tx, 1)))
    done, _ = await asyncio.wait({writing}, timeout=0.2)
    assert not done
    other.execute("commit")
    other.close()
    await asyncio.wait_for(writing, 5)


async def test_a_second_hub_on_the_same_directory_is_refused(store: SqliteStore) -> None:
    with pytest.raises(StoreError, match="another hub"):
        await SqliteStore(store.path.parent).open(SCHEMA)


async def test_a_damaged_file_is_never_started_over(tmp_path: Path) -> None:
    (tmp_path / "hub.db").write_bytes(b"this is not a database at all" * 500)
    with pytest.raises(StoreError, match="Restore a backup"):
        await SqliteStore(tmp_path).open(SCHEMA)
    assert (tmp_path / "hub.db").read_bytes().startswith(b"this is not")


def test_a_network_file_system_is_refused(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/x {tmp_path} nfs4 rw 0 0\n/dev/sda / ext4 rw 0 0\n")
    with pytest.raises(StoreError, match="network file system"):
        refuse_network_file_system(tmp_path / "data", mounts)
    mounts.write_text("/dev/sda / ext4 rw 0 0\n")
    refuse_network_file_system(tmp_path / "data", mounts)


async def test_draining_finishes_what_was_accepted_and_refuses_the_rest(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    await store.open(SCHEMA)
    calls = [asyncio.create_task(store.write(lambda tx, n=n: put(tx, n))) for n in range(20)]  # type: ignore[misc]
    await asyncio.wait(calls, timeout=0)
    await store.drain()
    await asyncio.gather(*calls)
    with pytest.raises(Unavailable):
        await store.write(lambda tx: put(tx, 99))


async def test_damage_is_found_after_an_unclean_stop_and_writing_ends(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    await store.open(SCHEMA)
    for n in range(400):
        await store.write(lambda tx, n=n: put(tx, n, "x" * 500))  # type: ignore[misc]
    await store.drain()
    raw = bytearray(store.path.read_bytes())
    for at in range(len(raw) // 2, len(raw) - 4096, 4096):
        raw[at : at + 64] = b"\xff" * 64
    store.path.write_bytes(raw)
    store.path.with_suffix(".running").touch()
    again = SqliteStore(tmp_path)
    await again.open(SCHEMA)
    await eventually(lambda: again.health() is not None)
    with pytest.raises(ReadOnly, match="admin restore"):
        await again.write(lambda tx: put(tx, 999))
    await again.drain()


async def test_a_clean_stop_leaves_no_mark(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    await store.open(SCHEMA)
    mark = store.path.with_suffix(".running")
    assert mark.exists()
    await store.drain()
    assert not mark.exists()
