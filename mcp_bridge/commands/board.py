"""`board …`: see, add, move, claim, next, take, change, comment, history, columns, export, import."""

from __future__ import annotations

from typing import Any, TextIO, get_args

import click

from hub.client import HubClient
from hub.core.visible import visible
from hub.features.kanban.contract import (
    AddCard,
    Board,
    Card,
    CardLine,
    CheckItem,
    ClaimCard,
    CommentCard,
    ConfigureBoard,
    ExportBoard,
    GetBoard,
    GetCard,
    GetNext,
    ImportBoard,
    MoveCard,
    NextCard,
    Priority,
    ReadHistory,
    TakeNext,
    UpdateCard,
)
from mcp_bridge.commands.common import json_option, show, table, with_client

_FORMAT = click.option("--format", "form", type=click.Choice(["json", "markdown"]), default="markdown")
_AT = click.option("--version", "at", type=int, help="The version you saw; default: whatever it is now.")


@click.group()
def board() -> None:
    """A room's board: columns, cards, what to do next."""


@board.command("show")
@click.argument("room")
@click.option("--column")
@click.option("--assignee")
@click.option("--label")
@click.option("--archived", is_flag=True, help="Archived cards too.")
@json_option
@with_client
async def show_board(client: HubClient, room: str, as_json: bool, **wanted: Any) -> None:
    """The board of ROOM, column by column."""
    found = await client.call(GetBoard.model_validate({"room": room, **wanted}))
    show(found, as_json, lambda: _board(found))


def _board(found: Board) -> str:
    parts = []
    for column in found.columns:
        cards = [card for card in found.cards if card.column == column.column]
        limit = f" of {column.wip}" if column.wip else ""
        rows = [_row(card) for card in cards]
        text = table(rows, ("id", "v", "priority", "assignee", "title", "")) if rows else "  -"
        parts.append(f"{column.column} ({len(cards)}{limit})\n{text}")
    more = "\n\nmore cards: filter with --column, --assignee or --label" if found.has_more else ""
    return "\n\n".join(parts) + more


def _row(card: CardLine) -> tuple[str, ...]:
    marks = [f"blocked by {', '.join(card.blocked_by)}"] if card.blocked else []
    marks += [f"{card.items_done}/{card.items}"] if card.items else []
    marks += ["archived"] if card.archived else []
    return (card.id, str(card.version), card.priority, card.assignee or "", visible(card.title), "; ".join(marks))


def _card(card: Card) -> str:
    facts = {
        "column": card.column,
        "assignee": card.assignee,
        "role": card.role,
        "priority": card.priority,
        "due": card.due,
        "labels": ", ".join(card.labels),
        "blocked by": ", ".join(card.blocked_by) + (" (unfinished)" if card.blocked else ""),
        "links": ", ".join(card.links),
    }
    lines = [f"{card.id} v{card.version} {visible(card.title)}" + (" (archived)" if card.archived else "")]
    lines += [f"  {name}: {visible(value)}" for name, value in facts.items() if value]
    lines += ["", visible(card.body)] if card.body else []
    lines += [f"  {n}. [{'x' if i.done else ' '}] {visible(i.text)}" for n, i in enumerate(card.checklist, 1)]
    lines += [f"  {c.by} {c.at}: {visible(c.text)}" for c in card.discussion]
    return "\n".join(lines)


@board.command("card")
@click.argument("room")
@click.argument("card")
@json_option
@with_client
async def card_(client: HubClient, room: str, card: str, as_json: bool) -> None:
    """One card in full."""
    found = await client.call(GetCard(room=room, card=card))
    show(found, as_json, lambda: _card(found))


def _field_options(function: Any) -> Any:
    """Options for the fields of a card."""
    for option in reversed(
        [
            click.option("--body"),
            click.option("--assignee"),
            click.option("--role", help="Who should do it: a role."),
            click.option("--priority", type=click.Choice(get_args(Priority))),
            click.option("--label", "labels", multiple=True, help="Repeatable."),
            click.option("--due", help="A date, or a time with a zone."),
            click.option("--blocked-by", multiple=True, help="A card that comes first (repeatable)."),
            click.option("--item", "checklist", multiple=True, help="A line of the checklist (repeatable)."),
            click.option("--link", "links", multiple=True, help="Id of a message, file, proposal; or a URL."),
        ]
    ):
        function = option(function)
    return function


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    """The options that were used, as fields of a card."""
    made = {name: value for name, value in fields.items() if value not in (None, ())}
    if lines := made.pop("checklist", None):
        made["checklist"] = [{"text": line} for line in lines]
    return made


@board.command("add")
@click.argument("room")
@click.argument("title")
@click.option("--column", help="Default: the first.")
@_field_options
@json_option
@with_client
async def add(client: HubClient, room: str, title: str, as_json: bool, **fields: Any) -> None:
    """Add a card TITLE to ROOM."""
    made = await client.call(AddCard.model_validate({"room": room, "title": title, **_given(fields)}))
    show(made, as_json, lambda: _card(made))


async def _version(client: HubClient, room: str, card: str, at: int | None) -> int:
    return at if at is not None else (await client.call(GetCard(room=room, card=card))).version


