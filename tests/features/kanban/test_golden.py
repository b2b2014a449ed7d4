"""Events are forever: a board written down by an earlier version still loads and gives the same cards.

`golden.jsonl` is a room's log as it was; lines are only ever added to it. `python -m tests.features.kanban.test_golden`
prints a log to add from.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pytest

from hub.core.event import EVENT_TYPES
from hub.features.kanban import contract as c
from hub.features.kanban.project import card_rows, load_columns, view
from hub.kernel.inbox.contract import ReadEvents
from hub.kernel.rooms.contract import CreateRoom, JoinRoom
from hub.log.log import append, create_stream, load_body
from hub.storage.interface import Tx
from tests.support.hubs import TestHub, running_hub

GOLDEN = Path(__file__).with_name("golden.jsonl")
CARDS = [
    ("c2-6", "Write the parser", "done", "ben", 6, False, ("api",), (True,), 1),
    ("c2-7", "Write the printer", "todo", None, 4, False, (), (), 0),
    ("c2-8", "Old", "doing", None, 2, True, (), (), 0),
]


def events() -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in GOLDEN.read_bytes().splitlines()]


def test_there_is_an_example_of_every_event_of_a_board() -> None:
    kinds = {name for name in EVENT_TYPES if name.startswith(("board.", "card."))}
    assert kinds <= {event["type"] for event in events()}


@pytest.mark.anyio
async def test_a_board_of_an_earlier_version_is_what_it_was(hub: TestHub) -> None:
    call = hub.app.system_call()

    def replayed(tx: Tx) -> list[Any]:
        log = create_stream(tx, call, "room", "old").log
        assert log == 2, "ids in the events name this stream"
        for event in events():
            append(tx, call, log, load_body(event["type"], orjson.dumps(event["data"])))
        assert [(column.column, column.wip, column.done) for column in load_columns(tx, log)] == [
            ("todo", None, False),
            ("doing", 2, False),
            ("done", None, True),
        ]
        return [(row["assignee"], view(tx, log, row)) for row in card_rows(tx, log, archived=True)]

    found = {card.id: (assignee, card) for assignee, card in await hub.app.store.write(replayed)}
    names = {event["data"]["agent"]: event["data"]["name"] for event in events() if event["type"] == "member.joined"}
    assert [
        (
            card.id,
            card.title,
            card.column,
            names.get(assignee),
            card.version,
            card.archived,
            card.labels,
            tuple(item.done for item in card.checklist),
            card.comments,
        )
        for assignee, card in (found[name] for name in sorted(found))
    ] == CARDS
    assert (found["c2-7"][1].blocked_by, found["c2-7"][1].due) == (("c2-6",), None)
    assert found["c2-6"][1].body == "With tests."


async def _write(home: Path) -> None:
    """The history of `golden.jsonl`, as this version writes it."""
    async with running_hub(home) as hub:
        ada, ben = await hub.agent("ada"), await hub.agent("ben")
        await ada.call(CreateRoom(room="old", open_to="all"))
        await ben.call(JoinRoom(room="old"))
        columns = (c.Column(column="todo"), c.Column(column="doing", wip=2), c.Column(column="done", done=True))
        await ada.call(c.ConfigureBoard(room="old", columns=columns))
        items = (c.Item(text="tokens"),)
        made = c.AddCard(room="old", title="Parser", body="With tests.", labels=("api",), checklist=items, role="coder")
        one = await ada.call(made)
        two = await ada.call(c.AddCard(room="old", title="Write the printer", blocked_by=(one.id,), due="2026-12-01"))
        old = await ada.call(c.AddCard(room="old", title="Old", column="doing", priority="low"))
        await ben.call(c.ClaimCard(room="old", card=one.id, column="doing"))
        await ben.call(c.CommentCard(room="old", card=one.id, text="which grammar?"))
        one = await ben.call(c.CheckItem(room="old", card=one.id, version=3, item=1))
        change = {"room": "old", "card": one.id, "version": 4, "title": "Write the parser", "priority": "high"}
        one = await ada.call(c.UpdateCard.model_validate(change))
        await ben.call(c.MoveCard(room="old", card=one.id, version=5, column="done"))
        await ada.call(c.UpdateCard(room="old", card=old.id, version=1, archived=True))
        two = await ada.call(c.UpdateCard(room="old", card=two.id, version=1, due=None))
        two = await ada.call(c.UpdateCard(room="old", card=two.id, version=2, archived=True))
        await ada.call(c.UpdateCard(room="old", card=two.id, version=3, archived=False))
        for event in (await ada.call(ReadEvents(room="old", limit=500))).items:
            sys.stdout.write(orjson.dumps({"type": event["type"], "data": event["data"]}).decode() + "\n")


if __name__ == "__main__":
    with TemporaryDirectory() as place:
        asyncio.run(_write(Path(place)))
