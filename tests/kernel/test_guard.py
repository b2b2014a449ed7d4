"""The loop guard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.errors import LoopGuard
from hub.features.messages.contract import PostMessage
from hub.kernel.inbox.contract import ReadInbox
from hub.kernel.messages.guard import LONGEST_PAUSE_MS, GuardState, judge
from hub.kernel.rooms.contract import CreateRoom, JoinRoom, UpdateRoom
from tests.support.hubs import TestHub


@pytest.mark.anyio
async def test_a_room_over_its_budget_pauses_agents_and_a_person_lifts_it(hub: TestHub) -> None:
    local, ada, bot = await hub.local(), await hub.agent("ada", "code"), await hub.agent("bot", "script")
    await local.call(CreateRoom(room="build", open_to="all"))
    await local.call(UpdateRoom(room="build", messages_per_min=5))
    for caller in (ada, bot):
        await caller.call(JoinRoom(room="build"))
    question = await bot.call(PostMessage(room="build", text="?", kind="question"))
    for i in range(5):
        await ada.call(PostMessage(room="build", text=str(i)))
    with pytest.raises(LoopGuard, match="paused until"):
        await ada.call(PostMessage(room="build", text="too much"))
    await ada.call(PostMessage(room="build", text="answers pass", kind="answer", reply_to=question.id))
    await bot.call(PostMessage(room="build", text="scripts pass"))
    assert [m.kind for m in (await local.call(ReadInbox())).messages if m.sender == "hub"] == ["notice"]
    await local.call(PostMessage(room="build", text="go on"))
    await ada.call(PostMessage(room="build", text="thanks"))


@pytest.mark.anyio
async def test_a_reply_chain_between_agents_ends(hub: TestHub) -> None:
    ada, ben = await hub.agent("ada", "code"), await hub.agent("ben", "code")
    await ada.call(CreateRoom(room="build", open_to="all"))
    await ben.call(JoinRoom(room="build"))
    last = (await ada.call(PostMessage(room="build", text="0"))).id
    for i in range(16):
        last = (await (ben, ada)[i % 2].call(PostMessage(room="build", text="re", reply_to=last))).id
    with pytest.raises(LoopGuard, match="chain"):
        await ada.call(PostMessage(room="build", text="and on", reply_to=last))
    bot = await hub.agent("bot", "script")
    await bot.call(JoinRoom(room="build"))
    fresh = (await bot.call(PostMessage(room="build", text="reset", reply_to=last))).id
    await ada.call(PostMessage(room="build", text="again", reply_to=fresh))


@given(st.lists(st.integers(0, 40_000), max_size=200), st.integers(1, 20))
def test_no_minute_ever_has_more_than_the_budget(gaps: list[int], budget: int) -> None:
    state, now, passed = GuardState(), 10**9, []
    for gap in gaps:
        now += gap
        state, until = judge(state, now, budget)
        if until is None:
            passed.append(now)
        else:
            assert now < until <= now + LONGEST_PAUSE_MS
    for start in passed:
        assert sum(1 for at in passed if start <= at < start + 60_000) <= budget * 2
