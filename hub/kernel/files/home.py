"""Whether the directory of files is this database's own, and the one that all hubs on the database use.

The directory holds a mark that begins with the identity of the database whose files are in it; the database holds a copy.
Two databases in one directory would take each other's files for garbage. Two directories for one database would each
hold files that the other hub cannot give out.
"""

from __future__ import annotations

import asyncio
import logging
import secrets

from hub.log.log import HUB
from hub.storage.blobs import MARK, BlobStore
from hub.storage.interface import Store, Tx

log = logging.getLogger(__name__)


PAIRED, IDENTITY = 1, 2  # rows of `files_home`: the mark of the directory, and what its marks begin with


async def check_home(store: Store, blobs: BlobStore) -> None:
    """Refuse to take, give or collect files in a directory that is not this database's; clear it up if it is ours alone."""
    alone = not store.locking
    own = await store.write(_identity, locks=(HUB,))
    found = await asyncio.to_thread(blobs.mark, f"{own}-{secrets.token_hex(16)}")
    wanted = await store.write(lambda tx: _agreed(tx, own, found, alone=alone), locks=(HUB,))
    if found == wanted:
        if alone:
            await asyncio.to_thread(blobs.drop_unfinished)
        return
    blobs.elsewhere = _foreign(blobs) if alone or not wanted else _other(blobs, wanted)
    log.error("files are refused: %s", blobs.elsewhere)


def _foreign(blobs: BlobStore) -> str:
    return (
        f"{blobs.directory} holds the files of another database, and hubs with databases of their own would take each "
        f"other's files for garbage: set BRIDGE_FILES_DIR to a directory for this one. If that other database is gone "
        f"for good, remove {blobs.directory / MARK} and start again"
    )


def _other(blobs: BlobStore, wanted: str) -> str:
    return (
        f"the files of this database are in another directory than {blobs.directory}, which this hub uses: set "
        f"BRIDGE_FILES_DIR to one directory that all its hubs reach. If that directory is lost or was restored "
        f"without its mark, write {wanted} into {blobs.directory / MARK} and start again"
    )


def _identity(tx: Tx) -> str:
    """The database's; made before any directory is marked with it, so that a crash between loses nothing."""
    return _kept(tx, IDENTITY) or _keep(tx, IDENTITY, secrets.token_hex(16))


def _agreed(tx: Tx, own: str, found: str, *, alone: bool) -> str:
    """The mark that counts: whoever comes first decides. One hub alone may have moved to a directory without files."""
    kept = _kept(tx, PAIRED)
    if found.startswith(f"{own}-") and (alone or not kept):
        return _keep(tx, PAIRED, found)
    return kept


def _kept(tx: Tx, which: int) -> str:
    row = tx.row("select mark from files_home where one = :one", one=which)
    return "" if row is None else str(row[0])


def _keep(tx: Tx, which: int, mark: str) -> str:
    tx.run(
        "insert into files_home (one, mark) values (:one, :mark) on conflict (one) do update set mark = excluded.mark",
        one=which,
        mark=mark,
    )
    return mark
