"""One function per operation of the board: load, decide, append, return. The room's lock is held before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import orjson

from hub.core.call import Call
from hub.core.errors import AgentNotFound, Forbidden, Invalid, listing, nearest
from hub.core.names import make_id
from hub.core.times import rfc3339
from hub.features.kanban import contract as c
from hub.features.kanban import documents, rules
from hub.features.kanban.project import (
    card_rows,
    line,
    line_rows,
    load_around,
    load_columns,
    need_card,
    view,
)
from hub.kernel.agents.project import find_agent
from hub.kernel.rooms.project import Entered, enter, enter_to_write, load_member, load_members
from hub.kernel.rooms.templates import Template, furnishes
from hub.log.handler import handles
from hub.log.log import agent_name, append, load_body, load_stream, read_event
from hub.storage.interface import Row, Tx

MOST_MINE: Final = 100


@handles(c.BOARD)
def get_board(tx: Tx, call: Call, request: c.GetBoard) -> c.Board:
    return _board(tx, enter(tx, call, request.room).log, request)


def _board(tx: Tx, log: int, request: c.GetBoard) -> c.Board:
    columns = load_columns(tx, log)
    if request.column is not None:
        rules.need_column(columns, request.column)
    place = {column.column: number for number, column in enumerate(columns)}
    rows = [row for row in line_rows(tx, log, archived=request.archived) if _wanted(tx, row, request)]
    rows.sort(key=lambda row: place[row["lane"]])
    around = load_around(tx, log, columns)
    count = tx.row("select count(*) from card where log = :log and archived = 1", log=log)
    return c.Board(
        room=load_stream(tx, log).name,
        columns=columns,
        cards=tuple(line(tx, log, row, around) for row in rows[: request.limit]),
        archived=0 if count is None else count[0],
        has_more=len(rows) > request.limit,
    )


def _wanted(tx: Tx, row: Row, request: c.GetBoard) -> bool:
    if request.assignee is not None and (
        row["assignee"] is None or agent_name(tx, row["assignee"]) != request.assignee
    ):
        return False
    if request.label is not None and request.label not in orjson.loads(row["labels"]):
        return False
    return request.column in (None, row["lane"])


@handles(c.CONFIGURE)
def configure_board(tx: Tx, call: Call, request: c.ConfigureBoard) -> c.Board:
    log = enter_to_write(tx, call, request.room, "owner").log
    held: dict[str, list[str]] = {}
    put_away: dict[str, int] = {}
    for row in line_rows(tx, log, archived=True):
        if row["archived"]:
            put_away[row["lane"]] = put_away.get(row["lane"], 0) + 1
        else:
            held.setdefault(row["lane"], []).append(make_id("c", log, row["seq"]))
    rules.must_fit(request.columns, held, put_away)
    if request.columns != load_columns(tx, log):
        append(tx, call, log, c.BoardConfigured(columns=request.columns))
    return _board(tx, log, c.GetBoard(room=request.room))


@furnishes
def lay_out(tx: Tx, call: Call, log: int, template: Template) -> None:
    """The board of a room made from a template: its columns and first cards."""
    columns = tuple(c.Column(column=made.name, wip=made.wip, done=made.done) for made in template.columns)
    append(tx, call, log, c.BoardConfigured(columns=columns))
    first = load_stream(tx, log).head + 1
    for place, card in enumerate(template.cards):
        blockers = () if card.after is None else (make_id("c", log, first + card.after),)
        fields = {"title": card.title, "role": card.role, "priority": card.priority, "blocked_by": blockers}
        rank = rules.rank_at_end(first + place)
        append(tx, call, log, c.CardAdded(column=columns[0].column, rank=rank, fields=c.Fields.model_validate(fields)))


@handles(c.ADD)
def add_card(tx: Tx, call: Call, request: c.AddCard) -> c.Card:
    log = enter_to_write(tx, call, request.room).log
    columns = load_columns(tx, log)
    column = rules.need_column(columns, request.column) if request.column else columns[0]
    _must_have_room(tx, log, column)
    _must_fit(tx, log, 1)
    _check_blockers(tx, log, None, request.blocked_by)
    _check_links(tx, log, request.links)
    assignee = None if request.assignee is None else _need_worker(tx, log, request.assignee)
    given = request.model_dump(exclude={"room", "column", "assignee"}, exclude_defaults=True)
    seq = load_stream(tx, log).head + 1
    event = c.CardAdded(
        column=column.column,
        rank=rules.rank_at_end(seq),
        fields=c.Fields.model_validate({**given, "assignee": assignee}),
        tell=_others(call, assignee),
    )
    append(tx, call, log, event)
    return _again(tx, log, seq)


def _again(tx: Tx, log: int, seq: int) -> c.Card:
    return view(tx, log, need_card(tx, log, make_id("c", log, seq)))


def _others(call: Call, *agents: int | None) -> tuple[int, ...]:
    """Whom an event concerns, without the caller."""
    return tuple(dict.fromkeys(agent for agent in agents if agent is not None and agent != call.agent))


def _must_fit(tx: Tx, log: int, more: int) -> None:
    row = tx.row("select count(*) from card where log = :log and archived = 0", log=log)
    count = 0 if row is None else int(row[0])
    if count + more > c.MOST_CARDS:
        raise rules.BoardFull(
            f"a board holds at most {c.MOST_CARDS} cards and this one has {count}; archive finished ones first"
        )


def _must_have_room(tx: Tx, log: int, column: c.Column) -> None:
    if column.wip is not None:
        rules.must_have_room(column, _in_column(tx, log, column.column))


def _in_column(tx: Tx, log: int, column: str, but: int = 0) -> list[str]:
    """Ids of the cards in a column, without one."""
    rows = tx.rows(
        "select seq from card where log = :log and lane = :lane and archived = 0 and seq <> :but order by rank",
        log=log,
        lane=column,
        but=but,
    )
    return [make_id("c", log, row[0]) for row in rows]


def _need_worker(tx: Tx, log: int, name: str) -> int:
    """Id of a member who may be given a card; raises AgentNotFound with the nearest names."""
    agent = find_agent(tx, name)
    member = None if agent is None else load_member(tx, log, agent)
    if agent is None or member is None or member.access == "reader":
        names = [agent_name(tx, m.agent) for m in load_members(tx, log) if m.access != "reader"]
        close = nearest(name, names)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise AgentNotFound(f"{name!r} cannot get cards here; {hint}members who can: {listing(names)}")
    return agent


def _check_blockers(tx: Tx, log: int, card: int | None, blockers: Iterable[str]) -> None:
    """All of them are cards of this room, and none waits for this card. Raises CardNotFound or CardCycle."""
    wanted = [need_card(tx, log, blocker)["seq"] for blocker in blockers]
    if card is None or not wanted:
        return
    waits_for: dict[int, list[int]] = {}
    for row in tx.rows("select card, blocker from card_blocker where log = :log and card <> :card", log=log, card=card):
        waits_for.setdefault(row[0], []).append(row[1])
    waits_for[card] = wanted
    if cycle := rules.find_cycle(waits_for, card):
        way = [make_id("c", log, seq) for seq in cycle]
        raise rules.CardCycle(
            f"that would make cards wait for each other: {' waits for '.join(way)}; leave one of them out", cycle=way
        )


def _check_links(tx: Tx, log: int, links: Iterable[str]) -> None:
    """Each is a URL or stands for something that this room has. Raises LinkInvalid."""
    for link in links:
        if rules.is_url(link):
            continue
        found, seq, kind = rules.linked(link)
        event = read_event(tx, log, seq) if found == log else None
        if event is None or event.type != kind:
            raise rules.LinkInvalid(
                f"{link!r} is not in this room, or not kept any more; give ids that results showed here"
            )


@handles(c.GET)
def get_card(tx: Tx, call: Call, request: c.GetCard) -> c.Card:
    log = enter(tx, call, request.room).log
    return view(tx, log, need_card(tx, log, request.card))


def _seen(tx: Tx, call: Call, request: c.UpdateCard | c.MoveCard | c.CheckItem) -> tuple[int, Row]:
    """(room's log, card's row), if the card is as the caller saw it. Raises CardStale with the card as it is."""
    log = enter_to_write(tx, call, request.room).log
    row = need_card(tx, log, request.card)
    if row["version"] == request.version:
        return log, row
    card = view(tx, log, row)
    where = "archived" if card.archived else f"in {card.column!r}"
    raise rules.CardStale(
        f"{card.id} is at version {card.version}, you saw {request.version}. It is now {where}, "
        f"{_holder(card)}, last changed at {card.changed_at}. Look at it again and decide with version={card.version}",
        card=card.model_dump(mode="json"),
    )


def _holder(card: c.Card) -> str:
    return f"assigned to {card.assignee}" if card.assignee else "unassigned"


@handles(c.UPDATE)
def update_card(tx: Tx, call: Call, request: c.UpdateCard) -> c.Card:
    log, row = _seen(tx, call, request)
    if change := _change(tx, call, log, row, request):
        append(tx, call, log, change)
    if request.archived is not None and request.archived != bool(row["archived"]):
        _archive(tx, call, log, row, archived=request.archived)
    return _again(tx, log, row["seq"])


def _change(tx: Tx, call: Call, log: int, row: Row, request: c.UpdateCard) -> c.CardChanged | None:
    """The event that makes the card as asked; None when it already is."""
    if request.blocked_by is not None:
        _check_blockers(tx, log, row["seq"], request.blocked_by)
    wanted: dict[str, Any] = {
        name: getattr(request, name)
        for name in request.model_fields_set & set(c.Fields.model_fields)
        if getattr(request, name) is not None
    }
    if request.assignee is not None:
        wanted["assignee"] = _need_worker(tx, log, request.assignee)
    now = _now(tx, log, row)
    _check_links(tx, log, set(request.links or ()) - set(now["links"]))
    cleared = [name for name in c.CLEARABLE if name in request.model_fields_set and getattr(request, name) is None]
    cleared = [name for name in cleared if now[name] is not None]
    given = {name: value for name, value in wanted.items() if now[name] != value}
    if not given and not cleared:
        return None
    left = row["assignee"] if "assignee" in {*given, *cleared} else None
    return c.CardChanged.model_validate(
        {
            "card": request.card,
            "title": given.get("title", row["title"]),
            "tell": _others(call, given.get("assignee"), left),
            "set": c.Fields.model_validate(given),
            "cleared": cleared,
        }
    )


def _now(tx: Tx, log: int, row: Row) -> dict[str, Any]:
    """A card's changeable fields as they are, in the terms of its events."""
    rows = tx.rows(
        "select blocker from card_blocker where log = :log and card = :card order by place", log=log, card=row["seq"]
    )
    return {
        **{name: row[name] for name in ("title", "body", "assignee", "role", "priority", "due")},
        "labels": tuple(orjson.loads(row["labels"])),
        "links": tuple(orjson.loads(row["links"])),
        "checklist": tuple(c.Item.model_validate(item) for item in orjson.loads(row["checklist"])),
        "blocked_by": tuple(make_id("c", log, blocker[0]) for blocker in rows),
    }


