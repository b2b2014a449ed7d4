"""Who may enter, change, see."""

from __future__ import annotations

import pytest

from hub.core.errors import Conflict, DirectRoom, Forbidden, NameTaken, NotMembers, RoomArchived, RoomNotFound
from hub.features.kanban.contract import GetBoard
from hub.features.messages.contract import PostDirect, PostMessage
from hub.kernel.agents.contract import RegisterAgent, RetireAgent
from hub.kernel.inbox.contract import ReadInbox
from hub.kernel.rooms.contract import (
    ArchiveRoom,
    CreateInvite,
    CreateRoom,
    GetRoom,
    JoinRoom,
    LeaveRoom,
    ListRooms,
    ListTemplates,
    UpdateMember,
    UpdateRoom,
)
from tests.log.test_rebuild import same_after_rebuild
from tests.support.hubs import TestHub

pytestmark = pytest.mark.anyio


async def test_an_invited_room_opens_by_name_or_code_and_to_nobody_else(surface_hub: TestHub) -> None:
    ada, ben = await surface_hub.agent("ada"), await surface_hub.agent("ben")
    cy, dan = await surface_hub.agent("cy"), await surface_hub.agent("dan")
    await ada.call(CreateRoom(room="build"))
    with pytest.raises(RoomNotFound):
        await ben.call(JoinRoom(room="build", create=True))
    await ada.call(CreateInvite(room="build", agent="ben"))
    assert [m.text for m in (await ben.call(ReadInbox())).messages] == [
        "You are invited to this room; enter it with join."
    ]
    assert (await ben.call(JoinRoom(room="build"))).access == "member"
    code = (await ada.call(CreateInvite(room="build", access="reader"))).code
    assert (await cy.call(JoinRoom(room="build", invite=code))).access == "reader"
    with pytest.raises(RoomNotFound):
        await dan.call(JoinRoom(room="build", invite="wrong"))


async def test_nobody_gives_themselves_access_or_weight(surface_hub: TestHub) -> None:
    ada, ben = await surface_hub.agent("ada"), await surface_hub.agent("ben")
    await ada.call(CreateRoom(room="build", open_to="all"))
    await ben.call(JoinRoom(room="build"))
    for change in ({"access": "owner"}, {"weight": 99}, {"removed": True}):
        with pytest.raises(Forbidden):
            await ben.call(UpdateMember.model_validate({"room": "build", "agent": "ben", **change}))
    with pytest.raises(Forbidden):
        await ben.call(UpdateMember(room="build", agent="ada", role="coder"))
    changed = await ada.call(UpdateMember(room="build", agent="ben", access="reader", weight=3))
    assert (changed.access, changed.weight) == ("reader", 3)
    with pytest.raises(Forbidden):
        await ben.call(PostMessage(room="build", text="readers only read"))


async def test_the_last_owner_cannot_leave_others_without_one(surface_hub: TestHub) -> None:
    local = await surface_hub.local()
    ada = await surface_hub.agent("ada")
    await local.call(CreateRoom(room="build", open_to="all"))
    await ada.call(JoinRoom(room="build"))
    with pytest.raises(Conflict):
        await local.call(LeaveRoom(room="build"))
    await local.call(UpdateMember(room="build", agent="ada", access="owner"))
    await local.call(LeaveRoom(room="build"))
    assert (await local.call(ListRooms())).items == ()


async def test_the_persons_agents_enter_freely_when_the_room_is_open_to_the_owner(surface_hub: TestHub) -> None:
    ada, ben = await surface_hub.agent("ada"), await surface_hub.agent("ben")
    made = await ada.call(JoinRoom(room="build", create=True))
    assert (made.settings.open_to, made.created, made.access) == ("owner", True, "owner")
    assert (await ben.call(JoinRoom(room="build"))).access == "member"
    assert {m.agent for m in (await ben.call(GetRoom(room="build"))).members} == {"ada", "ben", "local"}


async def test_an_archived_room_can_be_read_and_not_changed(surface_hub: TestHub) -> None:
    local = await surface_hub.local()
    await local.call(CreateRoom(room="build"))
    await local.call(ArchiveRoom(room="build"))
    assert (await local.call(GetRoom(room="build"))).archived
    with pytest.raises(RoomArchived):
        await local.call(PostMessage(room="build", text="x"))


async def test_switching_on_runs_needs_a_person(surface_hub: TestHub) -> None:
    local, ada = await surface_hub.local(), await surface_hub.agent("ada", "code")
    await ada.call(CreateRoom(room="build"))
    with pytest.raises(Forbidden):
        await ada.call(UpdateRoom(room="build", runs=True))
    assert (await local.call(UpdateRoom(room="build", runs=True))).settings.runs


async def test_a_re_registered_name_inherits_nothing(surface_hub: TestHub) -> None:
    local, ada = await surface_hub.local(), await surface_hub.agent("ada")
    ben = await surface_hub.agent("ben")
    await ben.call(CreateRoom(room="build", open_to="all"))
    await ada.call(JoinRoom(room="build"))
    await ben.call(PostDirect(agent="ada", text="for the old one"))
    await local.call(RetireAgent(agent="ada"))
    new = await surface_hub.agent("ada")
    assert (await new.call(ListRooms())).items == ()
    assert (await new.call(ListRooms(dm=True))).items == ()
    assert (await new.call(ReadInbox())).messages == ()


