"""Events of the board to rows, and rows to values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import orjson

from hub.core.event import Placed
from hub.core.names import make_id, split_id
from hub.core.times import rfc3339
from hub.features.kanban.contract import (
    CLEARABLE,
    DEFAULT_COLUMNS,
    BoardConfigured,
    Card,
    CardAdded,
    CardArchived,
    CardChanged,
    CardClaimed,
    CardCommented,
    CardLine,
    CardMoved,
    Column,
    Comment,
    Item,
)
from hub.features.kanban.rules import CardNotFound, done_columns
from hub.log.log import agent_name, load_stream, projects
from hub.storage.interface import Row, Tx

NEWEST_COMMENTS: Final = 100
_LINE: LiteralString = (
    "select seq, title, lane, rank, assignee, role, priority, labels, due, checklist, version, archived"
    " from card where log = :log and (archived = 0 or :archived = 1) order by rank, seq"
)
_CARD: LiteralString = (
    "select seq, creator, title, body, lane, rank, assignee, role, priority, labels, due, checklist, links, version,"
    " archived, created_at, changed_at from card where log = :log"
)


def card_seq(log: int, card: str) -> int:
    """The number of a card's event in this room; raises CardNotFound for another room's id."""
    found, seq = split_id("c", card, CardNotFound)
    if found != log:
        raise CardNotFound(f"card {card!r} is not in this room; pass the room it is in")
    return seq


def _seq(card: str) -> int:
    return split_id("c", card, CardNotFound)[1]


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


@projects(BoardConfigured)
def configured(tx: Tx, at: Placed, body: BoardConfigured) -> None:
    tx.run(
        "insert into board (log, columns) values (:log, :columns)"
        " on conflict (log) do update set columns = excluded.columns",
        log=at.log,
        columns=_json([column.model_dump() for column in body.columns]),
    )
    tx.stage("card_event", (at.log, at.seq, 0))


@projects(CardAdded)
def added(tx: Tx, at: Placed, body: CardAdded) -> None:
    made = body.fields
    tx.stage(
        "card",
        (
            at.log,
            at.seq,
            at.actor,
            made.title or "",
            made.body or "",
            body.column,
            body.rank,
            made.assignee,
            made.role,
            made.priority or "normal",
            _json(made.labels or ()),
            made.due,
            _items(made.checklist or ()),
            _json(made.links or ()),
            1,
            0,
            at.at_ms,
            at.at_ms,
        ),
    )
    _block(tx, at.log, at.seq, made.blocked_by or ())
    tx.stage("card_event", (at.log, at.seq, at.seq))


def _items(items: Iterable[Item]) -> str:
    return _json([item.model_dump() for item in items])


def _block(tx: Tx, log: int, card: int, blockers: Iterable[str]) -> None:
    for place, blocker in enumerate(blockers):
        tx.stage("card_blocker", (log, card, place, _seq(blocker)))


@projects(CardChanged)
def changed(tx: Tx, at: Placed, body: CardChanged) -> None:
    card, given = _seq(body.card), body.set
    plain = given.model_dump(exclude_none=True, include={"title", "body", "assignee", "role", "priority", "due"})
    values: dict[str, Any] = plain | dict.fromkeys(body.cleared)
    for name in ("labels", "links"):
        if (value := getattr(given, name)) is not None:
            values[name] = _json(value)
    if given.checklist is not None:
        values["checklist"] = _items(given.checklist)
    for name, value in values.items():
        tx.run(_SET[name], value=value, log=at.log, seq=card)
    if given.blocked_by is not None:
        tx.run("delete from card_blocker where log = :log and card = :card", log=at.log, card=card)
        _block(tx, at.log, card, given.blocked_by)
    _touch(tx, at, card)


_SET: Final[dict[str, LiteralString]] = {
    "title": "update card set title = :value where log = :log and seq = :seq",
    "body": "update card set body = :value where log = :log and seq = :seq",
    "assignee": "update card set assignee = :value where log = :log and seq = :seq",
    "role": "update card set role = :value where log = :log and seq = :seq",
    "priority": "update card set priority = :value where log = :log and seq = :seq",
    "labels": "update card set labels = :value where log = :log and seq = :seq",
    "due": "update card set due = :value where log = :log and seq = :seq",
    "checklist": "update card set checklist = :value where log = :log and seq = :seq",
    "links": "update card set links = :value where log = :log and seq = :seq",
}
assert set(CLEARABLE) <= set(_SET)


def _touch(tx: Tx, at: Placed, card: int) -> None:
    """A new version, and the event in the card's history."""
    tx.run(
        "update card set version = version + 1, changed_at = :at where log = :log and seq = :seq",
        at=at.at_ms,
        log=at.log,
        seq=card,
    )
    tx.stage("card_event", (at.log, at.seq, card))


@projects(CardMoved)
def moved(tx: Tx, at: Placed, body: CardMoved) -> None:
    card = _seq(body.card)
    tx.run(
        "update card set lane = :lane, rank = :rank where log = :log and seq = :seq",
        lane=body.column,
        rank=body.rank,
        log=at.log,
        seq=card,
    )
    _touch(tx, at, card)


@projects(CardClaimed)
def claimed(tx: Tx, at: Placed, body: CardClaimed) -> None:
    card = _seq(body.card)
    tx.run(_SET["assignee"], value=body.agent, log=at.log, seq=card)
    _touch(tx, at, card)


