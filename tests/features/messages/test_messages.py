"""Sending, reading, editing, redacting, reacting: through in-process and HTTP callers alike."""

from __future__ import annotations

import pytest

from hub.core.caller import Caller
from hub.core.errors import Forbidden, Invalid, MessageNotFound, NotMembers, RoomNotFound
from hub.features.messages.contract import (
    AcceptAnswer,
    EditMessage,
    GetMessage,
    GetReceipts,
    ListMessages,
    ListQuestions,
    PostDirect,
    PostMessage,
    React,
    RedactMessage,
    Unreact,
)
from hub.kernel.inbox.contract import AckInbox, PollInbox, ReadEvents, ReadInbox
from hub.kernel.rooms.contract import CreateRoom, JoinRoom, ListRooms
from tests.support.hubs import TestHub

pytestmark = pytest.mark.anyio


async def two(hub: TestHub, kind: str = "code") -> tuple[Caller, Caller]:
    ada, ben = await hub.agent("ada", kind), await hub.agent("ben", kind)
    await ada.call(CreateRoom(room="build", open_to="owner"))
    await ben.call(JoinRoom(room="build"))
    return ada, ben


async def test_a_message_reaches_the_other_members_inbox_and_not_the_senders(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub)
    posted = await ada.call(PostMessage(room="build", text="hello 🌍"))
    inbox = await ben.call(ReadInbox())
    assert [(m.text, m.sender, m.from_kind, m.id) for m in inbox.messages] == [("hello 🌍", "ada", "code", posted.id)]
    assert inbox.unread == 1
    assert (await ada.call(ReadInbox())).messages == ()


async def test_reading_never_consumes_and_only_an_acknowledgement_moves_the_position(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub)
    await ada.call(PostMessage(room="build", text="one"))
    first = await ben.call(PollInbox())
    again = await ben.call(PollInbox())
    assert [m.text for m in first.messages] == [m.text for m in again.messages] == ["one"]
    await ada.call(PostMessage(room="build", text="two"))
    after = await ben.call(PollInbox(ack=first.cursor))
    assert [m.text for m in after.messages] == ["two"]
    await ben.call(AckInbox(cursor=after.cursor))
    assert (await ben.call(ReadInbox())).messages == ()
    await ben.call(AckInbox(cursor=first.cursor))
    assert (await ben.call(ReadInbox())).messages == (), "an old cursor never moves a position back"


async def test_a_direct_message_is_visible_to_its_two_agents_only(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub)
    eve = await surface_hub.agent("eve")
    sent = await ada.call(PostDirect(agent="ben", text="psst"))
    assert sent.room.startswith("@")
    assert [m.text for m in (await ben.call(ReadInbox())).messages] == ["psst"]
    assert (await eve.call(ReadInbox())).messages == ()
    with pytest.raises(RoomNotFound):
        await eve.call(ListMessages(room=sent.room))
    assert [r.room for r in (await ben.call(ListRooms(dm=True))).items] == [sent.room]
    assert "build" in [r.room for r in (await ben.call(ListRooms())).items]


async def test_recipients_outside_the_room_are_refused_with_the_members(surface_hub: TestHub) -> None:
    ada, _ben = await two(surface_hub)
    await surface_hub.agent("eve")
    with pytest.raises(NotMembers, match=r"eve.*members: ada, local, ben"):
        await ada.call(PostMessage(room="build", text="x", to=("eve",)))
    with pytest.raises(NotMembers, match="did you mean 'ben'"):
        await ada.call(PostMessage(room="build", text="x", to=("bem",)))


async def test_an_edit_replaces_the_text_and_a_redaction_blanks_it_everywhere(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub)
    sent = await ada.call(PostMessage(room="build", text="secret one"))
    await ada.call(EditMessage(room="build", message=sent.id, text="secret two"))
    shown = (await ben.call(GetMessage(room="build", message=sent.id))).message
    assert (shown.text, shown.edited_at is not None) == ("secret two", True)
    with pytest.raises(Forbidden):
        await ben.call(EditMessage(room="build", message=sent.id, text="mine"))
    with pytest.raises(Forbidden):
        await ben.call(RedactMessage(room="build", message=sent.id))
    await ada.call(RedactMessage(room="build", message=sent.id))
    gone = (await ben.call(GetMessage(room="build", message=sent.id))).message
    assert (gone.text, gone.tombstone) == ("", "redacted")
    events = await ben.call(ReadEvents(room="build"))
    assert "secret" not in str(events.items)
    assert [e["seq"] for e in events.items] == list(range(1, len(events.items) + 1))


async def test_a_redaction_finds_an_edit_however_its_id_was_spelled(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub)
    sent = await ada.call(PostMessage(room="build", text="secret one"))
    log, seq = sent.id[1:].split("-")
    await ada.call(EditMessage(room="build", message=f"m0{log}-0{seq}", text="secret two"))
    await ada.call(RedactMessage(room="build", message=sent.id))
    assert "secret" not in str((await ben.call(ReadEvents(room="build"))).items)


async def test_reactions_show_who_and_can_be_taken_back(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub)
    sent = await ada.call(PostMessage(room="build", text="done"))
    await ben.call(React(room="build", message=sent.id, emoji="👍"))
    assert (await ada.call(ListMessages(room="build"))).items[-1].reactions == {"👍": ("ben",)}
    await ben.call(Unreact(room="build", message=sent.id, emoji="👍"))
    assert (await ada.call(ListMessages(room="build"))).items[-1].reactions == {}


