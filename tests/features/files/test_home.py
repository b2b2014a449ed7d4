"""One directory of files for one database: two hubs that share it by mistake must not collect each other's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.core.caller import Caller
from hub.features.files.contract import ReadFile
from hub.kernel.files.collect import sweep, sweep_left_over
from hub.kernel.rooms.contract import CreateRoom, JoinRoom
from hub.storage.blobs import MARK, BlobStore, BytesMissing, FilesElsewhere
from tests.features.files.test_files import share
from tests.support.hubs import TestHub, running_hub

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def in_room(hub: TestHub) -> Caller:
    ada = await hub.agent("ada", "code")
    await ada.call(CreateRoom(room="build"))
    return ada


async def read(caller: Caller, name: str) -> str | None:
    return (await caller.call(ReadFile(room="build", file=name))).text


async def test_two_databases_in_one_directory_do_not_collect_each_others_files(tmp_path: Path) -> None:
    shared = tmp_path / "files"
    async with running_hub(tmp_path / "a", files_dir=str(shared)) as first:
        ada = await in_room(first)
        await ada.call(share("a.txt", b"of the first"))
        (shared / "incoming" / "upload").write_bytes(b"the first is receiving this")
        async with running_hub(tmp_path / "b", files_dir=str(shared)) as second:
            ben = await in_room(second)
            with pytest.raises(FilesElsewhere, match="holds the files of another database") as refused:
                await ben.call(share("b.txt", b"of the second"))
            blobs = second.app.dispatch.service(BlobStore)
            assert [await sweep(second.app.store, blobs, 0), await sweep_left_over(second.app.store, blobs)] == [0, 0]
        assert await read(ada, "a.txt") == "of the first"
        assert (shared / "incoming" / "upload").exists()
    for setting in ("BRIDGE_FILES_DIR", str(shared / MARK)):
        assert setting in str(refused.value), "it says what to do"


async def test_one_hub_may_start_again_and_move_to_an_empty_directory(tmp_path: Path) -> None:
    """It reads what is there; what stayed behind is missing, and said to be."""
    for number, place in enumerate(("files", "files", "moved")):
        async with running_hub(tmp_path / "a", files_dir=str(tmp_path / place)) as hub:
            ada = await hub.local()
            if number == 0:
                await ada.call(CreateRoom(room="build"))
            await ada.call(share(f"{number}.txt", place.encode()))
            assert await read(ada, f"{number}.txt") == place
            if place == "files":
                assert await read(ada, "0.txt") == "files"
            else:
                with pytest.raises(BytesMissing):
                    await read(ada, "0.txt")


async def test_a_directory_whose_database_is_gone_is_taken_over_as_the_refusal_says(tmp_path: Path) -> None:
    shared = tmp_path / "files"
    async with running_hub(tmp_path / "gone", files_dir=str(shared)) as first:
        await (await in_room(first)).call(share("a.txt", b"of the first"))
    async with running_hub(tmp_path / "b", files_dir=str(shared)) as second:
        with pytest.raises(FilesElsewhere):
            await (await in_room(second)).call(share("b.txt"))
    (shared / MARK).unlink()
    async with running_hub(tmp_path / "b", files_dir=str(shared)) as second:
        local = await second.local()
        await local.call(JoinRoom(room="build"))
        assert (await local.call(share("b.txt"))).version == 1


async def test_a_crash_between_marking_the_directory_and_remembering_it_loses_nothing(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "a") as hub:
        await (await in_room(hub)).call(share("a.txt", b"kept"))
        await hub.app.store.write(lambda tx: tx.run("delete from files_home where one = 1"))
    async with running_hub(tmp_path / "a") as hub:
        local = await hub.local()
        await local.call(JoinRoom(room="build"))
        assert await read(local, "a.txt") == "kept"
