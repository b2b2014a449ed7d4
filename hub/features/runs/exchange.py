"""Files between a room and its runs: what a run may see in /room, and what it left in /work and the room keeps.

Bytes travel by open descriptors, so neither a name nor a link can lead anywhere else.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

from hub.core.call import Call
from hub.core.errors import HubError, TooLarge
from hub.core.media import StoredBlob
from hub.core.names import split_id
from hub.features.runs.contract import RunFile
from hub.kernel.files.contract import RoomFull, SharedFileNotFound, file_name
from hub.kernel.files.project import FileRow, find_file, list_newest, load_file, newest_of
from hub.kernel.files.receive import receiving
from hub.kernel.files.share import place_of, share_file
from hub.kernel.rooms.project import Entered, load_room
from hub.log.worker import Host
from hub.sandbox.engine import Given, Produced, RunResult
from hub.storage.blobs import BlobStore
from hub.storage.interface import Tx

MOST_SHOWN: Final = 32
MOST_SHOWN_BYTES: Final = 64 * 1024 * 1024
_MOST_REASONS: Final = 20


class TooMuchShown(TooLarge):
    code, title = "too-much-shown", "The files are too large for one run"


@dataclass(frozen=True, slots=True)
class Saved:
    """What a run left: names and bytes on disk, and what could not be taken, with why."""

    kept: Sequence[tuple[str, StoredBlob]] = ()
    left_out: list[str] = field(default_factory=list)


def named_files(tx: Tx, entered: Entered, files: Iterable[str]) -> tuple[str, ...]:
    """Ids of the files meant, as they are now; `*` means all. Raises SharedFileNotFound, TooMuchShown."""
    rows = {row.name: row for file in files for row in _meant(tx, entered, file)}
    if len(rows) > MOST_SHOWN:
        raise TooMuchShown(f"{len(rows)} files are meant, a run can see {MOST_SHOWN}; name fewer")
    size_bytes = sum(row.size_bytes for row in rows.values())
    if size_bytes > MOST_SHOWN_BYTES:
        raise TooMuchShown(f"the files have {size_bytes:,} bytes, a run can see {MOST_SHOWN_BYTES:,}; name fewer")
    return tuple(row.id for row in rows.values())


def _meant(tx: Tx, entered: Entered, file: str) -> list[FileRow]:
    """One file, or all whose names match; a name that looks like a pattern still is that name."""
    if not set(file) & set("*?[") or newest_of(tx, entered.log, file) is not None:
        return [find_file(tx, entered, file)]
    found = [row for row in list_newest(tx, entered) if fnmatchcase(row.name, file)]
    if not found and file != "*":
        raise SharedFileNotFound(f"no file of room {entered.room.name!r} matches {file!r}")
    return found


async def show_files(host: Host, log: int, files: Sequence[str], stack: AsyncExitStack) -> tuple[Given, ...]:
    """The files opened for reading as long as `stack` is. Raises SharedFileNotFound, BytesMissing."""
    found = await host.store.read(lambda tx: [_named(tx, log, file) for file in files])
    blobs = host.service(BlobStore)
    opened = [(name, stack.enter_context(await asyncio.to_thread(blobs.open, place))) for name, place in found]
    return tuple(Given(name, file.fileno()) for name, file in opened)


def _named(tx: Tx, log: int, file: str) -> tuple[str, str]:
    row = load_file(tx, log, split_id("f", file)[1])
    place = None if row is None else place_of(tx, row.sha256)
    if row is None or place is None:
        raise SharedFileNotFound(f"file {file} was deleted before the run could begin; share it again")
    return row.name, place


async def keep_files(host: Host, result: RunResult, stack: AsyncExitStack) -> Saved:
    """Take what the run left onto disk. It stays there only if a transaction shares it before `stack` closes."""
    kept: list[tuple[str, StoredBlob]] = []
    left_out = list(result.not_saved)
    for produced in result.produced:
        try:
            name = file_name(produced.name)
            kept.append((name, await _received(host, produced, stack)))
        except HubError as error:
            left_out.append(f"{produced.name}: {error.detail}")
        except ValueError as error:
            left_out.append(f"{produced.name}: {error}")
        finally:
            with suppress(OSError):
                os.close(produced.fd)
    return Saved(sorted(kept, key=lambda file: file[1].sha256), left_out)


async def _received(host: Host, produced: Produced, stack: AsyncExitStack) -> StoredBlob:
    reception = await stack.enter_async_context(receiving(host.store, host.service(BlobStore)))
    with os.fdopen(os.dup(produced.fd), "rb") as file:
        await reception.copy_from(file)
    return await reception.finish()


def share_all(
    tx: Tx, call: Call, log: int, requester: int, saved: Saved
) -> tuple[tuple[RunFile, ...], tuple[str, ...]]:
    """Make what a run left versions of the room's files, from whoever asked for the run; what did not fit, with why."""
    room, files, left_out = load_room(tx, log), list[RunFile](), list(saved.left_out)
    for name, blob in saved.kept:
        try:
            shared = share_file(tx, call, room, name=name, blob=blob, actor=requester)
        except RoomFull as error:
            left_out.append(f"{name}: {error.detail}")
        else:
            files.append(RunFile(**shared.model_dump(include={"id", "name", "version", "size_bytes"})))
    return tuple(sorted(files, key=lambda file: file.name)), tuple(left_out[:_MOST_REASONS])
