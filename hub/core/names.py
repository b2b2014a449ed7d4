"""Names, ids and labels: what is a valid one and how it looks. No lookups."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Annotated, Final

from pydantic import AfterValidator, StringConstraints

from hub.core.errors import NotFound
from hub.core.slug import RESERVED

NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9._-]{0,63}$"
ROOM_PATTERN: Final = r"^(?:[a-z0-9][a-z0-9._-]{0,63}|@[0-9a-z]{1,13}-[0-9a-z]{1,13})$"
MODEL_KINDS: Final = frozenset({"code", "browser", "desktop", "external"})
GENERAL: Final = "general"

_NAME = re.compile(NAME_PATTERN)


def _not_reserved(name: str) -> str:
    if name in RESERVED:
        raise ValueError(f"{name!r} is reserved; choose another name")
    return name


Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
NewName = Annotated[str, StringConstraints(pattern=NAME_PATTERN), AfterValidator(_not_reserved)]
RoomName = Annotated[str, StringConstraints(pattern=ROOM_PATTERN)]
ChannelName = Name
AgentName = Name
QueueName = Name
Role = Name


def is_name(text: str) -> bool:
    return _NAME.match(text) is not None


def is_direct(room: str) -> bool:
    """Whether a room name denotes a direct conversation."""
    return room.startswith("@")


def _visible(text: str) -> str:
    normal = unicodedata.normalize("NFKC", text).strip()
    bad = next((c for c in normal if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")), None)
    if bad is not None:
        raise ValueError(f"character U+{ord(bad):04X} is not allowed in a display name")
    return normal


DisplayName = Annotated[str, StringConstraints(max_length=120), AfterValidator(_visible)]

_DIGITS: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32, lower case
_PAIRS: Final = [first + second for first in _DIGITS for second in _DIGITS]


@lru_cache(maxsize=8192)  # a new number is written five times: id, cursors, frame
def base32(number: int) -> str:
    """Crockford base32 of a non-negative integer, without padding."""
    out = _PAIRS[number & 1023]
    while number := number >> 10:
        out = _PAIRS[number & 1023] + out
    return out.lstrip("0") or "0"


@lru_cache(maxsize=8192)
def from_base32(text: str) -> int:
    number = 0
    for char in text:
        number = number << 5 | _DIGITS.index(char)
    return number


_ID = re.compile(rf"^([a-z])([{_DIGITS}]{{1,12}})-([{_DIGITS}]{{1,12}})$")


def make_id(letter: str, log: int, seq: int) -> str:
    """The id of the thing that event `seq` of stream `log` created: `m3-1k`. Needs no index and no randomness."""
    return f"{letter}{base32(log)}-{base32(seq)}"


def split_id(letter: str, text: str, error: type[NotFound] = NotFound) -> tuple[int, int]:
    """(log, seq) of an id made by `make_id` with the same letter; raises `error` for anything else."""
    match = _ID.match(text)
    if not match or match[1] != letter:
        raise error(f"{text[:80]!r} is not such an id; ids look like '{letter}3-1k' and come from results")
    return from_base32(match[2]), from_base32(match[3])


def log_of(text: str) -> int:
    """The stream's number in an id that `make_id` made."""
    return from_base32(text[1 : text.index("-")])


def direct_name(first: int, second: int) -> str:
    """Room name of the direct conversation between two agent ids (order does not matter)."""
    low, high = sorted((first, second))
    return f"@{base32(low)}-{base32(high)}"
