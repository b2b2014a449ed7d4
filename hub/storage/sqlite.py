"""SQLite store: one writing connection, bodies on the event loop, only COMMIT in a thread, then everyone is answered.

Why so: with bodies in a thread every statement hands the GIL over, and under read load sends fall to a quarter; with
COMMIT on the loop a slow disk stalls every reader. While one COMMIT waits for the disk the next batch collects, so the
fsync itself is the batching window. Nothing may touch the writing connection during COMMIT, not even a leftover
cursor, so a `Tx` hands out lists and the connection never leaves this file.

    IDLE --write()--> RUNNING --flush--> COMMITTING --done()--> GATHERING (more waiting) --> RUNNING, or IDLE

Who was just answered often comes back at once: a batch that starts without them makes two commits of what fits into
one. So the next batch gathers for a moment (decision 0009).
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, LiteralString, TypeVar, cast

from hub.core.errors import HubError, ReadOnly, StorageFull, Unavailable
from hub.storage.changes import Changes
from hub.storage.directory import DirectoryLock, refuse_network_file_system
from hub.storage.interface import Ended, Frame, Growth, Migration, Ready, Row, Store, StoreError, Tx, merge_growth
from hub.storage.migrate import apply_migrations

T = TypeVar("T")
A = TypeVar("A")
log = logging.getLogger(__name__)

DIALECT: Final = {
    "id": "integer primary key",
    "int": "integer",
    "real": "real",
    "text": "text",
    "blob": "blob",
    "without_rowid": "without rowid",
}
_BATCH_S: Final = 0.02  # bodies of one transaction: long enough to batch a burst, short enough not to stall readers
_RETURN_S: Final = 0.001  # within this, who was just answered comes back with the next write
_MOST_OF: Final = 0.9  # of them are waited for: the last ones are read while the disk works, and not all come back
_LIGHT_S: Final = 0.0005  # a body that takes longer is worth a commit of its own
_BUSY_S: Final = 0.005
_PROBE_S: Final = 1.0
_MEMO_ROOM: Final = 200_000
_CHUNK: Final = 64  # rows per insert: every size has a statement of its own in the cache
_ABSENT: Final = object()
CACHE_KIB = 32_000  # pages of the database that each connection keeps in memory
_INTERRUPTED: Final = "interrupted"  # what SQLite says of a statement that was ended by `interrupt()`
_UNKNOWN: Final = "the hub could not confirm the write; retry with the same idempotency key"


class _Memo:
    """Values in memory, and what they were before the running body and before the batch, to go back to."""

    def __init__(self) -> None:
        self.values: dict[Hashable, object] = {}
        self._before_body: dict[Hashable, object] = {}
        self._before_batch: dict[Hashable, object] = {}
        self.once: dict[Hashable, object] = {}  # of staged rows, until they are written
        self.once_body: dict[Hashable, object] = {}

    def put(self, key: Hashable, value: object) -> None:
        """Set a value; `_ABSENT` takes it away."""
        self._before_body.setdefault(key, self.values.get(key, _ABSENT))
        if value is _ABSENT:
            self.values.pop(key, None)
        else:
            self.values[key] = value

    def keep_body(self) -> None:
        if self._before_body:
            for key, value in self._before_body.items():
                self._before_batch.setdefault(key, value)
            self._before_body.clear()
        if self.once_body:
            self.once.update(self.once_body)
            self.once_body.clear()

    def undo_body(self) -> None:
        self._go_back(self._before_body)
        self.once_body.clear()

    def commit(self) -> None:
        self._before_batch.clear()
        self.once.clear()
        if len(self.values) > _MEMO_ROOM:
            for key in list(self.values)[: _MEMO_ROOM // 2]:
                del self.values[key]

    def discard(self) -> None:
        self.undo_body()
        self._go_back(self._before_batch)
        self.once.clear()

    def _go_back(self, before: dict[Hashable, object]) -> None:
        for key, value in before.items():
            if value is _ABSENT:
                self.values.pop(key, None)
            else:
                self.values[key] = value
        before.clear()


class _Job:
    __slots__ = ("body", "ended", "failure", "ready", "result")

    def __init__(self, body: Callable[[Tx], Any], ended: Ended, ready: Ready | None) -> None:
        self.body = body
        self.ended = ended
        self.ready = ready
        self.result: Any = None
        self.failure: Exception | None = None

    def answer(self) -> None:
        """Tell who waits for it. The others of the batch must be told whatever comes of that."""
        try:
            self.ended(self.result, self.failure)
        except Exception:
            log.exception("answering a write failed")


class _Batch:
    """Jobs whose bodies ran in one transaction. What can be prepared for after COMMIT is, while the disk works."""

    __slots__ = ("_grown", "changed", "growth", "jobs")

    def __init__(self, jobs: list[_Job], tx: _WriteTx) -> None:
        self.jobs = jobs
        self.changed = tx.changed()
        self.growth: Sequence[Growth] = ()
        self._grown = tx.growth

    def prepare(self) -> None:
        try:
            self.growth = merge_growth(self._grown)
        except Exception:  # its readers see it when they look again; who wrote it must hear that it is stored
            log.exception("making events for readers failed")
        for job in self.jobs:
            if job.ready is not None and job.failure is None:
                job.ready(job.result)


class _WriteTx:
    """The `Tx` of the batch: shared by its bodies, with marks so that one body can be undone."""

    def __init__(self, connection: sqlite3.Connection, memo: _Memo, *, careful: bool = False) -> None:
        self._connection = connection
        self._memo = memo
        self._values = memo.values
        self.careful = careful
        self.guessed = False
        self.unwritable: Exception | None = None
        self.written = False
        self.growth: list[tuple[int, int, Frame]] = []
        self._staged: list[tuple[str, tuple[Any, ...]]] = []
        self._kept = 0  # of the staged rows, those of bodies that succeeded
        self._deferred: dict[Hashable, tuple[str, dict[str, Any]]] = {}
        self._kept_deferred: dict[Hashable, tuple[str, dict[str, Any]]] = {}
        self._savepoint = False
        self._parted = False
        self._growth_mark = 0
        self._changes = connection.total_changes

    # --- what a body uses -------------------------------------------------------------------------------------

    def rows(self, sql: LiteralString, /, **params: Any) -> list[Row]:
        self._materialise()
        return self._connection.execute(sql, params).fetchall()

    def row(self, sql: LiteralString, /, **params: Any) -> Row | None:
        self._materialise()
        return self._first(sql, params)

    def peek(self, sql: LiteralString, /, **params: Any) -> Row | None:
        return self._first(sql, params)

    def run(self, sql: LiteralString, /, **params: Any) -> int:
        self._materialise()
        self._protect()
        self.written = True
        return self._connection.execute(sql, params).rowcount

    def stage(self, table: LiteralString, row: tuple[Any, ...]) -> None:
        self._staged.append((table, row))

    def defer(self, key: Hashable, sql: LiteralString, /, **params: Any) -> None:
        self._deferred[key] = (sql, params)

    def memo(self, key: Hashable, load: Callable[[], T]) -> T:
        found = self._values.get(key, _ABSENT)
        if found is _ABSENT:
            found = load()
            self._memo.put(key, found)
        return found  # type: ignore[return-value]  # what is kept under a key is what its `load` gives

    def remember(self, key: Hashable, value: object) -> None:
        self._memo.put(key, value)

    def find_rare(self, key: Hashable, load: Callable[[], T | None], *, sure: bool) -> T | None:
        found = self._memo.once_body.get(key) or self._memo.once.get(key)
        if found is not None:
            return cast("T", found)
        if sure or self.careful:
            return load()
        self.guessed = True
        return None

    def remember_for_batch(self, key: Hashable, value: object) -> None:
        self._memo.once_body[key] = value

    def forget(self, key: Hashable) -> None:
        self._memo.put(key, _ABSENT)

    def grew(self, log: int, seq: int, frame: Frame) -> None:
        self.growth.append((log, seq, frame))

    def rewrote(self, log: int) -> None:
        self.growth.append((log, -1, b""))

    def wake(self, topic: int) -> None:
        self.growth.append((topic, 0, b""))

    def each(self, part: Callable[[Tx, A], T], items: Iterable[A]) -> list[T | Exception]:
        self._parted = True
        self.keep()  # what the body did before it is not undone with a part
        outcomes: list[T | Exception] = []
        for item in items:
            try:
                outcomes.append(self._try(part, item))
            except Exception as error:
                if not self.usable():
                    raise
                outcomes.append(error)
        self.guessed = False
        return outcomes

    # --- what the store does between bodies -------------------------------------------------------------------

    def run_body(self, body: Callable[[Tx], T]) -> T:
        """What the body returns; what it did is kept. Nothing of it is when it raises."""
        self._parted = False
        try:
            return self._try(body)
        except Exception as error:
            if self._parted and self.usable():
                self.unwritable = error  # parts of it are kept already, and go only with the whole transaction
            raise

    def _try(self, body: Callable[..., T], *item: Any) -> T:
        """What it returns, kept; undone when it raises, and run once more with the truth if it had guessed."""
        self.guessed = False
        try:
            result = body(self, *item)
            self.keep()
        except Exception:
            if self.usable():
                self.undo()
            if not self.guessed or not self.usable():
                raise
        else:
            return result
        with self.carefully():
            return self._try(body, *item)

    def keep(self) -> None:
        """The body succeeded: what it staged belongs to the batch."""
        self._kept = len(self._staged)
        if self._deferred:
            self._kept_deferred.update(self._deferred)
            self._deferred.clear()
        self._memo.keep_body()
        if self._savepoint:
            self._connection.execute("release body").close()
            self._savepoint = False
        self._growth_mark = len(self.growth)

    def undo(self) -> None:
        """The body failed: nothing of it stays."""
        del self._staged[self._kept :]
        self._deferred.clear()
        self._memo.undo_body()
        del self.growth[self._growth_mark :]
        if self._savepoint:
            self._connection.execute("rollback to body").close()
            self._connection.execute("release body").close()
            self._savepoint = False

    def usable(self) -> bool:
        """Whether more bodies can run in it: SQLite has not rolled it back, and no kept row was refused."""
        return self.unwritable is None and self._connection.in_transaction

    @contextmanager
    def carefully(self) -> Iterator[None]:
        """Look up what `find_rare` would otherwise take for absent."""
        before, self.careful = self.careful, True
        try:
            yield
        finally:
            self.careful = before

    def changed(self) -> bool:
        """Whether rows changed, so that COMMIT has to reach the disk."""
        return self._connection.total_changes > self._changes

    def flush(self) -> None:
        """Write everything staged and deferred, one statement per table as far as possible."""
        try:
            self._write(self._kept, self._kept_deferred)
        except Exception as error:
            self.unwritable = error
            raise
        self._kept = 0

    def _first(self, sql: LiteralString, params: dict[str, Any]) -> Row | None:
        cursor = self._connection.execute(sql, params)
        row = cursor.fetchone()
        cursor.close()
        return cast("Row | None", row)

    def _materialise(self) -> None:
        """Make staged rows visible: earlier bodies' outside, this body's inside the savepoint."""
        if (self._kept or self._kept_deferred) and not self._savepoint:
            self.flush()
        if len(self._staged) > self._kept or self._deferred:
            self._protect()
            self._write(len(self._staged), self._deferred)

    def _protect(self) -> None:
        if not self._savepoint:
            self.flush()
            self._connection.execute("savepoint body").close()
            self._savepoint = True

    def _write(self, count: int, deferred: dict[Hashable, tuple[str, dict[str, Any]]]) -> None:
        """The first `count` staged rows and these statements: they are no longer staged then."""
        if not count and not deferred:
            return
        self.written = True
        tables: dict[str, list[tuple[Any, ...]]] = {}
        for table, row in self._staged[:count]:
            tables.setdefault(table, []).append(row)
        for table, rows in tables.items():
            self._insert(table, rows)
        statements: dict[str, list[dict[str, Any]]] = {}
        for sql, params in deferred.values():
            statements.setdefault(sql, []).append(params)
        for sql, each in statements.items():
            self._connection.executemany(sql, each).close()
        del self._staged[:count]
        deferred.clear()

    def _insert(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        for start in range(0, len(rows), _CHUNK):
            some = rows[start : start + _CHUNK]
            flat = list(chain.from_iterable(some))
            self._connection.execute(_insert_sql(table, len(rows[0]), len(some)), flat).close()


class _ReadTx:
    """A `Tx` on a read-only snapshot; writing through it is a bug."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._memo: dict[Hashable, Any] = {}

    def rows(self, sql: LiteralString, /, **params: Any) -> list[Row]:
        return self._connection.execute(sql, params).fetchall()

    def row(self, sql: LiteralString, /, **params: Any) -> Row | None:
        cursor = self._connection.execute(sql, params)
        row = cursor.fetchone()
        cursor.close()
        return cast("Row | None", row)

    peek = row

    def memo(self, key: Hashable, load: Callable[[], T]) -> T:
        if key not in self._memo:
            self._memo[key] = load()
        return cast("T", self._memo[key])

    def find_rare(self, key: Hashable, load: Callable[[], T | None], *, sure: bool) -> T | None:
        return load()

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("this operation reads; it must not write (its route is a GET or its lock is 'none')")

    run = stage = defer = remember = remember_for_batch = forget = grew = rewrote = wake = each = _refuse


