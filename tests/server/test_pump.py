"""Feeding a stream's reader: at once or by its task, each event once and in order, and nothing it may not have."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from hub.core.cursor import decode
from hub.core.errors import Unauthorized
from hub.core.event import Event
from hub.features.messages.contract import PostMessage
from hub.kernel.agents.contract import IssueToken, RevokeToken
from hub.kernel.inbox.contract import ReadEvents
from hub.kernel.rooms.contract import CreateRoom, GetRoom, JoinRoom, LeaveRoom, UpdateMember
from hub.log import tail
from hub.server import beats
from hub.server.pump import Allowance, Pump
from hub.server.subscription import Batch, Subscription
from tests.support.hubs import TestHub, running_hub
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio


class Recorder:
    """An outlet that keeps what it got, and how; `full` makes it refuse what is written at once."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.cursors: list[str] = []
        self.signals: list[bytes] = []
        self.heartbeats: list[str] = []
        self.at_once = 0
        self.waited_for = 0
        self.full = False

    def write_now(self, batch: Batch) -> bool:
        if self.full:
            return False
        self.at_once += 1
        self._keep(batch)
        return True

    async def write(self, batch: Batch) -> None:
        for _ in range(20):  # long enough that more may come meanwhile
            await checkpoint()
        self.waited_for += 1
        self._keep(batch)

    def still_here_now(self) -> bool:
        if not self.full:
            self.heartbeats.append("at once")
        return not self.full

    async def still_here(self) -> None:
        self.heartbeats.append("waited for")

    def _keep(self, batch: Batch) -> None:
        self.events += [json.loads(frame) for frame in batch.frames]
        self.signals += batch.signals
        self.cursors.append(batch.cursor)

    async def has(self, texts: int) -> None:
        """Until this many messages have come."""
        await eventually(lambda: len(self.texts) >= texts)

    @property
    def texts(self) -> list[str]:
        return [event["data"]["text"] for event in self.events if event["type"] == "message.posted"]


@asynccontextmanager
async def reading(
    hub: TestHub, token: str, *rooms: str, heartbeat_s: float | None = None
) -> AsyncIterator[tuple[Recorder, asyncio.Task[None]]]:
    """A reader at the head of these rooms, and the task that feeds it."""
    principal = await hub.app.authenticator.authenticate(token)
    subscription = Subscription(hub.app.dispatch, principal)
    outlet = Recorder()
    pump = Pump(hub.app, Allowance(hub.app, principal), subscription, outlet)
    await subscription.follow(list(rooms), {})
    pump.open()
    task = asyncio.create_task(pump.run(heartbeat_s))
    await eventually(lambda: task.done() or pump.waits)
    outlet.__init__()  # type: ignore[misc]
    yield outlet, task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def member(hub: TestHub, name: str, *rooms: str) -> str:
    """The token of a new agent that is in these rooms and has read them."""
    caller = await hub.agent(name)
    for room in rooms:
        await caller.call(JoinRoom(room=room))
    return hub.tokens[name]


async def test_a_reader_at_the_head_gets_events_without_waking_its_task(hub: TestHub) -> None:
    local = await hub.local()
    await local.call(CreateRoom(room="build"))
    async with reading(hub, hub.local_token, "build") as (outlet, _task):
        for number in range(3):
            await local.call(PostMessage(room="build", text=str(number)))
            await outlet.has(number + 1)
        assert outlet.texts == ["0", "1", "2"]
        assert (outlet.at_once, outlet.waited_for) == (3, 0)


async def test_a_quiet_room_does_not_hold_up_the_readers_of_a_busy_one(hub: TestHub) -> None:
    local = await hub.local()
    for room in ("build", "quiet"):
        await local.call(CreateRoom(room=room))
    async with reading(hub, hub.local_token, "build", "quiet") as (outlet, _task):
        for number in range(3):
            await local.call(PostMessage(room="build", text=str(number)))
            await outlet.has(number + 1)
        assert (outlet.at_once, outlet.waited_for) == (3, 0)
        await local.call(PostMessage(room="quiet", text="at last"))
        await outlet.has(4)
        assert outlet.texts == ["0", "1", "2", "at last"]


