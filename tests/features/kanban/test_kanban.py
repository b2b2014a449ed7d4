"""The board of a room, in-process and over HTTP; through tools and resources."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from hub.core.caller import Caller
from hub.core.errors import AgentNotFound, Forbidden, Invalid, RoomNotFound
from hub.features.files.contract import ShareFile
from hub.features.kanban import contract as c
from hub.features.kanban import rules
from hub.features.messages.contract import PostMessage
from hub.features.voting.contract import OpenProposal
from hub.kernel.inbox.contract import ReadInbox
from hub.kernel.rooms.contract import CreateRoom, JoinRoom, UpdateMember, UpdateRoom
from tests.mcp.conftest import Room, call, mcp_room, refused
from tests.support.hubs import TestHub

pytestmark = pytest.mark.anyio
__all__ = ["mcp_room"]


async def three(hub: TestHub) -> list[Caller]:
    """Ada owns the room, ben and cy are members."""
    callers = [await hub.agent(name, "code") for name in ("ada", "ben", "cy")]
    await callers[0].call(CreateRoom(room="build", open_to="all"))
    for caller in callers[1:]:
        await caller.call(JoinRoom(room="build"))
    return callers


async def add(caller: Caller, title: str, **fields: Any) -> c.Card:
    return await caller.call(c.AddCard.model_validate({"room": "build", "title": title, **fields}))


async def move(caller: Caller, card: c.Card, column: str, **fields: Any) -> c.Card:
    return await caller.call(
        c.MoveCard.model_validate(
            {"room": "build", "card": card.id, "version": card.version, "column": column, **fields}
        )
    )


async def update(caller: Caller, card: c.Card, **fields: Any) -> c.Card:
    given = {"room": "build", "card": card.id, "version": card.version, **fields}
    return await caller.call(c.UpdateCard.model_validate(given))


async def shown(caller: Caller, **filters: Any) -> list[tuple[str, str]]:
    board = await caller.call(c.GetBoard.model_validate({"room": "build", **filters}))
    return [(card.column, card.title) for card in board.cards]


async def notices(caller: Caller) -> list[str]:
    return [m.text for m in (await caller.call(ReadInbox())).messages if m.kind == "notice"]


async def test_a_card_keeps_everything_it_was_given(surface_hub: TestHub) -> None:
    ada, ben, _cy = await three(surface_hub)
    first = await add(ada, "First")
    said = await ben.call(PostMessage(room="build", text="Let us parse."))
    made = await add(
        ben,
        "  Write\n the parser ",
        body="With tests.",
        column="review",
        assignee="ada",
        role="coder",
        priority="high",
        labels=["api", "api", "core"],
        due="2026-12-01",
        blocked_by=[first.id],
        checklist=[{"text": "tokens"}, {"text": "tree", "done": True}],
        links=[said.id, "https://example.org/x"],
    )
    assert made == await ada.call(c.GetCard(room="build", card=made.id))
    assert made.model_dump(exclude={"id", "created_at", "changed_at", "deduplicated"}) == {
        "title": "Write the parser",
        "column": "review",
        "priority": "high",
        "assignee": "ada",
        "role": "coder",
        "labels": ("api", "core"),
        "due": "2026-12-01T23:59:59Z",
        "blocked_by": (first.id,),
        "blocked": True,
        "items": 2,
        "items_done": 1,
        "comments": 0,
        "archived": False,
        "version": 1,
        "room": "build",
        "body": "With tests.",
        "checklist": ({"text": "tokens", "done": False}, {"text": "tree", "done": True}),
        "links": (said.id, "https://example.org/x"),
        "by": "ben",
        "discussion": (),
    }
    assert await notices(ada) == ["A new card is assigned to you: Write the parser"]


async def test_a_change_from_a_stale_version_is_refused_with_the_card_as_it_is(surface_hub: TestHub) -> None:
    ada, ben, _cy = await three(surface_hub)
    seen = await add(ada, "x")
    now = await move(ben, seen, "review")
    for request in (
        c.MoveCard(room="build", card=seen.id, version=seen.version, column="done"),
        c.UpdateCard(room="build", card=seen.id, version=seen.version, title="y"),
        c.CheckItem(room="build", card=seen.id, version=seen.version, item=1),
        c.MoveCard(room="build", card=seen.id, version=99, column="done"),
    ):
        with pytest.raises(rules.CardStale, match=r"is at version 2.*now in 'review', unassigned") as caught:
            await ada.call(request)
        assert c.Card.model_validate(caught.value.extra["card"]) == now
    assert await ada.call(c.GetCard(room="build", card=seen.id)) == now


async def test_fields_change_one_by_one_and_null_clears(surface_hub: TestHub) -> None:
    ada, ben, _cy = await three(surface_hub)
    card = await add(ada, "x", assignee="ben", role="coder", due="2026-12-01", labels=["a"], body="old")
    card = await update(ada, card, body="new", priority="critical")
    assert (card.title, card.body, card.priority, card.labels, card.version) == ("x", "new", "critical", ("a",), 2)
    card = await update(ada, card, assignee=None, role=None, due=None, labels=[])
    assert (card.assignee, card.role, card.due, card.labels, card.version) == (None, None, None, (), 3)
    assert f"{card.id} is no longer yours: x" in await notices(ben)
    same = await update(ada, card, title="x", role=None)
    assert same.version == 3, "a change that changes nothing is none"
    with pytest.raises((ValidationError, Invalid), match="title cannot be null"):
        await update(ada, card, title=None)
    with pytest.raises((ValidationError, Invalid), match="at least one field"):
        await update(ada, card)


async def test_a_claim_gives_the_card_to_one_and_tells_the_others_who_has_it(surface_hub: TestHub) -> None:
    ada, ben, _cy = await three(surface_hub)
    card = await add(ada, "x")
    mine = await ben.call(c.ClaimCard(room="build", card=card.id, column="in_progress"))
    assert (mine.assignee, mine.column, mine.version) == ("ben", "in_progress", 3)
    with pytest.raises(rules.CardTaken, match=r"belongs to ben.*in_progress") as caught:
        await ada.call(c.ClaimCard(room="build", card=card.id))
    assert caught.value.extra["card"]["assignee"] == "ben"
    again = await ben.call(c.ClaimCard(room="build", card=card.id))
    assert again == mine, "claiming what one has changes nothing"


async def test_a_blocked_card_is_claimed_only_after_what_blocks_it(surface_hub: TestHub) -> None:
    ada, ben, cy = await three(surface_hub)
    first, second = await add(ada, "first"), await add(ada, "second")
    last = await add(ada, "last", blocked_by=[first.id, second.id], assignee="cy")
    free = await add(ada, "free", blocked_by=[first.id])
    with pytest.raises(rules.CardBlocked, match=first.id):
        await ben.call(c.ClaimCard(room="build", card=free.id))
    await move(ada, first, "done")
    assert (await ben.call(c.ClaimCard(room="build", card=free.id))).assignee == "ben"
    assert (await cy.call(c.GetCard(room="build", card=last.id))).blocked
    await update(ada, second, archived=True)
    assert not (await cy.call(c.GetCard(room="build", card=last.id))).blocked
    assert f"no longer blocked: {last.id}" in (await notices(cy))[-1], "its holder hears of it"


async def test_cards_that_would_wait_for_each_other_are_refused(surface_hub: TestHub) -> None:
    ada, _ben, _cy = await three(surface_hub)
    one = await add(ada, "one")
    two = await add(ada, "two", blocked_by=[one.id])
    three_ = await add(ada, "three", blocked_by=[two.id])
    with pytest.raises(rules.CardCycle) as caught:
        await update(ada, one, blocked_by=[three_.id])
    assert caught.value.extra["cycle"] == [one.id, three_.id, two.id, one.id]
    with pytest.raises(rules.CardCycle):
        await update(ada, one, blocked_by=[one.id])
    with pytest.raises(rules.CardNotFound):
        await update(ada, one, blocked_by=["c9-9"])
    assert (await ada.call(c.GetCard(room="build", card=one.id))).version == 1


async def test_links_lead_to_what_the_room_has(surface_hub: TestHub) -> None:
    ada, ben, _cy = await three(surface_hub)
    said = await ada.call(PostMessage(room="build", text="x"))
    vote = await ben.call(OpenProposal(room="build", title="y"))
    shared = await ada.call(ShareFile(room="build", name="a.txt", content="hello"))
    other = await add(ben, "other")
    good = [said.id, vote.id, shared.id, other.id, "https://example.org/a?b=c#d"]
    card = await add(ada, "x", links=good)
    assert card.links == tuple(good)
    await ada.call(CreateRoom(room="elsewhere"))
    foreign = await ada.call(PostMessage(room="elsewhere", text="x"))
    mistaken = said.id.replace("m", "f", 1)
    for wrong in (
        foreign.id,
        "m2-zzz",
        mistaken,
        "see the wiki",
        "ftp://example.org",
        "https://",
        "javascript:alert(1)",
    ):
        with pytest.raises((rules.LinkInvalid, Invalid)):
            await update(ada, card, links=[*good, wrong])
    assert (await update(ada, card, links=good[1:])).links == tuple(good[1:])


async def configure(caller: Caller, *columns: dict[str, Any]) -> c.Board:
    return await caller.call(c.ConfigureBoard.model_validate({"room": "build", "columns": columns}))


async def test_a_full_column_takes_no_more_by_any_way(surface_hub: TestHub) -> None:
    ada, ben, _cy = await three(surface_hub)
    await configure(ada, {"column": "todo"}, {"column": "doing", "wip": 1}, {"column": "done", "done": True})
    held = await add(ada, "held", column="doing")
    waits = await add(ada, "waits")
    away = await update(ada, await add(ada, "away"), archived=True)
    await ada.call(c.ClaimCard(room="build", card=held.id))
    for request in (
        c.AddCard(room="build", title="new", column="doing"),
        c.MoveCard(room="build", card=waits.id, version=1, column="doing"),
        c.ClaimCard(room="build", card=waits.id, column="doing"),
        c.TakeNext(room="build", column="doing"),
        c.ImportBoard(room="build", format="markdown", text="## doing\n- one more"),
    ):
        with pytest.raises(rules.WipLimit, match="'doing' is full: 1 of 1") as caught:
            await ben.call(request)
        assert caught.value.extra["cards"] == [held.id]
    assert (await ada.call(c.GetCard(room="build", card=waits.id))).assignee is None, "a refused claim claims nothing"
    held = await update(ada, await ada.call(c.GetCard(room="build", card=held.id)), archived=True)
    assert (await move(ada, waits, "doing")).column == "doing", "archived cards take no room"
    with pytest.raises(rules.WipLimit):
        await update(ada, held, archived=False)
    assert (await update(ada, away, archived=False)).column == "todo"


async def test_columns_are_set_by_owners_and_never_lose_a_card(surface_hub: TestHub) -> None:
    ada, ben, _cy = await three(surface_hub)
    await add(ada, "x", column="review")
    await add(ada, "y", column="review")
    with pytest.raises(Forbidden):
        await configure(ben, {"column": "review"})
    with pytest.raises(rules.ColumnInUse, match="'review' holds 2 cards"):
        await configure(ada, {"column": "todo"})
    with pytest.raises(rules.WipLimit, match="holds 2 cards, more than the new limit 1"):
        await configure(ada, {"column": "todo"}, {"column": "review", "wip": 1})
    with pytest.raises((ValidationError, Invalid), match="different names"):
        await configure(ada, {"column": "a"}, {"column": "a"})
    board = await configure(ada, {"column": "review", "wip": 2}, {"column": "shipped", "done": True})
    assert [column.column for column in board.columns] == ["review", "shipped"]
    with pytest.raises(rules.ColumnNotFound, match="did you mean 'shipped'"):
        await add(ada, "z", column="shiped")


async def test_cards_stand_where_they_were_put(surface_hub: TestHub) -> None:
    ada, _ben, _cy = await three(surface_hub)
    a, b, d = await add(ada, "a"), await add(ada, "b"), await add(ada, "d")
    e = await add(ada, "e", column="review")
    await move(ada, e, "todo", before=d.id)
    d = await move(ada, d, "todo", before=a.id)
    await move(ada, b, "todo")
    assert await shown(ada) == [("todo", "d"), ("todo", "a"), ("todo", "e"), ("todo", "b")]
    with pytest.raises(Invalid, match="another card in column 'review'"):
        await move(ada, a, "review", before=d.id)
    with pytest.raises(Invalid, match="another card in column"):
        await move(ada, a, "todo", before=a.id)


async def test_next_is_the_most_urgent_card_that_fits_my_role(surface_hub: TestHub) -> None:
    ada, ben, cy = await three(surface_hub)
    await ben.call(JoinRoom(room="build", role="tester"))
    await add(ada, "normal")
    blocker = await add(ada, "low", priority="low")
    await add(ada, "blocked", priority="critical", blocked_by=[blocker.id])
    await add(ada, "for testers", priority="high", role="tester")
    await add(ada, "hers", priority="critical", assignee="ada")
    await add(ada, "finished", priority="critical", column="done")
    found = await ben.call(c.GetNext(room="build"))
    assert found.card is not None
    assert (found.card.title, found.mine) == ("for testers", ())
    other = await cy.call(c.GetNext(room="build"))
    assert other.card is not None
    assert other.card.title == "normal"
    taken = [(await ben.call(c.TakeNext(room="build", column="in_progress"))).card for _ in range(3)]
    assert [card and (card.title, card.assignee) for card in taken] == [
        ("for testers", "ben"),
        ("normal", "ben"),
        ("low", "ben"),
    ]
    nothing = await cy.call(c.TakeNext(room="build"))
    assert nothing.card is None
    assert nothing.why.startswith("nothing to take: 4 unfinished cards are assigned, 1 are blocked")
    assert [card.title for card in (await ben.call(c.GetNext(room="build"))).mine] == ["for testers", "normal", "low"]


async def test_comments_and_ticks_are_kept_and_told(surface_hub: TestHub) -> None:
    ada, ben, cy = await three(surface_hub)
    card = await add(ada, "x", assignee="ben", checklist=[{"text": "one"}, {"text": "two"}])
    said = await cy.call(c.CommentCard(room="build", card=card.id, text="which port?"))
    assert (said.version, said.comments, [(m.by, m.text) for m in said.discussion]) == (1, 1, [("cy", "which port?")])
    for told in (ada, ben):
        assert f"Comment on {card.id} (x): which port?" in await notices(told)
    assert await notices(cy) == []
    ticked = await ben.call(c.CheckItem(room="build", card=card.id, item=2, version=1))
    assert [item.done for item in ticked.checklist] == [False, True]
    with pytest.raises(Invalid, match="has 2 checklist lines"):
        await ben.call(c.CheckItem(room="build", card=card.id, item=3, version=2))
    back = await ben.call(c.CheckItem(room="build", card=card.id, item=2, version=2, done=False))
    assert (back.items_done, back.version) == (0, 3)


async def test_the_history_says_who_did_what(surface_hub: TestHub) -> None:
    ada, ben, _cy = await three(surface_hub)
    card = await add(ada, "x", due="2026-12-01")
    await ben.call(c.ClaimCard(room="build", card=card.id, column="review"))
    card = await ben.call(c.CommentCard(room="build", card=card.id, text="looks fine"))
    card = await update(ada, card, title="y", due=None, assignee="ada", archived=True)
    history = await ada.call(c.ReadHistory(room="build", card=card.id))
    assert [(change.by, change.what) for change in history.items] == [
        ("ada", "added to todo"),
        ("ben", "claimed"),
        ("ben", "moved from todo to review"),
        ("ben", "commented: looks fine"),
        ("ada", "assigned to ada; set title; cleared due"),
        ("ada", "archived"),
    ]
    first = await ada.call(c.ReadHistory(room="build", card=card.id, limit=2))
    rest = await ada.call(c.ReadHistory(room="build", card=card.id, after=first.items[-1].seq))
    assert (first.has_more, (*first.items, *rest.items)) == (True, history.items)
    assert history.trimmed is False


async def test_archived_cards_are_out_of_the_way_and_can_be_seen(surface_hub: TestHub) -> None:
    ada, _ben, _cy = await three(surface_hub)
    kept, gone = await add(ada, "kept"), await add(ada, "gone")
    gone = await update(ada, gone, archived=True)
    assert await shown(ada) == [("todo", "kept")]
    assert await shown(ada, archived=True) == [("todo", "kept"), ("todo", "gone")]
    assert (await ada.call(c.GetBoard(room="build"))).archived == 1
    assert (await ada.call(c.GetCard(room="build", card=gone.id))).archived
    with pytest.raises(rules.CardIsArchived, match="archived=false"):
        await move(ada, gone, "done")
    with pytest.raises(rules.CardIsArchived):
        await ada.call(c.ClaimCard(room="build", card=gone.id))
    assert kept is not None


async def test_the_board_can_be_filtered(surface_hub: TestHub) -> None:
    ada, _ben, _cy = await three(surface_hub)
    await add(ada, "a", labels=["api"], assignee="ben")
    await add(ada, "b", column="review", labels=["api"])
    assert await shown(ada, column="review") == [("review", "b")]
    assert await shown(ada, label="api", assignee="ben") == [("todo", "a")]
    page = await ada.call(c.GetBoard(room="build", limit=1))
    assert (len(page.cards), page.has_more) == (1, True)
    with pytest.raises(rules.ColumnNotFound):
        await shown(ada, column="nowhere")


async def test_only_members_who_may_write_get_cards_and_foreign_rooms_show_nothing(surface_hub: TestHub) -> None:
    ada, ben, cy = await three(surface_hub)
    await ada.call(UpdateMember(room="build", agent="cy", access="reader"))
    with pytest.raises(AgentNotFound, match="members who can: ada"):
        await add(ada, "x", assignee="cy")
    with pytest.raises(AgentNotFound, match="did you mean 'ben'"):
        await add(ada, "x", assignee="bn")
    with pytest.raises(Forbidden):
        await add(cy, "x")
    card = await add(ada, "secret")
    assert (await cy.call(c.GetCard(room="build", card=card.id))).title == "secret"
    eve = await surface_hub.agent("eve")
    await eve.call(CreateRoom(room="hers"))
    with pytest.raises(RoomNotFound):
        await eve.call(c.GetCard(room="build", card=card.id))
    with pytest.raises(rules.CardNotFound, match="not in this room"):
        await eve.call(c.GetCard(room="hers", card=card.id))
    assert ben is not None


async def test_who_came_later_sees_no_earlier_history_where_the_room_says_so(surface_hub: TestHub) -> None:
    ada, _ben, _cy = await three(surface_hub)
    await ada.call(UpdateRoom(room="build", history="since_join"))
    card = await update(ada, await add(ada, "x", body="the password is old"), body="clean")
    dan = await surface_hub.agent("dan")
    await dan.call(JoinRoom(room="build"))
    await ada.call(c.CommentCard(room="build", card=card.id, text="welcome"))
    history = await dan.call(c.ReadHistory(room="build", card=card.id))
    assert ([change.what for change in history.items], history.trimmed) == (["commented: welcome"], True)


async def test_the_same_key_adds_one_card(surface_hub: TestHub) -> None:
    ada, _ben, _cy = await three(surface_hub)
    request = c.AddCard(room="build", title="once")
    first, second = await ada.call(request, key="k"), await ada.call(request, key="k")
    assert (second.id, second.deduplicated) == (first.id, True)
    assert await shown(ada) == [("todo", "once")]


async def test_agents_work_through_the_board_tool(mcp_room: Room) -> None:
    ada, ben = await mcp_room.agent("ada"), await mcp_room.agent("ben")
    await call(ada, "join", room="build")
    await call(ben, "join", room="build", role="coder")
    first = (await call(ada, "board", action="add", title="Parser", checklist=["tokens"], priority="high"))["card"]
    await call(ada, "board", action="add", title="Printer", blocked_by=[first["id"]], text="after the parser")
    assert "nothing to take" not in str(await call(ben, "board", action="next"))
    taken = (await call(ben, "board", action="take", column="in_progress"))["card"]
    assert (taken["id"], taken["assignee"], taken["column"]) == (first["id"], "ben", "in_progress")
    assert "belongs to ben" in await refused(ada, "board", action="claim", card=first["id"])
    ticked = (await call(ben, "board", action="check", card=taken["id"], version=taken["version"], item=1))["card"]
    assert ticked["checklist"] == ["[x] tokens"]
    stale = await refused(ada, "board", action="move", card=taken["id"], version=1, column="done")
    assert f"version={ticked['version']}" in stale
    assert "needs version" in await refused(ada, "board", action="move", card=taken["id"], column="done")
    await call(ada, "board", action="comment", card=taken["id"], text="nice")
    await call(ben, "board", action="move", card=taken["id"], version=ticked["version"], column="done")
    seen = await call(ada, "board")
    assert [(card["title"], card["column"], card.get("blocked", False)) for card in seen["cards"]] == [
        ("Printer", "todo", False),
        ("Parser", "done", False),
    ]
    printer = seen["cards"][0]
    changed = await call(ada, "board", action="update", card=printer["id"], version=1, assignee="ben", due="2026-12-01")
    cleared = await call(ada, "board", action="update", card=printer["id"], version=2, due="", role="coder")
    assert ("due" in changed["card"], "due" in cleared["card"], cleared["card"]["role"]) == (True, False, "coder")
    await call(ada, "board", action="archive", card=taken["id"], version=ticked["version"] + 1)
    history = (await call(ada, "board", action="history", card=taken["id"]))["history"]
    assert [entry["what"] for entry in history][-2:] == ["moved from in_progress to done", "archived"]
    briefed = await call(ben, "join", room="build")
    assert [card["title"] for card in briefed["cards"]] == ["Printer"]
    read = await ben.read_resource("room://build/board")
    board = json.loads(getattr(read.contents[0], "text", ""))
    assert [card["title"] for card in board["cards"]] == ["Printer"]
