"""What bytes are: recognised by how they begin and whether they are text, never by what somebody says about them.

Only types that a browser shows without running anything are ever named; HTML, SVG and scripts are plain text.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field
from typing import Final, Literal

Looks = Literal["png", "jpeg", "gif", "webp", "pdf", "zip", "gzip", "text", "binary"]
IMAGES: Final[frozenset[str]] = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
TEXT: Final = "text/plain; charset=utf-8"
_HEAD: Final = 16
_MAGIC: Final[tuple[tuple[bytes, Looks], ...]] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"%PDF-", "pdf"),
    (b"PK\x03\x04", "zip"),
    (b"\x1f\x8b", "gzip"),
)
_OF_LOOKS: Final[dict[Looks, str]] = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "pdf": "application/pdf",
    "zip": "application/zip",
    "gzip": "application/gzip",
    "binary": "application/octet-stream",
}
_OF_TEXT_NAME: Final[dict[str, str]] = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "md": "text/markdown; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """Complete bytes on disk, not yet named by any row. `room_bytes` is the quota they count against."""

    sha256: str
    size_bytes: int
    looks: Looks
    place: str
    room_bytes: int


@dataclass(slots=True)
class Sniffer:
    """Feed it the bytes in order; `looks` says what they were."""

    _head: bytes = b""
    _text: bool = True
    _decoder: codecs.IncrementalDecoder = field(default_factory=codecs.getincrementaldecoder("utf-8"))

    def feed(self, data: bytes) -> None:
        if len(self._head) < _HEAD:
            self._head += data[: _HEAD - len(self._head)]
        self._text = self._text and b"\0" not in data and self._decodes(data)

    def looks(self) -> Looks:
        """What all the bytes together are."""
        for magic, looks in _MAGIC:
            if self._head.startswith(magic):
                return looks
        if self._head.startswith(b"RIFF") and self._head[8:12] == b"WEBP":
            return "webp"
        return "text" if self._text and self._decodes(b"", last=True) else "binary"

    def _decodes(self, data: bytes, *, last: bool = False) -> bool:
        try:
            self._decoder.decode(data, last)
        except UnicodeDecodeError:
            return False
        return True


def media_type(name: str, looks: Looks) -> str:
    """The type a file is served with: its look, and for text a harmless type its name suggests."""
    ending = name.rpartition(".")[2].lower()
    return _OF_LOOKS[looks] if looks != "text" else _OF_TEXT_NAME.get(ending, TEXT)


def is_text(kind: str) -> bool:
    """Whether a media type given by `media_type` is readable as UTF-8 text."""
    return kind.startswith("text/") or kind == "application/json"
