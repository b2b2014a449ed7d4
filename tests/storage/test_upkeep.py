"""One room comes back from a backup and everything else stays; what is derived can be made again; the file shrinks."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from hub import features
from hub.app import make_store
from hub.core.errors import HubError
from hub.features.files.contract import DeleteFile, ReadFile, ShareFile
from hub.features.messages.contract import PostMessage
from hub.kernel.files.collect import forget_unneeded
from hub.kernel.inbox.contract import PollInbox, ReadEvents
from hub.kernel.repair import rebuild_streams
from hub.kernel.rooms.contract import CreateRoom, GetRoom, JoinRoom
from hub.log.rebuild import dump
from hub.settings import Settings
from hub.storage.blobs import BlobStore
from hub.storage.interface import StoreError, Tx
from hub.storage.maintenance import FILE, backup
from hub.storage.upkeep import compact, import_room
from tests.support.hubs import running_hub

pytestmark = pytest.mark.anyio
TABLES, BY_EVENT = features.projection_tables(), features.event_tables()


async def rebuilt(home: Path, name: str = "") -> list[str]:
    store = make_store(Settings(home=home))
    await store.open(features.migrations())
    try:
        return await rebuild_streams(store, TABLES, BY_EVENT, name)
    finally:
        await store.drain()


def rows(home: Path, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(home / FILE)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


async def test_a_room_comes_back_from_a_backup_and_the_others_stay(tmp_path: Path) -> None:
    home, copy = tmp_path / "home", tmp_path / "copy.db"
    async with running_hub(home) as hub:
        local, ada = await hub.local(), await hub.agent("ada")
        for room in ("lost", "other"):
            await local.call(CreateRoom(room=room, open_to="all"))
            await ada.call(JoinRoom(room=room))
        await local.call(PostMessage(room="lost", text="precious"))
        await local.call(ShareFile(room="lost", name="a.txt", content="bytes"))
        await asyncio.to_thread(backup, home, copy)
        await local.call(PostMessage(room="lost", text="a mistake"))
        await local.call(DeleteFile(room="lost", file="a.txt"))
        await local.call(PostMessage(room="other", text="newer than the backup"))
        await forget_unneeded(hub.app.store, hub.app.dispatch.service(BlobStore), hub.clock(), grace_s=0)
        old = (await ada.call(PollInbox(room="lost"))).cursor
        await ada.call(PollInbox(room="lost", ack=old))
    events = import_room(home, copy, "lost")
    assert await rebuilt(home, "lost") == ["room lost"]
    async with running_hub(home) as hub:
        local = await hub.local()
        page = await local.call(ReadEvents(room="lost", limit=1000))
        assert [item["seq"] for item in page.items] == list(range(1, events + 1))
        assert "precious" in str(page.items)
        assert "a mistake" not in str(page.items)
        assert (await local.call(ReadFile(room="lost", file="a.txt"))).text == "bytes"
        assert "newer than the backup" in str((await local.call(ReadEvents(room="other", limit=1000))).items)
        gaps = (await local.call(ReadEvents(room="lost", cursor=old))).gaps
        assert [gap.reason for gap in gaps] == ["epoch"]
        ada = await hub.agent("bea")
        await ada.call(JoinRoom(room="lost"))
        posted = await local.call(PostMessage(room="lost", text="it goes on"))
        assert posted.seq == events + 2, "numbers beyond the imported head are given out again"


async def test_a_backup_of_another_hub_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    async with running_hub(other) as hub:
        await hub.agent("stranger")
        await (await hub.local()).call(CreateRoom(room="first"))
        await (await hub.local()).call(CreateRoom(room="build"))
        await asyncio.to_thread(backup, other, tmp_path / "copy.db")
    async with running_hub(home) as hub:
        await (await hub.local()).call(CreateRoom(room="build"))
        with pytest.raises(StoreError, match="another hub is using"):
            import_room(home, tmp_path / "copy.db", "build")
    before = rows(home, "select * from event")
    with pytest.raises(StoreError, match="not a backup of this hub"):
        import_room(home, tmp_path / "copy.db", "build")
    with pytest.raises(StoreError, match="has no room 'none'"):
        import_room(home, tmp_path / "copy.db", "none")
    assert rows(home, "select * from event") == before


async def test_rows_that_are_wrong_are_made_again_from_the_log(tmp_path: Path) -> None:
    async with running_hub(tmp_path) as hub:
        await (await hub.local()).call(CreateRoom(room="build"))
        await (await hub.local()).call(PostMessage(room="build", text="here"))

        def all_rows(tx: Tx) -> str:
            return json.dumps([dump(tx, row[0], TABLES) for row in tx.rows("select id from log where kind = 'room'")])

        before = await hub.app.store.read(all_rows)
    connection = sqlite3.connect(tmp_path / FILE)
    connection.execute("delete from member")
    connection.execute("delete from message")
    connection.commit()
    connection.close()
    async with running_hub(tmp_path) as hub:
        with pytest.raises(HubError):
            await (await hub.local()).call(GetRoom(room="build"))
    assert "room build" in await rebuilt(tmp_path)
    async with running_hub(tmp_path) as hub:
        assert await hub.app.store.read(all_rows) == before
        assert (await (await hub.local()).call(GetRoom(room="build"))).room == "build"
    with pytest.raises(StoreError, match="no room or queue 'none'"):
        await rebuilt(tmp_path, "none")


@pytest.mark.parametrize("work", [compact, lambda home: import_room(home, home / FILE, "build")])
async def test_upkeep_of_no_hub_says_so(tmp_path: Path, work: Callable[[Path], object]) -> None:
    with pytest.raises(StoreError, match=r"is BRIDGE_HOME right|cannot be read"):
        work(tmp_path)


async def test_compacting_gives_free_space_back_and_loses_nothing(tmp_path: Path) -> None:
    async with running_hub(tmp_path) as hub:
        await (await hub.local()).call(CreateRoom(room="build"))
        for number in range(40):
            await (await hub.local()).call(PostMessage(room="build", text=f"{number} " + "x" * 20_000))
    connection = sqlite3.connect(tmp_path / FILE)
    connection.execute("delete from event where seq between 5 and 35 and log = (select id from log where name='build')")
    connection.commit()
    connection.close()
    left = rows(tmp_path, "select log, seq, data from event order by log, seq")
    before, after = compact(tmp_path)
    assert after < before - 500_000
    assert rows(tmp_path, "select log, seq, data from event order by log, seq") == left
