"""Keeping a briefing short: items and texts cut to a share of bytes, so that the whole stays under 2,000 tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

MOST_BYTES: Final = 8000  # of the whole result on the wire; a token is counted as four bytes
TEXT: Final = 1600
AGREEMENT: Final = 1400
MEMBERS: Final = 900
LAST: Final = 1600
QUESTIONS: Final = 500
CHANNELS: Final = 200
PART: Final = 450  # of one other feature
PARTS: Final = 1400  # of all of them together


def size(value: Any) -> int:
    """Bytes of a value as JSON."""
    return len(orjson.dumps(value))


def cut(text: str, most: int) -> str:
    """The beginning of a text, at most so many bytes as JSON; `…` shows that it goes on."""
    if size(text) - 2 <= most:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if size(text[:middle]) + 1 <= most else (low, middle - 1)
    return text[:low] + "…"


def fit(items: Iterable[Any], most: int) -> list[Any]:
    """The first items that together take at most so many bytes as JSON."""
    kept, used = [], 2
    for item in items:
        used += size(item) + 1
        if used > most:
            break
        kept.append(item)
    return kept


def fit_parts(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What other features add: each list within its share, all within theirs; earlier features first."""
    made: dict[str, Any] = {}
    left = PARTS
    for part in parts:
        for name, value in part.items():
            most = min(PART, left) - len(name) - 5
            kept = fit(value, most) if isinstance(value, list) else value if size(value) <= most else None
            if kept:
                made[name] = kept
                left -= size(kept) + len(name) + 5
    return made
