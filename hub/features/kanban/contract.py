"""The board: operations, results, events. Every change of a card but a claim and a comment names the version it saw."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal

import orjson
from pydantic import AfterValidator, Field, field_validator, model_validator

from hub.core.event import EventBody, Placed
from hub.core.model import Model
from hub.core.names import AgentName, Name, Role, RoomName, make_id
from hub.core.operation import AnyOperation, Operation, Request, Result

Priority = Literal["critical", "high", "normal", "low"]
Format = Literal["json", "markdown"]
CardId = Annotated[str, Field(min_length=3, max_length=40)]
ColumnName = Name
Version = Annotated[int, Field(ge=1, le=2**31, description="the card's version that you saw")]
MOST_CARDS = 2000
MOST_COLUMNS = 20


def _single_line(text: str) -> str:
    made = " ".join(text.split())
    if not made:
        raise ValueError("it must not be empty")
    return made


def _due(text: str) -> str:
    """RFC 3339 UTC to the second of a date (its last second) or a time with a zone."""
    try:
        at = datetime.fromisoformat(f"{text}T23:59:59+00:00" if len(text) == 10 else text)
    except ValueError:
        raise ValueError("use a date like 2026-12-01 or a time like 2026-12-01T15:00:00Z") from None
    if at.tzinfo is None:
        raise ValueError("a time needs a zone, for example a Z at its end")
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _distinct(items: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


Title = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_single_line)]
Body = Annotated[str, Field(max_length=20_000)]
Due = Annotated[str, Field(max_length=40), AfterValidator(_due)]
Label = Annotated[str, Field(min_length=1, max_length=40), AfterValidator(_single_line)]
Labels = Annotated[tuple[Label, ...], Field(max_length=20), AfterValidator(_distinct)]
Links = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_single_line)], ...],
    Field(max_length=50, description="ids of messages, files, proposals, or URLs"),
    AfterValidator(_distinct),
]
Blockers = Annotated[tuple[CardId, ...], Field(max_length=50), AfterValidator(_distinct)]


class Column(Model):
    """A column. `wip` is the most cards it may hold; cards in a `done` column are finished and block nobody."""

    column: ColumnName
    wip: int | None = Field(default=None, ge=1, le=1000)
    done: bool = False


Columns = Annotated[tuple[Column, ...], Field(min_length=1, max_length=MOST_COLUMNS)]
DEFAULT_COLUMNS: tuple[Column, ...] = (
    Column(column="todo"),
    Column(column="in_progress"),
    Column(column="review"),
    Column(column="done", done=True),
)


class Item(Model):
    """A line of a checklist."""

    text: Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_single_line)]
    done: bool = False


Checklist = Annotated[tuple[Item, ...], Field(max_length=50)]


class Comment(Model):
    by: str
    at: str
    text: str


class CardLine(Result):
    """A card as a board lists it."""

    id: str
    title: str
    column: str
    priority: Priority = "normal"
    assignee: str | None = None
    role: str | None = Field(default=None, description="who should do it: a role or a capability")
    labels: tuple[str, ...] = ()
    due: str | None = None
    blocked_by: tuple[str, ...] = Field(default=(), description="cards that come first, finished ones included")
    blocked: bool = Field(default=False, description="whether one of them is unfinished")
    items: int = Field(default=0, description="lines of its checklist")
    items_done: int = 0
    comments: int = 0
    archived: bool = False
    version: int


class Card(CardLine):
    """A card in full."""

    room: str
    body: str = ""
    checklist: tuple[Item, ...] = ()
    links: tuple[str, ...] = ()
    by: str
    created_at: str
    changed_at: str
    discussion: tuple[Comment, ...] = Field(default=(), description="its newest 100 comments, oldest first")


class Board(Result):
    """Columns from left to right, and the cards of each from top to bottom."""

    room: str
    columns: tuple[Column, ...]
    cards: tuple[CardLine, ...] = ()
    archived: int = Field(default=0, description="how many cards are archived")
    has_more: bool = False


class NextCard(Result):
    """What to do next. `mine` are your unfinished cards: finish these first. `why` says so when there is nothing."""

    card: Card | None = None
    mine: tuple[CardLine, ...] = ()
    why: str = ""


class Change(Model):
    """One change of a card."""

    seq: int
    at: str
    by: str
    type: str
    what: str
    data: dict[str, Any]


class CardHistory(Result):
    """What happened to a card, oldest first. `trimmed`: the room no longer keeps the oldest part."""

    items: tuple[Change, ...]
    has_more: bool = False
    trimmed: bool = False


class BoardText(Result):
    """The board as a document."""

    room: str
    format: Format
    text: str


class Imported(Result):
    """What an import made: the new id of each card of the document, in its order."""

    cards: tuple[str, ...]


class GetBoard(Request[Board]):
    """The board: columns, limits and cards. Archived cards only with `archived=true`."""

    room: RoomName
    column: ColumnName | None = None
    assignee: AgentName | None = None
    label: Label | None = None
    archived: bool = False
    limit: int = Field(default=500, ge=1, le=MOST_CARDS)


class ConfigureBoard(Request[Board]):
    """Set the columns from left to right and their limits; owners only. Columns that hold cards must stay."""

    room: RoomName
    columns: Columns

    @field_validator("columns")
    @classmethod
    def _differ(cls, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        if len({column.column for column in columns}) != len(columns):
            raise ValueError("columns must have different names")
        if all(column.done for column in columns):
            raise ValueError("at least one column must hold unfinished cards (done: false)")
        return columns


class AddCard(Request[Card]):
    """Add a card, at the end of the first column unless you name another."""

    room: RoomName
    title: Title
    body: Body = ""
    column: ColumnName | None = None
    assignee: AgentName | None = None
    role: Role | None = None
    priority: Priority = "normal"
    labels: Labels = ()
    due: Due | None = None
    blocked_by: Blockers = ()
    checklist: Checklist = ()
    links: Links = ()


class GetCard(Request[Card]):
    """One card with its comments."""

    room: RoomName
    card: CardId


class UpdateCard(Request[Card]):
    """Change a card's fields; null clears assignee, role and due. Fails with the current card when it has changed."""

    room: RoomName
    card: CardId
    version: Version
    title: Title | None = None
    body: Body | None = None
    assignee: AgentName | None = None
    role: Role | None = None
    priority: Priority | None = None
    labels: Labels | None = None
    due: Due | None = None
    blocked_by: Blockers | None = None
    checklist: Checklist | None = None
    links: Links | None = None
    archived: bool | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> UpdateCard:
        if not self.model_fields_set - {"room", "card", "version"}:
            raise ValueError("name at least one field to change")
        nulls = {name for name in self.model_fields_set if getattr(self, name) is None} - set(CLEARABLE)
        if nulls:
            raise ValueError(f"{sorted(nulls)[0]} cannot be null; leave it out to keep it")
        return self


