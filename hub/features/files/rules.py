"""What is allowed with files. Pure."""

from __future__ import annotations

from hub.core.access import Access
from hub.core.errors import Forbidden, HubError, Invalid
from hub.kernel.files.contract import DigestMismatch


class NotText(Invalid):
    code, title = "not-text", "The file is not text"


class NoThumbnail(Invalid):
    code, title = "no-thumbnail", "There is no small picture of this file"


class ThumbnailsUnavailable(HubError):
    code, status, title = "thumbnails-unavailable", 501, "This hub draws no images"


class BodyTooSlow(HubError):
    """Nothing was stored."""

    code, status, title = "body-too-slow", 408, "The body came too slowly"


class RangeNotSatisfiable(HubError):
    code, status, title = "range-not-satisfiable", 416, "Range not satisfiable"


def may_delete(sharer: int, agent: int, access: Access) -> None:
    """Raises Forbidden unless `agent` shared the file or owns the room."""
    if agent != sharer and access != "owner":
        raise Forbidden("only who shared a file, or an owner of the room, may delete it; ask one of them")


def need_digest(announced: str | None, arrived: str) -> None:
    """Raises DigestMismatch when other bytes were announced than those that arrived."""
    if announced is not None and announced != arrived:
        raise DigestMismatch(
            f"the bytes that arrived have SHA-256 {arrived}, not {announced}; nothing was stored, send them again"
        )


def whole_characters(raw: bytes, most_bytes: int) -> tuple[str, int]:
    """At most `most_bytes` of UTF-8 without cutting a character, and how many bytes that took.

    An offset inside a character shows its rest as �.
    """
    part = raw[:most_bytes]
    if len(raw) > most_bytes:
        while part and len(part) > most_bytes - 3 and raw[len(part)] & 0xC0 == 0x80:
            part = part[:-1]
    return part.decode(errors="replace"), len(part)