async def test_a_living_name_cannot_be_taken(surface_hub: TestHub) -> None:
    local = await surface_hub.local()
    await surface_hub.agent("ada")
    with pytest.raises(NameTaken):
        await local.call(RegisterAgent(name="ada"))


async def test_a_direct_conversation_has_no_doors(surface_hub: TestHub) -> None:
    ada, _ben = await surface_hub.agent("ada"), await surface_hub.agent("ben")
    room = (await ada.call(PostDirect(agent="ben", text="x"))).room
    for request in (JoinRoom(room=room), LeaveRoom(room=room), CreateInvite(room=room), ArchiveRoom(room=room)):
        with pytest.raises(DirectRoom):
            await ada.call(request)


async def test_a_scope_the_token_lacks_is_named(surface_hub: TestHub) -> None:
    reader = await surface_hub.agent("reader", scopes=("room:read",))
    with pytest.raises(Forbidden, match="room:send"):
        await reader.call(CreateRoom(room="build"))


async def test_leaving_and_coming_back_changes_nothing_that_was_given(surface_hub: TestHub) -> None:
    ada, ben = await surface_hub.agent("ada"), await surface_hub.agent("ben")
    await ada.call(CreateRoom(room="build", open_to="all"))
    await ben.call(JoinRoom(room="build"))
    await ada.call(UpdateMember(room="build", agent="ben", access="reader", weight=0))
    for _ in range(2):
        await ben.call(LeaveRoom(room="build"))
        back = next(m for m in (await ben.call(JoinRoom(room="build"))).members if m.agent == "ben")
        assert (back.access, back.weight) == ("reader", 0)
    await ben.call(LeaveRoom(room="build"))
    await ada.call(CreateInvite(room="build", agent="ben", access="member"))
    back = next(m for m in (await ben.call(JoinRoom(room="build"))).members if m.agent == "ben")
    assert (back.access, back.weight) == ("member", 0), "a newer invite raises access, an owner sets the weight"


async def test_a_template_furnishes_a_room_at_once(surface_hub: TestHub) -> None:
    ada = await surface_hub.agent("ada")
    templates = (await ada.call(ListTemplates())).items
    assert [template.template for template in templates] == ["review", "research", "incident", "build"]
    for template in templates:
        made = await ada.call(CreateRoom(room=f"a-{template.template}", template=template.template))
        assert made.settings.agreement == template.agreement
        assert made.settings.topic == template.title
        assert {channel.channel for channel in made.channels} == {"general", *template.channels}
        board = await ada.call(GetBoard(room=made.room))
        assert tuple(column.column for column in board.columns) == template.columns
        assert tuple(card.title for card in board.cards) == template.cards
        assert [column.done for column in board.columns] == [False] * (len(board.columns) - 1) + [True]
        assert any(column.wip for column in board.columns)
        assert any(card.blocked for card in board.cards), "some work has to wait"
    joined = await ada.call(JoinRoom(room="own", create=True, template="incident", topic="The mail is down"))
    assert (joined.settings.topic, joined.settings.open_to) == ("The mail is down", "owner")
    assert (await ada.call(CreateRoom(room="plain"))).settings.agreement == ""
    assert await surface_hub.app.store.write(same_after_rebuild) == []


async def test_capabilities_are_ones_own_and_mail_finds_them(surface_hub: TestHub) -> None:
    ada, ben = await surface_hub.agent("ada", "code"), await surface_hub.agent("ben", "code")
    await ada.call(CreateRoom(room="build", open_to="all"))
    await ben.call(JoinRoom(room="build", role="coder", capabilities=("python", "gpu")))
    posted = await ada.call(PostMessage(room="build", text="who trains this?", to=("@gpu",)))
    assert posted.to == ("ben",)
    changed = await ben.call(UpdateMember(room="build", agent="ben", capabilities=("python",)))
    assert (changed.role, changed.capabilities) == ("coder", ("python",))
    kept = await ben.call(JoinRoom(room="build", role="tester"))
    assert [(m.role, m.capabilities) for m in kept.members if m.agent == "ben"] == [("tester", ("python",))]
    with pytest.raises(Forbidden):
        await ben.call(UpdateMember(room="build", agent="ada", capabilities=("magic",)))
    with pytest.raises(NotMembers):
        await ada.call(PostMessage(room="build", text="x", to=("@gpu",)))
    await ben.call(LeaveRoom(room="build"))
    assert await surface_hub.app.store.write(same_after_rebuild) == []


async def test_a_change_of_the_working_agreement_is_told_to_everybody(surface_hub: TestHub) -> None:
    ada, ben = await surface_hub.agent("ada"), await surface_hub.agent("ben")
    await ada.call(CreateRoom(room="build", open_to="all"))
    await ben.call(JoinRoom(room="build"))
    with pytest.raises(Forbidden):
        await ben.call(UpdateRoom(room="build", agreement="mine"))
    await ada.call(UpdateRoom(room="build", agreement="Tests first."))
    assert [m.text for m in (await ben.call(ReadInbox())).messages] == [
        "The working agreement of this room has changed; read it with who(room=…)."
    ]
    await ada.call(UpdateRoom(room="build", topic="x"))
    assert len((await ben.call(ReadInbox())).messages) == 1, "other settings tell nobody"
