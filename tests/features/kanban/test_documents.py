"""The board as a document: what goes out comes in again, and what is wrong says where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.errors import Forbidden
from hub.features.kanban import contract as c
from hub.features.kanban import documents, rules
from hub.features.kanban.documents import Document, DocumentCard, DocumentInvalid
from hub.kernel.rooms.contract import CreateRoom
from tests.features.kanban.test_kanban import add, move, shown, three, update
from tests.support.hubs import TestHub

text = st.text(st.characters(categories=("L", "N", "P", "S", "Z", "Cc", "Cf"), exclude_characters="\r"), max_size=60)
line = text.map(lambda t: " ".join(t.split())).filter(bool)
names = st.sampled_from(["todo", "in_progress", "done"])


def card(number: int) -> st.SearchStrategy[DocumentCard]:
    return st.builds(
        DocumentCard,
        id=st.just(f"c1-{number}"),
        title=line,
        column=names,
        body=text,
        priority=st.sampled_from(sorted(rules.PRIORITIES)),
        assignee=st.sampled_from([None, "ada"]),
        role=st.sampled_from([None, "coder"]),
        labels=st.lists(line.map(lambda t: t[:40].strip()), max_size=3).map(tuple),
        due=st.sampled_from([None, "2026-12-01T23:59:59Z"]),
        blocked_by=st.lists(st.integers(1, number - 1).map(lambda n: f"c1-{n}"), max_size=2).map(tuple)
        if number > 1
        else st.just(()),
        checklist=st.lists(st.builds(c.Item, text=line, done=st.booleans()), max_size=3).map(tuple),
        links=st.lists(line, max_size=2).map(tuple),
        archived=st.booleans(),
        comments=st.lists(line, max_size=2).map(tuple),
    )


columns = (c.Column(column="todo"), c.Column(column="in_progress", wip=3), c.Column(column="done", done=True))
boards = st.integers(0, 4).flatmap(lambda n: st.tuples(*(card(i) for i in range(1, n + 1))))


@given(boards, st.sampled_from(["json", "markdown"]))
def test_a_written_board_reads_back_the_same(cards: tuple[DocumentCard, ...], form: c.Format) -> None:
    place = {column.column: number for number, column in enumerate(columns)}
    document = Document(columns=columns, cards=tuple(sorted(cards, key=lambda found: place[found.column])))
    assert documents.read(documents.write(document, form), form) == document


@given(st.text(max_size=300), st.sampled_from(["json", "markdown"]))
def test_any_text_is_refused_or_a_board_that_reads_back_the_same(written: str, form: c.Format) -> None:
    try:
        found = documents.read(written, form)
    except DocumentInvalid:
        return
    assert documents.read(documents.write(found, form), form).cards == found.cards


@given(boards)
def test_what_blocks_comes_first(cards: tuple[DocumentCard, ...]) -> None:
    order = [found.id for found in documents.blockers_first(cards)]
    assert sorted(order) == sorted(found.id for found in cards)
    for found in cards:
        assert all(order.index(blocker) < order.index(found.id) for blocker in found.blocked_by)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("- a card", "line 1: a card needs a column"),
        ("## todo\n### x\nprose", "line 3: expected"),
        ("## todo\n### x\n- priority: urgent", "priority"),
        ("## todo\n### x\n- due: soon", "use a date"),
        ("## todo\n### x\n- blocked by: c1-9", "'c1-9', which is not in the document"),
        ("## todo\n### x\n- id: a\n### y\n- id: a", "two cards have the id 'a'"),
        ("## todo!\n- x", "columns.0.column: String should match pattern"),
    ],
)
def test_a_wrong_document_says_where(written: str, reason: str) -> None:
    with pytest.raises(DocumentInvalid) as caught:
        documents.read(written, "markdown")
    assert reason in caught.value.detail


def test_cards_of_a_document_that_wait_for_each_other_are_refused() -> None:
    written = "## todo\n### x\n- id: a\n- blocked by: b\n### y\n- id: b\n- blocked by: a"
    with pytest.raises(rules.CardCycle, match="a, b"):
        documents.blockers_first(documents.read(written, "markdown").cards)


@pytest.mark.anyio
@pytest.mark.parametrize("form", ["json", "markdown"])
async def test_a_board_moves_to_another_room(surface_hub: TestHub, form: c.Format) -> None:
    ada, ben, _cy = await three(surface_hub)
    first = await add(
        ada,
        "first",
        labels=["api"],
        links=["https://a.org"],
        checklist=[{"text": "one", "done": True}],
        body="two\n\nlines",
    )
    await add(ada, "last", blocked_by=[first.id], assignee="ben", column="review")
    top = await add(ada, "top")
    await move(ada, top, "todo", before=first.id)
    await update(ada, await add(ada, "old"), archived=True)
    await ben.call(c.CommentCard(room="build", card=first.id, text="fine"))
    written = (await ben.call(c.ExportBoard(room="build", format=form))).text

    await ada.call(CreateRoom(room="copy"))
    made = await ada.call(c.ImportBoard(room="copy", format=form, text=written))
    board = await ada.call(c.GetBoard(room="copy", archived=True))
    assert [(card.title, card.column, card.archived) for card in board.cards] == [
        ("top", "todo", False),
        ("first", "todo", False),
        ("old", "todo", True),
        ("last", "review", False),
    ]
    assert made.cards == tuple(card.id for card in board.cards)
    copy = await ada.call(c.GetCard(room="copy", card=made.cards[1]))
    assert (copy.body, copy.labels, copy.items_done, copy.by) == ("two\n\nlines", ("api",), 1, "ada")
    assert copy.links == ("https://a.org",)
    assert [(said.by, said.text.split(", ")[0], said.text[-4:]) for said in copy.discussion] == [("ada", "ben", "fine")]
    last = await ada.call(c.GetCard(room="copy", card=made.cards[3]))
    assert (last.blocked_by, last.assignee) == ((copy.id,), None), "ben is not in the other room"


@pytest.mark.anyio
async def test_an_import_is_all_or_nothing_and_adds_columns_only_for_owners(surface_hub: TestHub) -> None:
    ada, ben, _cy = await three(surface_hub)
    written = "# My plan\n## Ideas\n- [ ] fly\n- swim\n## todo\n* walk\n"
    with pytest.raises(Forbidden, match="no column ideas"):
        await ben.call(c.ImportBoard(room="build", format="markdown", text=written))
    assert await shown(ada) == []
    await ada.call(c.ImportBoard(room="build", format="markdown", text=written))
    assert await shown(ada) == [("todo", "walk"), ("ideas", "fly"), ("ideas", "swim")]


@pytest.mark.anyio
async def test_a_board_of_any_size_can_be_exported_and_500_cards_imported_at_once(hub: TestHub) -> None:
    ada, _ben, _cy = await three(hub)
    for number in range(501):
        await ada.call(c.AddCard(room="build", title=f"card {number}"))
    written = (await ada.call(c.ExportBoard(room="build", format="markdown"))).text
    assert written.count("### card") == 501
    with pytest.raises(DocumentInvalid, match="at most 500"):
        await ada.call(c.ImportBoard(room="build", format="markdown", text=written))
    less = written.rpartition("### card")[0]
    assert len((await ada.call(c.ImportBoard(room="build", format="markdown", text=less))).cards) == 500
    assert len((await ada.call(c.GetBoard(room="build", limit=c.MOST_CARDS))).cards) == 1001
