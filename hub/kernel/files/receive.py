"""Receiving bytes beside the transaction that names them, and leaving nothing behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hub.core.errors import HubError
from hub.core.media import StoredBlob
from hub.kernel.files.share import place_of
from hub.storage.blobs import BlobStore, Incoming
from hub.storage.interface import Store


class Reception:
    """One file coming in: write to `incoming`, then `finish` and commit inside the block."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self.blob: StoredBlob | None = None
        self.write = incoming.write
        self.copy_from = incoming.copy_from

    @property
    def size_bytes(self) -> int:
        return self._incoming.size_bytes

    async def finish(self) -> StoredBlob:
        """The complete bytes, on disk."""
        self.blob = await self._incoming.finish()
        return self.blob


@asynccontextmanager
async def receiving(store: Store, blobs: BlobStore, most_bytes: int | None = None) -> AsyncIterator[Reception]:
    """A reception whose bytes stay only if the block committed a row that names them.

    When the outcome is not known (a failed commit, a cancelled caller), finished bytes stay for the collector, who
    looks again later.
    """
    incoming = blobs.receive(most_bytes)
    reception = Reception(incoming)
    try:
        yield reception
    except HubError as error:
        if error.status < 500:
            await _drop_unnamed(store, blobs, reception.blob)
        raise
    else:
        await _drop_unnamed(store, blobs, reception.blob)
    finally:
        incoming.abort()


async def _drop_unnamed(store: Store, blobs: BlobStore, blob: StoredBlob | None) -> None:
    if blob is not None and await store.read(lambda tx: place_of(tx, blob.sha256)) != blob.place:
        blobs.remove(blob.place)
