"""Posting one message: resolve who it is for, pass the policies, append, note who must get it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from hub.core.call import Call
from hub.core.errors import Invalid, NotMembers, listing, nearest
from hub.core.event import Placed
from hub.core.names import NAME_PATTERN, make_id
from hub.core.slug import KINDS
from hub.kernel.agents.project import find_agent, load_agent
from hub.kernel.inbox.receipts import MOST_RECIPIENTS, add_delivery, mark_answered
from hub.kernel.messages.contract import MessagePosted
from hub.kernel.messages.draft import Draft, apply_policies
from hub.kernel.messages.guard import MAX_HOPS
from hub.kernel.messages.project import GONE, load_message, message_seq
from hub.kernel.rooms.project import Entered, load_member, load_members, need_channel
from hub.log.log import agent_name, append
from hub.storage.interface import Tx

_MENTION: Final = re.compile(r"(?<![\w@])@(" + NAME_PATTERN[1:-1] + r")")
Named = tuple[tuple[str, int], ...]


def post(tx: Tx, call: Call, entered: Entered, draft: Draft) -> Placed:
    """Append the message and everything that follows from it in the same transaction."""
    draft = apply_policies(tx, call, entered, draft)
    placed = append(tx, call, entered.log, _body(call, draft))
    _deliver(tx, call, entered, draft, placed)
    return placed


def names_of(named: Named) -> tuple[str, ...]:
    return tuple([name for name, _ in named]) if named else ()


def _body(call: Call, draft: Draft) -> MessagePosted:
    return MessagePosted.trusted(
        channel=draft.channel,
        to=names_of(draft.to),
        mentions=names_of(draft.mentions),
        text=draft.text,
        kind=draft.kind,
        intent=draft.intent,
        priority=draft.priority,
        reply_to=draft.reply_to,
        thread=draft.thread,
        needs_ack=draft.needs_ack,
        attachments=draft.attachments,
        metadata=draft.metadata,
        expires_at_ms=None if draft.ttl_s is None else call.now_ms + draft.ttl_s * 1000,
        hops=draft.hops,
        tags=draft.tags,
        from_kind=call.principal.kind,
    )


def _deliver(tx: Tx, call: Call, entered: Entered, draft: Draft, placed: Placed) -> None:
    """Rows and wake-ups for everyone it concerns."""
    if not (draft.to or draft.mentions or draft.needs_ack or draft.reply_seq or draft.intent == "request"):
        return  # it concerns nobody in particular, like most messages of a busy room
    named = (*draft.to, *draft.mentions)
    addressed = dict.fromkeys(agent for _, agent in named if agent != call.agent) if named else {}
    if len(addressed) > MOST_RECIPIENTS:
        raise Invalid(f"at most {MOST_RECIPIENTS} agents can be addressed; leave `to` out to reach the whole room")
    if not addressed and draft.needs_ack:
        addressed = dict.fromkeys(m.agent for m in load_members(tx, entered.log) if m.agent != call.agent)
        if len(addressed) > MOST_RECIPIENTS:
            raise Invalid(f"needs_ack works for at most {MOST_RECIPIENTS} recipients; name them in `to`")
    for agent in addressed:
        add_delivery(tx, call, placed, agent, needs_ack=draft.needs_ack, ttl_s=draft.ttl_s)
    if draft.reply_seq is not None:
        mark_answered(tx, call, entered.log, draft.reply_seq, placed.seq)
    for agent in _concerned(tx, call, entered, draft, list(addressed)):
        tx.wake(-agent)


def _concerned(tx: Tx, call: Call, entered: Entered, draft: Draft, addressed: Sequence[int]) -> Sequence[int]:
    if draft.intent == "request" and not draft.to:
        return [m.agent for m in load_members(tx, entered.log) if m.agent != call.agent]
    if draft.reply_sender is not None and draft.reply_sender != call.agent:
        return [*addressed, draft.reply_sender]
    return addressed


def address(tx: Tx, call: Call, entered: Entered, names: Sequence[str]) -> Named:
    """Resolve `to`: agent names exactly; `@kind`, `@role` or `@capability` to one available member. Raises NotMembers."""
    if not names:
        return ()
    found = [_resolve(tx, call, entered, name) for name in names]
    unknown = [name for name, agent in zip(names, found, strict=True) if agent is None]
    if unknown:
        members = [agent_name(tx, m.agent) for m in load_members(tx, entered.log)]
        close = nearest(unknown[0].lstrip("@"), members)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise NotMembers(
            f"not in room {entered.room.name!r}: {', '.join(unknown)}; {hint}members: {listing(members)}",
            recipients=unknown,
        )
    return tuple(dict.fromkeys((agent_name(tx, agent), agent) for agent in found if agent is not None))


def _resolve(tx: Tx, call: Call, entered: Entered, name: str) -> int | None:
    if not name.startswith("@"):
        return _member(tx, entered, name)
    return _any_available(tx, call, entered, name[1:]) or _member(tx, entered, name[1:])


def _member(tx: Tx, entered: Entered, name: str) -> int | None:
    agent = find_agent(tx, name)
    return agent if agent is not None and load_member(tx, entered.log, agent) else None


def _any_available(tx: Tx, call: Call, entered: Entered, label: str) -> int | None:
    """One member with this kind, role or capability: online first, then who has the fewest open questions, then idle."""
    rank = {"online": 0, "away": 1, "offline": 2}
    fitting: list[tuple[int, int, int, int]] = []
    for member in load_members(tx, entered.log):
        kind = load_agent(tx, member.agent).kind
        labels = (kind,) if label in KINDS else (member.role, *member.capabilities)
        if member.agent != call.agent and label in labels:
            last = tx.row(
                "select max(seq) from delivery where agent = :agent and log = :log", agent=member.agent, log=entered.log
            )
            busy = _open_questions(tx, entered.log, member.agent)
            fitting.append((rank[call.presence(member.agent)[0]], busy, (last and last[0]) or 0, member.agent))
    return min(fitting)[3] if fitting else None


def _open_questions(tx: Tx, log: int, agent: int) -> int:
    """How many questions of this room wait for the agent's answer."""
    row = tx.row(
        "select count(*) from delivery d join message m on m.log = d.log and m.seq = d.seq"
        " where d.agent = :agent and d.log = :log and m.kind = 'question' and d.answer_seq is null and d.expired = 0"
        " and m.flags & :gone = 0",
        agent=agent,
        log=log,
        gone=GONE,
    )
    return int(row[0]) if row else 0