async def test_an_event_is_encoded_once_for_all_its_readers_and_not_at_all_for_nobody(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    frame = Event.frame

    def counted(event: Event) -> bytes:
        encoded.append(event.seq)
        return frame(event)

    monkeypatch.setattr(Event, "frame", counted)
    local = await hub.local()
    await local.call(CreateRoom(room="build", open_to="all"))
    await local.call(PostMessage(room="build", text="nobody listens"))
    assert encoded == []
    async with (
        reading(hub, hub.local_token, "build") as (one, _),
        reading(hub, await member(hub, "eve", "build"), "build") as (other, _),
    ):
        encoded.clear()
        seq = (await local.call(PostMessage(room="build", text="now"))).seq
        await one.has(1)
        await other.has(1)
        assert encoded == [seq]


async def test_a_full_reader_is_fed_by_its_task_and_then_at_once_again(hub: TestHub) -> None:
    local = await hub.local()
    await local.call(CreateRoom(room="build"))
    async with reading(hub, hub.local_token, "build") as (outlet, _task):
        outlet.full = True
        await local.call(PostMessage(room="build", text="full"))
        await eventually(lambda: outlet.waited_for == 1)
        outlet.full = False
        await local.call(PostMessage(room="build", text="free"))
        await eventually(lambda: outlet.at_once == 1)
        assert outlet.texts == ["full", "free"]


@effort(max_examples=15)
@given(
    st.lists(
        st.tuples(st.sampled_from(["one", "two"]), st.sampled_from(["post", "burst", "full", "free", "leave"])),
        max_size=30,
    )
)
def test_any_mix_of_rooms_and_full_sockets_gives_each_event_once_in_order(steps: list[tuple[str, str]]) -> None:
    async def run(home: Path) -> None:
        async with running_hub(home) as hub:
            local, other = await hub.local(), await hub.agent("other")
            for room in ("one", "two"):
                await local.call(CreateRoom(room=room, open_to="all"))
            async with reading(hub, hub.local_token, "one", "two") as (outlet, _task):
                heads = {room: (await local.call(ReadEvents(room=room))).cursor for room in ("one", "two")}
                for room, step in steps:
                    if step in ("full", "free"):
                        outlet.full = step == "full"
                    elif step == "leave":
                        await other.call(JoinRoom(room=room))
                        await other.call(LeaveRoom(room=room))
                    else:
                        posts = [PostMessage(room=room, text=step)] * (1 if step == "post" else 5)
                        await asyncio.gather(*(local.call(post) for post in posts))
                for room, head in heads.items():
                    page = await local.call(ReadEvents(room=room, cursor=head, limit=1000))
                    wanted = [event["seq"] for event in page.model_dump()["items"]]

                    await eventually(partial(_came, outlet, room, len(wanted)))
                    assert [event["seq"] for event in outlet.events if event["room"] == room] == wanted

    with tempfile.TemporaryDirectory() as home:
        asyncio.run(run(Path(home)))


async def test_the_cursor_written_last_resumes_after_everything_that_came(hub: TestHub) -> None:
    local = await hub.local()
    for room in ("one", "two"):
        await local.call(CreateRoom(room=room))
    async with reading(hub, hub.local_token, "one", "two") as (outlet, _task):
        for number, room in enumerate(("one", "two", "one")):
            await local.call(PostMessage(room=room, text=str(number)))
            await outlet.has(number + 1)
    await local.call(PostMessage(room="two", text="later"))
    for room, texts in (("one", []), ("two", ["later"])):
        page = await local.call(ReadEvents(room=room, cursor=outlet.cursors[-1]))
        assert [event["data"]["text"] for event in page.model_dump()["items"]] == texts


async def test_a_removed_member_gets_its_removal_and_nothing_after(hub: TestHub) -> None:
    local = await hub.local()
    await local.call(CreateRoom(room="build", open_to="all"))
    async with reading(hub, await member(hub, "ada", "build"), "build") as (outlet, task):
        await local.call(PostMessage(room="build", text="before"))
        await eventually(lambda: outlet.at_once == 1)
        removal = local.call(UpdateMember(room="build", agent="ada", removed=True))
        await asyncio.gather(removal, *(local.call(PostMessage(room="build", text="secret")) for _ in range(3)))
        await eventually(lambda: outlet.events[-1]["type"] == "member.left")
        await local.call(PostMessage(room="build", text="secret"))
        await _settled(hub)
        assert not task.done()
        assert outlet.texts == ["before"]


async def test_nothing_posted_after_a_token_ended_is_written(hub: TestHub) -> None:
    local = await hub.local()
    await local.call(CreateRoom(room="build", open_to="all"))
    await member(hub, "ada", "build")
    token = await local.call(IssueToken(agent="ada"))
    assert token.token is not None
    async with reading(hub, token.token, "build") as (outlet, task):
        await local.call(PostMessage(room="build", text="before"))
        await eventually(lambda: outlet.at_once == 1)
        revoked = asyncio.ensure_future(local.call(RevokeToken(token_id=token.token_id)))
        posts = [asyncio.ensure_future(local.call(PostMessage(room="build", text="secret"))) for _ in range(3)]
        await asyncio.gather(revoked, *posts)
        with pytest.raises(Unauthorized):
            await asyncio.wait_for(task, 5)
        assert outlet.texts == ["before"]


async def about_to_expire(hub: TestHub) -> str:
    """The token of a member of `build` that lasts for half a second."""
    local = await hub.local()
    await local.call(CreateRoom(room="build", open_to="all"))
    await member(hub, "ada", "build")
    made = await local.call(IssueToken(agent="ada", expires_in_s=60))
    assert made.token is not None
    hub.clock.advance(59.5)
    return made.token


async def test_an_expired_token_ends_its_stream_though_events_never_pause(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by reading: only a quiet room was asked whether the token had expired."""
    monkeypatch.setattr(beats, "BEAT_S", 0.05)
    local, token = await hub.local(), await about_to_expire(hub)
    async with reading(hub, token, "build") as (outlet, task):
        await local.call(PostMessage(room="build", text="before"))
        await eventually(lambda: outlet.at_once == 1)
        hub.clock.advance(1)

        async def post_until_it_ends() -> bool:
            await local.call(PostMessage(room="build", text="busy"))
            return task.done()

        await eventually(post_until_it_ends, within_s=5)
        with pytest.raises(Unauthorized):
            await task


async def test_a_quiet_stream_ends_with_its_token_though_it_has_no_heartbeat(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beats, "BEAT_S", 0.05)
    token = await about_to_expire(hub)
    async with reading(hub, token, "build") as (_outlet, task):
        assert not task.done()
        hub.clock.advance(1)
        with pytest.raises(Unauthorized):
            await asyncio.wait_for(task, 5)


async def test_a_heartbeat_asks_nothing_and_wakes_nobody_while_nothing_changes(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beats, "BEAT_S", 0.02)
    local = await hub.local()
    await local.call(CreateRoom(room="build"))
    async with reading(hub, hub.local_token, "build", heartbeat_s=0.02) as (outlet, _task):
        await eventually(lambda: outlet.heartbeats.count("at once") == 3)
        assert set(outlet.heartbeats) == {"at once"}
        outlet.full = True
        await eventually(lambda: outlet.heartbeats.count("waited for") == 3)


async def test_many_readers_are_served_in_turns_so_that_others_get_theirs(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "_TURN_S", 0)
    served: list[str] = []

    class Slow:
        def grown(self) -> None:
            if not served:
                asyncio.get_running_loop().call_soon(served.append, "another")
            served.append("reader")

    tails = hub.app.tails
    for _ in range(3):
        tails.follow([-77], Slow())
    tails.poke(-77)
    await eventually(lambda: len(served) == 4)
    assert served[-1] == "reader"


async def test_signals_come_at_once_and_only_once(hub: TestHub) -> None:
    local = await hub.local()
    await local.call(CreateRoom(room="build"))
    log = decode((await local.call(GetRoom(room="build"))).cursor)
    async with reading(hub, hub.local_token, "build") as (outlet, _task):
        for number in range(2):
            hub.app.tails.signal(next(iter(log)), b"%d" % number)
            await eventually(lambda: outlet.at_once)
            await local.call(PostMessage(room="build", text="x"))
            await outlet.has(number + 1)
        assert outlet.signals == [b"0", b"1"]
        assert outlet.waited_for == 0


def _came(outlet: Recorder, room: str, events: int) -> bool:
    return len([event for event in outlet.events if event["room"] == room]) >= events


async def _settled(hub: TestHub) -> None:
    """Until every reader that was told of something had its turn."""
    served: list[None] = []

    class Last:
        def grown(self) -> None:
            served.append(None)

    last = Last()
    hub.app.tails.follow([-78], last)
    hub.app.tails.poke(-78)
    await eventually(lambda: served)
    hub.app.tails.unfollow([-78], last)
    await checkpoint()
