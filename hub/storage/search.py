"""The full-text index: a SQLite file of its own that can be thrown away and filled again from the log.

No double write and no second writer on the main file: a search first indexes up to the head, then answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import sqlite_utils


def row_id(log: int, seq: int) -> int:
    """The index's key of a message."""
    return log << 36 | seq


def log_seq(row: int) -> tuple[int, int]:
    return row >> 36, row & (2**36 - 1)


class SearchIndex:
    """The index of one hub. Calls block: run them in a thread, one at a time (a lock sees to it)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self.turn = asyncio.Lock()  # held from reading the log to changing the index, so that no old text slips in
        self._database: sqlite_utils.Database | None = None

    def _open(self) -> sqlite_utils.Database:
        if self._database is None:
            try:
                self._database = self._connect()
            except sqlite3.DatabaseError:  # damaged: it is only an index, so start again
                for suffix in ("", "-wal", "-shm"):
                    self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
                self._database = self._connect()
        return self._database

    def _connect(self) -> sqlite_utils.Database:
        database = sqlite_utils.Database(sqlite3.connect(self._path, check_same_thread=False))
        database.enable_wal()
        database.execute("pragma secure_delete = on")
        tables = database.table_names()
        if tables and "indexed" not in tables:  # made last: a kill cut the making short
            database.close()
            raise sqlite3.DatabaseError("the index is incomplete")
        if not tables:
            database.table("message").create({"id": int, "text": str}, pk="id")
            database.table("message").enable_fts(
                ["text"], tokenize="unicode61 remove_diacritics 2", create_triggers=True
            )
            database.table("indexed").create({"log": int, "epoch": int, "seq": int}, pk="log")
        return database

    def reached(self, log: int, epoch: int) -> int:
        """Up to which number the stream is indexed; another epoch starts again from nothing."""
        with self._lock:
            rows = list(self._open().query("select epoch, seq from indexed where log = ?", [log]))
            if rows and rows[0]["epoch"] != epoch:
                self._open().table("message").delete_where("id >> 36 = ?", [log])
                return 0
            return int(rows[0]["seq"]) if rows else 0

    def add(self, log: int, epoch: int, upto: int, texts: Sequence[tuple[int, str]], gone: Iterable[int] = ()) -> None:
        """Index texts by number (replacing earlier ones), take out `gone`, and note that `upto` is reached."""
        with self._lock:
            database = self._open()
            with database.conn:
                rows = [{"id": row_id(log, seq), "text": text} for seq, text in texts]
                database.table("message").upsert_all(rows, pk="id")
                for seq in gone:
                    with contextlib.suppress(sqlite_utils.db.NotFoundError):
                        database.table("message").delete(row_id(log, seq))
                database.table("indexed").upsert({"log": log, "epoch": epoch, "seq": upto}, pk="log")

    def streams(self) -> list[int]:
        """Streams with anything indexed."""
        with self._lock:
            return [int(row["log"]) for row in self._open().query("select log from indexed")]

    def numbers(self, log: int, after: int, limit: int) -> list[int]:
        """Indexed numbers of a stream greater than `after`, ascending."""
        with self._lock:
            rows = self._open().query(
                "select id from message where id > ? and id < ? order by id limit ?",
                [row_id(log, after), row_id(log + 1, 0), limit],
            )
            return [log_seq(int(row["id"]))[1] for row in rows]

    def remove(self, log: int, gone: Sequence[int]) -> None:
        """Take texts out, and out of the index's older segments too, where deleted words stay until a merge."""
        with self._lock:
            database = self._open()
            with database.conn:
                for seq in gone:
                    database.execute("delete from message where id = ?", [row_id(log, seq)])
                database.execute("insert into message_fts (message_fts) values ('optimize')")
            database.execute("pragma wal_checkpoint(truncate)")

    def search(self, query: str, logs: Sequence[int], limit: int) -> list[tuple[int, int]]:
        """(log, seq) of matches in these streams, newest first."""
        marks = ",".join("?" * len(logs))
        sql = (
            "select message.id as id from message_fts join message on message.rowid = message_fts.rowid"
            f" where message_fts match ? and message.id >> 36 in ({marks}) order by message.id & ? desc limit ?"
        )
        with self._lock:
            rows = list(self._open().query(sql, [query, *logs, 2**36 - 1, limit]))
        return [log_seq(int(row["id"])) for row in rows]

    def close(self) -> None:
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None
