"""What may happen on a board, where a card stands, and what comes next. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hub.core.errors import Conflict, Invalid, NotFound, listing, nearest
from hub.core.names import split_id
from hub.features.kanban.contract import Column

LINKABLE: Final = {"m": "message.posted", "f": "file.shared", "p": "proposal.opened", "c": "card.added"}
PRIORITIES: Final = {"critical": 0, "high": 1, "normal": 2, "low": 3}
_WIDE: Final = 10**15  # no log has as many events


class CardNotFound(NotFound):
    code, title = "card-not-found", "Card not found"


class ColumnNotFound(NotFound):
    code, title = "column-not-found", "Column not found"


class CardStale(Conflict):
    """The card has changed since the caller saw it; `card` is how it is now."""

    code, title = "card-stale", "The card has changed"


class CardTaken(Conflict):
    """Somebody else has the card; `card` is how it is now."""

    code, title = "card-taken", "Somebody has this card"


class CardBlocked(Conflict):
    """Other cards come first; `card` is how it is now."""

    code, title = "card-blocked", "The card is blocked"


class CardIsArchived(Conflict):
    code, title = "card-archived", "The card is archived"


class WipLimit(Conflict):
    """The column is full; `cards` are the ones in it."""

    code, title = "wip-limit", "The column is full"


class ColumnInUse(Conflict):
    code, title = "column-in-use", "The column holds cards"


class BoardFull(Conflict):
    code, title = "board-full", "The board is full"


class LinkInvalid(NotFound):
    """A link that leads nowhere in this room."""

    code, title = "link-not-found", "Nothing to link"


class CardCycle(Invalid):
    """Cards would wait for each other; `cycle` shows how."""

    code, title = "card-cycle", "Cards would wait for each other"


def is_url(link: str) -> bool:
    return link.startswith(("https://", "http://")) and " " not in link and link.partition("://")[2] != ""


def linked(link: str) -> tuple[int, int, str]:
    """(log, seq, event type) of what an id stands for; raises LinkInvalid for what is neither id nor URL."""
    for letter, kind in LINKABLE.items():
        if link.startswith(letter):
            return *split_id(letter, link, LinkInvalid), kind
    raise LinkInvalid(f"{link[:80]!r} is no link: use the id of a message, file, proposal or card, or an http(s) URL")


@dataclass(frozen=True, slots=True)
class Ready:
    """An unassigned, unblocked, unfinished card, as far as choosing needs it."""

    seq: int
    priority: str
    role: str | None
    due: str | None
    place: int
    rank: str


def need_column(columns: Sequence[Column], name: str) -> Column:
    """The column with this name; raises ColumnNotFound that lists them."""
    for column in columns:
        if column.column == name:
            return column
    names = [column.column for column in columns]
    close = nearest(name, names)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ColumnNotFound(f"column {name!r} not found; {hint}columns here: {listing(names, most=20)}", columns=names)


def done_columns(columns: Iterable[Column]) -> frozenset[str]:
    return frozenset(column.column for column in columns if column.done)


def must_have_room(column: Column, cards: Sequence[str]) -> None:
    """Raises WipLimit when one more card would be too many; `cards` are the ids of those in the column."""
    if column.wip is not None and len(cards) >= column.wip:
        raise WipLimit(
            f"column {column.column!r} is full: {len(cards)} of {column.wip} cards ({listing(cards, most=20)}). "
            "Finish or move one of them first",
            column=column.column,
            wip=column.wip,
            cards=list(cards),
        )


def must_fit(columns: Sequence[Column], held: Mapping[str, Sequence[str]], archived: Mapping[str, int]) -> None:
    """Raises ColumnInUse or WipLimit when the cards there are would not fit into these columns."""
    known = {column.column: column for column in columns}
    for name, cards in held.items():
        if name not in known:
            raise ColumnInUse(
                f"column {name!r} holds {len(cards)} cards ({listing(cards)}); move or archive them first",
                column=name,
                cards=list(cards),
            )
        wip = known[name].wip
        if wip is not None and len(cards) > wip:
            raise WipLimit(
                f"column {name!r} holds {len(cards)} cards, more than the new limit {wip}; move some first",
                column=name,
                wip=wip,
                cards=list(cards),
            )
    for name, count in archived.items():
        if name not in known:
            raise ColumnInUse(f"column {name!r} holds {count} archived cards; keep it", column=name)


def find_cycle(waits_for: Mapping[int, Iterable[int]], start: int) -> list[int] | None:
    """Cards from `start` back to `start` along what each waits for; None when there is no such way."""
    came_from: dict[int, int] = {}
    waiting = [start]
    while waiting:
        card = waiting.pop()
        for blocker in waits_for.get(card, ()):
            if blocker == start:
                way = [start]
                while card != start:
                    way.insert(0, card)
                    card = came_from[card]
                return [start, *way]
            if blocker not in came_from:
                came_from[blocker] = card
                waiting.append(blocker)
    return None


def rank_at_end(seq: int) -> str:
    """A rank after all ranks made by events before `seq`."""
    return f"5{seq:015d}5"


def rank_before(seq: int, above: str | None, below: str) -> str:
    """A rank between two neighbours, or with nothing above at the very top."""
    return f"4{_WIDE - seq:015d}5" if above is None else between(above, below)


def between(low: str, high: str) -> str:
    """A digit string strictly between two others, as text is ordered. No rank ends in 0, so there always is one."""
    assert low < high, "neighbours are ordered"
    made = ""
    for place in range(len(low) + len(high) + 2):
        a = int(low[place]) if place < len(low) else 0
        b = int(high[place]) if place < len(high) else 10
        if made and not high.startswith(made):  # already below `high`: only `low` bounds what follows
            b = 10
        if b - a > 1:
            return made + str((a + b) // 2)
        made += str(a)
    raise AssertionError("two different ranks have something between them")


def choose(ready: Iterable[Ready], roles: frozenset[str]) -> Ready | None:
    """The card to do next: by priority, then due date, then one meant for these roles, further right, higher up."""
    fitting = [card for card in ready if card.role is None or card.role in roles]
    return min(fitting, key=_order, default=None)


def _order(card: Ready) -> tuple[Any, ...]:
    return (PRIORITIES[card.priority], card.due or "9999", card.role is None, -card.place, card.rank, card.seq)
