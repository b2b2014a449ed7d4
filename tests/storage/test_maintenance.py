"""Backups are taken while the hub writes; restoring one, and undoing that, loses nothing."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from hub.features.files.contract import DeleteFile, ListFiles, ReadFile, ShareFile
from hub.features.messages.contract import PostMessage
from hub.kernel.files.collect import forget_unneeded
from hub.kernel.inbox.contract import ReadEvents
from hub.kernel.rooms.contract import CreateRoom
from hub.storage.blobs import BlobStore
from hub.storage.interface import StoreError
from hub.storage.maintenance import FILE, backup, export_events, restore
from tests.support.hubs import TestHub, running_hub

pytestmark = pytest.mark.anyio


async def write_room(home: Path, text: str) -> None:
    async with running_hub(home) as hub:
        local = await hub.local()
        await local.call(CreateRoom(room=text))
        await local.call(PostMessage(room=text, text=text))


def rooms(home: Path) -> set[str]:
    found = set()
    for name in ("one", "two"):
        try:
            found |= {event["data"]["text"] for event in export_events(home, name) if "text" in event["data"]}
        except StoreError:
            continue
    return found


async def test_a_backup_under_load_ends_and_holds_a_prefix_of_the_log(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "home") as hub:
        local = await hub.local()
        await local.call(CreateRoom(room="build"))
        stop = asyncio.Event()

        async def write() -> int:
            sent = 0
            while not stop.is_set():
                await local.call(PostMessage(room="build", text=f"{sent} " + "x" * 5000))
                sent += 1
            return sent

        writing = asyncio.create_task(write())
        await asyncio.wait({writing}, timeout=0.5)
        await asyncio.wait_for(asyncio.to_thread(backup, tmp_path / "home", tmp_path / "copy.db"), 20)
        stop.set()
        await writing
    assert (tmp_path / "copy.db").stat().st_mode & 0o077 == 0, "others could read it"
    (tmp_path / "other").mkdir()
    restore(tmp_path / "other", tmp_path / "copy.db")
    async with running_hub(tmp_path / "other") as hub:
        items = (await (await hub.local()).call(ReadEvents(room="build", limit=1000))).items
        assert [item["seq"] for item in items] == list(range(1, len(items) + 1))
        assert len(items) > 10


async def test_a_restore_can_be_undone_from_what_it_kept(tmp_path: Path) -> None:
    home = tmp_path / "home"
    await write_room(home, "one")
    backup(home, tmp_path / "copy.db")
    await write_room(home, "two")
    restore(home, tmp_path / "copy.db")
    assert rooms(home) == {"one"}
    restore(home, home / f"{FILE}.before-restore")
    assert rooms(home) == {"one", "two"}
    assert (home / FILE).stat().st_mode & 0o077 == 0


async def test_a_restore_that_fails_leaves_the_database_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    await write_room(home, "one")
    backup(home, tmp_path / "copy.db")

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("hub.storage.maintenance.shutil.copyfile", full)
    with pytest.raises(OSError, match="no space"):
        restore(home, tmp_path / "copy.db")
    assert rooms(home) == {"one"}


async def test_a_file_of_something_else_is_not_restored(tmp_path: Path) -> None:
    (tmp_path / "other.db").write_bytes(b"nothing of ours" * 100)
    with pytest.raises(StoreError, match="cannot be read"):
        restore(tmp_path / "home", tmp_path / "other.db")
    assert not (tmp_path / "home" / FILE).exists()


async def put(hub: TestHub, name: str, content: str) -> None:
    await (await hub.local()).call(ShareFile(room="build", name=name, content=content))


async def texts(hub: TestHub) -> dict[str, str]:
    local = await hub.local()
    items = (await local.call(ListFiles(room="build"))).items
    return {item.name: (await local.call(ReadFile(room="build", file=item.id))).text or "" for item in items}


async def test_files_come_back_with_a_backup_and_an_undone_restore(tmp_path: Path) -> None:
    home, copy = tmp_path / "home", tmp_path / "copy.db"
    async with running_hub(home) as hub:
        await (await hub.local()).call(CreateRoom(room="build"))
        await put(hub, "kept.txt", "kept")
        await put(hub, "deleted.txt", "deleted later")
        counts = await asyncio.to_thread(backup, home, copy)
        assert counts["file"] == 2
        await (await hub.local()).call(DeleteFile(room="build", file="deleted.txt"))
        await put(hub, "newer.txt", "newer")
        await forget_unneeded(hub.app.store, hub.app.dispatch.service(BlobStore), hub.clock(), grace_s=0)
        assert await texts(hub) == {"kept.txt": "kept", "newer.txt": "newer"}
    with pytest.raises(StoreError, match="never overwrites"):
        backup(home, copy)
    restore(home, copy)
    async with running_hub(home) as hub:
        assert await texts(hub) == {"kept.txt": "kept", "deleted.txt": "deleted later"}
    restore(home, home / f"{FILE}.before-restore")
    async with running_hub(home) as hub:
        assert await texts(hub) == {"kept.txt": "kept", "newer.txt": "newer"}
    (tmp_path / "elsewhere").mkdir()
    restore(tmp_path / "elsewhere", copy)
    async with running_hub(tmp_path / "elsewhere") as hub:
        assert await texts(hub) == {"kept.txt": "kept", "deleted.txt": "deleted later"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in (home, copy, tmp_path / "copy.db.files"))


async def test_a_backup_without_files_leaves_those_that_are_there(tmp_path: Path) -> None:
    home, copy = tmp_path / "home", tmp_path / "copy.db"
    async with running_hub(home) as hub:
        await (await hub.local()).call(CreateRoom(room="build"))
        await put(hub, "a.txt", "one")
        await asyncio.to_thread(backup, home, copy)
    shutil.rmtree(tmp_path / "copy.db.files")
    restore(home, copy)
    async with running_hub(home) as hub:
        assert await texts(hub) == {"a.txt": "one"}
