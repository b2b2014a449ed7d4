"""Remarks on what is proposed, and the register of what was decided."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hub.core.caller import Caller
from hub.core.errors import Forbidden, HubError
from hub.features.discussion.contract import (
    AddArgument,
    AddCritique,
    ExportDecisions,
    ListAlternatives,
    ListArguments,
    ListCritiques,
    ListDecisions,
    OfferAlternative,
    RecordDecision,
    ResolveCritique,
)
from hub.features.discussion.rules import DecisionNotFound, DecisionSuperseded, ThingNotFound, inline
from hub.features.messages.contract import PostMessage
from hub.features.voting.contract import CastBallot, CloseProposal, OpenProposal, Proposal, Rule, WithdrawProposal
from hub.kernel.inbox.contract import ReadInbox
from hub.kernel.rooms.contract import CreateRoom, JoinRoom, UpdateMember
from tests.log.test_rebuild import same_after_rebuild
from tests.support.hubs import TestHub

pytestmark = pytest.mark.anyio
ROOM: dict[str, Any] = {"room": "build"}


async def two(hub: TestHub) -> tuple[Caller, Caller]:
    """Ada owns the room; ben is in it; their person only reads."""
    ada, ben = await hub.agent("ada", "code"), await hub.agent("ben", "code")
    await ada.call(CreateRoom(room="build", open_to="all"))
    await ben.call(JoinRoom(room="build"))
    await (await hub.local()).call(UpdateMember(room="build", agent="local", access="reader"))
    return ada, ben


async def opened(caller: Caller, title: str = "Port 80?", body: str = "", **rule: Any) -> Proposal:
    return await caller.call(OpenProposal(**ROOM, title=title, body=body, rule=Rule.model_validate(rule)))


async def test_remarks_are_linked_to_what_they_are_on_and_told_to_its_author(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub)
    made = await opened(ada)
    critique = await ben.call(
        AddCritique(**ROOM, on=made.id, severity="blocking", text="needs root", alternatives=("7411", "a socket"))
    )
    assert (critique.on, critique.by, critique.alternatives) == (made.id, "ben", ("7411", "a socket"))
    await ben.call(AddArgument(**ROOM, on=made.id, side="con", text="old clients"))
    await ada.call(AddArgument(**ROOM, on=made.id, side="pro", text="no port in URLs"))
    await ben.call(OfferAlternative(**ROOM, on=made.id, text="8080"))
    texts = [message.text for message in (await ada.call(ReadInbox())).messages]
    assert texts[-3:] == [
        f"Critique of {made.id} (blocking): needs root",
        f"Argument against {made.id}: old clients",
        f"Alternative to {made.id}: 8080",
    ]
    pros = (await ben.call(ListArguments(**ROOM, on=made.id, side="pro"))).items
    assert [(remark.by, remark.text) for remark in pros] == [("ada", "no port in URLs")]
    assert [remark.text for remark in (await ben.call(ListAlternatives(**ROOM, on=made.id))).items] == ["8080"]
    answer = await ada.call(AddArgument(**ROOM, on=critique.id, side="pro", text="true"))
    assert answer.on == critique.id, "remarks can be discussed too"


async def test_a_critique_stays_open_until_its_critic_or_an_owner_says_otherwise(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub)
    cy = await surface_hub.agent("cy")
    await cy.call(JoinRoom(room="build"))
    made = await opened(ada)
    first = await ben.call(AddCritique(**ROOM, on=made.id, text="too fast"))
    second = await ben.call(AddCritique(**ROOM, on=made.id, text="too slow"))
    with pytest.raises(Forbidden, match="only its critic or an owner"):
        await cy.call(ResolveCritique(**ROOM, critique=first.id))
    assert (await ben.call(ResolveCritique(**ROOM, critique=first.id))).resolved
    assert (await ada.call(ResolveCritique(**ROOM, critique=second.id))).resolved
    assert (await ada.call(ListCritiques(**ROOM, open=True))).items == ()
    argument = await ben.call(AddArgument(**ROOM, on=made.id, side="pro", text="x"))
    with pytest.raises(Forbidden, match="only a critique can be resolved"):
        await ben.call(ResolveCritique(**ROOM, critique=argument.id))


async def test_a_vote_with_an_outcome_stands_in_the_register_with_voters_and_links(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub)
    message = await ben.call(PostMessage(room="build", text="port 80 needs root"))
    made = await opened(ada, "Port 80?", f"see {message.id}")
    for caller in (ada, ben):
        await caller.call(CastBallot(**ROOM, proposal=made.id, choice="reject"))
    tied = await opened(ada, "Tabs?")
    await ada.call(CastBallot(**ROOM, proposal=tied.id, choice="approve"))
    await ben.call(CastBallot(**ROOM, proposal=tied.id, choice="reject"))
    await ada.call(WithdrawProposal(**ROOM, proposal=(await opened(ada, "Never mind")).id))
    await ada.call(CloseProposal(**ROOM, proposal=(await opened(ada, "Nobody cares")).id))
    [found] = (await ben.call(ListDecisions(**ROOM))).items
    assert (found.what, found.outcome, found.by) == ("Port 80?", "rejected", ("ada", "ben"))
    assert (found.about, found.links) == (made.id, (message.id,))


async def test_a_recorded_decision_can_supersede_another_once(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub)
    message = await ada.call(PostMessage(room="build", text="let us use tabs"))
    first = await ada.call(RecordDecision(**ROOM, what="Tabs.", links=(message.id,)))
    assert [m.text for m in (await ben.call(ReadInbox())).messages][-1] == "Decision recorded: Tabs."
    second = await ben.call(RecordDecision(**ROOM, what="Spaces.", supersedes=first.id))
    with pytest.raises(DecisionSuperseded, match=f"superseded already, by {second.id}"):
        await ada.call(RecordDecision(**ROOM, what="Both.", supersedes=first.id))
    items = (await ada.call(ListDecisions(**ROOM))).items
    assert [(one.what, one.by, one.superseded_by) for one in items] == [
        ("Spaces.", ("ben",), None),
        ("Tabs.", ("ada",), second.id),
    ]
    assert [one.id for one in (await ada.call(ListDecisions(**ROOM, current=True))).items] == [second.id]
    assert [one.id for one in (await ada.call(ListDecisions(**ROOM, before=second.id))).items] == [first.id]
    assert await surface_hub.app.store.write(same_after_rebuild) == []


async def test_the_export_holds_decisions_and_what_was_said_as_text(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub)
    assert "Nothing was decided yet" in (await ada.call(ExportDecisions(**ROOM))).text
    made = await opened(ada, "Ship *it*\n# now?")
    await ben.call(AddArgument(**ROOM, on=made.id, side="con", text="not [tested](http://x)"))
    for caller in (ada, ben):
        await caller.call(CastBallot(**ROOM, proposal=made.id, choice="approve"))
    await ada.call(RecordDecision(**ROOM, what="Then rest."))
    page = await ben.call(ExportDecisions(**ROOM))
    assert page.count == 2
    assert r"## Ship \*it\* \# now?" in page.text
    assert r"- argument (con) by ben: not \[tested\](http://x)" in page.text
    assert page.text.index("Ship") < page.text.index("Then rest")
    plain = json.loads((await ben.call(ExportDecisions(**ROOM, format="json"))).text)
    assert [(one["what"], [r["text"] for r in one["remarks"]]) for one in plain] == [
        ("Ship *it*\n# now?", ["not [tested](http://x)"]),
        ("Then rest.", []),
    ]


@pytest.mark.parametrize("on", ["m9-9", "p1-1", "e2-2", "k2-zzz", "x1-1", "miii-1"])
async def test_a_remark_on_nothing_is_refused(surface_hub: TestHub, on: str) -> None:
    ada, _ben = await two(surface_hub)
    with pytest.raises(ThingNotFound):
        await ada.call(AddArgument(**ROOM, on=on, side="pro", text="x"))


async def test_bad_requests_are_refused_with_a_reason(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub)
    made = await opened(ada)
    with pytest.raises(ThingNotFound, match="is not in room"):
        await ada.call(AddArgument(**ROOM, on="m" + made.id[1:], side="pro", text="a proposal is not a message"))
    for wrong in ({"side": "maybe"}, {"text": ""}, {"on": "nonsense"}, {"by": "ben"}):
        with pytest.raises((ValueError, HubError)):
            await ada.call(AddArgument.model_validate({**ROOM, "on": made.id, "side": "pro", "text": "x", **wrong}))
    with pytest.raises(DecisionNotFound):
        await ada.call(RecordDecision(**ROOM, what="x", supersedes="d1-1"))
    await ada.call(UpdateMember(room="build", agent="ben", access="reader"))
    with pytest.raises(Forbidden):
        await ben.call(AddArgument(**ROOM, on=made.id, side="pro", text="x"))


def test_markdown_stays_text() -> None:
    assert inline("# a\n<b>`c`") == r"\# a \<b\>\`c\`"
