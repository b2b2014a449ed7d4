"""Whether the directory of files is the one that this database belongs to: several hubs can share a database only with it.

The directory holds a mark, the database its copy. Where they differ, this hub looks into another directory than the
hub that was first: it would store files that the others cannot give out, and miss theirs.
"""

from __future__ import annotations

import asyncio
import logging
import secrets

from hub.log.log import HUB
from hub.storage.blobs import MARK, BlobStore
from hub.storage.interface import Store, Tx

log = logging.getLogger(__name__)


async def check_home(store: Store, blobs: BlobStore) -> None:
    """Refuse to take or give files in a directory that is not the database's. One hub alone cannot be wrong."""
    if not store.locking:
        return
    mine = await asyncio.to_thread(blobs.mark, secrets.token_hex(16))
    wanted = await store.write(lambda tx: _agreed(tx, mine), locks=(HUB,))
    if mine != wanted:
        blobs.elsewhere = (
            f"the files of this database are in another directory than {blobs.directory}, which this hub uses: set "
            f"BRIDGE_FILES_DIR to one directory that all its hubs reach. If that directory is lost or was restored "
            f"without its mark, write {wanted} into {blobs.directory / MARK} and start again"
        )
        log.error("files are refused: %s", blobs.elsewhere)


def _agreed(tx: Tx, mine: str) -> str:
    """The mark that counts: whoever comes first decides."""
    tx.run("insert into files_home (one, mark) values (1, :mark) on conflict (one) do nothing", mark=mine)
    row = tx.row("select mark from files_home")
    assert row is not None, "it was just written"
    return str(row[0])
