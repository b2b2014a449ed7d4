"""The board as a document: JSON and Markdown, both ways. And a card's events in words. Pure.

Markdown, one card:

    ## review · limit 3
    ### Title
    - id: c3-1k
    - priority: high
    - label: api
    - blocked by: c3-1a
    > body, line by line
    - [x] checklist line
    * ada, 2026-11-25T22:00:00.000Z: a comment

A hand-written list under a column (`- Title` or `- [ ] Title`) makes cards too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from pydantic import Field, ValidationError

from hub.core.errors import Invalid
from hub.core.event import EventBody
from hub.core.model import Model
from hub.core.names import AgentName, Role
from hub.features.kanban import contract as c
from hub.features.kanban.rules import CardCycle

MOST_IMPORTED: Final = 500
_ONE: Final = {"id", "priority", "assignee", "role", "due"}
_MANY: Final = {"label": "labels", "link": "links", "blocked by": "blocked_by"}
_FACT: Final = re.compile(r"- (id|priority|assignee|role|due|label|link|blocked by): (.+)")
_HEAD: Final = re.compile(r"## +([^·]+?)(?: *·(.*))?")
_LISTED: Final = re.compile(r"[-*] (?:\[([ xX])\] )?(.+)")


class DocumentInvalid(Invalid):
    code, title = "board-document", "Not a board document"


class DocumentCard(Model):
    """A card outside a hub: names instead of ids, `blocked_by` are ids of this document."""

    id: str = Field(min_length=1, max_length=80)
    title: c.Title
    column: c.ColumnName
    body: c.Body = ""
    priority: c.Priority = "normal"
    assignee: AgentName | None = None
    role: Role | None = None
    labels: c.Labels = ()
    due: c.Due | None = None
    blocked_by: tuple[str, ...] = Field(default=(), max_length=50)
    checklist: c.Checklist = ()
    links: c.Links = ()
    archived: bool = False
    comments: tuple[str, ...] = Field(default=(), max_length=1000)

    def fields(self) -> dict[str, Any]:
        """What the card's event carries, but for the assignee and the blockers."""
        names = ("title", "body", "priority", "role", "labels", "due", "checklist", "links")
        return {name: getattr(self, name) for name in names}


class Document(Model):
    format: Literal["multi-agent-bridge-board"] = "multi-agent-bridge-board"
    columns: tuple[c.Column, ...] = Field(default=(), max_length=c.MOST_COLUMNS)
    cards: tuple[DocumentCard, ...] = Field(default=(), max_length=MOST_IMPORTED)


def from_card(card: c.Card) -> DocumentCard:
    """The card as a document keeps it. Comments say who wrote them, for an import makes them the importer's."""
    kept = set(DocumentCard.model_fields) - {"comments"}
    comments = tuple(f"{comment.by}, {comment.at}: {comment.text}" for comment in card.discussion)
    values = {name: value for name, value in card.model_dump().items() if name in kept}
    return DocumentCard.model_construct(**{**values, "checklist": card.checklist, "comments": comments})


def write(document: Document, form: c.Format) -> str:
    if form == "json":
        return document.model_dump_json(indent=2, exclude_defaults=False)
    return "\n".join(line for column in document.columns for line in _column_lines(document, column)).strip() + "\n"


def _column_lines(document: Document, column: c.Column) -> list[str]:
    marks = (f" · limit {column.wip}" if column.wip else "") + (" · done" if column.done else "")
    cards = [line for card in document.cards if card.column == column.column for line in _card_lines(card)]
    return [f"## {column.column}{marks}", "", *cards]


def _card_lines(card: DocumentCard) -> list[str]:
    facts = [f"- id: {card.id}"]
    facts += [f"- {name}: {value}" for name in ("assignee", "role", "due") if (value := getattr(card, name))]
    facts += [f"- priority: {card.priority}"] if card.priority != "normal" else []
    facts += [f"- {word}: {value}" for word, name in _MANY.items() for value in getattr(card, name)]
    facts += ["- archived"] if card.archived else []
    body = [f"> {line}".rstrip() if not line else f"> {line}" for line in card.body.split("\n")] if card.body else []
    items = [f"- [{'x' if item.done else ' '}] {item.text}" for item in card.checklist]
    comments = ["* " + comment.replace("\n", "\n  ") for comment in card.comments]
    parts = [part for part in (facts, body, items, comments) if part]
    return [f"### {card.title}", "", *[line for part in parts for line in (*part, "")]]


def read(text: str, form: c.Format) -> Document:
    """The document in a text. Raises DocumentInvalid that says where it is wrong."""
    try:
        given = _Reader().read(text) if form == "markdown" else None
        document = Document.model_validate_json(text) if given is None else Document.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the text"
        raise DocumentInvalid(f"this board cannot be read: {where}: {first['msg']}") from None
    _check(document)
    return document


