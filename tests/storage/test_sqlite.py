"""What only SQLite can show: when COMMIT answers, what a full disk does, who may open the directory."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

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


def puts(number: int) -> Callable[[Tx], str]:
    """A body."""

    def body(tx: Tx) -> str:
        put(tx, number)
        return "done"

    return body


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


async def test_an_answer_is_prepared_while_the_disk_works_and_given_after(store: SqliteStore) -> None:
    slow = SlowCommit(store)
    told: list[object] = []
    store.begin(puts(1), lambda *outcome: told.append(outcome), told.append)
    await eventually(lambda: bool(told), what="what the body gave is there to prepare with")
    assert told == ["done"]
    slow.release.set()
    await eventually(lambda: told == ["done", ("done", None)], what="the answer is given")


async def test_nothing_is_prepared_for_a_write_that_was_refused(store: SqliteStore) -> None:
    told: list[Any] = []

    def refuse(tx: Tx) -> None:
        raise StorageFull("no")

    store.begin(refuse, lambda result, failure: told.append(failure), told.append)
    await eventually(lambda: bool(told), what="the refusal arrives")
    assert [type(one) for one in told] == [StorageFull]


async def test_an_answer_that_cannot_be_given_keeps_no_other_from_its_own(store: SqliteStore) -> None:
    def broken(_result: object, _failure: Exception | None) -> None:
        raise OSError("gone")

    store.begin(puts(1), broken)
    assert await asyncio.wait_for(store.write(puts(2)), 5) == "done"
    assert await count(store) == 2


def commits_of(store: Any) -> list[Any]:
    """Every COMMIT from now on."""
    made: list[Any] = []
    queue = store._commits

    class Counting:
        def put(self, commit: Any) -> None:
            made.append(commit)
            queue.put(commit)

        def get(self) -> Any:
            return queue.get()

    store._commits = Counting()
    return made


async def test_writers_that_come_back_a_moment_after_their_answer_share_the_next_commit(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As callers over a network do: the first is back before the last."""
    monkeypatch.setattr("hub.storage.sqlite._RETURN_S", 0.5)  # however busy this machine is
    commits = commits_of(store)
    rounds, writers = 20, 4

    async def write(number: int) -> None:
        for turn in range(rounds):
            await store.write(puts(turn * writers + number))
            for _ in range(3 * number):  # turns of the loop later than the one before
                await asyncio.sleep(0)

    await asyncio.gather(*map(write, range(writers)))
    assert await count(store) == rounds * writers
    assert len(commits) <= rounds + 4, "one a round; who is back first would start another alone"


async def test_a_writer_whose_companions_do_not_come_back_waits_for_them_a_moment_only(store: SqliteStore) -> None:
    await asyncio.gather(*(store.write(puts(number)) for number in range(50)))
    await asyncio.wait_for(store.write(puts(50)), 5)
    assert await count(store) == 51


