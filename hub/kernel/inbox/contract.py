"""Reading and acknowledging: the inbox, and a room's events by page."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from hub.core.model import Model
from hub.core.names import RoomName
from hub.core.operation import AnyOperation, Done, Operation, Request, Result
from hub.kernel.messages.contract import Message, MessageId

CursorText = Annotated[str, Field(max_length=65536)]
WaitS = Annotated[float, Field(ge=0, le=55)]


class Gap(Model):
    """History the reader asked for that is not there: never skipped silently."""

    room: str
    reason: Literal["epoch", "trimmed"]
    from_seq: int
    to_seq: int
    oldest_seq: int


class Inbox(Result):
    """What is new. Nothing counts as read until the cursor is acknowledged."""

    messages: tuple[Message, ...]
    cursor: str
    has_more: bool = False
    unread: int = Field(description="Messages by others not yet acknowledged, exact to 100; 101 means more.")
    gaps: tuple[Gap, ...] = ()
    waking: tuple[str, ...] = Field(
        default=(),
        exclude_if=lambda v: not v,
        description="With wake=concerned: ids of the entries that may wake you, by your wake rule in each room.",
    )
    wakes: bool = Field(default=True, exclude=True, description="Whether something here may end a wait.")

    def settled(self) -> bool:
        return self.wakes and bool(self.messages or self.gaps)


class ReadInbox(Request[Inbox]):
    """What is new for you, without moving anything; waits up to `wait_s` for something."""

    room: RoomName | None = None
    after: CursorText | None = Field(default=None, description="Read as if everything up to here were acknowledged.")
    limit: int = Field(default=50, ge=1, le=500)
    wait_s: WaitS = 0
    wake: Literal["all", "concerned"] = Field(
        default="all",
        description="What ends the waiting: anything, or what concerns you by your wake rule. With `concerned`, rooms "
        "that you told never to wake you are left out.",
    )
    max_bytes: int = Field(
        default=1_000_000, ge=1024, le=4_000_000, description="Longer texts are cut and marked truncated."
    )


class PollInbox(Request[Inbox]):
    """Acknowledge up to `ack`, then read what is new: one round trip, safe to retry."""

    ack: CursorText | None = None
    room: RoomName | None = None
    limit: int = Field(default=50, ge=1, le=500)
    wait_s: WaitS = 0
    wake: Literal["all", "concerned"] = "all"
    max_bytes: int = Field(default=1_000_000, ge=1024, le=4_000_000)


class AckInbox(Request[Done]):
    """Acknowledge everything up to a cursor, or single messages that your model was proved to have; durable when it
    returns. Single messages only change their receipts: no position moves."""

    cursor: CursorText | None = None
    messages: tuple[MessageId, ...] = Field(default=(), max_length=100)


class Unread(Result):
    """How much waits, without the messages."""

    unread: int = Field(description="Messages by others not yet acknowledged, exact to 100; 101 means more.")
    concerning: int = Field(description="Of the newest 50 waiting entries, those that concern you.")


class CountUnread(Request[Unread]):
    """How much is new for you."""


class Events(Result):
    """A page of a room's events, oldest first."""

    items: tuple[dict[str, Any], ...]
    cursor: str
    has_more: bool = False
    gaps: tuple[Gap, ...] = ()

    def settled(self) -> bool:
        return bool(self.items or self.gaps)


class ReadEvents(Request[Events]):
    """Events of a room after a cursor, in order; waits up to `wait_s` when there are none."""

    room: RoomName
    cursor: CursorText | None = Field(default=None, description="None: from the oldest kept event.")
    limit: int = Field(default=100, ge=1, le=1000)
    wait_s: WaitS = 0


READ = Operation("inbox.read", "GET /v1/inbox", "room:read", ReadInbox, Inbox)
POLL = Operation("inbox.poll", "POST /v1/inbox/poll", "room:read", PollInbox, Inbox, 200, "none")
ACK = Operation("inbox.ack", "POST /v1/inbox/ack", "room:read", AckInbox, Done, 200, "hub")
EVENTS = Operation("events.read", "GET /v1/rooms/{room}/events", "room:read", ReadEvents, Events)

UNREAD = Operation("inbox.unread", "GET /v1/inbox/unread", "room:read", CountUnread, Unread)

OPERATIONS: list[AnyOperation] = [POLL, READ, ACK, UNREAD, EVENTS]
