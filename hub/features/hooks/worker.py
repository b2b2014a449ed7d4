"""What a signed call does, in one transaction: remember it, post to the room, move the cards that link to it.

It acts with the rights the hook's author has at that moment. Posts come from the hub, moves from the author.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import orjson

from hub.core.access import ALL_SCOPES, Principal
from hub.core.call import Call
from hub.core.errors import Forbidden, HubError, MessageNotFound
from hub.core.names import make_id
from hub.features.hooks import rules
from hub.features.hooks.project import Known
from hub.features.kanban.contract import Card, GetCard, MoveCard
from hub.kernel.agents.project import load_agent
from hub.kernel.messages.draft import Draft
from hub.kernel.messages.post import answering, post
from hub.kernel.rooms.project import Entered, load_member, load_room
from hub.log.handler import HANDLERS
from hub.log.log import agent_name
from hub.log.worker import Worker
from hub.storage.interface import Tx

WORKERS: Final[list[Worker]] = []  # a call is answered by its route, not by a consumer
KEEP_MS: Final = 90 * 86_400_000
MOST_CARDS: Final = 20


def receive(
    tx: Tx, call: Call, hook: Known, proof: Sequence[str], event: str, payload: Mapping[str, Any]
) -> dict[str, Any]:
    """What the sender is told. The stream's lock is held. Raises Forbidden when the author may not write any more."""
    if _seen_before(tx, call, hook, proof):
        return {"posted": False, "deduplicated": True}
    news = rules.news(event, payload) if hook.source == "github" else _plain(payload)
    if news is None:
        return {"posted": False}
    member = load_member(tx, hook.log, hook.agent)
    room = load_room(tx, hook.log)
    if member is None or member.access == "reader" or room.archived_at is not None:
        raise Forbidden(f"{agent_name(tx, hook.agent)}, whose hook it is, may not write in the room any more")
    owner = load_agent(tx, hook.agent).owner
    moved = _move_cards(tx, _acting(call, hook.agent, agent_name(tx, hook.agent), owner), hook, room.name, news)
    text = news.text + "".join(f"\n{card} moved to {news.happening and hook.moves[news.happening]}" for card in moved)
    metadata = {"hook": make_id("h", hook.log, hook.seq), "source": hook.source, "event": event, "url": news.url}
    draft = Draft(text=text, channel=hook.channel, metadata=metadata, tags=(hook.source,))
    acting, entered = _acting(call, 0, "hub", owner), Entered(room, member)
    placed = post(tx, acting, entered, _in_thread(tx, acting, entered, draft, news.url))
    return {"posted": True, "message": make_id("m", hook.log, placed.seq), "moved": moved}


def _in_thread(tx: Tx, call: Call, entered: Entered, draft: Draft, url: str) -> Draft:
    """Under the message from which the issue or pull request was opened, if it was from one that is still there."""
    found = tx.row("select about from github_opening where log = :log and url = :url", log=entered.log, url=url)
    about = next((thing for thing in orjson.loads(found[0]) if thing.startswith("m")), None) if found else None
    if about is None:
        return draft
    try:
        return answering(tx, call, entered, replace(draft, reply_to=about))
    except MessageNotFound:
        return draft


def _acting(call: Call, agent: int, name: str, owner: int) -> Call:
    who = Principal(agent=agent, name=name, kind="script", scopes=ALL_SCOPES, owner=owner)
    return Call(who, call.now_ms, call.random, call.presence)


def _seen_before(tx: Tx, call: Call, hook: Known, proof: Sequence[str]) -> bool:
    known = False
    for one in proof:
        done = tx.run(
            "insert into hook_seen (log, seq, proof, at) values (:log, :seq, :proof, :at) on conflict do nothing",
            log=hook.log,
            seq=hook.seq,
            proof=one,
            at=call.now_ms,
        )
        known = known or done == 0
    return known


def forget_seen(tx: Tx, call: Call) -> bool:
    """Forget calls received more than 90 days ago."""
    tx.run("delete from hook_seen where at < :before", before=call.now_ms - KEEP_MS)
    return False


def _plain(payload: Mapping[str, Any]) -> rules.News:
    """Any other service: its `text`, or the payload itself."""
    text = payload.get("text")
    if isinstance(text, str) and text.strip():
        return rules.News(text[:20_000])
    return rules.News(orjson.dumps(payload).decode()[:20_000])


def _move_cards(tx: Tx, call: Call, hook: Known, room: str, news: rules.News) -> list[str]:
    """Move the cards that link to what changed; those that cannot move (no such column, full) stay.

    `like` may find too much (`_` and `%` in an address); each card's own links decide."""
    column = hook.moves.get(news.happening) if news.happening else None
    if column is None or not news.url:
        return []
    rows = tx.rows(
        "select seq from card where log = :log and archived = 0 and lane <> :lane and links like :link"
        " order by seq limit :most",
        log=hook.log,
        lane=column,
        link=f'%"{news.url}"%',
        most=MOST_CARDS,
    )
    return [card for row in rows if (card := _move(tx, call, room, make_id("c", hook.log, row[0]), column, news.url))]


def _move(tx: Tx, call: Call, room: str, card: str, column: str, url: str) -> str | None:
    found: Card = HANDLERS[GetCard](tx, call, GetCard(room=room, card=card))
    if url not in found.links:
        return None
    try:
        HANDLERS[MoveCard](tx, call, MoveCard(room=room, card=card, version=found.version, column=column))
    except HubError:
        return None
    return card
