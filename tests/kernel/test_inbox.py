"""What poll gives, in which order, and what it offers again."""

from __future__ import annotations

import asyncio

import pytest

from hub.core.errors import CursorAhead
from hub.features.messages.contract import PostDirect, PostMessage
from hub.kernel.inbox.contract import AckInbox, PollInbox, ReadEvents, ReadInbox
from hub.kernel.rooms.contract import CreateChannel, CreateRoom, FollowChannel, JoinRoom, UpdateMember
from tests.support.hubs import TestHub
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio


async def test_what_was_handed_out_and_not_acknowledged_is_offered_again(hub: TestHub) -> None:
    ada, ben = await hub.agent("ada", "code"), await hub.agent("ben", "code")
    await ada.call(CreateRoom(room="build", open_to="all"))
    await ben.call(JoinRoom(room="build"))
    await ada.call(PostMessage(room="build", text="one"))
    assert not (await ben.call(PollInbox())).messages[0].redelivered

    async def offered_again() -> bool:
        found = (await ben.call(PollInbox())).messages
        assert [m.text for m in found] == ["one"]
        return found[0].redelivered

    await eventually(offered_again)


async def test_priority_never_reorders_messages(hub: TestHub) -> None:
    ada, ben = await hub.agent("ada"), await hub.agent("ben")
    await ada.call(CreateRoom(room="build", open_to="all"))
    await ben.call(JoinRoom(room="build"))
    for level in ("bulk", "low", "critical", "normal"):
        await ada.call(PostMessage.model_validate({"room": "build", "text": level, "priority": level}))
    assert [m.text for m in (await ben.call(ReadInbox())).messages] == ["bulk", "low", "critical", "normal"]


async def test_rooms_take_turns_and_what_concerns_me_comes_first(hub: TestHub) -> None:
    ada, ben = await hub.agent("ada"), await hub.agent("ben")
    for room in ("loud", "quiet"):
        await ada.call(CreateRoom(room=room, open_to="all"))
        await ben.call(JoinRoom(room=room))
    for i in range(5):
        await ada.call(PostMessage(room="loud", text=f"loud {i}"))
    await ada.call(PostMessage(room="quiet", text="@ben look"))
    page = await ben.call(ReadInbox(limit=3))
    assert [m.text for m in page.messages] == ["@ben look", "loud 0", "loud 1"]
    assert page.has_more
    await ben.call(AckInbox(cursor=page.cursor))
    assert [m.text for m in (await ben.call(ReadInbox())).messages] == ["loud 2", "loud 3", "loud 4"]


async def test_a_muted_channel_brings_only_what_concerns_me(hub: TestHub) -> None:
    ada, ben = await hub.agent("ada"), await hub.agent("ben")
    await ada.call(CreateRoom(room="build", open_to="all"))
    await ben.call(JoinRoom(room="build"))
    await ada.call(CreateChannel(room="build", channel="noise"))
    await ben.call(FollowChannel(room="build", channel="noise", state="mute"))
    await ada.call(PostMessage(room="build", channel="noise", text="blah"))
    await ada.call(PostMessage(room="build", channel="noise", text="for you", to=("ben",)))
    assert [m.text for m in (await ben.call(ReadInbox())).messages] == ["for you"]


async def test_a_background_wait_ends_only_at_what_concerns_me(hub: TestHub) -> None:
    ada, ben = await hub.agent("ada", "code"), await hub.agent("ben", "code")
    await ada.call(CreateRoom(room="build", open_to="all"))
    await ben.call(JoinRoom(room="build"))
    waiting = asyncio.create_task(ben.call(PollInbox(wait_s=20, wake="concerned")))
    await ada.call(PostMessage(room="build", text="by the way"))
    done, _ = await asyncio.wait({waiting}, timeout=0.2)
    assert not done
    await ada.call(PostMessage(room="build", text="you", to=("ben",)))
    async with asyncio.timeout(5):
        assert [m.text for m in (await waiting).messages] == ["by the way", "you"]


async def test_the_wake_rule_all_lets_anything_end_it(hub: TestHub) -> None:
    ada, ben = await hub.agent("ada", "code"), await hub.agent("ben", "code")
    await ada.call(CreateRoom(room="build", open_to="all"))
    await ben.call(JoinRoom(room="build"))
    await ben.call(UpdateMember(room="build", agent="ben", wake="all"))
    waiting = asyncio.create_task(ben.call(PollInbox(wait_s=20, wake="concerned")))
    await asyncio.wait({waiting}, timeout=0.1)
    await ada.call(PostMessage(room="build", text="by the way"))
    async with asyncio.timeout(5):
        assert len((await waiting).messages) == 1