async def test_after_bodies_that_take_long_nobody_is_waited_for(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit more costs nothing beside them, and their callers need long to come back."""
    monkeypatch.setattr("hub.storage.sqlite._RETURN_S", 30)

    def long(number: int) -> Callable[[Tx], None]:
        def body(tx: Tx) -> None:
            time.sleep(0.001)
            puts(number)(tx)

        return body

    await asyncio.gather(*(store.write(long(number)) for number in range(10)))
    await asyncio.wait_for(store.write(puts(10)), 5)
    assert await count(store) == 11


def break_next_commit(private: Any) -> None:
    """Let the next COMMIT fail as a broken disk would."""
    queue = private._commits

    class Broken:
        def put(self, commit: Any) -> None:
            private._commits = queue
            cells = dict(zip(commit.__code__.co_freevars, (c.cell_contents for c in commit.__closure__), strict=True))
            error = sqlite3.OperationalError("disk I/O error")
            queue.put(lambda: private._loop.call_soon_threadsafe(private._finish, cells["batch"], error))

        def get(self) -> Any:
            return queue.get()

    private._commits = Broken()


async def test_a_failed_commit_is_an_unknown_outcome_and_the_store_recovers(store: SqliteStore) -> None:
    private: Any = store
    break_next_commit(private)
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


async def test_damage_is_remembered_over_a_clean_stop(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    await store.open(SCHEMA)
    private: Any = store
    private._damaged = "the database is damaged"
    await store.drain()
    assert store.path.with_suffix(".running").exists(), "the next start would write to a damaged file unchecked"


async def test_a_check_that_a_stop_interrupts_is_done_at_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "hub.running").touch()
    store = SqliteStore(tmp_path)
    checking, private = threading.Event(), cast("Any", store)

    def forever() -> str:
        with store.maintenance_connection() as connection:
            private._checker = connection
            checking.set()
            endless = "with recursive n(x) as (select 1 union all select x + 1 from n) select max(x) from n"
            try:
                return str(connection.execute(endless).fetchone()[0])
            except sqlite3.OperationalError as error:
                return str(error)

    private._quick_check = forever
    await store.open(SCHEMA)
    await asyncio.to_thread(checking.wait, 5)
    await asyncio.wait_for(store.drain(), 5)
    assert store.path.with_suffix(".running").exists()


async def test_the_store_gets_ready_again_without_anybody_writing(store: SqliteStore) -> None:
    break_next_commit(store)
    with pytest.raises(Unavailable):
        await store.write(lambda tx: put(tx, 1))
    assert store.health() is not None
    await eventually(lambda: store.health() is None, within_s=5)


async def test_a_write_that_changes_nothing_does_not_prove_the_disk_works(store: SqliteStore) -> None:
    private: Any = store
    break_next_commit(private)
    with pytest.raises(Unavailable):
        await store.write(lambda tx: put(tx, 1))
    private._probe_at = 0.0
    await store.write(lambda tx: tx.run("delete from thing where log = 77"))
    assert store.health() is not None


async def test_a_full_disk_found_when_rows_are_flushed_is_507_and_the_others_go_on(store: SqliteStore) -> None:
    page = await store.write(lambda tx: tx.rows("pragma page_count")[0][0])
    await store.write(lambda tx: tx.rows(f"pragma max_page_count = {page + 5}"))
    bodies = [lambda tx: put(tx, 1), lambda tx: put(tx, 100, "x" * 1_000_000), lambda tx: put(tx, 2)]
    results = await asyncio.gather(*(store.write(body) for body in bodies), return_exceptions=True)
    assert [type(r) for r in results] == [type(None), StorageFull, type(None)]
    assert await store.read(lambda tx: [row[0] for row in tx.rows("select log from thing order by log")]) == [1, 2]


async def test_a_value_sqlite_cannot_hold_fails_its_own_body_only(store: SqliteStore) -> None:
    bodies = [lambda tx: put(tx, 1), lambda tx: put(tx, 2**70), lambda tx: put(tx, 3)]
    results = await asyncio.gather(*(store.write(body) for body in bodies), return_exceptions=True)
    assert [type(r) for r in results] == [type(None), OverflowError, type(None)]
    assert store.health() is None


async def test_a_reader_that_fails_to_wake_leaves_no_write_unanswered(store: SqliteStore) -> None:
    def broken(growth: object) -> None:
        raise RuntimeError("a reader's bug")

    def body(tx: Tx) -> None:
        put(tx, 1)
        tx.grew(1, 1, b"frame")

    store.on_growth = broken
    await asyncio.wait_for(store.write(body), 5)
    await asyncio.wait_for(store.write(lambda tx: put(tx, 2)), 5)
    assert await count(store) == 2


async def test_another_program_holding_the_database_during_a_retry_repeats_nothing(store: SqliteStore) -> None:
    """Found by reading: bodies waiting for their retry were put in line a second time, and ran twice."""
    other, private = sqlite3.connect(store.path, isolation_level=None, timeout=5), cast("Any", store)
    reset = private._reset

    def reset_and_lose_the_lock() -> None:
        private._reset = reset
        reset()
        other.execute("begin immediate")
        private._loop.call_later(0.05, other.execute, "commit")

    def add(tx: Tx) -> None:
        tx.run("insert into thing (log, name) select coalesce(max(log), 0) + 1, 'added' from thing where log < 1000")

    private._reset = reset_and_lose_the_lock
    bodies: list[Any] = [add, add, lambda tx: put(tx, 2**70), add]
    results = await asyncio.gather(*(store.write(body) for body in bodies), return_exceptions=True)
    other.close()
    assert [type(r) for r in results] == [type(None), type(None), OverflowError, type(None)]
    assert await count(store) == 3


async def test_another_program_writing_at_the_start_is_not_called_damage(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "hub.db", isolation_level=None)
    other.execute("pragma journal_mode=wal")
    other.execute("begin immediate")
    with pytest.raises(StoreError, match="another program"):
        await SqliteStore(tmp_path).open(SCHEMA)
    other.close()


async def test_a_blanked_text_is_in_none_of_the_stores_files(store: SqliteStore, tmp_path: Path) -> None:
    """Short texts live in the row's page, long ones in pages of their own; both were in the write-ahead log."""
    short, long = "a short secret", "a long secret " * 2000

    def on_disk() -> list[str]:
        return [
            file.name
            for file in tmp_path.iterdir()
            for secret in ("short", "long")
            if f"a {secret} secret".encode() in file.read_bytes()
        ]

    for number, text in enumerate((short, long, "kept"), 1):
        await store.write(lambda tx, n=number, t=text: put(tx, n, t))  # type: ignore[misc]
    assert await store.scrub()
    assert on_disk() == ["hub.db", "hub.db"]
    await store.write(lambda tx: tx.run("update thing set name = '' where log < 3"))
    await store.write(lambda tx: tx.run("delete from thing where log = 2"))
    assert await store.scrub()
    assert on_disk() == []
    assert await count(store) == 2


async def test_writes_during_a_scrub_wait_for_it_and_are_kept(store: SqliteStore) -> None:
    slow = SlowCommit(store)
    scrubbing = asyncio.create_task(store.scrub())
    await asyncio.wait({scrubbing}, timeout=0.05)
    writing = [asyncio.create_task(store.write(lambda tx, n=n: put(tx, n))) for n in range(5)]  # type: ignore[misc]
    assert await asyncio.wait({scrubbing}, timeout=0.1) == (set(), {scrubbing})
    assert not await store.scrub(), "one at a time, and never beside a commit"
    slow.release.set()
    assert await scrubbing
    await asyncio.gather(*writing)
    assert await count(store) == 5
