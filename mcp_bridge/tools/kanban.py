"""board: the room's cards, who does what, what comes next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal

from pydantic import Field

from hub.core.errors import Invalid
from hub.core.visible import visible
from hub.features.kanban.contract import (
    AddCard,
    Board,
    Card,
    CardLine,
    CheckItem,
    ClaimCard,
    CommentCard,
    GetBoard,
    GetCard,
    GetNext,
    MoveCard,
    NextCard,
    ReadHistory,
    TakeNext,
    UpdateCard,
)
from hub.kernel.rooms.contract import Room
from mcp_bridge.briefing import cut
from mcp_bridge.desk import PAGE_BYTES, Desk
from mcp_bridge.toolbox import Answer, Args, RoomArg, tool
from mcp_bridge.tools.rooms import BRIEFERS

_MOST_CARDS: Final = 100


class BoardArgs(Args):
    action: Literal[
        "see", "next", "take", "add", "card", "claim", "move", "update", "comment", "check", "archive", "history"
    ] = "see"
    room: RoomArg = None
    card: str | None = None
    version: int | None = Field(None, description="that you saw")
    title: str | None = None
    text: str | None = Field(None, description="body or comment")
    column: str | None = None
    assignee: str | None = Field(None, description="'': nobody")
    role: str | None = None
    priority: Literal["critical", "high", "normal", "low"] | None = None
    labels: list[str] | None = None
    due: str | None = None
    blocked_by: list[str] | None = None
    checklist: list[str] | None = None
    item: int | None = Field(None, description="from 1")
    links: list[str] | None = None


@tool("Board", {"cards": "array", "card": "object"})
async def board(desk: Desk, args: BoardArgs) -> Answer:
    """The room's board. take: get the next card that fits your role (next only shows it)."""
    room = await desk.room(args.room)
    answer = await _ACTIONS.get(args.action, _one)(desk, args, room)
    return Answer({**answer.data, "room": room}, answer.text, peer_text=True)


Run = Callable[[Desk, BoardArgs, str], Awaitable[Answer]]


async def _see(desk: Desk, args: BoardArgs, room: str) -> Answer:
    found = await desk.call(GetBoard(room=room, column=args.column, assignee=args.assignee or None, limit=_MOST_CARDS))
    cards, used = list[dict[str, Any]](), 0
    for card in found.cards:
        cards.append(brief_line(card))
        used += len(card.title.encode()) + 120
        if used > PAGE_BYTES // 2:
            break
    more = found.has_more or len(cards) < len(found.cards)
    data = {"columns": _columns(found), "cards": cards, "has_more": more or None}
    lines = [_text(card) for card in found.cards[: len(cards)]]
    return Answer(data, "\n".join(lines) or "no cards here; add one with action=add")


def _columns(found: Board) -> list[dict[str, Any]]:
    return [column.model_dump(exclude_defaults=True) for column in found.columns]


def brief_line(card: CardLine) -> dict[str, Any]:
    """A card for a model: only what is not the default."""
    made = card.model_dump(mode="json", exclude_defaults=True, include=set(CardLine.model_fields))
    return made | {"id": card.id, "column": card.column, "version": card.version, "title": visible(card.title)}


def brief_card(card: Card) -> dict[str, Any]:
    """A card in full for a model, long texts cut."""
    made = brief_line(card) | {"by": card.by, "body": visible(card.body[:8000])}
    made["checklist"] = [f"[{'x' if item.done else ' '}] {visible(item.text)}" for item in card.checklist]
    made["links"] = list(card.links)
    made["discussion"] = [{"by": c.by, "at": c.at, "text": visible(c.text[:1000])} for c in card.discussion[-10:]]
    return {name: value for name, value in made.items() if value not in ("", [], None)}


def _text(card: CardLine) -> str:
    holder = f" @{card.assignee}" if card.assignee else ""
    blocked = " blocked" if card.blocked else ""
    return f"[{card.id} v{card.version}] {card.column} {card.priority}{holder}{blocked}: {visible(card.title)}"


