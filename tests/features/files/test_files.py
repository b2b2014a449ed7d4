"""Files: what is shared is whole, private to its room, and gone when nobody needs it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.errors import Forbidden, Invalid, KeyReused, RoomNotFound
from hub.core.names import make_id, split_id
from hub.features.files import contract as c
from hub.features.files.policies import AttachmentNotFound
from hub.features.files.rules import NotText, whole_characters
from hub.features.messages.contract import ListMessages, PostDirect, PostMessage
from hub.kernel.files.collect import forget_unneeded, sweep
from hub.kernel.files.contract import DigestMismatch, RoomFull, SharedFile, SharedFileNotFound
from hub.kernel.inbox.contract import ReadEvents
from hub.kernel.rooms.contract import CreateRoom, JoinRoom, LeaveRoom, UpdateRoom
from hub.log.log import load_stream
from hub.log.retention import trim
from hub.server.parse import build
from hub.storage.blobs import MARK, BlobStore
from tests.log.test_rebuild import BY_EVENT, TABLES, same_after_rebuild
from tests.support.hubs import TestHub, running_hub

pytestmark = pytest.mark.anyio
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)


async def two(hub: TestHub, room: str = "build") -> tuple[Any, Any]:
    """Two members of a room."""
    ada, ben = await hub.agent("ada", "code"), await hub.agent("ben", "code")
    await ada.call(CreateRoom(room=room, open_to="all"))
    await ben.call(JoinRoom(room=room))
    return ada, ben


def share(name: str, content: bytes = b"one", room: str = "build", **fields: Any) -> c.ShareFile:
    return c.ShareFile(room=room, name=name, content_base64=base64.b64encode(content).decode(), **fields)


def on_disk(hub: TestHub) -> list[Path]:
    """Every file in the blob directory, the unfinished ones too; not the mark that says whose it is."""
    directory = hub.app.dispatch.service(BlobStore).directory
    return sorted(path for path in directory.rglob("*") if path.is_file() and path.name != MARK)


async def collect(hub: TestHub) -> None:
    blobs = hub.app.dispatch.service(BlobStore)
    await forget_unneeded(hub.app.store, blobs, hub.clock(), grace_s=0)
    await sweep(hub.app.store, blobs, older_than_s=-60)


async def test_versions_count_up_by_name_and_each_stays_readable(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub)
    one = await ada.call(share("data.csv", b"a,b\n1,2\n"))
    two_ = await ben.call(share("data.csv", b"a,b\n3,4\n"))
    other = await ben.call(share("notes.md", b"# hi"))
    assert [(f.name, f.version, f.sender) for f in (one, two_, other)] == [
        ("data.csv", 1, "ada"),
        ("data.csv", 2, "ben"),
        ("notes.md", 1, "ben"),
    ]
    assert one.sha256 == hashlib.sha256(b"a,b\n1,2\n").hexdigest()
    assert (one.media_type, other.media_type) == ("text/csv; charset=utf-8", "text/markdown; charset=utf-8")
    newest = await ada.call(c.ListFiles(room="build"))
    assert [f.id for f in newest.items] == [other.id, two_.id]
    assert newest.used_bytes == 8 + 8 + 4
    versions = await ada.call(c.ListFiles(room="build", name="data.csv"))
    assert [f.version for f in versions.items] == [2, 1]
    assert (await ada.call(c.GetFile(room="build", file="data.csv"))).id == two_.id
    assert (await ada.call(c.GetFile(room="build", file="data.csv", version=1))).id == one.id
    assert (await ben.call(c.ReadFile(room="build", file=one.id))).text == "a,b\n1,2\n"
    page = await ada.call(c.ListFiles(room="build", limit=1))
    assert (page.has_more, [f.id for f in page.items]) == (True, [other.id])
    rest = await ada.call(c.ListFiles(room="build", before=other.id))
    assert (rest.has_more, [f.id for f in rest.items]) == (False, [two_.id])


async def test_the_same_bytes_under_the_same_name_are_no_new_version(hub: TestHub) -> None:
    ada, ben = await two(hub)
    one = await ada.call(share("a.txt"))
    again = await ben.call(share("a.txt"))
    assert (again.id, again.version, again.unchanged) == (one.id, 1, True)
    assert len(on_disk(hub)) == 1
    await ada.call(share("a.txt", b"two"))
    back = await ada.call(share("a.txt"))
    assert (back.version, back.unchanged) == (3, False)
    assert len(on_disk(hub)) == 2


async def test_a_repeated_key_gives_the_first_answer_and_other_bytes_are_refused(surface_hub: TestHub) -> None:
    ada, _ben = await two(surface_hub)
    one = await ada.call(share("a.txt", text="look"), key="k")
    two_ = await ada.call(share("a.txt", text="look"), key="k")
    assert two_.deduplicated
    assert (two_.id, two_.message) == (one.id, one.message)
    with pytest.raises(KeyReused):
        await ada.call(share("a.txt", b"other", text="look"), key="k")
    messages = (await ada.call(ListMessages(room="build"))).items
    assert [(m.text, m.attachments) for m in messages] == [("look", (one.id,))]
    assert len(on_disk(surface_hub)) == 1


async def test_who_is_not_in_the_room_learns_nothing_of_its_files(hub: TestHub) -> None:
    ada, _ben = await two(hub)
    eve = await hub.agent("eve", "code")
    shared = await ada.call(share("secret.txt", b"treasure"))
    await eve.call(CreateRoom(room="own"))
    for request in (
        c.GetFile(room="build", file=shared.id),
        c.ReadFile(room="build", file="secret.txt"),
        c.ListFiles(room="build"),
        c.DeleteFile(room="build", file=shared.id),
        share("x.txt"),
    ):
        with pytest.raises(RoomNotFound):
            await eve.call(request)
    mine = await eve.call(share("mine.txt", room="own"))
    mixed = make_id("f", split_id("f", shared.id)[0], split_id("f", mine.id)[1])  # their room, a number of mine
    for request in (
        c.GetFile(room="own", file=shared.id),
        c.ReadFile(room="own", file=shared.id),
        c.GetFile(room="own", file=mixed),
    ):
        with pytest.raises(SharedFileNotFound):
            await eve.call(request)
    with pytest.raises(AttachmentNotFound):
        await eve.call(PostMessage(room="own", text="look", attachments=(shared.id,)))
    with pytest.raises(AttachmentNotFound):
        await eve.call(PostDirect(agent="ben", text="look", attachments=(shared.id,)))


async def test_the_same_bytes_in_two_rooms_are_kept_once_and_neither_room_can_tell(hub: TestHub) -> None:
    ada, _ben = await two(hub)
    eve = await hub.agent("eve", "code")
    await eve.call(CreateRoom(room="own"))
    first = await ada.call(share("treasure.txt", b"x" * 1000))
    known = await eve.call(share("guess.txt", b"x" * 1000, room="own"))
    fresh = await eve.call(share("other.txt", b"y" * 1000, room="own"))
    assert len(on_disk(hub)) == 2
    shape = {"id", "room", "name", "sha256", "at"}
    assert known.model_dump(exclude=shape) == fresh.model_dump(exclude=shape)
    await ada.call(c.DeleteFile(room="build", file=first.id))
    await collect(hub)
    assert (await eve.call(c.ReadFile(room="own", file=known.id))).text == "x" * 1000
    await eve.call(c.DeleteFile(room="own", file=known.id))
    await collect(hub)
    assert [path.read_bytes() for path in on_disk(hub)] == [b"y" * 1000]


async def test_a_message_attaches_files_of_its_room_by_id_or_name(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub)
    shared = await ada.call(share("data.csv"))
    await ben.call(PostMessage(room="build", text="see", attachments=("data.csv", shared.id)))
    assert [m.attachments for m in (await ada.call(ListMessages(room="build"))).items] == [(shared.id,)]
    with pytest.raises(AttachmentNotFound, match=r"did you mean 'data\.csv'"):
        await ben.call(PostMessage(room="build", text="see", attachments=("dataa.csv",)))


async def test_only_the_sharer_or_an_owner_deletes_and_the_number_is_not_used_again(hub: TestHub) -> None:
    ada, ben = await two(hub)
    cy = await hub.agent("cy", "code")
    await cy.call(JoinRoom(room="build"))
    one = await ben.call(share("a.txt"))
    with pytest.raises(Forbidden):
        await cy.call(c.DeleteFile(room="build", file=one.id))
    await ada.call(c.DeleteFile(room="build", file=one.id))
    with pytest.raises(SharedFileNotFound):
        await ben.call(c.GetFile(room="build", file=one.id))
    assert (await ben.call(share("a.txt"))).version == 2
    events = (await ben.call(ReadEvents(room="build"))).items
    kept = [(e["type"], e["tombstone"], "a.txt" in str(e["data"])) for e in events if e["type"].startswith("file.")]
    assert kept == [("file.shared", "redacted", False), ("file.deleted", None, True), ("file.shared", None, True)]
    await hub.app.store.write(lambda tx: assert_same(tx))


def assert_same(tx: Any) -> None:
    assert same_after_rebuild(tx) == []


async def test_a_name_is_one_visible_segment_and_the_refusal_says_which(surface_hub: TestHub) -> None:
    ada, _ben = await two(surface_hub)
    bad = ["../../etc/passwd", "a/b", "..", ".", "", "a\\b", "a\0b", "a\nb", "ev\u202etxt.exe", " a", "x" * 256]
    for name in bad:
        with pytest.raises(Invalid, match="name"):
            build(c.ShareFile, {"room": "build", "name": name, "content": "x"})
    with pytest.raises(ValueError, match="give only the last part: 'passwd'"):
        share("../../etc/passwd")
    for name in ("CON", "-rf", ".bashrc", "naïve 文.txt", "a" * 255):
        assert (await ada.call(share(name))).name == name
    assert {path.parent.parent.name for path in on_disk(surface_hub)} == {"blobs"}


async def test_bytes_other_than_announced_are_refused_and_nothing_stays(surface_hub: TestHub) -> None:
    ada, _ben = await two(surface_hub)
    with pytest.raises(DigestMismatch):
        await ada.call(share("a.txt", sha256="0" * 64))
    assert on_disk(surface_hub) == []
    assert (await ada.call(share("a.txt", sha256=hashlib.sha256(b"one").hexdigest()))).version == 1


async def test_the_room_never_holds_more_than_its_quota_however_many_share_at_once(tmp_path: Path) -> None:
    async with running_hub(tmp_path, room_files_bytes=1000) as hub:
        ada, ben = await two(hub)
        jobs = [(ada if i % 2 else ben).call(share(f"f{i}", bytes([i]) * 100)) for i in range(30)]
        results = await asyncio.gather(*jobs, return_exceptions=True)
        kept = [r for r in results if isinstance(r, SharedFile)]
        refused = [r for r in results if isinstance(r, RoomFull)]
        assert (len(kept), len(refused)) == (10, 20)
        assert "holds 1,000 of 1,000 bytes" in refused[-1].detail
        assert len(on_disk(hub)) == 10
        await ben.call(c.DeleteFile(room="build", file=kept[0].id)) if kept[0].sender == "ben" else await ada.call(
            c.DeleteFile(room="build", file=kept[0].id)
        )
        await ada.call(share("fits", b"z" * 100))


async def test_files_go_with_the_events_that_retention_lets_go(hub: TestHub) -> None:
    ada, _ben = await two(hub)
    old = await ada.call(share("old.txt", b"old"))
    for i in range(3):
        await ada.call(PostMessage(room="build", text=str(i)))
    new = await ada.call(share("new.txt", b"new"))
    log = split_id("f", old.id)[0]

    def let_go(tx: Any) -> None:
        trim(tx, log, load_stream(tx, log).head - 2, TABLES, BY_EVENT)
        assert same_after_rebuild(tx) == []

    await hub.app.store.write(let_go)
    await collect(hub)
    assert [f.id for f in (await ada.call(c.ListFiles(room="build"))).items] == [new.id]
    assert [path.read_bytes() for path in on_disk(hub)] == [b"new"]
    assert (await ada.call(share("old.txt", b"again"))).version == 2


async def test_who_joins_a_room_without_history_sees_only_later_files(hub: TestHub) -> None:
    ada, _ben = await two(hub)
    await ada.call(UpdateRoom(room="build", history="since_join"))
    early = await ada.call(share("early.txt"))
    cy = await hub.agent("cy", "code")
    await cy.call(JoinRoom(room="build"))
    late = await ada.call(share("late.txt"))
    assert [f.id for f in (await cy.call(c.ListFiles(room="build"))).items] == [late.id]
    for request in (c.GetFile(room="build", file=early.id), c.GetFile(room="build", file="early.txt")):
        with pytest.raises(SharedFileNotFound):
            await cy.call(request)


async def test_leaving_the_room_ends_access_to_its_files(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub)
    shared = await ada.call(share("a.txt"))
    await ben.call(LeaveRoom(room="build"))
    with pytest.raises(RoomNotFound):
        await ben.call(c.ReadFile(room="build", file=shared.id))


async def test_text_is_read_in_parts_that_cut_no_character(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub)
    text = "añ文🙂" * 500
    await ada.call(share("long.txt", text.encode()))
    await ada.call(share("plot.png", PNG))
    offset: int | None = 0
    parts: list[str] = []
    while offset is not None:
        part = await ben.call(c.ReadFile(room="build", file="long.txt", offset=offset, max_bytes=37))
        parts.append(part.text or "")
        offset = part.next_offset
    assert "".join(parts) == text
    with pytest.raises(NotText, match="image/png"):
        await ben.call(c.ReadFile(room="build", file="plot.png"))


@pytest.mark.parametrize("offset", [5, 6, 2**44, 2**63 - 1])
async def test_behind_the_end_of_a_file_there_is_an_empty_part(surface_hub: TestHub, offset: int) -> None:
    """Also where no file system could reach."""
    ada, ben = await two(surface_hub)
    await ada.call(share("a.txt", b"hello"))
    part = await ben.call(c.ReadFile(room="build", file="a.txt", offset=offset))
    assert (part.text, part.offset, part.next_offset) == ("", offset, None)


@given(st.binary(max_size=60), st.integers(16, 40))
async def test_a_part_never_loses_bytes_and_always_moves_on(raw: bytes, most: int) -> None:
    text, taken = whole_characters(raw, most)
    assert taken <= most
    assert taken > 0 or not raw
    assert text == raw[:taken].decode(errors="replace")
    if (whole := raw.decode(errors="ignore")).encode() == raw:
        assert whole.startswith(text)


async def test_uploads_of_the_same_new_bytes_at_once_keep_one_copy(hub: TestHub) -> None:
    ada, ben = await two(hub)
    await asyncio.gather(*((ada if i % 2 else ben).call(share(f"n{i}", b"same" * 100)) for i in range(20)))
    assert len(on_disk(hub)) == 1
    for i in range(20):
        assert (await ada.call(c.ReadFile(room="build", file=f"n{i}"))).text == "same" * 100


async def test_collecting_never_takes_bytes_that_are_being_shared(hub: TestHub) -> None:
    ada, _ben = await two(hub)
    blobs = hub.app.dispatch.service(BlobStore)
    for turn in range(30):
        shared = await ada.call(share("a.txt", b"again"))
        deleted = ada.call(c.DeleteFile(room="build", file=shared.id))
        collecting = forget_unneeded(hub.app.store, blobs, hub.clock(), grace_s=0)
        again, _, _ = await asyncio.gather(ada.call(share(f"b{turn}.txt", b"again")), deleted, collecting)
        assert (await ada.call(c.ReadFile(room="build", file=again.id))).text == "again"
        await ada.call(c.DeleteFile(room="build", file=again.id))
    await collect(hub)
    assert on_disk(hub) == []


class Meanwhile:
    """A store beside which something happens right after each long read."""

    def __init__(self, hub: TestHub, act: Callable[[], Awaitable[Any]]) -> None:
        self._store = hub.app.store
        self._act = act
        self.write = self._store.write

    async def read(self, body: Any, *, long: bool = False) -> Any:
        found = await self._store.read(body, long=long)
        await self._act()
        return found


async def test_bytes_shared_again_after_the_collector_chose_them_stay(hub: TestHub) -> None:
    ada, _ben = await two(hub)
    first = await ada.call(share("a.txt", b"again"))
    await ada.call(c.DeleteFile(room="build", file=first.id))
    blobs = hub.app.dispatch.service(BlobStore)
    store: Any = Meanwhile(hub, lambda: ada.call(share("b.txt", b"again")))
    assert await forget_unneeded(store, blobs, hub.clock() + 60_000, grace_s=0) == 0
    assert (await ada.call(c.ReadFile(room="build", file="b.txt"))).text == "again"


async def test_a_sweep_takes_old_leftovers_and_nothing_younger_or_named(hub: TestHub) -> None:
    ada, _ben = await two(hub)
    await ada.call(share("a.txt", b"named"))
    blobs = hub.app.dispatch.service(BlobStore)
    old, young = blobs.directory / "incoming" / "old", blobs.directory / "00" / "young"
    young.parent.mkdir()
    for path in (old, young):
        path.write_bytes(b"left over")
    os.utime(old, (1, 1))
    assert await sweep(hub.app.store, blobs, older_than_s=3600) == 1
    assert {path.read_bytes() for path in on_disk(hub)} == {b"named", b"left over"}
    assert young.exists()
