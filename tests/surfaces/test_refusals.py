"""What deciding and planning refuse: each wrong move gets a problem with a code, and how things stand now in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest

from tests.support.hubs import TestHub

pytestmark = pytest.mark.anyio


class Room:
    """The room `build` over plain HTTP: ada owns it, ben is a member."""

    def __init__(self, ada: httpx2.AsyncClient, ben: httpx2.AsyncClient, late: httpx2.AsyncClient) -> None:
        self.ada, self.ben, self.late = ada, ben, late

    async def do(self, who: httpx2.AsyncClient, method: str, path: str, **body: Any) -> Any:
        answer = await who.request(method, f"/v1/rooms/build{path}", json=body or None)
        assert answer.status_code < 300, answer.text
        return answer.json()

    async def refused(self, who: httpx2.AsyncClient, method: str, path: str, **body: Any) -> dict[str, Any]:
        answer = await who.request(method, f"/v1/rooms/build{path}", json=body or None)
        assert 400 <= answer.status_code < 500, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        found: dict[str, Any] = answer.json()
        return found

    async def proposal(self, **fields: Any) -> Any:
        return await self.do(self.ada, "POST", "/proposals", title="Port 80?", **fields)

    async def card(self, title: str, **fields: Any) -> Any:
        return await self.do(self.ada, "POST", "/cards", title=title, **fields)


@pytest.fixture
async def room(hub: TestHub) -> AsyncIterator[Room]:
    async with AsyncExitStack() as stack:
        clients = []
        for name in ("ada", "ben", "late"):
            await hub.agent(name, "code")
            client = await stack.enter_async_context(hub.client(hub.tokens[name]))
            clients.append(client.http)
        made = Room(*clients)
        assert (await made.ada.post("/v1/rooms", json={"room": "build", "open_to": "all"})).status_code == 201
        await made.do(made.ben, "POST", "/join")
        await made.do(clients[0], "PATCH", "/members/local", access="reader")
        yield made


async def test_voting_twice_changes_the_ballot_and_counts_once(room: Room) -> None:
    path = f"/proposals/{(await room.proposal())['id']}"
    await room.do(room.ben, "PUT", f"{path}/ballot", choice="approve")
    again = await room.do(room.ben, "PUT", f"{path}/ballot", choice="reject")
    assert [(b["agent"], b["choice"]) for b in again["ballots"]] == [("ben", "reject")]
    assert again["missing"] == ["ada"]


async def test_a_ballot_from_outside_the_electorate_learns_who_is_in_it(room: Room) -> None:
    path = f"/proposals/{(await room.proposal())['id']}"
    await room.do(room.late, "POST", "/join")
    found = await room.refused(room.late, "PUT", f"{path}/ballot", choice="approve")
    assert (found["status"], found["code"], found["electorate"]) == (403, "not-eligible", ["ada", "ben"])
    assert "fixed when it opened: ada, ben" in found["detail"]


async def test_a_ballot_after_the_close_gets_the_outcome_and_its_arithmetic(room: Room) -> None:
    path = f"/proposals/{(await room.proposal(options=['80', '7411'], rule={'mode': 'plurality'}))['id']}"
    for who in (room.ada, room.ben):
        await room.do(who, "PUT", f"{path}/ballot", choice="7411")
    found = await room.refused(room.ben, "PUT", f"{path}/ballot", choice="80")
    assert (found["status"], found["code"]) == (409, "proposal-closed")
    assert "is closed: decided, 7411" in found["detail"]
    assert (found["proposal"]["outcome"], found["proposal"]["state"]) == ("7411", "decided")
    assert found["proposal"]["arithmetic"]


async def test_an_unknown_option_and_a_weight_of_ones_own_are_refused(room: Room) -> None:
    path = f"/proposals/{(await room.proposal(options=['80', '7411'], rule={'mode': 'plurality'}))['id']}"
    found = await room.refused(room.ben, "PUT", f"{path}/ballot", choice="81")
    assert (found["code"], found["detail"]) == ("invalid", "'81' is not an option; valid: 80, 7411, abstain")
    found = await room.refused(room.ben, "PUT", f"{path}/ballot", choice="80", weight=5)
    assert (found["status"], "unknown field 'weight'" in found["detail"]) == (422, True)
    found = await room.refused(room.ben, "PATCH", "/members/ben", weight=5)
    assert found["status"] == 403


async def test_a_card_moved_from_a_stale_version_comes_back_as_it_is(room: Room) -> None:
    card = await room.card("Parser")
    await room.do(room.ben, "POST", f"/cards/{card['id']}/claim")
    found = await room.refused(room.ada, "POST", f"/cards/{card['id']}/move", version=1, column="done")
    assert (found["status"], found["code"]) == (409, "card-stale")
    assert (found["card"]["version"], found["card"]["assignee"], found["card"]["column"]) == (2, "ben", "todo")


async def test_a_circle_of_cards_is_shown(room: Room) -> None:
    first = await room.card("Parser")
    second = await room.card("Printer", blocked_by=[first["id"]])
    found = await room.refused(room.ada, "PATCH", f"/cards/{first['id']}", version=1, blocked_by=[second["id"]])
    assert (found["status"], found["code"]) == (422, "card-cycle")
    assert found["cycle"] == [first["id"], second["id"], first["id"]]


async def test_a_full_column_says_what_is_in_it(room: Room) -> None:
    await room.do(
        room.ada, "PUT", "/board/columns", columns=[{"column": "todo", "wip": 1}, {"column": "done", "done": True}]
    )
    card = await room.card("Parser")
    found = await room.refused(room.ben, "POST", "/cards", title="Printer")
    assert (found["status"], found["code"]) == (409, "wip-limit")
    assert (found["column"], found["wip"], found["cards"]) == ("todo", 1, [card["id"]])


async def test_an_overlapping_reservation_names_every_holder(room: Room) -> None:
    held = await room.do(room.ada, "POST", "/reservations", paths=["src/**"], reason="parser")
    found = await room.refused(room.ben, "POST", "/reservations", paths=["src/*.py", "docs/x.md"])
    assert (found["status"], found["code"]) == (409, "reservation-conflict")
    [conflict] = found["conflicts"]
    assert (conflict["path"], conflict["theirs"], conflict["reservation"]["id"]) == ("src/*.py", "src/**", held["id"])
    assert (conflict["reservation"]["by"], conflict["reservation"]["since"]) == ("ada", held["since"])
    assert (await room.do(room.ben, "GET", "/reservations"))["items"] == [held]


@pytest.mark.parametrize(
    "path", ["../etc/passwd", "/etc/passwd", "src/../../x", "C:\\x", "src/[a-z].py", "a//b", "", "a\x00b"]
)
async def test_a_glob_trick_is_refused(room: Room, path: str) -> None:
    found = await room.refused(room.ben, "POST", "/reservations", paths=[path])
    assert found["status"] == 422
    assert found["detail"]


async def test_thousands_of_patterns_are_refused_at_once(room: Room) -> None:
    found = await room.refused(room.ben, "POST", "/reservations", paths=[f"src/{n}/**" for n in range(5000)])
    assert found["status"] == 422
    assert "1000" in found["detail"] or "at most" in found["detail"]
