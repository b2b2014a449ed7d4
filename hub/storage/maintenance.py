"""Backup, restore, export and inspection of a SQLite data directory, with sqlite-utils. Never on the send path."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import sqlite_utils

from hub.storage.directory import DirectoryLock, make_private
from hub.storage.file_backup import back_up_files, files_of, restore_files
from hub.storage.interface import StoreError

FILE: Final = "hub.db"
BLOBS: Final = "blobs"


def backup(home: Path, target: Path, blobs: Path | None = None) -> dict[str, int]:
    """Copy the database while the hub runs, and the files of its rooms beside it; row counts of the copy.

    Raises StoreError when `target` exists.
    """
    for path in (target, files_of(target)):
        if path.exists():
            raise StoreError(f"{path} exists; choose another name, a backup never overwrites")
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)  # it holds what everybody said
    with _reading(home) as source, sqlite3.connect(part) as copy:
        # In one step: a reader never holds up the writer, while a copy in steps starts again at every commit between.
        source.conn.backup(copy)
        if (found := copy.execute("pragma integrity_check").fetchone()[0]) != "ok":
            raise StoreError(f"the copy is damaged: {found}")
    copy.close()
    part.replace(target)
    back_up_files(target, blobs or home / BLOBS)
    return inspect_file(target)


def restore(home: Path, source: Path, blobs: Path | None = None) -> dict[str, int]:
    """Put a backup in place of the database; every stream starts a new epoch, so readers get a gap, never silence.

    The hub must not run. The database and files that were there are kept with the ending `.before-restore`.
    """
    make_private(home)
    lock = DirectoryLock(home)
    lock.acquire()
    try:
        counts = inspect_file(source)
        database = home / FILE
        part = home / (FILE + ".part")
        _copy_private(source, part)  # complete before anything moves: the source may be what `_keep` replaces
        _new_epochs(part)
        restore_files(source, database.with_name(FILE + ".before-restore"), blobs or home / BLOBS)
        if database.exists():
            _keep(database)
        for ending in ("-wal", "-shm"):
            database.with_name(FILE + ending).unlink(missing_ok=True)
        part.replace(database)
        for ending in ("", "-wal", "-shm"):
            (home / f"search.db{ending}").unlink(missing_ok=True)
    finally:
        lock.release()
    return counts


def _copy_private(source: Path, target: Path) -> None:
    """A copy that is on disk when this returns, readable by its user only."""
    target.unlink(missing_ok=True)
    target.touch(mode=0o600)
    shutil.copyfile(source, target)
    with target.open("rb+") as file:
        os.fsync(file.fileno())


def _keep(database: Path) -> None:
    """Fold the write-ahead log into the old file and move it aside."""
    connection = sqlite3.connect(database)
    connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()
    kept = database.with_name(FILE + ".before-restore")
    kept.unlink(missing_ok=True)
    database.replace(kept)


def _new_epochs(database: Path) -> None:
    db = sqlite_utils.Database(sqlite3.connect(database))
    with db.conn:
        for row in list(db.query("select id from log")):
            db.table("log").update(row["id"], {"epoch": secrets.randbits(32) | 1})
        for column in ("acked_seq", "offered_seq"):  # numbers beyond the restored head will be given out again
            db.execute(
                f"update position set {column} = min({column}, (select head from log where log.id = position.log))"
            )
    db.close()


def inspect_file(path: Path) -> dict[str, int]:
    """Rows per table. Raises StoreError for a file that is not a hub's database."""
    try:
        db = sqlite_utils.Database(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True))
        names = db.table_names()
        if "event" not in names:
            raise StoreError(f"{path} is not a database of this product")
        counts = {name: db.table(name).count for name in names}
        db.close()
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
    return counts


def export_events(home: Path, room: str) -> Iterator[dict[str, Any]]:
    """Every event of a room as a dict, oldest first, in pages, so a running hub is not held up."""
    with _reading(home) as db:
        found = list(db.query("select id from log where name = ?", [room]))
        if not found:
            raise StoreError(f"room {room!r} is not in this data directory")
        after = 0
        while True:
            page = list(
                db.query(
                    "select seq, type, actor, at, data, tombstone from event where log = ? and seq > ? order by seq limit 500",
                    [found[0]["id"], after],
                )
            )
            if not page:
                return
            for row in page:
                data = None if row["tombstone"] else json.loads(bytes(row["data"]))
                yield {**row, "data": data}
            after = page[-1]["seq"]


class _reading:  # noqa: N801 (reads like a function where it is used)
    """A read-only connection to a data directory's database."""

    def __init__(self, home: Path) -> None:
        path = home / FILE
        if not path.exists():
            raise StoreError(f"there is no {path}; is BRIDGE_HOME right?")
        self._db = sqlite_utils.Database(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True))

    def __enter__(self) -> sqlite_utils.Database:
        return self._db

    def __exit__(self, *_: object) -> None:
        self._db.close()
