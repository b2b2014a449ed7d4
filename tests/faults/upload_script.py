"""A hub that shares, deletes, shares again and collects, in a process of its own: killed at a system call by the test."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from hub.core.errors import HubError
from hub.features.files.contract import DeleteFile, ListFiles, ShareFile
from hub.kernel.files.collect import forget_unneeded, sweep
from hub.kernel.rooms.contract import CreateRoom
from hub.storage.blobs import BlobStore
from tests.support.hubs import Clock, running_hub


async def main(home: Path, report: Path) -> None:
    """Each acknowledged step is written to `report` before the next begins."""
    async with running_hub(home, clock=Clock()) as hub:
        local, blobs = await hub.local(), hub.app.dispatch.service(BlobStore)
        with report.open("a", buffering=1) as told:
            try:
                await local.call(CreateRoom(room="build"))
            except HubError:
                assert (await local.call(ListFiles(room="build"))).items is not None
            for name, content in (("a", "one"), ("b", "one"), ("a", "two"), ("c", "three")):
                shared = await local.call(ShareFile(room="build", name=name, content=content))
                told.write(f"shared {shared.id} {shared.sha256}\n")
            told.write(f"deleting {shared.id}\n")
            await local.call(DeleteFile(room="build", file=shared.id))
            await forget_unneeded(hub.app.store, blobs, hub.clock() + 10_000, grace_s=0)
            await sweep(hub.app.store, blobs, older_than_s=0)
            again = await local.call(ShareFile(room="build", name="d", content="three"))
            told.write(f"shared {again.id} {again.sha256}\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