class SqliteStore(Store):
    """A store in one directory. Only one process may have it open."""

    locking = False

    def __init__(self, directory: Path, *, name: str = "hub.db", synchronous: str = "FULL") -> None:
        self.path = directory / name
        self._directory = directory
        self._synchronous = synchronous
        self._lock = DirectoryLock(directory)
        self.on_growth = lambda growth: None
        self.watched = tuple  # nobody else writes
        self._memo = _Memo()
        self._waiting: list[_Job] = []
        self._down: str | None = None
        self._damaged: str | None = None
        self._probe_at = 0.0
        self._checker: sqlite3.Connection | None = None
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._expected = 0  # writers of the next batch if all who were just answered come back, until then
        self._expected_until = 0.0
        self._light = True
        self.changes = Changes()
        self._commits: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    # --- life -------------------------------------------------------------------------------------------------

    async def open(self, migrations: Sequence[Migration]) -> None:
        self._loop = asyncio.get_running_loop()
        refuse_network_file_system(self._directory)
        self._lock.acquire()
        try:
            self._writer = self._connect(writer=True)
            apply_migrations(self._writer, migrations, DIALECT)
        except sqlite3.DatabaseError as error:
            self._lock.release()
            raise _cannot_open(self.path, error) from error
        except BaseException:
            self._lock.release()
            raise
        self._reader = self._connect(writer=False)
        self._idle_readers: list[sqlite3.Connection] = []
        self._thread = threading.Thread(target=self._commit_forever, name="hub-commit", daemon=True)
        self._thread.start()
        self._checking: asyncio.Task[None] | None = None
        self._checked = not self._running_mark.exists()
        if self._running_mark.exists():
            log.warning("the last hub did not stop cleanly; checking the database in the background")
            self._checking = asyncio.create_task(self._check())
        self._running_mark.touch(mode=0o600)

    @property
    def _running_mark(self) -> Path:
        """A file that exists while a hub runs: found at a start, the last one did not stop cleanly."""
        return self.path.with_suffix(".running")

    async def _check(self) -> None:
        """Look for damage after an unclean stop; writing ends when there is any, so that it does not spread."""
        found = await asyncio.to_thread(self._quick_check)
        if found == _INTERRUPTED:
            return
        self._checked = True
        if found != "ok":
            self._damaged = (
                f"the database is damaged ({found}); stop the hub and restore a backup: mcp-bridge admin restore"
            )
            log.error(self._damaged)

    def _quick_check(self) -> str:
        with self.maintenance_connection() as connection:
            self._checker = connection
            try:
                return str(connection.execute("pragma quick_check(1)").fetchone()[0])
            except sqlite3.DatabaseError as error:
                return str(error)
            finally:
                self._checker = None

    async def drain(self) -> None:
        """Finish what was accepted, then close."""
        if self._closed:
            return
        self._closed = True
        await self._stop_checking()
        await self._idle.wait()
        self._commits.put(None)
        await asyncio.to_thread(self._thread.join)
        for connection in (self._reader, *self._idle_readers):
            connection.close()
        clean = self._fold_and_close()
        if clean and self._checked and self._damaged is None:
            self._running_mark.unlink(missing_ok=True)
        self._lock.release()

    async def _stop_checking(self) -> None:
        """A check takes as long as the file is big: end it, and let the next start do it (the mark stays)."""
        if self._checking is None:
            return
        while not self._checking.done():
            if (checker := self._checker) is not None:
                checker.interrupt()
            await asyncio.wait({self._checking}, timeout=0.02)
        await self._checking

    def _fold_and_close(self) -> bool:
        """Move the write-ahead log into the file; whether that worked (what is committed is safe either way)."""
        try:
            self._writer.execute("pragma wal_checkpoint(truncate)").close()
        except sqlite3.Error as error:
            log.error("the write-ahead log could not be folded into the database: %s", error)
            return False
        finally:
            self._writer.close()
        return True

    def health(self) -> str | None:
        return self._damaged or self._down

    def _connect(self, *, writer: bool) -> sqlite3.Connection:
        mode = "rwc" if writer else "ro"
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=0,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
        )
        connection.row_factory = sqlite3.Row
        pragmas = ["trusted_schema=off", "cell_size_check=on", "foreign_keys=on", f"cache_size=-{CACHE_KIB}"]
        if writer:
            pragmas += [f"synchronous={self._synchronous}", "journal_size_limit=67108864", "temp_store=memory"]
            pragmas += ["secure_delete=on"]  # a redacted text must not stay in free space
            connection.execute("pragma journal_mode=wal").close()
        else:
            pragmas += ["query_only=on"]
        for pragma in pragmas:
            connection.execute(f"pragma {pragma}").close()
        return connection

    # --- reading ----------------------------------------------------------------------------------------------

    async def read(self, body: Callable[[Tx], T], *, long: bool = False) -> T:
        if not long:
            return self._snapshot(self._reader, body)
        connection = self._idle_readers.pop() if self._idle_readers else self._connect(writer=False)
        try:
            return await asyncio.to_thread(self._snapshot, connection, body)
        finally:
            self._idle_readers.append(connection)

    @staticmethod
    def _snapshot(connection: sqlite3.Connection, body: Callable[[Tx], T]) -> T:
        connection.execute("begin").close()
        try:
            return body(cast("Tx", _ReadTx(connection)))
        finally:
            connection.execute("rollback").close()

    # --- writing ----------------------------------------------------------------------------------------------

    async def write(self, body: Callable[[Tx], T], *, locks: Sequence[int] = ()) -> T:
        future: asyncio.Future[T] = self._loop.create_future()
        self.begin(body, partial(_settle, future))
        return await future

    def begin(self, body: Callable[[Tx], Any], ended: Ended, ready: Ready | None = None) -> None:
        if self._closed:
            raise Unavailable("the hub is shutting down; retry with the same idempotency key", retry_after_s=1)
        if self._damaged:
            raise ReadOnly(self._damaged)
        if self._down and time.monotonic() < self._probe_at:
            raise ReadOnly(f"writing is off: {self._down}; free space, then retry", retry_after_s=1)
        self._enqueue(body, ended, ready)

    def _run_batch(self) -> None:
        jobs, self._waiting = self._waiting, []
        try:
            self._begin_and_run(jobs)
        except sqlite3.OperationalError as error:
            if _is_busy(error):
                self._waiting = jobs + self._waiting
                self._loop.call_later(_BUSY_S, self._run_batch)
            else:
                self._batch_failed(jobs, error)
        except Exception as error:
            self._batch_failed(jobs, error)

    def _begin_and_run(self, jobs: list[_Job]) -> None:
        if not self._run_all(jobs, careful=False) and not self._run_all(jobs, careful=True):
            self._retry_one_by_one(jobs)

    def _run_all(self, jobs: list[_Job], *, careful: bool) -> bool:
        """Run and commit as many jobs as fit; false when a staged row was refused and nothing of them stays."""
        self._writer.execute("begin immediate").close()
        tx = _WriteTx(self._writer, self._memo, careful=careful)
        try:
            ran = self._run_bodies(tx, jobs)
            tx.flush()
        except Exception as error:  # also what Python refuses to hand to SQLite, such as an integer over 64 bits
            if error is not tx.unwritable:
                raise
            self._reset()
            return False
        self._waiting = jobs[len(ran) :] + self._waiting
        self._commit(tx, ran)
        return True

    def _run_bodies(self, tx: _WriteTx, jobs: list[_Job]) -> list[_Job]:
        """Run as many bodies as fit the time box; those that failed keep their failure."""
        began = time.perf_counter()
        until = began + _BATCH_S
        for index, job in enumerate(jobs):
            job.failure = None
            try:
                job.result = tx.run_body(job.body)
            except Exception as error:
                if tx.unwritable is not None:
                    raise tx.unwritable from None
                if not tx.usable():  # disk full or I/O error: SQLite rolled everything back
                    raise _WholeBatchLost(job, error) from error
                job.failure = error
            if time.perf_counter() > until:
                jobs = jobs[: index + 1]
                break
        self._light = time.perf_counter() - began < len(jobs) * _LIGHT_S
        return jobs

    def _retry_one_by_one(self, jobs: list[_Job]) -> None:
        """A staged row was refused at the end of the batch: find out whose, each in a transaction of its own."""
        first, self._waiting = jobs[0], jobs[1:] + self._waiting
        first.failure = None
        try:
            self._writer.execute("begin immediate").close()
            tx = _WriteTx(self._writer, self._memo, careful=True)
            first.result = tx.run_body(first.body)
            tx.flush()
        except sqlite3.OperationalError as error:
            if _is_busy(error):
                self._waiting.insert(0, first)
                self._loop.call_later(_BUSY_S, self._run_batch)
            else:
                self._batch_failed([first], error)
        except Exception as error:
            self._reset()
            first.failure = error
            self._go_on([first])
        else:
            self._commit(tx, [first])

    def _commit(self, tx: _WriteTx, jobs: list[_Job]) -> None:
        batch = _Batch(jobs, tx)
        if not tx.written:
            self._writer.commit()
            batch.prepare()
            self._finish(batch, None)
            return

        def commit() -> None:
            failure: Exception | None = None
            try:
                self._writer.commit()
            except Exception as error:
                failure = error
            self._loop.call_soon_threadsafe(self._finish, batch, failure)

        self._loop.call_soon(batch.prepare)  # before `_finish` can be called
        self._commits.put(commit)

    def _commit_forever(self) -> None:
        while (commit := self._commits.get()) is not None:
            commit()

    def _finish(self, batch: _Batch, failure: Exception | None) -> None:
        """COMMIT has answered: publish, answer this batch, then start the next one."""
        if failure is not None:
            self._reset()
            self._went_down(str(failure))
            log.error("commit failed: %s", failure)
            lost = Unavailable(_UNKNOWN, retry_after_s=1)
            lost.__cause__ = failure
            for job in batch.jobs:
                job.failure = lost
        else:
            self._memo.commit()
            if batch.changed:
                self._down = None
                self.changes.add()
            if batch.growth:
                self._publish(batch.growth)
        self._go_on(batch.jobs)

    def _publish(self, growth: Sequence[Growth]) -> None:
        """Wake readers. A reader's failure costs a wake-up; it must not leave committed writes unanswered."""
        try:
            self.on_growth(growth)
        except Exception:
            log.exception("telling readers about new events failed")

    def _go_on(self, jobs: list[_Job]) -> None:
        """Answer these, then start the next batch."""
        for job in jobs:
            job.answer()
        self._expected = round(_MOST_OF * (len(jobs) + len(self._waiting))) if self._light else 0
        self._expected_until = time.perf_counter() + _RETURN_S
        if self._waiting:
            self._loop.call_soon(self._gather)
        else:
            self._idle.set()

    def _gather(self) -> None:
        """Start a batch; while callers that were just answered may be about to join it, look again next turn.

        Sleeping instead would take longer than what it waits for.
        """
        if len(self._waiting) >= self._expected or time.perf_counter() > self._expected_until:
            self._run_batch()
        else:
            self._loop.call_soon(self._gather)

    def _batch_failed(self, jobs: list[_Job], error: Exception) -> None:
        """Nothing of this transaction stays: fail the body that caused it, run the others again without it."""
        self._reset()
        cause = error.cause if isinstance(error, _WholeBatchLost) else error
        guilty = [error.job] if isinstance(error, _WholeBatchLost) else jobs
        self._went_down(str(cause))
        for job in guilty:
            job.failure = _storage_error(cause)
        again = [job for job in jobs if job not in guilty and job not in self._waiting]
        self._waiting = again + [job for job in self._waiting if job not in guilty]
        self._go_on(guilty)

    def _reset(self) -> None:
        self._memo.discard()
        try:
            if self._writer.in_transaction:
                self._writer.execute("rollback").close()
        except sqlite3.Error:
            log.exception("rolling back failed")

    def _went_down(self, reason: str) -> None:
        """Refuse writes until a probe works; the probe comes by itself, so a hub nobody writes to gets ready again."""
        self._down = reason
        self._probe_at = time.monotonic() + _PROBE_S
        self._loop.call_later(_PROBE_S + 0.05, self._probe)  # uvloop may fire a millisecond early

    def _probe(self) -> None:
        """Write a row as it is: it changes nothing and has to reach the disk like any other."""
        if self._closed or self._down is None or time.monotonic() < self._probe_at:
            return
        self._enqueue(lambda tx: tx.run("update migration set number = number where number = 1"), _nobody)

    def _enqueue(self, body: Callable[[Tx], Any], ended: Ended, ready: Ready | None = None) -> None:
        self._waiting.append(_Job(body, ended, ready))
        if self._idle.is_set():
            self._idle.clear()
            self._loop.call_soon(self._gather)

    async def scrub(self) -> bool:
        if self._closed or not self._idle.is_set():
            return False
        self._idle.clear()  # what is written from here on waits, as for a COMMIT
        folded: asyncio.Future[bool] = self._loop.create_future()

        def answer(done: bool) -> None:
            self._go_on([])
            if not folded.done():
                folded.set_result(done)

        def fold() -> None:
            try:
                done = self._writer.execute("pragma wal_checkpoint(truncate)").fetchone()[0] == 0
            except sqlite3.Error:
                done = False
            self._loop.call_soon_threadsafe(answer, done)

        self._commits.put(fold)
        return await folded

    # --- for maintenance --------------------------------------------------------------------------------------

    @contextmanager
    def maintenance_connection(self) -> Iterator[sqlite3.Connection]:
        """A read-only connection of its own, for export, inspection and backup."""
        connection = self._connect(writer=False)
        try:
            yield connection
        finally:
            connection.close()


