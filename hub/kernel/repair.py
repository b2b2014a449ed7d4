"""Make derived rows again from the log, while no hub runs: after an import, or when they are in doubt."""

from __future__ import annotations

from collections.abc import Sequence

from hub.log.log import load_stream
from hub.log.rebuild import rebuild
from hub.storage.interface import Store, StoreError, Tx


async def rebuild_streams(store: Store, tables: Sequence[str], by_event: Sequence[str], name: str = "") -> list[str]:
    """Rebuild the rows of every stream, or of those with this name, each in one transaction; their names.

    Raises StoreError when there is none.
    """

    def streams(tx: Tx) -> list[int]:
        return [row[0] for row in tx.rows("select id from log where :name = '' or name = :name order by id", name=name)]

    def one(tx: Tx, log: int) -> str:
        rebuild(tx, log, tables, by_event)
        stream = load_stream(tx, log)
        return f"{stream.kind} {stream.name}"

    found = await store.read(streams)
    if not found:
        raise StoreError(f"there is no room or queue {name!r} in this data directory")
    return [await store.write(lambda tx, log=log: one(tx, log), locks=(log,)) for log in found]  # type: ignore[misc]
