"""Deciding together, in-process and over HTTP; the deadline, concurrency, MCP."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.core.caller import Caller
from hub.core.errors import Forbidden, HubError
from hub.features.voting.contract import (
    AcceptAmendment,
    CastBallot,
    CloseProposal,
    GetProposal,
    ListProposals,
    OpenProposal,
    Proposal,
    ProposeAmendment,
    Rule,
    WithdrawProposal,
)
from hub.features.voting.rules import NotEligible, ProposalClosedAlready, ProposalNotFound
from hub.kernel.agents.contract import RetireAgent
from hub.kernel.inbox.contract import ReadInbox
from hub.kernel.rooms.contract import CreateRoom, JoinRoom, UpdateMember
from hub.server.timers import Clockwork
from tests.mcp.conftest import Room, call, mcp_room, refused
from tests.support.hubs import Clock, TestHub, running_hub

pytestmark = pytest.mark.anyio
__all__ = ["mcp_room"]


async def three(hub: TestHub) -> list[Caller]:
    callers = [await hub.agent(name, "code") for name in ("ada", "ben", "cy")]
    await callers[0].call(CreateRoom(room="build", open_to="all"))
    for caller in callers[1:]:
        await caller.call(JoinRoom(room="build"))
    local = await hub.local()
    await local.call(UpdateMember(room="build", agent="local", access="reader"))
    return callers


async def vote(caller: Caller, proposal: Proposal, choice: object) -> Proposal:
    return await caller.call(CastBallot.model_validate({"room": "build", "proposal": proposal.id, "choice": choice}))


async def test_a_majority_closes_as_soon_as_it_is_certain_and_tells_everyone(surface_hub: TestHub) -> None:
    ada, ben, cy = await three(surface_hub)
    made = await ada.call(OpenProposal(room="build", title="Ship it?"))
    assert (made.options, set(made.missing)) == (("approve", "reject"), {"ada", "ben", "cy"})
    assert [m.text for m in (await ben.call(ReadInbox())).messages] == ["Vote wanted: Ship it? (approve, reject)"]
    await vote(ada, made, "reject")
    changed = await vote(ada, made, "approve")
    assert [(b.agent, b.choice) for b in changed.ballots] == [("ada", "approve")]
    done = await vote(ben, made, "approve")
    assert (done.state, done.outcome) == ("approved", "approve")
    assert done.arithmetic["votes"] == {"approve": 2, "reject": 0}
    assert "Ship it?: approved: approve" in [m.text for m in (await cy.call(ReadInbox())).messages]
    with pytest.raises(ProposalClosedAlready):
        await vote(cy, made, "reject")


async def test_who_came_later_or_only_reads_has_no_vote(surface_hub: TestHub) -> None:
    ada, _ben, _cy = await three(surface_hub)
    made = await ada.call(OpenProposal(room="build", title="x"))
    dan = await surface_hub.agent("dan")
    await dan.call(JoinRoom(room="build"))
    with pytest.raises(NotEligible):
        await vote(dan, made, "approve")
    with pytest.raises(Forbidden):
        await vote(await surface_hub.local(), made, "approve")


async def test_weights_come_from_the_room_and_are_fixed_at_opening(surface_hub: TestHub) -> None:
    ada, ben, cy = await three(surface_hub)
    await ada.call(UpdateMember(room="build", agent="ben", weight=5))
    made = await ada.call(OpenProposal(room="build", title="x", rule=Rule(weighted=True)))
    await ada.call(UpdateMember(room="build", agent="ben", weight=1))
    await vote(ada, made, "approve")
    done = await vote(ben, made, "reject")
    assert (done.state, done.arithmetic["votes"]) == ("rejected", {"approve": 1, "reject": 5})
    assert cy is not None


async def test_a_veto_ends_it_and_only_its_holder_has_one(surface_hub: TestHub) -> None:
    ada, ben, cy = await three(surface_hub)
    made = await ada.call(OpenProposal(room="build", title="x", rule=Rule(veto=("cy",))))
    await vote(ada, made, "approve")
    assert (await vote(ben, made, "approve")).state == "open", "the veto holder is missing"
    with pytest.raises(NotEligible):
        await vote(ben, made, "veto")
    assert (await vote(cy, made, "veto")).state == "vetoed"


async def test_ranked_and_plurality_take_options(surface_hub: TestHub) -> None:
    ada, ben, cy = await three(surface_hub)
    options = ("red", "green", "blue")
    ranked = await ada.call(OpenProposal(room="build", title="colour", options=options, rule=Rule(mode="ranked")))
    await vote(ada, ranked, ["red", "green"])
    await vote(ben, ranked, ["green", "red"])
    done = await vote(cy, ranked, ["blue", "green"])
    assert (done.state, done.outcome) == ("decided", "green")
    with pytest.raises(ValueError, match="majority decides between approve and reject"):
        OpenProposal(room="build", title="x", options=options)


async def test_an_accepted_amendment_voids_the_ballots(surface_hub: TestHub) -> None:
    ada, ben, _cy = await three(surface_hub)
    made = await ada.call(OpenProposal(room="build", title="Port 80?"))
    await vote(ben, made, "reject")
    amended = await ben.call(ProposeAmendment(room="build", proposal=made.id, title="Port 7411?"))
    with pytest.raises(Forbidden):
        await ben.call(AcceptAmendment(room="build", proposal=made.id, amendment=amended.amendments[0].amendment))
    taken = await ada.call(AcceptAmendment(room="build", proposal=made.id, amendment=amended.amendments[0].amendment))
    assert (taken.title, taken.ballots) == ("Port 7411?", ())


async def test_closing_and_withdrawing_belong_to_the_proposer_or_an_owner(surface_hub: TestHub) -> None:
    ada, ben, cy = await three(surface_hub)
    made = await ben.call(OpenProposal(room="build", title="x"))
    with pytest.raises(Forbidden):
        await cy.call(CloseProposal(room="build", proposal=made.id))
    assert (await ada.call(CloseProposal(room="build", proposal=made.id))).state == "no_quorum"
    other = await ben.call(OpenProposal(room="build", title="y"))
    with pytest.raises(Forbidden):
        await ada.call(WithdrawProposal(room="build", proposal=other.id))
    assert (await ben.call(WithdrawProposal(room="build", proposal=other.id))).state == "withdrawn"
    assert (await ada.call(ListProposals(room="build", open=True))).items == ()
    with pytest.raises(ProposalNotFound):
        await ada.call(GetProposal(room="build", proposal="p9-9"))


async def test_the_deadline_closes_it_by_the_clock(hub: TestHub) -> None:
    ada, ben, _cy = await three(hub)
    made = await ada.call(OpenProposal(room="build", title="x", deadline_s=60))
    await vote(ben, made, "approve")
    hub.clock.advance(61)
    await hub.app.dispatch.service(Clockwork).run_due()
    assert (await ada.call(GetProposal(room="build", proposal=made.id))).state == "approved"


async def test_a_ballot_after_the_deadline_is_refused_before_the_clock_has_counted(surface_hub: TestHub) -> None:
    ada, ben, cy = await three(surface_hub)
    made = await ada.call(OpenProposal(room="build", title="x", deadline_s=60))
    await vote(ben, made, "approve")
    surface_hub.clock.advance(61)
    with pytest.raises(HubError, match="the deadline of p"):
        await vote(cy, made, "reject")
    for late in (
        CloseProposal(room="build", proposal=made.id),
        WithdrawProposal(room="build", proposal=made.id),
        ProposeAmendment(room="build", proposal=made.id, title="y"),
    ):
        with pytest.raises(HubError, match="the deadline of p"):
            await ada.call(late)
    await surface_hub.app.dispatch.service(Clockwork).run_due()
    done = await ada.call(GetProposal(room="build", proposal=made.id))
    assert (done.state, [b.agent for b in done.ballots]) == ("approved", ["ben"])


async def test_the_deadlines_of_several_rooms_are_kept_also_after_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    async with running_hub(tmp_path, clock=clock) as hub:
        ada, _ben, _cy = await three(hub)
        await ada.call(CreateRoom(room="plan"))
        made = [await ada.call(OpenProposal(room=r, title="x", deadline_s=60)) for r in ("build", "plan", "build")]
        tokens = hub.tokens
    clock.advance(61)
    async with running_hub(tmp_path, clock=clock) as hub:
        await hub.app.dispatch.service(Clockwork).run_due()
        ada = await hub.caller(tokens["ada"])
        for one in made:
            assert (await ada.call(GetProposal(room=one.room, proposal=one.id))).state == "no_quorum"


async def test_the_electorate_is_who_may_vote(surface_hub: TestHub) -> None:
    ada, _ben, _cy = await three(surface_hub)
    mute = await surface_hub.agent("mute", scopes=("room:read", "room:send"))
    await mute.call(JoinRoom(room="build"))
    gone = await surface_hub.agent("gone")
    await gone.call(JoinRoom(room="build"))
    await (await surface_hub.local()).call(RetireAgent(agent="gone"))
    made = await ada.call(OpenProposal(room="build", title="x", rule=Rule(mode="consensus")))
    assert set(made.missing) == {"ada", "ben", "cy"}
    with pytest.raises(HubError, match="'mute' cannot vote here"):
        await ada.call(OpenProposal(room="build", title="x", rule=Rule(veto=("mute",))))


async def test_ballots_that_weigh_nothing_decide_nothing(surface_hub: TestHub) -> None:
    ada, ben, _cy = await three(surface_hub)
    await ada.call(UpdateMember(room="build", agent="ben", weight=0))
    rule = Rule(mode="consensus", weighted=True)
    made = await ada.call(OpenProposal(room="build", title="x", rule=rule))
    await vote(ben, made, "approve")
    done = await ada.call(CloseProposal(room="build", proposal=made.id))
    assert (done.state, done.arithmetic["cast"]) == ("no_quorum", 0)


async def test_agents_decide_through_their_tools(mcp_room: Room) -> None:
    ada, ben = await mcp_room.agent("ada"), await mcp_room.agent("ben")
    for client in (ada, ben):
        await call(client, "join", room="build")
    made = await call(ada, "propose", title="Tabs or spaces?", options=["tabs", "spaces"])
    notice = (await call(ben, "poll"))["messages"][-1]
    assert (notice["kind"], notice["about"]["id"]) == ("notice", made["id"])
    listed = await call(ben, "vote")
    assert [p["id"] for p in listed["proposals"]] == [made["id"]]
    assert "valid: tabs, spaces, abstain" in await refused(ben, "vote", proposal=made["id"], choice="both")
    await call(ben, "vote", proposal=made["id"], choice="spaces", reason="shorter diffs")
    await call(ada, "vote", proposal=made["id"], choice="spaces")
    seen = await call(ada, "vote", proposal=made["id"], action="see")
    assert (seen["state"], seen["outcome"]) == ("decided", "spaces")
