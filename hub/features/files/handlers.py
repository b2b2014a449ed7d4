"""One function per operation of files: load, decide, append, return."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hub.core.call import Call
from hub.core.errors import Invalid
from hub.core.media import is_text
from hub.core.names import make_id, split_id
from hub.core.operation import Done
from hub.features.files import contract as c
from hub.features.files.rules import NotText, may_delete, need_digest, whole_characters
from hub.kernel.files.contract import FileDeleted, SharedFile, SharedFileNotFound
from hub.kernel.files.project import find_file, list_newest, list_versions, used_bytes, view
from hub.kernel.files.receive import receiving
from hub.kernel.files.share import place_of, share_file
from hub.kernel.messages.draft import Draft
from hub.kernel.messages.post import mention, post
from hub.kernel.rooms.project import enter, enter_to_write
from hub.log.handler import Hub, answers, handles, prepares
from hub.log.log import append, blank
from hub.storage.blobs import CHUNK_BYTES, BlobStore, BytesMissing
from hub.storage.interface import Tx


@prepares(c.SHARE)
@asynccontextmanager
async def bytes_on_disk(hub: Hub, call: Call, request: c.ShareFile) -> AsyncIterator[c.ShareFile]:
    """Put what came inside the request on disk; a streamed upload has done so already."""
    if request.blob is not None:
        yield request
        return
    content = request.inline()
    if content is None:
        raise Invalid("give content (text) or content_base64, or send the raw bytes to POST …/files?name=")
    blobs = hub.service(BlobStore)
    await hub.store.read(lambda tx: enter_to_write(tx, call, request.room))
    async with receiving(hub.store, blobs) as reception:
        for start in range(0, len(content), CHUNK_BYTES):
            await reception.write(content[start : start + CHUNK_BYTES])
        blob = await reception.finish()
        need_digest(request.sha256, blob.sha256)
        yield request.stored(blob)


@handles(c.SHARE)
def share(tx: Tx, call: Call, request: c.ShareFile) -> SharedFile:
    entered = enter_to_write(tx, call, request.room)
    assert request.blob is not None, "the preparer put the bytes on disk"
    shared = share_file(tx, call, entered.room, name=request.name, blob=request.blob)
    if request.text is None:
        return shared
    text = request.text
    draft = Draft(text=text, attachments=(shared.id,), mentions=mention(tx, entered, text, ()))
    placed = post(tx, call, entered, draft)
    return shared.model_copy(update={"message": make_id("m", placed.log, placed.seq)})


@handles(c.LIST)
def list_files(tx: Tx, call: Call, request: c.ListFiles) -> c.Files:
    entered = enter(tx, call, request.room)
    before = None if request.before is None else split_id("f", request.before, SharedFileNotFound)[1]
    most = request.limit + 1
    if request.name is None:
        rows = list_newest(tx, entered, before=before, limit=most)
    else:
        rows = list_versions(tx, entered, request.name, before=before, limit=most)
    return c.Files(
        items=tuple(view(tx, row) for row in rows[: request.limit]),
        has_more=len(rows) == most,
        used_bytes=used_bytes(tx, entered.log),
    )


@handles(c.GET)
def get_file(tx: Tx, call: Call, request: c.GetFile) -> SharedFile:
    return view(tx, find_file(tx, enter(tx, call, request.room), request.file, request.version))


@answers(c.READ)
async def read_file(hub: Hub, call: Call, request: c.ReadFile) -> c.FilePart:
    shared, place = await hub.store.read(lambda tx: find_bytes(tx, call, request.room, request.file, request.version))
    if not request.base64 and not is_text(shared.media_type):
        raise NotText(f"{shared.name!r} is {shared.media_type}, not text; read it with base64, or get its content")
    start = min(request.offset, shared.size_bytes)  # a file system refuses to look beyond what it could ever hold
    raw = await asyncio.to_thread(_part, hub.service(BlobStore), place, start, request.max_bytes + 3)
    text, taken = (
        (None, min(len(raw), request.max_bytes)) if request.base64 else whole_characters(raw, request.max_bytes)
    )
    end = request.offset + taken
    return c.FilePart(
        file=shared,
        text=text,
        content_base64=b64encode(raw[:taken]).decode() if request.base64 else None,
        offset=request.offset,
        next_offset=end if taken and end < shared.size_bytes else None,
    )


def find_bytes(tx: Tx, call: Call, room: str, file: str, version: int | None) -> tuple[SharedFile, str]:
    """A file the caller may read, and the place of its bytes. Raises SharedFileNotFound, BytesMissing."""
    found = find_file(tx, enter(tx, call, room), file, version)
    place = place_of(tx, found.sha256)
    if place is None:
        raise BytesMissing(f"the bytes of {found.name!r} are gone; share it again")
    return view(tx, found), place


def _part(blobs: BlobStore, place: str, offset: int, size_bytes: int) -> bytes:
    with blobs.open(place) as file:
        file.seek(offset)
        return file.read(size_bytes)


@handles(c.DELETE)
def delete_file(tx: Tx, call: Call, request: c.DeleteFile) -> Done:
    entered = enter_to_write(tx, call, request.room)
    found = find_file(tx, entered, request.file, request.version)
    may_delete(found.agent, call.agent, entered.member.access)
    append(tx, call, entered.log, FileDeleted(file=found.id, name=found.name, version=found.version))
    blank(tx, entered.log, [found.seq], "redacted")
    return Done()
