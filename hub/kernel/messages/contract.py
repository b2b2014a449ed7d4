"""The message's shape and events. Operations on messages are in hub/features/messages."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import orjson
from pydantic import Field

from hub.core.event import EventBody, Placed, Tombstone
from hub.core.model import Model
from hub.core.names import make_id
from hub.core.times import optional_rfc3339, rfc3339

MessageId = Annotated[str, Field(min_length=3, max_length=40)]
MessageKind = Literal["chat", "question", "answer", "notice"]
Intent = Literal["request", "inform", "ack"]
Priority = Literal["critical", "high", "normal", "low", "bulk"]
Text = Annotated[str, Field(min_length=1, max_length=256 * 1024)]


class About(Model):
    """What a notice is about."""

    type: str
    id: str


class Message(Model):
    """A message as everyone sees it. `from` is verified by the hub."""

    id: str
    room: str
    seq: int
    channel: str = "general"
    sender: str = Field(alias="from")
    from_kind: str
    to: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    text: str
    kind: MessageKind = "chat"
    intent: Intent = "inform"
    priority: Priority = "normal"
    reply_to: str | None = None
    thread: str | None = None
    needs_ack: bool = False
    attachments: tuple[str, ...] = ()
    metadata: dict[str, Any] = Field(default_factory=dict)
    at: str
    edited_at: str | None = None
    expires_at: str | None = None
    tombstone: Tombstone | None = None
    reactions: dict[str, tuple[str, ...]] = Field(default_factory=dict, exclude_if=lambda v: not v)
    tags: tuple[str, ...] = Field(default=(), exclude_if=lambda v: not v)
    accepted: str | None = Field(default=None, exclude_if=lambda v: v is None, description="Accepted answer.")
    truncated: bool = Field(default=False, exclude_if=lambda v: not v)
    redelivered: bool = Field(default=False, exclude_if=lambda v: not v)
    concerns_me: bool = Field(default=False, exclude_if=lambda v: not v)
    about: About | None = Field(default=None, exclude_if=lambda v: v is None)


class MessagePosted(EventBody):
    """A message. Its stored data is the whole wire message, so reading splices bytes."""

    type: ClassVar[str] = "message.posted"
    channel: str = "general"
    to: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    text: str
    kind: MessageKind = "chat"
    intent: Intent = "inform"
    priority: Priority = "normal"
    reply_to: str | None = None
    thread: str | None = None
    needs_ack: bool = False
    attachments: tuple[str, ...] = ()
    metadata: dict[str, Any] = Field(default_factory=dict)
    expires_at_ms: int | None = None
    hops: int = 0
    tags: tuple[str, ...] = ()
    from_kind: str = "script"

    def data(self, at: Placed) -> bytes:
        fields = self.__dict__  # asking the model for sixteen attributes takes longer than encoding them
        wire: dict[str, Any] = {
            "id": make_id("m", at.log, at.seq),
            "room": at.room,
            "seq": at.seq,
            "channel": fields["channel"],
            "from": at.actor_name,
            "from_kind": at.actor_kind,
            "to": fields["to"],
            "mentions": fields["mentions"],
            "text": fields["text"],
            "kind": fields["kind"],
            "intent": fields["intent"],
            "priority": fields["priority"],
            "reply_to": fields["reply_to"],
            "thread": fields["thread"],
            "needs_ack": fields["needs_ack"],
            "attachments": fields["attachments"],
            "metadata": fields["metadata"],
            "at": rfc3339(at.at_ms),
            "edited_at": None,
            "expires_at": optional_rfc3339(fields["expires_at_ms"]),
        }
        if fields["expires_at_ms"] is not None:
            wire["expires_at_ms"] = fields["expires_at_ms"]
        if fields["hops"]:
            wire["hops"] = fields["hops"]
        if fields["tags"]:
            wire["tags"] = fields["tags"]
        return orjson.dumps(wire)

    def blank(self) -> bytes:
        return orjson.dumps(
            {
                "channel": self.channel,
                "text": "",
                "kind": self.kind,
                "intent": self.intent,
                "reply_to": self.reply_to,
                "thread": self.thread,
                "from_kind": self.from_kind,
                "hops": self.hops,
                "to": self.to,
                "expires_at_ms": self.expires_at_ms,
            }
        )


class MessageEdited(EventBody):
    type: ClassVar[str] = "message.edited"
    message: str
    text: str

    def blank(self) -> bytes:
        return orjson.dumps({"message": self.message, "text": ""})


class MessageRedacted(EventBody):
    """The text is gone everywhere; the number, time and sender stay."""

    type: ClassVar[str] = "message.redacted"
    message: str
    reason: str = ""


class ReactionAdded(EventBody):
    type: ClassVar[str] = "reaction.added"
    message: str
    emoji: str


class ReactionRemoved(EventBody):
    type: ClassVar[str] = "reaction.removed"
    message: str
    emoji: str


class AnswerAccepted(EventBody):
    """The asker took an answer; the question is closed."""

    type: ClassVar[str] = "answer.accepted"
    question: str
    answer: str
    answerer: int | None = None

    def concerns(self) -> tuple[int, ...]:
        return () if self.answerer is None else (self.answerer,)

    def notice(self) -> str:
        return f"Your answer {self.answer} to {self.question} was accepted."


class DeliveryFailed(EventBody):
    """Recipients did not see an important message before its deadline."""

    type: ClassVar[str] = "delivery.failed"
    message: str
    sender: int
    recipients: tuple[str, ...]

    def concerns(self) -> tuple[int, ...]:
        return (self.sender,)

    def notice(self) -> str:
        return f"Not seen in time: {self.message} by {', '.join(self.recipients)}."