@board.command("update")
@click.argument("room")
@click.argument("card")
@click.option("--title")
@_field_options
@click.option("--clear", type=click.Choice(["assignee", "role", "due"]), multiple=True)
@click.option("--archive/--restore", "archived", default=None, help="Out of the way, or back.")
@_AT
@json_option
@with_client
async def update(
    client: HubClient, room: str, card: str, at: int | None, clear: tuple[str, ...], as_json: bool, **fields: Any
) -> None:
    """Change fields of CARD. Repeatable options replace the whole list."""
    version = await _version(client, room, card, at)
    given = {**_given(fields), **dict.fromkeys(clear)}
    made = await client.call(UpdateCard.model_validate({"room": room, "card": card, "version": version, **given}))
    show(made, as_json, lambda: _card(made))


@board.command("move")
@click.argument("room")
@click.argument("card")
@click.argument("column")
@click.option("--before", help="The card it goes above; default: the end.")
@_AT
@json_option
@with_client
async def move(
    client: HubClient, room: str, card: str, column: str, before: str | None, at: int | None, as_json: bool
) -> None:
    """Move CARD to COLUMN."""
    version = await _version(client, room, card, at)
    made = await client.call(MoveCard(room=room, card=card, version=version, column=column, before=before))
    show(made, as_json, lambda: _card(made))


@board.command("claim")
@click.argument("room")
@click.argument("card")
@click.option("--column", help="Move it there at the same time.")
@json_option
@with_client
async def claim(client: HubClient, room: str, card: str, column: str | None, as_json: bool) -> None:
    """Take CARD, if nobody has it."""
    made = await client.call(ClaimCard(room=room, card=card, column=column))
    show(made, as_json, lambda: _card(made))


def _next(found: NextCard) -> str:
    first = [f"you have {card.id} in {card.column}: {visible(card.title)}" for card in found.mine]
    return "\n".join([*first, _card(found.card) if found.card else found.why])


@board.command("next")
@click.argument("room")
@click.option("--role", help="Default: your role in the room.")
@json_option
@with_client
async def next_(client: HubClient, room: str, role: str | None, as_json: bool) -> None:
    """What should I do next?"""
    found = await client.call(GetNext(room=room, role=role))
    show(found, as_json, lambda: _next(found))


@board.command("take")
@click.argument("room")
@click.option("--role", help="Default: your role in the room.")
@click.option("--column", help="Move it there at the same time.")
@json_option
@with_client
async def take(client: HubClient, room: str, role: str | None, column: str | None, as_json: bool) -> None:
    """Claim what `next` would show."""
    found = await client.call(TakeNext(room=room, role=role, column=column))
    show(found, as_json, lambda: _next(found))


@board.command("check")
@click.argument("room")
@click.argument("card")
@click.argument("item", type=int)
@click.option("--undo", is_flag=True)
@_AT
@json_option
@with_client
async def check(client: HubClient, room: str, card: str, item: int, undo: bool, at: int | None, as_json: bool) -> None:
    """Tick line ITEM (from 1) of a checklist."""
    version = await _version(client, room, card, at)
    made = await client.call(CheckItem(room=room, card=card, item=item, version=version, done=not undo))
    show(made, as_json, lambda: _card(made))


@board.command("comment")
@click.argument("room")
@click.argument("card")
@click.argument("text")
@json_option
@with_client
async def comment(client: HubClient, room: str, card: str, text: str, as_json: bool) -> None:
    """Comment on CARD."""
    made = await client.call(CommentCard(room=room, card=card, text=text))
    show(made, as_json, lambda: _card(made))


@board.command("history")
@click.argument("room")
@click.argument("card")
@json_option
@with_client
async def history(client: HubClient, room: str, card: str, as_json: bool) -> None:
    """Who did what to CARD, and when."""
    found = await client.call(ReadHistory(room=room, card=card, limit=500))
    rows = [(change.at, change.by, visible(change.what)) for change in found.items]
    show(found, as_json, lambda: table(rows, ("at", "by", "what")))


@board.command("columns")
@click.argument("room")
@click.argument("columns", nargs=-1, required=True)
@json_option
@with_client
async def columns_(client: HubClient, room: str, columns: tuple[str, ...], as_json: bool) -> None:
    """Set the COLUMNS of ROOM: NAME, NAME=LIMIT, and NAME! for those with finished cards."""
    made = await client.call(ConfigureBoard.model_validate({"room": room, "columns": [_column(c) for c in columns]}))
    show(made, as_json, lambda: _board(made))


def _column(text: str) -> dict[str, Any]:
    name, _, limit = text.removesuffix("!").partition("=")
    if limit and not limit.isdigit():
        raise click.BadParameter(f"{text!r}: use NAME, NAME=LIMIT or NAME!")
    return {"column": name, "wip": int(limit) if limit else None, "done": text.endswith("!")}


@board.command("export")
@click.argument("room")
@_FORMAT
@click.option("--archived/--no-archived", default=True, show_default=True)
@with_client
async def export(client: HubClient, room: str, form: Any, archived: bool) -> None:
    """Print the board as Markdown or JSON."""
    click.echo((await client.call(ExportBoard(room=room, format=form, archived=archived))).text, nl=False)


@board.command("import")
@click.argument("room")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@_FORMAT
@json_option
@with_client
async def import_(client: HubClient, room: str, file: TextIO, form: Any, as_json: bool) -> None:
    """Add the cards of an exported (or hand-written) FILE."""
    made = await client.call(ImportBoard(room=room, format=form, text=file.read()))
    show(made, as_json, lambda: f"added {len(made.cards)} cards: {', '.join(made.cards)}")