@projects(CardArchived)
def archived(tx: Tx, at: Placed, body: CardArchived) -> None:
    card = _seq(body.card)
    tx.run(
        "update card set archived = :archived where log = :log and seq = :seq",
        archived=int(body.archived),
        log=at.log,
        seq=card,
    )
    _touch(tx, at, card)


@projects(CardCommented)
def commented(tx: Tx, at: Placed, body: CardCommented) -> None:
    card = _seq(body.card)
    tx.stage("card_comment", (at.log, at.seq, card, at.actor, at.at_ms, body.text))
    tx.stage("card_event", (at.log, at.seq, card))


# --- reading --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Around:
    """What a card's row does not say itself: what blocks it, and what has been said."""

    blockers: Mapping[int, Sequence[int]]
    unfinished: frozenset[int]
    comments: Mapping[int, int]


def load_columns(tx: Tx, log: int) -> tuple[Column, ...]:
    """The room's columns; the default ones until an owner sets others."""
    row = tx.row("select columns from board where log = :log", log=log)
    return DEFAULT_COLUMNS if row is None else tuple(Column.model_validate(item) for item in orjson.loads(row[0]))


def board_head(tx: Tx, log: int) -> int:
    """The number of the newest event of a room's board; 0 without one."""
    row = tx.row("select coalesce(max(seq), 0) from card_event where log = :log", log=log)
    return 0 if row is None else int(row[0])


def need_card(tx: Tx, log: int, card: str) -> Row:
    """The row of a card; raises CardNotFound."""
    row = tx.row(_CARD + " and seq = :seq", log=log, seq=card_seq(log, card))
    if row is None:
        raise CardNotFound(f"card {card!r} not found; the board lists them")
    return row


def line_rows(tx: Tx, log: int, *, archived: bool) -> list[Row]:
    """What `line` needs of each card: columns mixed, in each from top to bottom."""
    return tx.rows(_LINE, log=log, archived=int(archived))


def card_rows(tx: Tx, log: int, *, archived: bool) -> list[Row]:
    """Cards in full: columns mixed, in each from top to bottom."""
    return tx.rows(_CARD + " and (archived = 0 or :archived = 1) order by rank, seq", log=log, archived=int(archived))


def load_around(tx: Tx, log: int, columns: Sequence[Column], card: int | None = None) -> Around:
    """Blockers and comment counts of all cards, or of one."""
    done = done_columns(columns)
    blockers: dict[int, list[int]] = {}
    unfinished = set()
    for row in tx.rows(
        "select b.card, b.blocker, c.lane, c.archived from card_blocker b"
        " join card c on c.log = b.log and c.seq = b.blocker"
        " where b.log = :log and (:all = 1 or b.card = :card) order by b.card, b.place",
        log=log,
        all=int(card is None),
        card=card or 0,
    ):
        blockers.setdefault(row[0], []).append(row[1])
        if row[2] not in done and not row[3]:
            unfinished.add(row[1])
    counts = tx.rows(
        "select card, count(*) from card_comment where log = :log and (:all = 1 or card = :card) group by card",
        log=log,
        all=int(card is None),
        card=card or 0,
    )
    return Around(blockers, frozenset(unfinished), {row[0]: row[1] for row in counts})


def _line(tx: Tx, log: int, row: Row, around: Around) -> dict[str, Any]:
    seq, items = row["seq"], orjson.loads(row["checklist"])
    blockers = around.blockers.get(seq, ())
    return {
        "id": make_id("c", log, seq),
        "title": row["title"],
        "column": row["lane"],
        "priority": row["priority"],
        "assignee": None if row["assignee"] is None else agent_name(tx, row["assignee"]),
        "role": row["role"],
        "labels": tuple(orjson.loads(row["labels"])),
        "due": row["due"],
        "blocked_by": tuple(make_id("c", log, blocker) for blocker in blockers),
        "blocked": any(blocker in around.unfinished for blocker in blockers),
        "items": len(items),
        "items_done": sum(item["done"] for item in items),
        "comments": around.comments.get(seq, 0),
        "archived": bool(row["archived"]),
        "version": row["version"],
    }


def line(tx: Tx, log: int, row: Row, around: Around) -> CardLine:
    """The card as the board lists it."""
    return CardLine(**_line(tx, log, row, around))


def view(tx: Tx, log: int, row: Row, around: Around | None = None) -> Card:
    """The card in full."""
    return Card(
        **_line(tx, log, row, around or load_around(tx, log, load_columns(tx, log), row["seq"])),
        room=load_stream(tx, log).name,
        body=row["body"],
        checklist=tuple(Item.model_validate(item) for item in orjson.loads(row["checklist"])),
        links=tuple(orjson.loads(row["links"])),
        by=agent_name(tx, row["creator"]),
        created_at=rfc3339(row["created_at"]),
        changed_at=rfc3339(row["changed_at"]),
        discussion=_discussion(tx, log, row["seq"]),
    )


def _discussion(tx: Tx, log: int, card: int) -> tuple[Comment, ...]:
    rows = tx.rows(
        "select agent, at, text from card_comment where log = :log and card = :card order by seq desc limit :most",
        log=log,
        card=card,
        most=NEWEST_COMMENTS,
    )
    return tuple(Comment(by=agent_name(tx, row[0]), at=rfc3339(row[1]), text=row[2]) for row in reversed(rows))