def _check(document: Document) -> None:
    ids = [card.id for card in document.cards]
    if double := next((card for card in ids if ids.count(card) > 1), None):
        raise DocumentInvalid(f"two cards have the id {double!r}; give each its own")
    known = set(ids)
    for card in document.cards:
        if missing := next((blocker for blocker in card.blocked_by if blocker not in known), None):
            raise DocumentInvalid(f"card {card.id!r} is blocked by {missing!r}, which is not in the document")


def blockers_first(cards: Sequence[DocumentCard]) -> list[DocumentCard]:
    """The cards in an order in which none comes before what blocks it. Raises CardCycle."""
    waiting, made, order = {card.id: card for card in cards}, set[str](), list[DocumentCard]()
    while waiting:
        ready = [card for card in waiting.values() if set(card.blocked_by) <= made]
        if not ready:
            names = sorted(waiting)
            raise CardCycle(f"these cards of the document wait for each other: {', '.join(names[:10])}", cycle=names)
        order += ready
        for card in ready:
            del waiting[card.id]
            made.add(card.id)
    return order


class _Reader:
    """Reads Markdown line by line; `card` is the one being read."""

    def __init__(self) -> None:
        self.columns: list[dict[str, Any]] = []
        self.cards: list[dict[str, Any]] = []
        self.column: str | None = None
        self.card: dict[str, Any] | None = None
        self.headed = False  # whether `card` began with a heading, so that list lines belong to it

    def read(self, text: str) -> dict[str, Any]:
        for number, line in enumerate(text.split("\n"), 1):
            try:
                self._line(line)
            except LookupError as error:
                raise DocumentInvalid(f"line {number}: {error.args[0]}") from None
        for card in self.cards:
            card["body"] = "\n".join(card.pop("lines"))
        return {"columns": self.columns, "cards": self.cards}

    def _line(self, line: str) -> None:
        if head := _HEAD.fullmatch(line.rstrip()):
            self._column("_".join(head[1].lower().split()), head[2] or "")
        elif line.startswith("### "):
            self._start(line[4:], headed=True)
        elif self.card is not None and self.headed:
            self._of_card(line)
        elif listed := _LISTED.fullmatch(line.rstrip()):
            self._start(listed[2], headed=False)
        elif line.strip() and not line.startswith("# "):
            raise LookupError("expected '## column', '### card title' or '- card title'")

    def _column(self, name: str, marks: str) -> None:
        wip = re.search(r"limit (\d+)", marks)
        column = {"column": name, "wip": int(wip[1]) if wip else None, "done": " done" in marks or name == "done"}
        if name not in {known["column"] for known in self.columns}:
            self.columns.append(column)
        self.column, self.card = name, None

    def _start(self, title: str, *, headed: bool) -> None:
        if self.column is None:
            raise LookupError("a card needs a column: put '## todo' before it")
        self.headed = headed
        self.card = {"id": f"card {len(self.cards) + 1}", "title": title, "column": self.column}
        self.card |= {"lines": [], "labels": [], "links": [], "blocked_by": [], "checklist": [], "comments": []}
        self.cards.append(self.card)

    def _of_card(self, line: str) -> None:
        card = self.card
        assert card is not None, "a card is being read"
        if line.startswith(">"):
            card["lines"].append(line[2:] if line.startswith("> ") else line[1:])
        elif line.startswith("* "):
            card["comments"].append(line[2:])
        elif line.startswith("  ") and card["comments"]:
            card["comments"][-1] += "\n" + line[2:]
        elif line == "- archived":
            card["archived"] = True
        elif fact := _FACT.fullmatch(line):
            self._fact(fact[1], fact[2])
        elif (listed := _LISTED.fullmatch(line)) and listed[1]:
            card["checklist"].append({"text": listed[2], "done": listed[1] in "xX"})
        elif line.strip():
            raise LookupError("expected '- field: value', '> body', '- [ ] checklist line' or '* comment'")

    def _fact(self, name: str, value: str) -> None:
        assert self.card is not None, "a card is being read"
        if name in _ONE:
            self.card[name] = value
        else:
            self.card[_MANY[name]].append(value)


def what(body: EventBody, name_of: Callable[[int], str]) -> str:
    """A card's event in words."""
    match body:
        case c.CardAdded():
            return f"added to {body.column}"
        case c.CardMoved():
            return (
                f"moved from {body.left} to {body.column}"
                if body.left != body.column
                else f"reordered in {body.column}"
            )
        case c.CardClaimed():
            return "claimed"
        case c.CardArchived():
            return "archived" if body.archived else "brought back"
        case c.CardCommented():
            return f"commented: {body.text[:80]}"
        case c.CardChanged():
            return _changed(body, name_of)
    return body.type


def _changed(body: c.CardChanged, name_of: Callable[[int], str]) -> str:
    given = [name for name in c.Fields.model_fields if getattr(body.set, name) is not None]
    said = [f"assigned to {name_of(body.set.assignee)}"] if body.set.assignee is not None else []
    if plain := [name for name in given if name != "assignee"]:
        said.append(f"set {', '.join(plain)}")
    if body.cleared:
        said.append(f"cleared {', '.join(body.cleared)}")
    return "; ".join(said) or "changed"
