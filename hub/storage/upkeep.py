"""Work on a stopped hub's database, with sqlite-utils: one room back from a backup, and making the file small again.

Rows of the log only. What is derived from them is made again by whoever knows how (`hub/kernel/repair.py`).
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlite_utils

from hub.storage.directory import DirectoryLock
from hub.storage.file_backup import files_of, take
from hub.storage.interface import StoreError
from hub.storage.maintenance import BLOBS, FILE, inspect_file

_READER_STATE: Final = ("delivery", "idempotency")  # rows about numbers that will be given out again


def import_room(home: Path, source: Path, room: str, blobs: Path | None = None) -> int:
    """Put the log of one room as `source` (a backup of this hub) has it in place of what is here; its events.

    The room starts a new epoch, so readers get a gap, never silence. Derived rows are stale until they are rebuilt.
    The hub must not run. Raises StoreError when the backup is of another hub, or does not have the room.
    """
    inspect_file(source)
    with _stopped(home) as db:
        db.attach("source", source)
        stream = _same_stream(db, room)
        _same_agents(db, stream)
        with db.conn:
            _take_log(db, stream)
            _take_files(db, stream, source, blobs or home / BLOBS)
        _forget_index(home)
        return int(next(db.query("select count(*) as n from event where log = ?", [stream]))["n"])


def compact(home: Path) -> tuple[int, int]:
    """Check the database, write it anew without free pages, and refresh its statistics; bytes before and after."""
    with _stopped(home) as db:
        if (found := db.execute("pragma integrity_check(1)").fetchone()[0]) != "ok":
            raise StoreError(f"the database is damaged ({found}); restore a backup: mcp-bridge admin restore")
        before = (home / FILE).stat().st_size
        db.vacuum()
        db.analyze()
        db.execute("pragma wal_checkpoint(truncate)")
        _forget_index(home)
    return before, (home / FILE).stat().st_size


def _same_stream(db: sqlite_utils.Database, room: str) -> int:
    there = list(db.query("select id from source.log where kind = 'room' and name = ?", [room]))
    if not there:
        raise StoreError(f"the backup has no room {room!r}")
    stream = int(there[0]["id"])
    for row in db.query("select id, kind, name from log where id = ? or (kind = 'room' and name = ?)", [stream, room]):
        if (row["id"], row["kind"], row["name"]) != (stream, "room", room):
            raise StoreError(f"room {room!r} has another number here; that is not a backup of this hub")
    return stream


def _same_agents(db: sqlite_utils.Database, stream: int) -> None:
    """Events name agents by number: every number must mean the same agent here."""
    unknown = db.query(
        "select name from source.agent as theirs where id in (select actor from source.event where log = ?)"
        " and not exists (select 1 from agent as ours where ours.id = theirs.id and ours.name = theirs.name)",
        [stream],
    )
    if names := [row["name"] for row in unknown]:
        raise StoreError(f"agents of the room are not known here ({', '.join(names[:3])}); restore the whole backup")


def _take_log(db: sqlite_utils.Database, stream: int) -> None:
    for table in ("event", "snapshot"):
        db.execute(f"delete from {table} where log = ?", [stream])
        db.execute(f"insert into {table} select * from source.{table} where log = ?", [stream])
    db.execute("delete from log where id = ?", [stream])
    db.execute("insert into log select * from source.log where id = ?", [stream])
    db.table("log").update(stream, {"epoch": secrets.randbits(32) | 1})
    head = db.table("log").get(stream)["head"]
    for table in _READER_STATE:
        db.execute(f"delete from {table} where log = ? and seq > ?", [stream, head])
    for column in ("acked_seq", "offered_seq"):
        db.execute(f"update position set {column} = min({column}, ?) where log = ?", [head, stream])


def _take_files(db: sqlite_utils.Database, stream: int, source: Path, blobs: Path) -> None:
    """Bytes of the room's files that are not here any more."""
    missing = db.query(
        "select * from source.blob where sha256 in (select sha256 from source.file where log = ?)"
        " and sha256 not in (select sha256 from blob)",
        [stream],
    )
    for row in list(missing):
        if (files_of(source) / row["place"]).exists():
            take(files_of(source) / row["place"], blobs / row["place"])
            db.table("blob").insert(row)


def _forget_index(home: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        (home / f"search.db{ending}").unlink(missing_ok=True)


@contextmanager
def _stopped(home: Path) -> Iterator[sqlite_utils.Database]:
    """The database of a hub that does not run."""
    if not (home / FILE).exists():
        raise StoreError(f"there is no {home / FILE}; is BRIDGE_HOME right?")
    lock = DirectoryLock(home)
    lock.acquire()
    db = sqlite_utils.Database(sqlite3.connect(home / FILE))
    try:
        db.execute("pragma synchronous = full")
        yield db
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{home / FILE}: {error}; nothing was changed") from error
    finally:
        db.close()
        lock.release()