def _answer(card: Card) -> Answer:
    return Answer({"card": brief_card(card)}, _text(card))


async def _next(desk: Desk, args: BoardArgs, room: str) -> Answer:
    ask = GetNext(room=room, role=args.role) if args.action == "next" else None
    found: NextCard = await desk.call(ask or TakeNext(room=room, role=args.role, column=args.column))
    card = None if found.card is None else brief_card(found.card)
    mine = [brief_line(line) for line in found.mine if found.card is None or line.id != found.card.id]
    text = found.why if found.card is None else _text(found.card)
    return Answer({"card": card, "mine": mine, "why": found.why}, text)


async def _add(desk: Desk, args: BoardArgs, room: str) -> Answer:
    given = {**_fields(args), "room": room, "column": args.column}
    return _answer(await desk.call(AddCard.model_validate({k: v for k, v in given.items() if v is not None})))


def _fields(args: BoardArgs) -> dict[str, Any]:
    """The given fields of a card, by the names of the contract."""
    names = ("title", "role", "priority", "labels", "due", "blocked_by", "links")
    made: dict[str, Any] = {name: getattr(args, name) for name in names}
    made["body"] = args.text
    made["checklist"] = None if args.checklist is None else [_item(line) for line in args.checklist]
    made["assignee"] = args.assignee or None
    return {name: value for name, value in made.items() if value is not None}


def _item(line: str) -> dict[str, Any]:
    """A checklist line, as written or as shown by this tool."""
    done, plain = line.startswith("[x] "), line.removeprefix("[x] ").removeprefix("[ ] ")
    return {"text": plain, "done": done}


async def _history(desk: Desk, args: BoardArgs, room: str) -> Answer:
    found = await desk.call(ReadHistory(room=room, card=_need(args.card, "card")))
    shown = [{"at": change.at, "by": change.by, "what": visible(change.what)} for change in found.items]
    text = "\n".join(f"{change['at']} {change['by']} {change['what']}" for change in shown)
    return Answer({"history": shown, "has_more": found.has_more or None}, text)


async def _one(desk: Desk, args: BoardArgs, room: str) -> Answer:
    """Actions that answer with the card."""
    card = _need(args.card, "card")
    if args.action == "card":
        return _answer(await desk.call(GetCard(room=room, card=card)))
    if args.action == "claim":
        return _answer(await desk.call(ClaimCard(room=room, card=card, column=args.column)))
    if args.action == "comment":
        return _answer(await desk.call(CommentCard(room=room, card=card, text=_need(args.text, "text"))))
    seen = {"room": room, "card": card, "version": _need(args.version, "version (the one you saw)")}
    return _answer(await desk.call(_change(args, seen)))


def _change(args: BoardArgs, seen: dict[str, Any]) -> MoveCard | UpdateCard | CheckItem:
    if args.action == "move":
        return MoveCard.model_validate({**seen, "column": _need(args.column, "column")})
    if args.action == "check":
        return CheckItem.model_validate({**seen, "item": _need(args.item, "item")})
    if args.action == "archive":
        return UpdateCard.model_validate({**seen, "archived": True})
    cleared: dict[str, Any] = {name: None for name in ("assignee", "role", "due") if getattr(args, name) == ""}
    return UpdateCard.model_validate({**seen, **_fields(args), **cleared})


def _need(value: Any, name: str) -> Any:
    if not value:
        raise Invalid(f"this action needs {name}")
    return value


_ACTIONS: Final[dict[str, Run]] = {"see": _see, "next": _next, "take": _next, "add": _add, "history": _history}


async def _brief(desk: Desk, room: Room) -> dict[str, Any]:
    """The newcomer's own cards, for the briefing of `join`."""
    mine = (await desk.call(GetNext(room=room.room))).mine
    return {
        "cards": [{"id": card.id, "column": card.column, "title": cut(visible(card.title), 80)} for card in mine[:5]]
    }


BRIEFERS.append(_brief)
