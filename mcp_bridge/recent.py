"""The newest of many ids, in bounded memory. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

KEPT: Final = 4096  # more than any page, and any time between being shown and being acknowledged, can hold


class Recent:
    """Ids in the order in which they came last; the oldest of more than `KEPT` are forgotten."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}

    def add(self, ids: Iterable[str]) -> None:
        for one in ids:
            self._ids.pop(one, None)
            self._ids[one] = None
        while len(self._ids) > KEPT:
            del self._ids[next(iter(self._ids))]

    def discard(self, one: str) -> None:
        self._ids.pop(one, None)

    def __contains__(self, one: object) -> bool:
        return one in self._ids

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)
