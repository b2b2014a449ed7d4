"""Is an answer still being written? Novelty stillness: only pictures never seen before count as change.

A blinking caret or a turning spinner shows the same few pictures again and again; text that grows does not. This only
says when looking is worth it. Whether an answer is complete is decided by its marks, never by pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from desktop_agent.window import Picture

BLOCK_PX: Final = 32


class Stillness:
    """Remembers, for each 32×32 block, all pictures it has shown. A few milliseconds per look."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, int, int]] = set()
        self._new_at_s = 0.0

    def look(self, picture: Picture, now_s: float) -> bool:
        """Take a picture in; whether any block shows something new."""
        blocks = set(_blocks(picture))
        new = not blocks <= self._seen
        self._seen |= blocks
        if new:
            self._new_at_s = now_s
        return new

    def quiet_s(self, now_s: float) -> float:
        """How long nothing new was seen."""
        return now_s - self._new_at_s


def _blocks(picture: Picture) -> Iterator[tuple[int, int, int]]:
    """Column, row and hash of every block; blocks at the right and lower edge are smaller."""
    stride = picture.width * 3
    rows = [memoryview(picture.rgb)[y * stride : (y + 1) * stride] for y in range(picture.height)]
    for top in range(0, picture.height, BLOCK_PX):
        band = rows[top : top + BLOCK_PX]
        for left in range(0, stride, BLOCK_PX * 3):
            yield left, top, hash(b"".join(row[left : left + BLOCK_PX * 3] for row in band))
