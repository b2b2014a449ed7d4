"""A board folded from its events alone, with what must hold after each of them. Knows nothing of the hub's rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

DEFAULT = {"todo": None, "in_progress": None, "review": None, "done": None}


@dataclass(slots=True)
class FoldedCard:
    column: str
    rank: str
    fields: dict[str, Any]
    version: int = 1
    archived: bool = False
    comments: int = 0


@dataclass(slots=True)
class FoldedBoard:
    """Cards by id. `names` turns agent ids into names."""

    names: Mapping[int, str]
    limits: dict[str, int | None] = field(default_factory=lambda: dict(DEFAULT))
    cards: dict[str, FoldedCard] = field(default_factory=dict)

    def take(self, events: Iterable[Mapping[str, Any]]) -> FoldedBoard:
        for event in events:
            if event["type"].startswith(("card.", "board.")):
                self._step(event["type"], event["data"])
                self._must_hold(event)
        return self

    def _step(self, kind: str, data: Mapping[str, Any]) -> None:
        if kind == "board.configured":
            self.limits = {column["column"]: column.get("wip") for column in data["columns"]}
            return
        if kind == "card.added":
            self.cards[data["card"]] = FoldedCard(data["column"], data["rank"], dict(data["fields"]))
            return
        card = self.cards[data["card"]]
        if kind == "card.commented":
            card.comments += 1
            return
        card.version += 1
        if kind == "card.moved":
            assert data["left"] == card.column, "an event knows where the card was"
            card.column, card.rank = data["column"], data["rank"]
        elif kind == "card.claimed":
            assert card.fields.get("assignee") is None, "claimed while somebody had it"
            card.fields["assignee"] = data["agent"]
        elif kind == "card.archived":
            assert card.archived != data["archived"]
            card.archived = data["archived"]
        else:
            card.fields |= data["set"]
            for name in data["cleared"]:
                card.fields.pop(name, None)

    def _must_hold(self, event: Mapping[str, Any]) -> None:
        for column, limit in self.limits.items():
            held = [card for card in self.cards.values() if card.column == column and not card.archived]
            assert limit is None or len(held) <= limit, f"{column} holds {len(held)} after {event}"
            assert len({card.rank for card in held}) == len(held), f"two cards share a place after {event}"
        waits = {name: set(card.fields.get("blocked_by", ())) for name, card in self.cards.items()}
        while free := [name for name, blockers in waits.items() if not blockers & waits.keys()]:
            for name in free:
                del waits[name]
        assert not waits, f"cards wait for each other after {event}: {waits}"

    def lines(self) -> list[dict[str, Any]]:
        """Unarchived cards as a board lists them: columns from the left, cards from the top."""
        place = {column: number for number, column in enumerate(self.limits)}
        held = [(name, card) for name, card in self.cards.items() if not card.archived]
        return [self._line(name, card) for name, card in sorted(held, key=lambda c: (place[c[1].column], c[1].rank))]

    def _line(self, name: str, card: FoldedCard) -> dict[str, Any]:
        assignee = card.fields.get("assignee")
        items = card.fields.get("checklist", [])
        return {
            "id": name,
            "title": card.fields["title"],
            "column": card.column,
            "priority": card.fields.get("priority", "normal"),
            "assignee": None if assignee is None else self.names[assignee],
            "role": card.fields.get("role"),
            "labels": tuple(card.fields.get("labels", ())),
            "due": card.fields.get("due"),
            "blocked_by": tuple(card.fields.get("blocked_by", ())),
            "items": len(items),
            "items_done": sum(item["done"] for item in items),
            "comments": card.comments,
            "archived": False,
            "version": card.version,
        }


def folded_names(events: Iterable[Mapping[str, Any]]) -> dict[int, str]:
    """Names of the agents that ever joined."""
    return {e["data"]["agent"]: e["data"]["name"] for e in events if e["type"] == "member.joined"}