async def test_a_reader_far_behind_is_woken_by_what_concerns_it_and_reads_on_in_order(hub: TestHub) -> None:
    ada, ben = await hub.agent("ada", "code"), await hub.agent("ben", "code")
    await ada.call(CreateRoom(room="build", open_to="all"))
    await ben.call(JoinRoom(room="build"))
    for number in range(12):
        await ada.call(PostMessage(room="build", text=f"by the way {number}"))
    waiting = asyncio.create_task(ben.call(PollInbox(wait_s=20, wake="concerned", limit=5)))
    await asyncio.wait({waiting}, timeout=0.1)
    asked = await ada.call(PostMessage(room="build", text="you", to=("ben",)))
    async with asyncio.timeout(5):
        page = await waiting
    assert [m.text for m in page.messages] == [f"by the way {number}" for number in range(5)]
    assert page.waking == ()
    later = await ben.call(ReadInbox(after=page.cursor, wake="concerned"))
    assert [m.text for m in later.messages] == [f"by the way {number}" for number in range(5, 12)] + ["you"]
    assert later.waking == (asked.id,)
    assert len((await ben.call(ReadInbox())).messages) == 13, "reading after a cursor moves nothing"


async def test_a_first_direct_message_wakes_somebody_who_waits(hub: TestHub) -> None:
    ada, ben = await hub.agent("ada", "code"), await hub.agent("ben", "code")
    waiting = asyncio.create_task(ben.call(PollInbox(wait_s=20)))
    await asyncio.wait({waiting}, timeout=0.1)
    await ada.call(PostDirect(agent="ben", text="psst"))
    async with asyncio.timeout(5):
        assert [m.text for m in (await waiting).messages] == ["psst"]


async def test_a_joiner_starts_at_the_head_and_may_read_back(hub: TestHub) -> None:
    ada, ben = await hub.agent("ada"), await hub.agent("ben")
    await ada.call(CreateRoom(room="build", open_to="all"))
    await ada.call(PostMessage(room="build", text="before"))
    await ben.call(JoinRoom(room="build"))
    assert (await ben.call(ReadInbox())).messages == ()
    assert "before" in str((await ben.call(ReadEvents(room="build"))).items)


async def test_history_since_join_hides_what_was_before(hub: TestHub) -> None:
    ada, ben = await hub.agent("ada"), await hub.agent("ben")
    await ada.call(CreateRoom(room="build", open_to="all", history="since_join"))
    await ada.call(PostMessage(room="build", text="before"))
    await ben.call(JoinRoom(room="build"))
    await ada.call(PostMessage(room="build", text="after"))
    seen = str((await ben.call(ReadEvents(room="build"))).items)
    assert "after" in seen
    assert "before" not in seen


async def test_a_cursor_of_another_epoch_is_a_gap(hub: TestHub) -> None:
    ada = await hub.agent("ada")
    made = await ada.call(CreateRoom(room="build"))
    await hub.app.store.write(lambda tx: tx.run("update log set epoch = epoch + 2 where name = 'build'"))
    await hub.app.store.write(lambda tx: tx.forget(("stream", 2)))
    page = await ada.call(ReadEvents(room="build", cursor=made.cursor))
    assert [g.reason for g in page.gaps] == ["epoch"]
    assert len(page.items) == made.head


async def test_an_acknowledgement_ahead_of_the_room_is_refused(hub: TestHub) -> None:
    ada = await hub.agent("ada")
    made = await ada.call(CreateRoom(room="build"))
    with pytest.raises(CursorAhead):
        await ada.call(AckInbox(cursor=made.cursor[:-1] + "z"))


async def test_unread_is_exact_to_a_hundred(hub: TestHub) -> None:
    ada, ben = await hub.agent("ada"), await hub.agent("ben")
    await ada.call(CreateRoom(room="build", open_to="all"))
    await ben.call(JoinRoom(room="build"))
    for i in range(100):
        await ada.call(PostMessage(room="build", text=str(i)))
    assert (await ben.call(ReadInbox(limit=10))).unread == 100
    await ada.call(PostMessage(room="build", text="one more"))
    assert (await ben.call(ReadInbox(limit=10))).unread == 101