class MoveCard(Request[Card]):
    """Move a card to a column, before another card there or to its end."""

    room: RoomName
    card: CardId
    version: Version
    column: ColumnName
    before: CardId | None = None


class ClaimCard(Request[Card]):
    """Take an unassigned, unblocked card, at the same time into a column if you like. Only one caller gets it."""

    room: RoomName
    card: CardId
    column: ColumnName | None = None


class TakeNext(Request[NextCard]):
    """Claim the card that `board.next` would name, in one step: two callers never get the same."""

    room: RoomName
    role: Role | None = None
    column: ColumnName | None = None


class GetNext(Request[NextCard]):
    """What should I do next: the highest-priority unblocked unassigned card that fits my role."""

    room: RoomName
    role: Role | None = Field(default=None, description="default: your role and capabilities in the room")


class CheckItem(Request[Card]):
    """Tick or untick a line of the checklist, counted from 1."""

    room: RoomName
    card: CardId
    item: int = Field(ge=1, le=50)
    version: Version
    done: bool = True


class CommentCard(Request[Card]):
    """Comment on a card; needs no version and changes none."""

    room: RoomName
    card: CardId
    text: str = Field(min_length=1, max_length=10_000)


class ReadHistory(Request[CardHistory]):
    """Who changed a card, when and how, from the room's log."""

    room: RoomName
    card: CardId
    after: int = Field(default=0, ge=0, description="seq after which to go on")
    limit: int = Field(default=100, ge=1, le=500)


class ExportBoard(Request[BoardText]):
    """The whole board as JSON or Markdown; both can be imported again."""

    room: RoomName
    format: Format = "json"
    archived: bool = True


class ImportBoard(Request[Imported]):
    """Add up to 500 cards of an exported board. All or nothing; columns it needs are added if you own the room."""

    room: RoomName
    format: Format = "json"
    text: str = Field(min_length=1, max_length=900_000)