def _archive(tx: Tx, call: Call, log: int, row: Row, *, archived: bool) -> None:
    if not archived:
        column = rules.need_column(load_columns(tx, log), row["lane"])
        _must_have_room(tx, log, column)
        _must_fit(tx, log, 1)
    unblocked, waiting = _freed(tx, log, row["seq"]) if archived and not _finished(tx, log, row) else ((), ())
    event = c.CardArchived(
        card=make_id("c", log, row["seq"]),
        title=row["title"],
        archived=archived,
        unblocked=unblocked,
        tell=_others(call, row["assignee"], *waiting),
    )
    append(tx, call, log, event)


def _finished(tx: Tx, log: int, row: Row) -> bool:
    return bool(row["archived"]) or row["lane"] in rules.done_columns(load_columns(tx, log))


def _freed(tx: Tx, log: int, card: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Cards whose last unfinished blocker is this one, and who waits for them."""
    around = load_around(tx, log, load_columns(tx, log))
    freed = [
        waiting
        for waiting, blockers in around.blockers.items()
        if card in blockers and not (set(blockers) & around.unfinished) - {card}
    ]
    rows = [need_card(tx, log, make_id("c", log, seq)) for seq in freed]
    kept = [row for row in rows if not row["archived"]]
    return (
        tuple(make_id("c", log, row["seq"]) for row in kept),
        tuple(row["assignee"] for row in kept if row["assignee"] is not None),
    )


@handles(c.MOVE)
def move_card(tx: Tx, call: Call, request: c.MoveCard) -> c.Card:
    log, row = _seen(tx, call, request)
    _must_not_be_archived(row, request.card)
    before = None if request.before is None else need_card(tx, log, request.before)
    _move(tx, call, log, row, request.column, before)
    return _again(tx, log, row["seq"])


def _must_not_be_archived(row: Row, card: str) -> None:
    if row["archived"]:
        raise rules.CardIsArchived(f"{card} is archived; bring it back first: update it with archived=false")


def _move(tx: Tx, call: Call, log: int, row: Row, name: str, before: Row | None = None) -> None:
    columns = load_columns(tx, log)
    column = rules.need_column(columns, name)
    if row["lane"] != name:
        _must_have_room(tx, log, column)
    if before is not None and (before["lane"] != name or before["archived"] or before["seq"] == row["seq"]):
        raise Invalid(f"'before' must be another card in column {name!r}; cards there: {_names(tx, log, name, row)}")
    finishes = column.done and not _finished(tx, log, row)
    unblocked, waiting = _freed(tx, log, row["seq"]) if finishes else ((), ())
    event = c.CardMoved(
        card=make_id("c", log, row["seq"]),
        title=row["title"],
        column=name,
        rank=_rank(tx, log, name, before),
        left=row["lane"],
        unblocked=unblocked,
        tell=_others(call, row["assignee"], row["creator"] if finishes else None, *waiting),
    )
    append(tx, call, log, event)


def _names(tx: Tx, log: int, column: str, row: Row) -> str:
    return listing(_in_column(tx, log, column, row["seq"]), most=20)


def _rank(tx: Tx, log: int, column: str, before: Row | None) -> str:
    seq = load_stream(tx, log).head + 1
    if before is None:
        return rules.rank_at_end(seq)
    above = tx.row(
        "select max(rank) from card where log = :log and lane = :lane and rank < :rank",
        log=log,
        lane=column,
        rank=before["rank"],
    )
    return rules.rank_before(seq, None if above is None else above[0], before["rank"])


@handles(c.CLAIM)
def claim_card(tx: Tx, call: Call, request: c.ClaimCard) -> c.Card:
    log = enter_to_write(tx, call, request.room).log
    row = need_card(tx, log, request.card)
    _claim(tx, call, log, row, request.column)
    return _again(tx, log, row["seq"])


def _claim(tx: Tx, call: Call, log: int, row: Row, column: str | None) -> None:
    card = view(tx, log, row)
    _must_not_be_archived(row, card.id)
    now = card.model_dump(mode="json")
    if row["assignee"] not in (None, call.agent):
        raise rules.CardTaken(
            f"{card.id} belongs to {card.assignee} (in {card.column!r}); take another one, or ask them to give it up",
            card=now,
        )
    if row["assignee"] is None:
        if card.blocked:
            raise rules.CardBlocked(
                f"{card.id} is blocked by {listing(card.blocked_by)}; do the unfinished one of these first", card=now
            )
        append(tx, call, log, c.CardClaimed(card=card.id, title=card.title, agent=call.agent))
    if column is not None and column != card.column:
        _move(tx, call, log, row, column)


@handles(c.NEXT)
def next_card(tx: Tx, call: Call, request: c.GetNext) -> c.NextCard:
    entered = enter(tx, call, request.room)
    return _next(tx, call, entered, request.role)


@handles(c.TAKE)
def take_next(tx: Tx, call: Call, request: c.TakeNext) -> c.NextCard:
    entered = enter_to_write(tx, call, request.room)
    found = _next(tx, call, entered, request.role)
    if found.card is None:
        return found
    row = need_card(tx, entered.log, found.card.id)
    _claim(tx, call, entered.log, row, request.column)
    return found.model_copy(update={"card": _again(tx, entered.log, row["seq"])})


def _next(tx: Tx, call: Call, entered: Entered, role: str | None) -> c.NextCard:
    """The next card for a role, or for the caller's own role and capabilities."""
    log, me = entered.log, entered.member
    roles = frozenset({role} if role else {*me.capabilities, *((me.role,) if me.role else ())})
    columns = load_columns(tx, log)
    done, place = rules.done_columns(columns), {column.column: n for n, column in enumerate(columns)}
    around = load_around(tx, log, columns)
    open_rows = [row for row in line_rows(tx, log, archived=False) if row["lane"] not in done]
    my_rows = [row for row in open_rows if row["assignee"] == call.agent][:MOST_MINE]
    mine = tuple(line(tx, log, row, around) for row in my_rows)
    free = [row for row in open_rows if row["assignee"] is None]
    blocked = {seq for seq, blockers in around.blockers.items() if around.unfinished & set(blockers)}
    ready = [
        rules.Ready(row["seq"], row["priority"], row["role"], row["due"], place[row["lane"]], row["rank"])
        for row in free
        if row["seq"] not in blocked
    ]
    chosen = rules.choose(ready, roles)
    if chosen is not None:
        return c.NextCard(card=_again(tx, log, chosen.seq), mine=mine)
    wanted = sorted({card.role for card in ready if card.role})
    why = (
        f"nothing to take: {len(open_rows) - len(free)} unfinished cards are assigned, {len(free) - len(ready)} are "
        f"blocked, {len(ready)} are for other roles ({listing(wanted)})"
    )
    return c.NextCard(mine=mine, why=why)


@handles(c.CHECK)
def check_item(tx: Tx, call: Call, request: c.CheckItem) -> c.Card:
    log, row = _seen(tx, call, request)
    items = [c.Item.model_validate(item) for item in orjson.loads(row["checklist"])]
    if request.item > len(items):
        raise Invalid(f"{request.card} has {len(items)} checklist lines; 'item' counts from 1")
    before = items[request.item - 1]
    if before.done != request.done:
        items[request.item - 1] = before.model_copy(update={"done": request.done})
        change = c.CardChanged(card=request.card, title=row["title"], set=c.Fields(checklist=tuple(items)))
        append(tx, call, log, change)
    return _again(tx, log, row["seq"])


@handles(c.COMMENT)
def comment_card(tx: Tx, call: Call, request: c.CommentCard) -> c.Card:
    log = enter_to_write(tx, call, request.room).log
    row = need_card(tx, log, request.card)
    tell = _others(call, row["assignee"], row["creator"])
    append(tx, call, log, c.CardCommented(card=request.card, title=row["title"], text=request.text, tell=tell))
    return _again(tx, log, row["seq"])


@handles(c.HISTORY)
def read_history(tx: Tx, call: Call, request: c.ReadHistory) -> c.CardHistory:
    entered = enter(tx, call, request.room)
    row = need_card(tx, entered.log, request.card)
    before_me = entered.member.joined_seq - 1 if entered.room.settings.history == "since_join" else 0
    found = _changes(tx, entered.log, row["seq"], max(request.after, before_me), request.limit + 1)
    return c.CardHistory(
        items=tuple(found[: request.limit]),
        has_more=len(found) > request.limit,
        trimmed=row["seq"] <= max(load_stream(tx, entered.log).floor, before_me),
    )


def _changes(tx: Tx, log: int, card: int, after: int, limit: int) -> list[c.Change]:
    rows = tx.rows(
        "select event.seq, event.type, event.at, event.actor, event.data from card_event"
        " join event on event.log = card_event.log and event.seq = card_event.seq"
        " where card_event.log = :log and card_event.card = :card and card_event.seq > :after"
        " order by card_event.seq limit :limit",
        log=log,
        card=card,
        after=after,
        limit=limit,
    )
    return [_one_change(tx, row) for row in rows]


def _one_change(tx: Tx, row: Row) -> c.Change:
    body = load_body(row[1], bytes(row[4]))
    return c.Change(
        seq=row[0],
        at=rfc3339(row[2]),
        by=agent_name(tx, row[3]),
        type=row[1],
        what=documents.what(body, lambda agent: agent_name(tx, agent)),
        data=orjson.loads(bytes(row[4])),
    )


@handles(c.EXPORT)
def export_board(tx: Tx, call: Call, request: c.ExportBoard) -> c.BoardText:
    log = enter(tx, call, request.room).log
    columns = load_columns(tx, log)
    place = {column.column: number for number, column in enumerate(columns)}
    rows = sorted(card_rows(tx, log, archived=request.archived), key=lambda row: place[row["lane"]])
    around = load_around(tx, log, columns)
    cards = tuple(documents.from_card(view(tx, log, row, around)) for row in rows)
    document = documents.Document.model_construct(columns=columns, cards=cards)
    return c.BoardText(room=request.room, format=request.format, text=documents.write(document, request.format))


@handles(c.IMPORT)
def import_board(tx: Tx, call: Call, request: c.ImportBoard) -> c.Imported:
    entered = enter_to_write(tx, call, request.room)
    log, document = entered.log, documents.read(request.text, request.format)
    _must_fit(tx, log, sum(not card.archived for card in document.cards))
    columns = _columns_for(tx, call, log, document, owner=entered.member.access == "owner")
    first = load_stream(tx, log).head + 1
    ranks = {card.id: rules.rank_at_end(first + place) for place, card in enumerate(document.cards)}
    made: dict[str, int] = {}
    for card in documents.blockers_first(document.cards):
        made[card.id] = _import_card(tx, call, log, columns, card, ranks[card.id], made)
    return c.Imported(cards=tuple(make_id("c", log, made[card.id]) for card in document.cards))


def _columns_for(tx: Tx, call: Call, log: int, document: documents.Document, *, owner: bool) -> tuple[c.Column, ...]:
    """The board's columns, with those of the document that are missing (owners)."""
    columns = load_columns(tx, log)
    known, used = {column.column for column in columns}, {card.column for card in document.cards}
    offered = {column.column: column for column in document.columns}
    missing = [offered.get(name, c.Column(column=name)) for name in dict.fromkeys([*offered, *sorted(used)])]
    missing = [column for column in missing if column.column in used - known]
    if not missing:
        return columns
    names = listing(column.column for column in missing)
    if not owner:
        raise Forbidden(f"the board has no column {names}; ask an owner of the room to add it")
    if len(columns) + len(missing) > c.MOST_COLUMNS:
        raise Invalid(f"a board has at most {c.MOST_COLUMNS} columns; this would add {names}")
    append(tx, call, log, c.BoardConfigured(columns=(*columns, *missing)))
    return load_columns(tx, log)


def _import_card(
    tx: Tx,
    call: Call,
    log: int,
    columns: tuple[c.Column, ...],
    card: documents.DocumentCard,
    rank: str,
    made: dict[str, int],
) -> int:
    """Add one card of a document; its number. An assignee who is no member here is left out."""
    if not card.archived:
        _must_have_room(tx, log, rules.need_column(columns, card.column))
    assignee = None if card.assignee is None else find_agent(tx, card.assignee)
    member = None if assignee is None else load_member(tx, log, assignee)
    fields = card.fields()
    fields["assignee"] = assignee if member is not None and member.access != "reader" else None
    fields["links"] = tuple(link for link in card.links if rules.is_url(link))  # ids mean something else elsewhere
    fields["blocked_by"] = tuple(make_id("c", log, made[blocker]) for blocker in card.blocked_by)
    seq = load_stream(tx, log).head + 1
    name = make_id("c", log, seq)
    tell = _others(call, fields["assignee"])
    append(tx, call, log, c.CardAdded(column=card.column, rank=rank, fields=c.Fields.model_validate(fields), tell=tell))
    for text in card.comments:
        append(tx, call, log, c.CardCommented(card=name, title=card.title, text=text))
    if card.archived:
        append(tx, call, log, c.CardArchived(card=name, title=card.title))
    return seq
