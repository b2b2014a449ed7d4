"""Operations on messages."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from hub.core.model import Model
from hub.core.names import AgentName, ChannelName, RoomName, log_of
from hub.core.operation import AnyOperation, Done, Operation, Request, Result
from hub.kernel.messages.contract import Intent, Message, MessageId, Priority, Text

Recipient = Annotated[str, Field(pattern=r"^@?[a-z0-9][a-z0-9._-]{0,63}$")]
Emoji = Annotated[str, Field(min_length=1, max_length=16)]
_MOST_METADATA = 16 * 1024


class Posted(Result):
    """The message is on disk. Its text is not repeated."""

    id: str
    room: str
    seq: int
    cursor: str
    at: str
    visible_to: str = Field(
        description="Who can read it: every member of the room, or the two of a direct conversation."
    )
    to: tuple[str, ...] = Field(default=(), description="Recipients as resolved.", exclude_if=lambda v: not v)

    def pointer(self) -> tuple[int, int] | None:
        return log_of(self.id), self.seq


class _Message(Request[Posted]):
    text: Text
    reply_to: MessageId | None = None
    mentions: tuple[AgentName, ...] = Field(default=(), max_length=50)
    kind: Literal["chat", "question", "answer"] = "chat"
    intent: Intent = "inform"
    priority: Priority = "normal"
    ttl_s: int | None = Field(default=None, ge=1, le=30 * 86400)
    needs_ack: bool = False
    attachments: tuple[str, ...] = Field(default=(), max_length=50, description="File ids of the room.")
    metadata: dict[str, Any] = Field(default_factory=dict, description="At most 16 KiB of JSON.")

    @field_validator("metadata")
    @classmethod
    def _small(cls, value: dict[str, Any]) -> dict[str, Any]:
        if value and len(str(value)) > _MOST_METADATA:
            raise ValueError("metadata is larger than 16 KiB; share a file instead")
        return value


class PostMessage(_Message):
    """Send a message to a room; `to` addresses agents (wakes them, tracks receipts) but hides nothing."""

    room: RoomName
    channel: ChannelName = "general"
    to: tuple[Recipient, ...] = Field(default=(), max_length=50)


class PostDirect(_Message):
    """Send a direct message: only the two of you can read it."""

    agent: AgentName


class Messages(Result):
    items: tuple[Message, ...]
    cursor: str
    has_more: bool = False


class ListMessages(Request[Messages]):
    """Messages of a room, oldest first: the newest page, or before/after a message id."""

    room: RoomName
    channel: ChannelName | None = None
    thread: MessageId | None = None
    before: MessageId | None = None
    after: MessageId | None = None
    limit: int = Field(default=50, ge=1, le=500)


class GetMessage(Request["MessageResult"]):
    """One message; a long text can be read in parts by byte offset."""

    room: RoomName
    message: MessageId
    offset: int = Field(default=0, ge=0)
    max_bytes: int = Field(default=1_000_000, ge=1, le=4_000_000)


class MessageResult(Result):
    message: Message
    offset: int = 0
    size_bytes: int = Field(description="Of the whole text.")
    next_offset: int | None = Field(default=None, description="Read on from here; null at the end.")


class FindMessage(Request[MessageResult]):
    """One message by its id alone, from any room you are in."""

    message: MessageId


class Answers(Result):
    """Replies to a question by others, oldest first."""

    items: tuple[Message, ...]

    def settled(self) -> bool:
        return bool(self.items)


class GetAnswers(Request[Answers]):
    """Replies to a question; waits up to `wait_s` for the first one."""

    room: RoomName
    question: MessageId
    wait_s: float = Field(default=0, ge=0, le=55)


class EditMessage(Request[MessageResult]):
    """Change the text of your own message; the edit is an event of its own."""

    room: RoomName
    message: MessageId
    text: Text


class RedactMessage(Request[Done]):
    """Blank a message for ever: your own, or any as an owner."""

    room: RoomName
    message: MessageId
    reason: str = Field(default="", max_length=500)


class React(Request[Done]):
    """Add a reaction."""

    room: RoomName
    message: MessageId
    emoji: Emoji


class Unreact(Request[Done]):
    """Take a reaction back."""

    room: RoomName
    message: MessageId
    emoji: Emoji


class Receipt(Model):
    agent: str
    state: Literal["queued", "delivered", "seen", "answered", "expired"]
    delivered_at: str | None = None
    seen_at: str | None = None
    answer: str | None = None


class Receipts(Result):
    """Per recipient for what is addressed; otherwise who has read it, from positions."""

    message: str
    addressed: bool
    receipts: tuple[Receipt, ...] = ()
    read_by: tuple[str, ...] = ()


class GetReceipts(Request[Receipts]):
    """Who got a message."""

    room: RoomName
    message: MessageId


class ListQuestions(Request[Messages]):
    """Questions of a room; `open=true` only those without an accepted answer."""

    room: RoomName
    open: bool = True
    limit: int = Field(default=50, ge=1, le=200)


class AcceptAnswer(Request[Done]):
    """Accept an answer to your own question; the question is closed."""

    room: RoomName
    question: MessageId
    answer: MessageId


_R = "/v1/rooms/{room}"
_M = _R + "/messages/{message}"
POST = Operation("messages.post", f"POST {_R}/messages", "room:send", PostMessage, Posted, 201)
DIRECT = Operation("messages.direct", "POST /v1/dm/{agent}/messages", "room:send", PostDirect, Posted, 201, "hub")
LIST = Operation("messages.list", f"GET {_R}/messages", "room:read", ListMessages, Messages)
GET = Operation("messages.get", f"GET {_M}", "room:read", GetMessage, MessageResult)
FIND = Operation("messages.find", "GET /v1/messages/{message}", "room:read", FindMessage, MessageResult)
ANSWERS = Operation("questions.answers", f"GET {_R}/questions/{{question}}/answers", "room:read", GetAnswers, Answers)
EDIT = Operation("messages.edit", f"PATCH {_M}", "room:send", EditMessage, MessageResult)
REDACT = Operation("messages.redact", f"DELETE {_M}", "room:send", RedactMessage, Done)
REACT = Operation("reactions.add", f"PUT {_M}/reactions/{{emoji}}", "room:send", React, Done)
UNREACT = Operation("reactions.remove", f"DELETE {_M}/reactions/{{emoji}}", "room:send", Unreact, Done)
RECEIPTS = Operation("receipts.get", f"GET {_M}/receipts", "room:read", GetReceipts, Receipts)
QUESTIONS = Operation("questions.list", f"GET {_R}/questions", "room:read", ListQuestions, Messages)
ACCEPT = Operation("questions.accept", f"PUT {_R}/questions/{{question}}/accepted", "room:send", AcceptAnswer, Done)

OPERATIONS: list[AnyOperation] = [
    POST,
    DIRECT,
    LIST,
    GET,
    FIND,
    ANSWERS,
    EDIT,
    REDACT,
    REACT,
    UNREACT,
    RECEIPTS,
    QUESTIONS,
    ACCEPT,
]
