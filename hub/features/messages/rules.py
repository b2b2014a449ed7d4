"""What may be done to a message, and what its receipts say. Pure."""

from __future__ import annotations

from typing import Any

from hub.core.errors import Conflict, Forbidden
from hub.core.names import make_id
from hub.core.times import optional_rfc3339
from hub.features.messages.contract import Receipt


class NotAQuestion(Conflict):
    code, title = "not-a-question", "Not a question"


class AlreadyGone(Conflict):
    code, title = "message-gone", "The message is gone"


def may_edit(sender: int, agent: int, stone: str | None) -> None:
    """Only its sender, only while the text is there."""
    if stone:
        raise AlreadyGone(f"this message is {stone}; its text cannot change any more")
    if sender != agent:
        raise Forbidden("only its sender can edit a message; answer it with reply_to instead")


def may_redact(sender: int, agent: int, access: str) -> None:
    if sender != agent and access != "owner":
        raise Forbidden("only its sender or an owner of the room can redact a message; ask an owner")


def may_accept(kind: str, sender: int, agent: int) -> None:
    """Only the asker takes an answer."""
    if kind != "question":
        raise NotAQuestion("only a message of kind 'question' can have an accepted answer")
    if sender != agent:
        raise Forbidden("only the asker can accept an answer")


def receipt(log: int, agent: str, row: Any, now_ms: int) -> Receipt:
    """State of one delivery row (delivered_at, seen_at, answer_seq, expires_at, expired)."""
    delivered_at, seen_at, answer_seq, expires_at, expired = row
    if answer_seq is not None:
        state = "answered"
    elif seen_at is not None:
        state = "seen"
    elif expired or (expires_at is not None and expires_at <= now_ms):
        state = "expired"
    else:
        state = "queued" if delivered_at is None else "delivered"
    return Receipt.model_validate(
        {
            "agent": agent,
            "state": state,
            "delivered_at": optional_rfc3339(delivered_at),
            "seen_at": optional_rfc3339(seen_at),
            "answer": None if answer_seq is None else make_id("m", log, answer_seq),
        }
    )
