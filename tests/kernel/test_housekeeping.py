"""What time brings, on a clock the test moves."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.core.call import Call
from hub.core.errors import RoomNotFound
from hub.features.messages.contract import EditMessage, GetReceipts, PostMessage, RedactMessage
from hub.features.search.contract import Search
from hub.kernel.inbox.contract import AckInbox, ReadEvents, ReadInbox
from hub.kernel.rooms.contract import CreateRoom, JoinRoom, UpdateRoom
from hub.log.chore import Chore
from hub.server.timers import Clockwork
from hub.storage.interface import Tx
from tests.support.hubs import TestHub, running_hub
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio


async def tick(hub: TestHub) -> None:
    await hub.app.dispatch.service(Clockwork).run_due()


async def test_an_expired_text_is_blanked_on_disk_with_its_edits(hub: TestHub) -> None:
    ada = await hub.agent("ada")
    await ada.call(CreateRoom(room="build"))
    sent = await ada.call(PostMessage(room="build", text="secret-one", ttl_s=10))
    await ada.call(EditMessage(room="build", message=sent.id, text="secret-two"))
    hub.clock.advance(11)
    await tick(hub)
    stored = await hub.app.store.read(lambda tx: [bytes(row[0]) for row in tx.rows("select data from event")])
    assert not any(b"secret" in data for data in stored)
    events = (await ada.call(ReadEvents(room="build"))).items
    assert [(e["type"], e["tombstone"]) for e in events[-2:]] == [
        ("message.posted", "expired"),
        ("message.edited", "expired"),
    ]


async def test_a_redacted_text_is_soon_in_no_file_of_a_running_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Free pages, the write-ahead log and the search index included."""
    monkeypatch.setattr("hub.server.timers.CLEAN_S", 0.05)
    secrets = [b"short-secret", b"long-secret"]

    def holding() -> list[str]:
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        return [path.name for path in files for secret in secrets if secret in path.read_bytes()]

    async with running_hub(tmp_path) as hub:
        ada = await hub.agent("ada")
        await ada.call(CreateRoom(room="build"))
        sent = [
            await ada.call(PostMessage(room="build", text=text)) for text in ("short-secret", "long-secret " * 2000)
        ]
        await ada.call(EditMessage(room="build", message=sent[0].id, text="short-secret again"))
        assert len((await ada.call(Search(q="secret"))).items) == 2
        assert len(holding()) >= 2
        for message in sent:
            await ada.call(RedactMessage(room="build", message=message.id))
        await eventually(lambda: not holding(), what="the text is gone from every file")


async def test_a_message_nobody_saw_by_its_deadline_is_reported_to_its_sender_once(hub: TestHub) -> None:
    ada, ben = await hub.agent("ada", "code"), await hub.agent("ben", "code")
    await ada.call(CreateRoom(room="build", open_to="all"))
    await ben.call(JoinRoom(room="build"))
    sent = await ada.call(PostMessage(room="build", text="now", to=("ben",), needs_ack=True, ttl_s=3600))
    for _ in range(5):
        hub.clock.advance(1000)
        await tick(hub)
    state = (await ada.call(GetReceipts(room="build", message=sent.id))).receipts[0].state
    assert state == "expired"
    notices = [m for m in (await ada.call(ReadInbox())).messages if m.kind == "notice"]
    assert [n.text for n in notices] == [f"Not seen in time: {sent.id} by ben."]


async def test_a_seen_message_is_not_offered_again(hub: TestHub) -> None:
    ada, ben = await hub.agent("ada", "code"), await hub.agent("ben", "code")
    await ada.call(CreateRoom(room="build", open_to="all"))
    await ben.call(JoinRoom(room="build"))
    await ada.call(PostMessage(room="build", text="now", to=("ben",), needs_ack=True))
    await ben.call(AckInbox(cursor=(await ben.call(ReadInbox())).cursor))
    due = await hub.app.store.read(lambda tx: tx.rows("select 1 from delivery where due_at is not null"))
    assert due == []


async def test_retention_trims_and_a_reader_behind_it_gets_a_gap(hub: TestHub) -> None:
    local = await hub.local()
    await local.call(CreateRoom(room="build"))
    first = await local.call(ReadEvents(room="build", limit=1))
    for i in range(150):
        await local.call(PostMessage(room="build", text=str(i)))
    await local.call(UpdateRoom(room="build", keep_events=100))
    hub.clock.advance(31)
    await tick(hub)
    page = await local.call(ReadEvents(room="build", cursor=first.cursor, limit=1000))
    assert len(page.items) == 100
    assert [g.reason for g in page.gaps] == ["trimmed"]
    assert page.gaps[0].to_seq + 1 == page.items[0]["seq"] == page.gaps[0].oldest_seq
    assert (await local.call(PostMessage(room="build", text="after"))).seq == page.items[-1]["seq"] + 1


async def test_a_chore_that_fails_keeps_no_other_from_its_turn(hub: TestHub) -> None:
    clockwork = Clockwork(hub.app)
    done: list[str] = []

    def fail(tx: Tx, call: Call) -> bool:
        raise RoomNotFound("broken")

    def work(tx: Tx, call: Call) -> bool:
        done.append("work")
        return len(done) < 3

    clockwork.chores = [Chore(1, fail), Chore(1, work)]
    with pytest.raises(RoomNotFound):
        await clockwork.run_due()
    assert done == ["work"] * 3
