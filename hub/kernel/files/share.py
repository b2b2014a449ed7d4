"""Sharing a file inside a transaction: version, quota, event, and which bytes are needed from now on."""

from __future__ import annotations

from hub.core.call import Call
from hub.core.media import StoredBlob, media_type
from hub.kernel.files.contract import FileShared, RoomFull, SharedFile
from hub.kernel.files.project import last_version, newest_of, used_bytes, view
from hub.kernel.rooms.project import RoomState
from hub.log.log import append
from hub.storage.interface import Tx


def share_file(
    tx: Tx, call: Call, room: RoomState, *, name: str, blob: StoredBlob, actor: int | None = None
) -> SharedFile:
    """The next version of `name` with these bytes; the newest one again if it has them already. Raises RoomFull.

    `actor` is who it is from where that is not the caller.
    """
    log = room.log
    newest = newest_of(tx, log, name)
    if newest is not None and newest.sha256 == blob.sha256:
        return view(tx, newest, unchanged=True)
    check_quota(tx, room, blob.size_bytes, blob.room_bytes)
    _need(tx, call, blob)
    event = FileShared(
        name=name,
        version=last_version(tx, log, name) + 1,
        size_bytes=blob.size_bytes,
        sha256=blob.sha256,
        media_type=media_type(name, blob.looks),
    )
    append(tx, call, log, event, actor=actor)
    made = newest_of(tx, log, name)
    assert made is not None, "it was projected by the append"
    return view(tx, made)


def check_quota(tx: Tx, room: RoomState, size_bytes: int, room_bytes: int) -> None:
    """Raises RoomFull when so much more would be too much."""
    used = used_bytes(tx, room.log)
    if used + size_bytes > room_bytes:
        raise RoomFull(
            f"room {room.name!r} holds {used:,} of {room_bytes:,} bytes of files, so {size_bytes:,} more do "
            "not fit; delete files nobody needs (files.delete), or use another room",
            used_bytes=used,
            quota_bytes=room_bytes,
        )


def _need(tx: Tx, call: Call, blob: StoredBlob) -> None:
    """Name the bytes by a row: these, or the same ones that are there already.

    One statement, so that it meets a collector at the row: either it keeps the row from being deleted by renewing
    `used_at`, or it comes after the deletion and names its own bytes.
    """
    tx.run(
        "insert into blob (sha256, place, size_bytes, used_at) values (:sha, :place, :size, :now)"
        " on conflict (sha256) do update set used_at = excluded.used_at",
        sha=blob.sha256,
        place=blob.place,
        size=blob.size_bytes,
        now=call.now_ms,
    )


def place_of(tx: Tx, sha256: str) -> str | None:
    """Where the bytes with this digest are, as far as rows know."""
    row = tx.row("select place from blob where sha256 = :sha", sha=sha256)
    return None if row is None else str(row[0])
