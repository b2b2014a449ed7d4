"""Operations on files."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Annotated, Final

from pydantic import Field, PrivateAttr, field_validator, model_validator

from hub.core.media import StoredBlob
from hub.core.names import RoomName
from hub.core.operation import AnyOperation, Done, Operation, Request, Result
from hub.kernel.files.contract import FileName, SharedFile
from hub.kernel.messages.contract import Text

MOST_READ_BYTES: Final = 256 * 1024
FileRef = Annotated[str, Field(max_length=255, description="A file's id, or its name for the newest version.")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _absent(value: object) -> bool:
    return value is None


class ShareFile(Request[SharedFile]):
    """Share a file with a room: a new version of its name. Larger ones go as the raw body with `?name=`."""

    room: RoomName
    name: FileName
    content: str | None = Field(default=None, description="The file as text (UTF-8).")
    content_base64: str | None = Field(default=None, description="The file as base64.")
    sha256: Sha256 | None = Field(default=None, description="Digest of the bytes meant; others are refused.")
    text: Text | None = Field(default=None, description="Also post this message with the file attached.")
    _blob: StoredBlob | None = PrivateAttr(default=None)

    @field_validator("content_base64")
    @classmethod
    def _is_base64(cls, value: str | None) -> str | None:
        try:
            b64decode(value or "", validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("this is not base64 (RFC 4648, no line breaks)") from None
        return value

    @model_validator(mode="after")
    def _one_content(self) -> ShareFile:
        if self.content is not None and self.content_base64 is not None:
            raise ValueError("give content or content_base64, not both")
        return self

    def inline(self) -> bytes | None:
        """The bytes that came with the request."""
        if self.content_base64 is not None:
            return b64decode(self.content_base64)
        return None if self.content is None else self.content.encode()

    def stored(self, blob: StoredBlob) -> ShareFile:
        """The same request, its bytes on disk: what is compared when it is repeated with the same key."""
        made = self.model_copy(update={"content": None, "content_base64": None, "sha256": blob.sha256})
        made._blob = blob
        return made

    @property
    def blob(self) -> StoredBlob | None:
        """The bytes on disk, once they are there."""
        return self._blob


class ListFiles(Request["Files"]):
    """Files of a room, the last shared first: the newest version of each, or all versions of `name`."""

    room: RoomName
    name: FileName | None = None
    before: str | None = Field(default=None, max_length=40, description="Only files shared before this file id.")
    limit: int = Field(default=100, ge=1, le=500)


class Files(Result):
    """Files, the last shared first, and how much of the room's quota all versions take."""

    items: tuple[SharedFile, ...]
    has_more: bool
    used_bytes: int


class GetFile(Request[SharedFile]):
    """One file by id, or by name: its newest version, or the given one."""

    room: RoomName
    file: FileRef
    version: int | None = Field(default=None, ge=1)


class FilePart(Result):
    """A part of a file, as text or base64. `next_offset` reads on."""

    file: SharedFile
    text: str | None = Field(default=None, description="UTF-8; a character is never cut.", exclude_if=_absent)
    content_base64: str | None = Field(default=None, exclude_if=_absent)
    offset: int
    next_offset: int | None


class ReadFile(Request[FilePart]):
    """Read a part of a file, from byte `offset`, at most `max_bytes`: as text, or whatever it is as base64."""

    room: RoomName
    file: FileRef
    version: int | None = Field(default=None, ge=1)
    offset: int = Field(default=0, ge=0)
    max_bytes: int = Field(default=16 * 1024, ge=16, le=MOST_READ_BYTES)
    base64: bool = Field(default=False, description="Not as text: any file, as base64.")


class DeleteFile(Request[Done]):
    """Delete one version (who shared it, or an owner of the room). Its bytes go unless something else has them."""

    room: RoomName
    file: FileRef
    version: int | None = Field(default=None, ge=1)


SHARE = Operation("files.share", "POST /v1/rooms/{room}/files", "file:write", ShareFile, SharedFile, 201)
LIST = Operation("files.list", "GET /v1/rooms/{room}/files", "file:read", ListFiles, Files)
GET = Operation("files.get", "GET /v1/rooms/{room}/files/{file}", "file:read", GetFile, SharedFile)
READ = Operation("files.read", "GET /v1/rooms/{room}/files/{file}/part", "file:read", ReadFile, FilePart)
DELETE = Operation("files.delete", "DELETE /v1/rooms/{room}/files/{file}", "file:write", DeleteFile, Done)
OPERATIONS: list[AnyOperation] = [SHARE, LIST, GET, READ, DELETE]
