"""Taking texts out of the index that are gone from the log: redacted, expired or trimmed, whoever searches or not (P10)."""

from __future__ import annotations

import asyncio
from functools import partial

from hub.storage.interface import Store, Tx
from hub.storage.search import SearchIndex

_PAGE = 2000
_GONE = 11  # redacted, expired or purged


async def clean(store: Store, index: SearchIndex, log: int) -> int:
    """Remove what the stream no longer has from the index; how many texts went. Pages, off the loop."""
    removed, after = 0, 0
    async with index.turn:
        while numbers := await asyncio.to_thread(index.numbers, log, after, _PAGE):
            kept = await store.read(partial(_kept, log=log, first=numbers[0], last=numbers[-1]), long=True)
            if gone := [seq for seq in numbers if seq not in kept]:
                await asyncio.to_thread(index.remove, log, gone)
                removed += len(gone)
            after = numbers[-1]
    return removed


def _kept(tx: Tx, log: int, first: int, last: int) -> set[int]:
    rows = tx.rows(
        "select seq from message where log = :log and seq >= :first and seq <= :last and flags & :gone = 0",
        log=log,
        first=first,
        last=last,
        gone=_GONE,
    )
    return {row[0] for row in rows}