@lru_cache(maxsize=1024)
def _insert_sql(table: str, columns: int, rows: int) -> str:
    one = "(" + ",".join("?" * columns) + ")"
    return f"insert into {table} values " + ",".join([one] * rows)


class _WholeBatchLost(Exception):
    def __init__(self, job: _Job, cause: Exception) -> None:
        super().__init__(str(cause))
        self.job = job
        self.cause = cause


def _is_busy(error: sqlite3.Error) -> bool:
    """Another program (a shell) holds the database for a moment."""
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def _cannot_open(path: Path, error: sqlite3.DatabaseError) -> StoreError:
    if isinstance(error, sqlite3.OperationalError) and _is_busy(error):
        return StoreError(f"another program is writing to {path}; close it and start again")
    return StoreError(
        f"{path} cannot be opened: {error}. Nothing was changed. Restore a backup "
        f"(mcp-bridge admin restore) or move the file away to start empty."
    )


def _settle(future: asyncio.Future[Any], result: Any, failure: Exception | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)
        future.exception()  # a caller that went away has nobody to hear of it


def _nobody(_result: Any, _failure: Exception | None) -> None: ...


def _storage_error(error: BaseException) -> HubError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        made: HubError = StorageFull("the disk is full; nothing was stored. Free space and retry", retry_after_s=1)
    else:
        made = Unavailable(_UNKNOWN, retry_after_s=1)
    made.__cause__ = error
    return made