def mention(tx: Tx, entered: Entered, text: str, extra: Sequence[str]) -> Named:
    """Members named with @ in the text, or in the request."""
    if not extra and "@" not in text:
        return ()
    names = dict.fromkeys([*extra, *_MENTION.findall(text)])
    found = []
    for name in names:
        agent = find_agent(tx, name.rstrip(".-_")) or find_agent(tx, name)
        if agent is not None and load_member(tx, entered.log, agent):
            found.append((agent_name(tx, agent), agent))
    return tuple(dict.fromkeys(found))


def answering(tx: Tx, call: Call, entered: Entered, draft: Draft) -> Draft:
    """Fill in what a reply inherits: thread, hops, channel, and whom it concerns."""
    if draft.reply_to is None:
        return draft
    seq = message_seq(entered.log, draft.reply_to)
    parent = load_message(tx, entered.log, seq, draft.reply_to)
    return replace(
        draft,
        reply_seq=seq,
        reply_sender=parent.sender,
        thread=make_id("m", entered.log, parent.root or seq),
        hops=parent.hops + 1 if parent.hops < MAX_HOPS + 1 else parent.hops,
        channel=parent.channel if draft.channel == "general" else draft.channel,
    )


def check_place(tx: Tx, entered: Entered, draft: Draft) -> None:
    """Raises when the channel does not exist."""
    if not entered.room.direct:
        need_channel(tx, entered.log, draft.channel)
