"""Collecting bytes that nothing names: of deleted and expired files, of uploads that broke off, of crashes.

A row is deleted first, in a transaction; its place is unlinked after the commit, when nobody can name it again.
A crash between the two leaves a file without a row, which the sweep finds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Final

from hub.storage.blobs import BlobStore
from hub.storage.interface import Store, Tx

ROW_GRACE_S: Final = 60.0  # longer than two hubs' transactions overlap, their clocks included
PLACE_GRACE_S: Final = 3600.0  # longer than any upload takes from its last byte to its commit
_STEP: Final = 200


async def forget_unneeded(store: Store, blobs: BlobStore, now_ms: int, grace_s: float = ROW_GRACE_S) -> int:
    """Remove bytes that no file has any more; how many."""
    if blobs.elsewhere:  # their bytes are where another hub is
        return 0
    removed = 0
    before_ms = now_ms - int(grace_s * 1000)
    while candidates := await store.read(partial(_unneeded, before_ms=before_ms), long=True):
        places = await store.write(partial(_forget, candidates=candidates, before_ms=before_ms))
        await asyncio.to_thread(_remove, blobs, places)
        removed += len(places)
        if len(candidates) < _STEP:
            break
    return removed


async def sweep(store: Store, blobs: BlobStore, older_than_s: float = PLACE_GRACE_S) -> int:
    """Remove files that no row names and that nobody wrote to for so long; how many."""
    return await _remove_unnamed(store, blobs, await asyncio.to_thread(lambda: list(blobs.places(older_than_s))))


async def sweep_left_over(store: Store, blobs: BlobStore) -> int:
    """Remove what a dead hub left, whatever the clock says; only where this hub is the only one. How many went."""
    return await _remove_unnamed(store, blobs, await asyncio.to_thread(blobs.left_over))


async def _remove_unnamed(store: Store, blobs: BlobStore, places: Sequence[str]) -> int:
    if blobs.elsewhere:  # another database names them
        return 0
    removed = 0
    waiting = iter(places)
    while some := list(islice(waiting, _STEP)):
        unnamed = await store.read(partial(_unnamed, places=some), long=True)
        await asyncio.to_thread(_remove, blobs, unnamed)
        removed += len(unnamed)
    return removed


def _unneeded(tx: Tx, before_ms: int) -> list[str]:
    rows = tx.rows(
        "select sha256 from blob where used_at <= :before"
        " and not exists (select 1 from file where file.sha256 = blob.sha256) order by sha256 limit :limit",
        before=before_ms,
        limit=_STEP,
    )
    return [str(row[0]) for row in rows]


def _forget(tx: Tx, candidates: Sequence[str], before_ms: int) -> list[str]:
    """Delete the rows; where their bytes are. Asked again at each row: somebody may have shared the bytes just now."""
    gone = [
        tx.row(
            "delete from blob where sha256 = :sha and used_at <= :before"
            " and not exists (select 1 from file where file.sha256 = blob.sha256) returning place",
            sha=sha,
            before=before_ms,
        )
        for sha in candidates
    ]
    return [str(row[0]) for row in gone if row is not None]


def _unnamed(tx: Tx, places: Sequence[str]) -> list[str]:
    return [place for place in places if tx.row("select 1 from blob where place = :place", place=place) is None]


def _remove(blobs: BlobStore, places: Sequence[str]) -> None:
    for place in places:
        blobs.remove(place)
