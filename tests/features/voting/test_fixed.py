"""What is fixed when a proposal opens stays fixed, whatever those who own nothing do."""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.core.errors import HubError
from hub.core.names import split_id
from hub.core.operation import Request
from hub.features.voting.contract import (
    AcceptAmendment,
    CastBallot,
    CloseProposal,
    OpenProposal,
    ProposeAmendment,
    Rule,
    WithdrawProposal,
)
from hub.kernel.agents.contract import IssueToken, RetireAgent
from hub.kernel.rooms.contract import (
    CreateInvite,
    CreateRoom,
    JoinRoom,
    LeaveRoom,
    ListMembers,
    UpdateMember,
    UpdateRoom,
)
from hub.storage.interface import Tx
from tests.support.hubs import TestHub, running_hub

OTHERS = ("ben", "cy", "dan", "eve")


def any_move(dice: random.Random, proposal: str) -> Request[Any]:
    """Something a member or an outsider can try."""
    room, name = {"room": "build"}, dice.choice(("ada", *OTHERS))
    one = {**room, "proposal": proposal}
    return dice.choice(
        [
            JoinRoom(**room, role=dice.choice([None, "coordinator"])),
            LeaveRoom(**room),
            UpdateMember(**room, agent=name, weight=dice.randint(0, 9)),
            UpdateMember(**room, agent=name, access=dice.choice(["owner", "member", "reader"])),
            UpdateMember(**room, agent=name, removed=True),
            UpdateMember(**room, agent=name, role="owner"),
            CreateInvite(**room, agent=name, access="owner"),
            UpdateRoom(**room, open_to="all"),
            IssueToken(agent=name),
            RetireAgent(agent=name),
            CastBallot(**one, choice=dice.choice(["approve", "reject", "abstain", "veto"])),
            ProposeAmendment(**one, title="other"),
            AcceptAmendment(**one, amendment=proposal),
            CloseProposal(**one),
            WithdrawProposal(**one),
            OpenProposal(**room, title="own", rule=Rule(weighted=True, veto=(name,))),
        ]
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_sequence_of_moves_by_others_changes_weights_access_or_electorate(seed: int) -> None:
    with TemporaryDirectory() as home:
        anyio.run(_moves, Path(home), seed)


async def _moves(home: Path, seed: int) -> None:
    dice = random.Random(seed)
    async with running_hub(home) as hub:
        callers = {name: await hub.agent(name, "code") for name in ("ada", *OTHERS)}
        ada = callers["ada"]
        await ada.call(CreateRoom(room="build", open_to="all"))
        for name in OTHERS[:3]:
            await callers[name].call(JoinRoom(room="build"))
            await ada.call(UpdateMember(room="build", agent=name, weight=dice.randint(0, 5)))
        await ada.call(UpdateMember(room="build", agent="cy", access="reader"))
        rule = Rule(mode="consensus", weighted=True, quorum=1, veto=("ada",))
        made = await ada.call(OpenProposal(room="build", title="x", rule=rule))
        before, given_to = await electorate(hub, made.id), await granted(hub)
        for _ in range(40):
            try:
                await callers[dice.choice(OTHERS)].call(any_move(dice, made.id))
            except HubError:
                continue
        assert await electorate(hub, made.id) == before
        now = await granted(hub)
        assert {name: now[name] for name in given_to if name in now} == {n: g for n, g in given_to.items() if n in now}


async def electorate(hub: TestHub, proposal: str) -> Any:
    """Electorate and rule as they are kept."""

    def body(tx: Tx) -> Any:
        log, seq = split_id("p", proposal)
        row = tx.row("select electorate, rule from proposal where log = :log and seq = :seq", log=log, seq=seq)
        assert row is not None
        return (row[0], row[1])

    return await hub.app.store.read(body)


async def granted(hub: TestHub) -> dict[str, tuple[str, int]]:
    """Access and weight of every member."""
    members = (await (await hub.local()).call(ListMembers(room="build"))).items
    return {member.agent: (member.access, member.weight) for member in members}
