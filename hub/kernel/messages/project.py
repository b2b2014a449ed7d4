"""Rows of messages from their events, and the view that joins them back into a `Message`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, LiteralString

import orjson

from hub.core.errors import MessageNotFound
from hub.core.event import Placed
from hub.core.names import make_id, split_id
from hub.core.times import rfc3339
from hub.kernel.messages.contract import (
    AnswerAccepted,
    Message,
    MessageEdited,
    MessagePosted,
    MessageRedacted,
    ReactionAdded,
    ReactionRemoved,
)
from hub.log.log import agent_name, load_stream, projects
from hub.storage.interface import Row, Tx

REDACTED: Final = 1
EXPIRED: Final = 2
REQUEST: Final = 4  # a request to everybody
PURGED: Final = 8
GONE: Final = REDACTED | EXPIRED | PURGED  # any of them: there is no text any more
_STONES: Final = {REDACTED: "redacted", EXPIRED: "expired", PURGED: "purged"}


@dataclass(frozen=True, slots=True)
class MessageRow:
    log: int
    seq: int
    sender: int
    channel: str
    reply_to: int | None
    root: int | None
    kind: str
    flags: int
    hops: int
    expires_at: int | None
    edited_seq: int | None

    @property
    def id(self) -> str:
        return make_id("m", self.log, self.seq)


def message_seq(log: int, message: str) -> int:
    """The number of a message id in this stream; raises MessageNotFound for another room's id."""
    found, seq = split_id("m", message, MessageNotFound)
    if found != log:
        raise MessageNotFound(f"message {message!r} is not in this room; pass the room it was sent to")
    return seq


def _seq(message: str | None) -> int | None:
    return None if message is None else split_id("m", message, MessageNotFound)[1]


@projects(MessagePosted)
def posted(tx: Tx, at: Placed, body: MessagePosted) -> None:
    flags = REQUEST if body.intent == "request" and not body.to else 0
    if at.tombstone:
        flags |= next(flag for flag, name in _STONES.items() if name == at.tombstone)
    tx.stage(
        "message",
        (
            at.log,
            at.seq,
            at.actor,
            body.channel,
            _seq(body.reply_to),
            _seq(body.thread),
            body.kind,
            flags,
            body.hops,
            body.expires_at_ms,
            None,
        ),
    )


@projects(MessageEdited)
def edited(tx: Tx, at: Placed, body: MessageEdited) -> None:
    tx.run(
        "update message set edited_seq = :edited where log = :log and seq = :seq",
        edited=at.seq,
        log=at.log,
        seq=_seq(body.message),
    )


@projects(MessageRedacted)
def redacted(tx: Tx, at: Placed, body: MessageRedacted) -> None:
    mark(tx, at.log, _seq(body.message) or 0, REDACTED)


def mark(tx: Tx, log: int, seq: int, flag: int) -> None:
    """Set a tombstone flag on a message's row (the event itself is blanked by the log)."""
    tx.run("update message set flags = flags | :flag where log = :log and seq = :seq", flag=flag, log=log, seq=seq)


@projects(ReactionAdded)
def reaction_added(tx: Tx, at: Placed, body: ReactionAdded) -> None:
    tx.run(
        "insert into reaction (log, seq, agent, emoji) values (:log, :seq, :agent, :emoji)"
        " on conflict (log, seq, agent, emoji) do nothing",
        log=at.log,
        seq=_seq(body.message),
        agent=at.actor,
        emoji=body.emoji,
    )


@projects(ReactionRemoved)
def reaction_removed(tx: Tx, at: Placed, body: ReactionRemoved) -> None:
    tx.run(
        "delete from reaction where log = :log and seq = :seq and agent = :agent and emoji = :emoji",
        log=at.log,
        seq=_seq(body.message),
        agent=at.actor,
        emoji=body.emoji,
    )


@projects(AnswerAccepted)
def accepted(tx: Tx, at: Placed, body: AnswerAccepted) -> None:
    tx.run(
        "insert into accepted (log, seq, answer) values (:log, :seq, :answer)"
        " on conflict (log, seq) do update set answer = excluded.answer",
        log=at.log,
        seq=_seq(body.question),
        answer=body.answer,
    )


