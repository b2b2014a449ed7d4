"""Rows of files from their events, and finding files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString

from hub.core.errors import NotFound, listing, nearest
from hub.core.event import Placed
from hub.core.names import make_id, split_id
from hub.core.times import rfc3339
from hub.kernel.files.contract import FileDeleted, FileShared, SharedFile, SharedFileNotFound
from hub.kernel.rooms.project import Entered
from hub.log.log import agent_name, load_stream, projects
from hub.storage.interface import Row, Tx

_SELECT: LiteralString = "select log, seq, name, version, sha256, size_bytes, media_type, agent, at from file"


@dataclass(frozen=True, slots=True)
class FileRow:
    """One version of a file."""

    log: int
    seq: int
    name: str
    version: int
    sha256: str
    size_bytes: int
    media_type: str
    agent: int
    at_ms: int

    @property
    def id(self) -> str:
        return make_id("f", self.log, self.seq)


@projects(FileShared)
def shared(tx: Tx, at: Placed, body: FileShared) -> None:
    if at.tombstone:
        return
    row = (at.log, at.seq, body.name, body.version, body.sha256, body.size_bytes, body.media_type, at.actor, at.at_ms)
    tx.stage("file", row)
    _count(tx, at.log, body.name, body.version)


@projects(FileDeleted)
def deleted(tx: Tx, at: Placed, body: FileDeleted) -> None:
    tx.run("delete from file where log = :log and seq = :seq", log=at.log, seq=split_id("f", body.file)[1])
    _count(tx, at.log, body.name, body.version)


def _count(tx: Tx, log: int, name: str, version: int) -> None:
    """Remember the highest version a name ever had, so that none is given twice."""
    tx.run(
        "insert into file_name (log, name, version) values (:log, :name, :version) on conflict (log, name)"
        " do update set version = excluded.version where file_name.version < excluded.version",
        log=log,
        name=name,
        version=version,
    )


def last_version(tx: Tx, log: int, name: str) -> int:
    """The highest version a name ever had; 0 for a new name."""
    row = tx.row("select version from file_name where log = :log and name = :name", log=log, name=name)
    return 0 if row is None else int(row[0])


def used_bytes(tx: Tx, log: int) -> int:
    """How much the room's files count against its quota."""
    row = tx.row("select coalesce(sum(size_bytes), 0) from file where log = :log", log=log)
    return 0 if row is None else int(row[0])


def newest_of(tx: Tx, log: int, name: str) -> FileRow | None:
    """The newest version of a name."""
    sql = _SELECT + " where log = :log and name = :name order by version desc limit 1"
    row = tx.row(sql, log=log, name=name)
    return None if row is None else _file(row)


def find_file(tx: Tx, entered: Entered, file: str, version: int | None = None) -> FileRow:
    """A file of the room by id, or by name: its newest version, or the given one.

    Raises SharedFileNotFound with the nearest names; also for files from before the caller joined, where the room
    hides those.
    """
    found = _by_id(tx, entered, file) or _by_name(tx, entered, file, version)
    if found is None or found.seq < _since(entered):
        raise _not_found(tx, entered, file, version)
    return found


def _by_id(tx: Tx, entered: Entered, file: str) -> FileRow | None:
    try:
        log, seq = split_id("f", file, SharedFileNotFound)
    except NotFound:
        return None
    return load_file(tx, log, seq) if log == entered.log else None


def load_file(tx: Tx, log: int, seq: int) -> FileRow | None:
    """The version that event `seq` of a room's stream shared, unless it was deleted."""
    row = tx.row(_SELECT + " where log = :log and seq = :seq", log=log, seq=seq)
    return None if row is None else _file(row)


def _by_name(tx: Tx, entered: Entered, name: str, version: int | None) -> FileRow | None:
    if version is None:
        return newest_of(tx, entered.log, name)
    sql = _SELECT + " where log = :log and name = :name and version = :version"
    row = tx.row(sql, log=entered.log, name=name, version=version)
    return None if row is None else _file(row)


def _since(entered: Entered) -> int:
    """The oldest number the caller may see: a room may hide what was before one joined."""
    return entered.member.joined_seq if entered.room.settings.history == "since_join" else 0


def _not_found(tx: Tx, entered: Entered, file: str, version: int | None) -> SharedFileNotFound:
    names = list(dict.fromkeys(row.name for row in list_newest(tx, entered, limit=200)))
    close = nearest(file, names)
    which = f"file {file[:80]!r}" + (f" version {version}" if version is not None else "")
    hint = f"did you mean {close[0]!r}? " if close else ""
    return SharedFileNotFound(f"{which} not found in room {entered.room.name!r}; {hint}files: {listing(names)}")


def list_newest(tx: Tx, entered: Entered, *, before: int | None = None, limit: int = 1000) -> list[FileRow]:
    """The newest version of each name, the last shared first."""
    rows = tx.rows(
        _SELECT + " where log = :log and seq >= :since and seq < :before and not exists (select 1 from file newer"
        " where newer.log = file.log and newer.name = file.name and newer.version > file.version)"
        " order by seq desc limit :limit",
        log=entered.log,
        since=_since(entered),
        before=2**62 if before is None else before,
        limit=limit,
    )
    return [_file(row) for row in rows]


def list_versions(
    tx: Tx, entered: Entered, name: str, *, before: int | None = None, limit: int = 1000
) -> list[FileRow]:
    """All versions of one name, the newest first."""
    rows = tx.rows(
        _SELECT
        + " where log = :log and name = :name and seq >= :since and seq < :before order by seq desc limit :limit",
        log=entered.log,
        name=name,
        since=_since(entered),
        before=2**62 if before is None else before,
        limit=limit,
    )
    return [_file(row) for row in rows]


def _file(row: Row) -> FileRow:
    return FileRow(row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8])


def view(tx: Tx, file: FileRow, *, unchanged: bool = False) -> SharedFile:
    """The version as everybody sees it."""
    return SharedFile(
        id=file.id,
        room=load_stream(tx, file.log).name,
        name=file.name,
        version=file.version,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        media_type=file.media_type,
        sender=agent_name(tx, file.agent),
        at=rfc3339(file.at_ms),
        unchanged=unchanged,
    )
