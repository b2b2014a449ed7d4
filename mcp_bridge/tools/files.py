"""file: share results with the room and fetch what others shared."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field

from hub.core.errors import Invalid
from hub.core.media import IMAGES, is_text
from hub.core.visible import visible
from hub.features.files.contract import (
    MOST_READ_BYTES,
    DeleteFile,
    GetFile,
    ListFiles,
    ReadFile,
    ShareFile,
)
from hub.features.messages.contract import PostMessage
from hub.kernel.files.contract import SharedFile
from hub.server.parse import build
from mcp_bridge.desk import PAGE_BYTES, Desk
from mcp_bridge.toolbox import Answer, Args, Link, Picture, RoomArg, tool

_MOST_PICTURE_BYTES: Final = MOST_READ_BYTES


class FileArgs(Args):
    action: Literal["put", "get", "list", "delete"]
    file: str | None = Field(None, description="name, or id")
    room: RoomArg = None
    content: str | None = Field(None, description="put: the text")
    base64: str | None = Field(None, description="put: or any bytes, up to 700 KB")
    path: str | None = Field(None, description="put: or a file of your project")
    text: str | None = Field(None, description="put: what to say about it")
    version: int | None = None
    offset: int = 0


@tool("Files", {"file": "object", "files": "array", "content": "string"})
async def file(desk: Desk, args: FileArgs) -> Answer:
    """Share files with the room. put adds a version and tells the room; get shows text and small images, and links the
    rest (command line: mcp-bridge files put/get)."""
    room = await desk.room(args.room)
    if args.action == "list":
        return await _list(desk, room, args.file)
    if args.action == "put" and args.path is not None:
        return await _announce(desk, room, args)
    if not args.file:
        raise Invalid(f"{args.action} needs file: its name, or its id")
    if args.action == "put":
        return await _put(desk, room, args.file, args)
    if args.action == "delete":
        found = await desk.call(GetFile(room=room, file=args.file, version=args.version))
        await desk.call(DeleteFile(room=room, file=found.id))
        return Answer({"file": brief(found)}, f"deleted {found.name} version {found.version}")
    return await _get(desk, room, args.file, args)


async def _list(desk: Desk, room: str, name: str | None) -> Answer:
    page = await desk.call(ListFiles(room=room, name=name))
    lines = [_line(item) for item in page.items]
    more = ["… and older ones"] if page.has_more else []
    text = "\n".join([*lines, *more]) or f"no files in {room} yet; use action=put"
    return Answer({"files": [brief(item) for item in page.items]}, text, peer_text=bool(lines))


async def _put(desk: Desk, room: str, name: str, args: FileArgs) -> Answer:
    if args.content is None and args.base64 is None:
        raise Invalid("put needs content, base64 or path")
    fields = {"room": room, "name": name, "content": args.content, "content_base64": args.base64}
    shared = await desk.call(build(ShareFile, fields | {"text": args.text or f"Shared {name}"}))
    return _told(shared, shared.message, room)


async def _announce(desk: Desk, room: str, args: FileArgs) -> Answer:
    """Say that a file is here whose bytes the relay sent ahead."""
    if desk.uploaded is None:
        raise Invalid(
            "path works only where `mcp-bridge mcp` runs beside you (stdio): send content or base64, or run "
            f"`mcp-bridge files put {room} PATH`"
        )
    shared = await desk.call(GetFile(room=room, file=desk.uploaded))
    text = args.text or f"Shared {shared.name}"
    posted = await desk.call(build(PostMessage, {"room": room, "text": text, "attachments": [shared.id]}))
    return _told(shared, posted.id, room)


def _told(shared: SharedFile, message: str | None, room: str) -> Answer:
    said = "was there already" if shared.unchanged else f"is version {shared.version}, {shared.size_bytes:,} bytes"
    data = {"file": brief(shared), "message": message}
    return Answer(data, f"{visible(shared.name)} ({shared.id}) {said}; every member of {room} can get it")


async def _get(desk: Desk, room: str, name: str, args: FileArgs) -> Answer:
    found = await desk.call(GetFile(room=room, file=name, version=args.version))
    data: dict[str, Any] = {"file": brief(found)}
    if is_text(found.media_type):
        part = await desk.call(ReadFile(room=room, file=found.id, offset=args.offset, max_bytes=PAGE_BYTES // 2))
        data |= {"content": part.text, "next_offset": part.next_offset}
        more = f"\n[cut; offset={part.next_offset} reads on]" if part.next_offset else ""
        return Answer(data, f"{_line(found)}\n{visible(part.text or '')}{more}", peer_text=True)
    if found.media_type in IMAGES and found.size_bytes <= _MOST_PICTURE_BYTES:
        read = await desk.call(ReadFile(room=room, file=found.id, max_bytes=MOST_READ_BYTES, base64=True))
        picture = Picture(read.content_base64 or "", found.media_type)
        return Answer(data, _line(found), peer_text=True, shown=(picture,))
    link = Link(f"room://{room}/files/{found.id}", found.name, found.media_type, found.size_bytes)
    how = f"read the resource {link.uri}, or run: mcp-bridge files get {room} {found.id}"
    return Answer(data, f"{_line(found)}\n{how}", peer_text=True, shown=(link,))


def brief(item: SharedFile) -> dict[str, Any]:
    """What a model needs to know of a file."""
    made = item.model_dump(mode="json", by_alias=True, include={"id", "name", "version", "size_bytes", "media_type"})
    return made | {"from": item.sender, "at": item.at[:19] + "Z"}


def _line(item: SharedFile) -> str:
    name = visible(item.name)
    return f"[{item.id}] {name} version {item.version}, {item.size_bytes:,} bytes, {item.media_type}, by {item.sender}"