_B = "/v1/rooms/{room}/board"
_C = "/v1/rooms/{room}/cards"
_ONE = _C + "/{card}"
BOARD = Operation("board.get", f"GET {_B}", "room:read", GetBoard, Board)
CONFIGURE = Operation("board.configure", f"PUT {_B}/columns", "kanban", ConfigureBoard, Board)
NEXT = Operation("board.next", f"GET {_B}/next", "room:read", GetNext, NextCard)
TAKE = Operation("board.take", f"POST {_B}/take", "kanban", TakeNext, NextCard)
EXPORT = Operation("board.export", f"GET {_B}/export", "room:read", ExportBoard, BoardText)
IMPORT = Operation("board.import", f"POST {_B}/import", "kanban", ImportBoard, Imported, 201)
ADD = Operation("cards.add", f"POST {_C}", "kanban", AddCard, Card, 201)
GET = Operation("cards.get", f"GET {_ONE}", "room:read", GetCard, Card)
UPDATE = Operation("cards.update", f"PATCH {_ONE}", "kanban", UpdateCard, Card)
MOVE = Operation("cards.move", f"POST {_ONE}/move", "kanban", MoveCard, Card)
CLAIM = Operation("cards.claim", f"POST {_ONE}/claim", "kanban", ClaimCard, Card)
CHECK = Operation("cards.check", f"POST {_ONE}/checklist/{{item}}", "kanban", CheckItem, Card)
COMMENT = Operation("cards.comment", f"POST {_ONE}/comments", "kanban", CommentCard, Card, 201)
HISTORY = Operation("cards.history", f"GET {_ONE}/history", "room:read", ReadHistory, CardHistory)
OPERATIONS: list[AnyOperation] = [
    BOARD,
    CONFIGURE,
    NEXT,
    TAKE,
    EXPORT,
    IMPORT,
    ADD,
    GET,
    UPDATE,
    MOVE,
    CLAIM,
    CHECK,
    COMMENT,
    HISTORY,
]

CLEARABLE = ("assignee", "role", "due")


class Fields(Model):
    """What a change may set on a card; None is: not set. `assignee` is an agent's id."""

    title: str | None = None
    body: str | None = None
    assignee: int | None = None
    role: str | None = None
    priority: Priority | None = None
    labels: tuple[str, ...] | None = None
    due: str | None = None
    blocked_by: tuple[str, ...] | None = None
    checklist: tuple[Item, ...] | None = None
    links: tuple[str, ...] | None = None


class _CardEvent(EventBody):
    """What happened to one card. `tell` are the agents it concerns."""

    card: str
    title: str = ""
    tell: tuple[int, ...] = ()

    def concerns(self) -> tuple[int, ...]:
        return self.tell

    def subject(self, log: int, seq: int) -> str:
        return self.card


class BoardConfigured(EventBody):
    type: ClassVar[str] = "board.configured"
    columns: tuple[Column, ...]


class CardAdded(EventBody):
    """On the wire with the new card's `card` id."""

    type: ClassVar[str] = "card.added"
    column: str
    rank: str
    fields: Fields
    tell: tuple[int, ...] = ()

    def concerns(self) -> tuple[int, ...]:
        return self.tell

    def subject(self, log: int, seq: int) -> str:
        return make_id("c", log, seq)

    def notice(self) -> str:
        return f"A new card is assigned to you: {self.fields.title}"

    def data(self, at: Placed) -> bytes:
        return orjson.dumps({"card": make_id("c", at.log, at.seq), **self.model_dump(mode="json", exclude_none=True)})


class CardChanged(_CardEvent):
    """`set` holds the new values; `cleared` the fields that are empty now."""

    type: ClassVar[str] = "card.changed"
    set: Fields = Fields()
    cleared: tuple[Literal["assignee", "role", "due"], ...] = ()

    def notice(self) -> str:
        if self.set.assignee in self.tell:
            return f"{self.card} is assigned to you: {self.title}"
        return f"{self.card} is no longer yours: {self.title}"


def free(cards: tuple[str, ...]) -> str:
    """What a notice says of cards that somebody waited for."""
    return f"; no longer blocked: {', '.join(cards)}" if cards else ""


class CardMoved(_CardEvent):
    """`unblocked` are cards whose last unfinished blocker this was; their assignees are told."""

    type: ClassVar[str] = "card.moved"
    column: str
    rank: str
    left: str = ""
    unblocked: tuple[str, ...] = ()

    def notice(self) -> str:
        return f"{self.card} went to {self.column}: {self.title}{free(self.unblocked)}"


class CardClaimed(_CardEvent):
    type: ClassVar[str] = "card.claimed"
    agent: int

    def notice(self) -> str:
        return f"{self.card} was claimed: {self.title}"


class CardArchived(_CardEvent):
    """Out of the way, or with `archived` false back again."""

    type: ClassVar[str] = "card.archived"
    archived: bool = True
    unblocked: tuple[str, ...] = ()

    def notice(self) -> str:
        return f"{self.card} was {'archived' if self.archived else 'brought back'}: {self.title}{free(self.unblocked)}"


class CardCommented(_CardEvent):
    type: ClassVar[str] = "card.commented"
    text: str

    def notice(self) -> str:
        return f"Comment on {self.card} ({self.title}): {self.text[:300]}"
