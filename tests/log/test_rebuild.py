"""The rows are what the log says: rebuilt equals live, after any history and after trimming."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub import features
from hub.core.errors import HubError
from hub.core.operation import Request
from hub.features.kanban.contract import AddCard, ClaimCard, CommentCard, MoveCard, UpdateCard
from hub.features.messages.contract import (
    AcceptAnswer,
    EditMessage,
    PostDirect,
    PostMessage,
    React,
    RedactMessage,
    Unreact,
)
from hub.features.voting.contract import CastBallot, OpenProposal, ProposeAmendment, WithdrawProposal
from hub.kernel.agents.contract import IssueToken, RetireAgent
from hub.kernel.rooms.contract import (
    ArchiveRoom,
    CreateChannel,
    CreateInvite,
    CreateRoom,
    JoinRoom,
    LeaveRoom,
    UpdateMember,
    UpdateRoom,
)
from hub.log.log import load_stream
from hub.log.rebuild import dump, rebuild
from hub.log.retention import trim
from hub.storage.interface import Tx
from tests.support.hubs import TestHub, running_hub

TABLES, BY_EVENT = features.projection_tables(), features.event_tables()


def same_after_rebuild(tx: Tx) -> list[str]:
    """Tables whose rebuilt rows differ from the live ones, with both."""
    wrong = []
    for row in tx.rows("select id, name from log"):
        live = dump(tx, row[0], TABLES)
        rebuild(tx, row[0], TABLES, BY_EVENT)
        made = dump(tx, row[0], TABLES)
        wrong += [f"{row[1]}.{t}: {live[t]} became {made[t]}" for t in TABLES if made[t] != live[t]]
    return wrong


async def random_history(hub: TestHub, seed: int, steps: int) -> None:
    """Agents doing anything they may, and things they may not."""
    dice = random.Random(seed)
    names = ["ada", "ben", "cy"]
    callers = {name: await hub.agent(name, dice.choice(["code", "script"])) for name in names}
    rooms = ["one", "two"]
    for room in rooms:
        await callers["ada"].call(CreateRoom(room=room, open_to="all"))
    ids: dict[str, list[str]] = {room: [] for room in rooms}
    for _ in range(steps):
        who, room = dice.choice(names), dice.choice(rooms)
        request = random_request(dice, room, names, ids[room])
        try:
            result: Any = await callers[who].call(request)
        except HubError:
            continue
        if isinstance(request, PostMessage | OpenProposal | AddCard):
            ids[room].append(result.id)


def random_request(dice: random.Random, room: str, names: list[str], ids: list[str]) -> Request[Any]:
    some = dice.choice(ids) if ids else "m1-1"
    card = dice.choice([i for i in ids if i.startswith("c")] or ["c1-1"])
    props = [i for i in ids if i.startswith("p")] or ["p1-1"]
    return dice.choice(
        [
            PostMessage(
                room=room, text="x", reply_to=dice.choice([None, some]), kind=dice.choice(["chat", "question"])
            ),
            PostMessage(room=room, text="y", ttl_s=5, to=(dice.choice(names),)),
            PostDirect(agent=dice.choice(names), text="psst"),
            EditMessage(room=room, message=some, text="z"),
            RedactMessage(room=room, message=some),
            React(room=room, message=some, emoji="👍"),
            Unreact(room=room, message=some, emoji="👍"),
            AcceptAnswer(room=room, question=some, answer=dice.choice(ids) if ids else "m1-1"),
            JoinRoom(room=room, role=dice.choice([None, "coder"])),
            LeaveRoom(room=room),
            UpdateMember(room=room, agent=dice.choice(names), weight=dice.randint(0, 5)),
            UpdateRoom(room=room, topic=str(dice.random())),
            CreateChannel(room=room, channel=f"c{dice.randint(0, 3)}"),
            CreateInvite(room=room, agent=dice.choice(names)),
            OpenProposal(room=room, title="?", deadline_s=dice.choice([None, 5])),
            CastBallot(room=room, proposal=dice.choice(props), choice=dice.choice(["approve", "reject", "abstain"])),
            ProposeAmendment(room=room, proposal=dice.choice(props), title="!"),
            WithdrawProposal(room=room, proposal=dice.choice(props)),
            IssueToken(agent=dice.choice(names)),
            RetireAgent(agent="nobody"),
            AddCard(room=room, title="!", blocked_by=dice.choice([(), (card,)]), column=dice.choice([None, "review"])),
            ClaimCard(room=room, card=card, column="in_progress"),
            MoveCard(room=room, card=card, version=dice.randint(1, 3), column="done"),
            UpdateCard(room=room, card=card, version=dice.randint(1, 3), archived=True, labels=("x",), due=None),
            CommentCard(room=room, card=card, text="hm"),
        ]
    )


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_rebuilt_rows_equal_live_rows_after_any_history(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    import asyncio

    async def run(home: Path) -> None:
        async with running_hub(home) as hub:
            await random_history(hub, seed, 60)
            hub.clock.advance(10)
            assert await hub.app.store.write(same_after_rebuild) == []

            def trim_half(tx: Tx) -> None:
                for row in tx.rows("select id from log where kind = 'room'"):
                    trim(tx, row[0], load_stream(tx, row[0]).head // 2, TABLES, BY_EVENT)

            await hub.app.store.write(trim_half)
            assert await hub.app.store.write(same_after_rebuild) == []

    asyncio.run(run(tmp_path_factory.mktemp("hub")))


@pytest.mark.anyio
async def test_archived_and_retired_things_stay_so_after_a_rebuild(hub: TestHub) -> None:
    local, _ada = await hub.local(), await hub.agent("ada")
    await local.call(CreateRoom(room="one"))
    await local.call(ArchiveRoom(room="one"))
    await local.call(RetireAgent(agent="ada"))
    assert await hub.app.store.write(same_after_rebuild) == []
