"""Cursors: opaque strings that say "seen up to here" for one or several rooms. Encoding and comparing only.

Inside: per room `log.epoch.seq` in base32, joined by `~`, behind a version letter. Callers must not look inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hub.core.errors import CursorInvalid
from hub.core.names import base32, from_base32

_LONGEST = 64 * 1024


@dataclass(frozen=True, slots=True)
class Mark:
    """Seen up to `seq` of stream `log` in its `epoch`."""

    log: int
    epoch: int
    seq: int


def encode_mark(log: int, epoch: int, seq: int) -> str:
    """The cursor of one room."""
    return f"c{base32(log)}.{base32(epoch)}.{base32(seq)}"


def encode(marks: Iterable[Mark]) -> str:
    """One cursor for several rooms."""
    return "c" + "~".join(f"{base32(m.log)}.{base32(m.epoch)}.{base32(m.seq)}" for m in marks)


def decode(text: str) -> Mapping[int, Mark]:
    """Marks by log. Raises CursorInvalid for anything this module did not make. An empty cursor is an empty mapping."""
    try:
        if not text.startswith("c") or len(text) > _LONGEST:
            raise ValueError
        return {mark.log: mark for mark in map(_mark, text[1:].split("~"))} if len(text) > 1 else {}
    except ValueError:
        raise CursorInvalid(
            "that is not a cursor of this hub; use a `cursor` from an earlier result, or none"
        ) from None


def _mark(part: str) -> Mark:
    log, epoch, seq = part.split(".")
    if not (log and epoch and seq) or len(part) > 45:
        raise ValueError
    return Mark(from_base32(log), from_base32(epoch), from_base32(seq))
