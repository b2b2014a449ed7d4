"""A shared file as everybody sees it, its events, and what can be wrong with one."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, Field

from hub.core.errors import Invalid, NotFound, TooLarge
from hub.core.event import EventBody, Placed
from hub.core.names import make_id
from hub.core.operation import Result

MOST_NAME_BYTES: Final = 255
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class SharedFileNotFound(NotFound):
    code, title = "file-not-found", "File not found"


class RoomFull(TooLarge):
    """The room's quota would be exceeded; nothing was stored."""

    code, title = "room-full", "The room's files take up all its space"


class DigestMismatch(Invalid):
    """The bytes that arrived are not the ones that were meant; nothing was stored."""

    code, title = "digest-mismatch", "The bytes are not the ones announced"


class NotAFile(Invalid):
    """Raised by clients: the path is a device, a pipe, a directory or nothing."""

    code, title = "not-a-file", "Not an ordinary file"


def file_name(name: str) -> str:
    """A name as it is kept: one visible path segment in Unicode's composed form. It never becomes a path of the hub."""
    made = unicodedata.normalize("NFC", name)
    if bad := next((c for c in made if unicodedata.category(c) in _HIDDEN), None):
        raise ValueError(f"character U+{ord(bad):04X} is not allowed in a file name")
    if made in ("", ".", "..") or "/" in made or "\\" in made:
        last = re.split(r"[/\\]", made)[-1]
        hint = f"; give only the last part: {last!r}" if last not in ("", ".", "..") else ""
        raise ValueError(f"a file name is one name without slashes{hint}")
    if made != made.strip():
        raise ValueError("a file name neither begins nor ends with a space")
    if len(made.encode()) > MOST_NAME_BYTES:
        raise ValueError(f"a file name has at most {MOST_NAME_BYTES} bytes")
    return made


FileName = Annotated[str, Field(max_length=MOST_NAME_BYTES), AfterValidator(file_name)]


class SharedFile(Result):
    """One version of a file in a room, complete and on disk."""

    id: str
    room: str
    name: str
    version: int = Field(description="1, 2, 3 … per name; a deleted version's number is not used again.")
    size_bytes: int
    sha256: str
    media_type: str = Field(description="Recognised by the hub from the bytes, not taken from the sender.")
    sender: str = Field(alias="from")
    at: str
    unchanged: bool = Field(
        default=False,
        description="The newest version had these very bytes already, so none was added.",
        exclude_if=lambda v: not v,
    )
    message: str | None = Field(
        default=None, description="The message that said so, if `text` was given.", exclude_if=lambda v: v is None
    )


class FileShared(EventBody):
    """A new version of a file. Its bytes are on disk before this event is."""

    type: ClassVar[str] = "file.shared"
    name: str
    version: int
    size_bytes: int
    sha256: str
    media_type: str

    def data(self, at: Placed) -> bytes:
        return b'{"id":"%b",%b' % (make_id("f", at.log, at.seq).encode(), super().data(at)[1:])

    def blank(self) -> bytes:
        return b'{"name":"","version":0,"size_bytes":0,"sha256":"","media_type":""}'


class FileDeleted(EventBody):
    """A version is gone, its bytes too unless another version or room has them; number, name and who did it stay."""

    type: ClassVar[str] = "file.deleted"
    file: str
    name: str
    version: int