_ROW: Final[LiteralString] = (
    "message.log, message.seq, sender, channel, reply_to, root, kind, flags, hops, expires_at, edited_seq"
)
SELECT: Final[LiteralString] = (
    f"select {_ROW}, event.at, event.data, edit.at as edit_at, edit.data as edit_data"
    " from message join event on event.log = message.log and event.seq = message.seq"
    " left join event edit on edit.log = message.log and edit.seq = message.edited_seq "
)


def find_view_row(tx: Tx, log: int, seq: int) -> Row | None:
    """The `SELECT` row of one message, for `view`."""
    return tx.row(SELECT + "where message.log = :log and message.seq = :seq", log=log, seq=seq)


def edits_of(tx: Tx, log: int, seq: int) -> list[int]:
    """Numbers of the events that edited the message."""
    rows = tx.rows(
        "select seq, data from event where log = :log and seq > :seq and type = 'message.edited'", log=log, seq=seq
    )
    return [row[0] for row in rows if _seq(orjson.loads(bytes(row[1])).get("message")) == seq]


def load_message(tx: Tx, log: int, seq: int, message: str) -> MessageRow:
    """The message's row; raises MessageNotFound."""
    row = tx.row(f"select {_ROW} from message where log = :log and seq = :seq", log=log, seq=seq)
    if row is None:
        raise MessageNotFound(f"message {message!r} not found in this room; ids come from results and from history")
    return message_row(row)


def message_row(row: Row) -> MessageRow:
    return MessageRow(*(row[i] for i in range(11)))


def view(tx: Tx, row: Row, now_ms: int, **marks: Any) -> Message:
    """The current message of a `SELECT` row: latest text, tombstones honoured by flag and by time."""
    found = message_row(row)
    stone = tombstone(found, now_ms)
    wire = orjson.loads(bytes(row[12]))
    edit = orjson.loads(bytes(row[14])) if row[14] is not None else None
    text = "" if stone else (edit["text"] if edit else wire["text"])
    sender, kind = agent_name(tx, found.sender), wire.get("from_kind", "script")
    return Message(
        id=found.id,
        room=load_stream(tx, found.log).name,
        seq=found.seq,
        channel=found.channel,
        sender=sender,
        from_kind=kind,
        to=wire.get("to", ()),
        mentions=wire.get("mentions", ()),
        text=text,
        kind=wire.get("kind", "chat"),
        intent=wire.get("intent", "inform"),
        priority=wire.get("priority", "normal"),
        reply_to=wire.get("reply_to"),
        thread=wire.get("thread"),
        needs_ack=wire.get("needs_ack", False),
        attachments=() if stone else wire.get("attachments", ()),
        metadata={} if stone else wire.get("metadata", {}),
        at=rfc3339(row[11]),
        edited_at=rfc3339(row[13]) if edit else None,
        expires_at=wire.get("expires_at"),
        tags=wire.get("tags", ()),
        tombstone=stone,
        **marks,
    )


def tombstone(row: MessageRow, now_ms: int) -> Any:
    """Why the text is gone, or None. Expiry counts from its moment, before anything blanked the row."""
    for flag, name in _STONES.items():
        if row.flags & flag:
            return name
    return "expired" if row.expires_at is not None and row.expires_at <= now_ms else None


def with_extras(tx: Tx, log: int, messages: list[Message]) -> list[Message]:
    """Add reactions and accepted answers."""
    if not messages:
        return messages
    low, high = min(m.seq for m in messages), max(m.seq for m in messages)
    reactions: dict[int, dict[str, list[str]]] = {}
    for row in tx.rows(
        "select seq, emoji, agent from reaction where log = :log and seq between :low and :high"
        " order by seq, emoji, agent",
        log=log,
        low=low,
        high=high,
    ):
        reactions.setdefault(row[0], {}).setdefault(row[1], []).append(agent_name(tx, row[2]))
    answers = {
        row[0]: row[1]
        for row in tx.rows(
            "select seq, answer from accepted where log = :log and seq between :low and :high",
            log=log,
            low=low,
            high=high,
        )
    }
    if not reactions and not answers:
        return messages
    return [
        m.model_copy(
            update={
                "reactions": {emoji: tuple(who) for emoji, who in reactions.get(m.seq, {}).items()},
                "accepted": answers.get(m.seq),
            }
        )
        for m in messages
    ]