async def test_only_the_asker_accepts_an_answer_and_that_closes_the_question(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub)
    asked = await ada.call(PostMessage(room="build", text="which port?", kind="question", to=("ben",)))
    answer = await ben.call(PostMessage(room="build", text="7411", kind="answer", reply_to=asked.id))
    with pytest.raises(Forbidden):
        await ben.call(AcceptAnswer(room="build", question=asked.id, answer=answer.id))
    assert [q.id for q in (await ada.call(ListQuestions(room="build"))).items] == [asked.id]
    await ada.call(AcceptAnswer(room="build", question=asked.id, answer=answer.id))
    assert (await ada.call(ListQuestions(room="build"))).items == ()
    notices = [m for m in (await ben.call(ReadInbox())).messages if m.kind == "notice"]
    assert [n.sender for n in notices] == ["hub"]


@pytest.mark.parametrize(("kind", "state"), [("code", "seen"), ("script", "delivered")])
async def test_single_messages_can_be_proved_without_moving_the_position(
    surface_hub: TestHub, kind: str, state: str
) -> None:
    ada, ben = await surface_hub.agent("ada"), await surface_hub.agent("ben", kind)
    await ada.call(CreateRoom(room="build", open_to="all"))
    await ben.call(JoinRoom(room="build"))
    one, two = [await ada.call(PostMessage(room="build", text=text, to=("ben",))) for text in ("one", "two")]
    await ben.call(AckInbox(messages=(two.id,)))

    async def found(message: str) -> str:
        return (await ada.call(GetReceipts(room="build", message=message))).receipts[0].state

    assert (await found(one.id), await found(two.id)) == ("queued", state)
    assert [m.text for m in (await ben.call(ReadInbox())).messages] == ["one", "two"]


async def test_receipts_go_from_queued_over_seen_to_answered(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub)
    sent = await ada.call(PostMessage(room="build", text="please", to=("ben",), needs_ack=True))

    async def state() -> str:
        return (await ada.call(GetReceipts(room="build", message=sent.id))).receipts[0].state

    assert await state() == "queued"
    page = await ben.call(PollInbox())
    assert await state() in ("queued", "delivered"), "handing out is never proof"
    await ben.call(AckInbox(cursor=page.cursor))
    assert await state() == "seen"
    await ben.call(PostMessage(room="build", text="ok", reply_to=sent.id))
    assert await state() == "answered"


async def test_a_script_stops_at_delivered(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub, kind="script")
    sent = await ada.call(PostMessage(room="build", text="please", to=("ben",)))
    page = await ben.call(PollInbox())
    await ben.call(AckInbox(cursor=page.cursor))
    assert (await ada.call(GetReceipts(room="build", message=sent.id))).receipts[0].state == "delivered"


async def test_history_pages_backwards_by_channel_and_thread(surface_hub: TestHub) -> None:
    ada, _ben = await two(surface_hub)
    ids = [(await ada.call(PostMessage(room="build", text=str(i)))).id for i in range(5)]
    reply = await ada.call(PostMessage(room="build", text="re", reply_to=ids[1]))
    newest = await ada.call(ListMessages(room="build", limit=2))
    assert ([m.text for m in newest.items], newest.has_more) == (["4", "re"], True)
    older = await ada.call(ListMessages(room="build", before=newest.items[0].id, limit=3))
    assert [m.text for m in older.items] == ["1", "2", "3"]
    later = await ada.call(ListMessages(room="build", after=ids[2], limit=2))
    assert [m.text for m in later.items] == ["3", "4"]
    thread = await ada.call(ListMessages(room="build", thread=ids[1]))
    assert [m.id for m in thread.items] == [ids[1], reply.id]


async def test_a_message_of_another_room_is_not_found_here(surface_hub: TestHub) -> None:
    ada, _ben = await two(surface_hub)
    await ada.call(CreateRoom(room="other"))
    sent = await ada.call(PostMessage(room="other", text="x"))
    with pytest.raises(MessageNotFound):
        await ada.call(GetMessage(room="build", message=sent.id))
    with pytest.raises(MessageNotFound):
        await ada.call(GetMessage(room="build", message="nonsense"))


async def test_an_expired_message_is_gone_from_every_reader_at_its_time(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub)
    sent = await ada.call(PostMessage(room="build", text="soon gone", ttl_s=60))
    assert len((await ben.call(ReadInbox())).messages) == 1
    surface_hub.clock.advance(61)
    assert (await ben.call(ReadInbox())).messages == ()
    gone = (await ben.call(GetMessage(room="build", message=sent.id))).message
    assert (gone.text, gone.tombstone) == ("", "expired")


async def test_a_long_text_is_read_in_parts(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub)
    text = "é" * 5000
    sent = await ada.call(PostMessage(room="build", text=text))
    parts, offset = [], 0
    while True:
        part = await ben.call(GetMessage(room="build", message=sent.id, offset=offset, max_bytes=3001))
        parts.append(part.message.text)
        if part.next_offset is None:
            break
        offset = part.next_offset
    assert "".join(parts) == text


async def test_a_direct_message_to_oneself_is_refused(surface_hub: TestHub) -> None:
    ada, _ben = await two(surface_hub)
    with pytest.raises(Invalid):
        await ada.call(PostDirect(agent="ada", text="me"))
