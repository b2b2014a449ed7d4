"""One caller's place at the bridge during a tool call: who it is, where it is, what it has been shown."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from hub.core.caller import Caller
from hub.core.errors import CursorAhead, CursorInvalid, HubError, Invalid, listing
from hub.core.operation import Request, Result
from hub.core.visible import visible
from hub.kernel.inbox.contract import AckInbox, CountUnread
from hub.kernel.messages.contract import Message
from hub.kernel.rooms.contract import ListRooms
from mcp_bridge.recent import KEPT, Recent

R = TypeVar("R", bound=Result)
MOST_PENDING: Final = 256
MOST_READERS: Final = 10_000
PAGE_BYTES: Final = 24 * 1024
PATIENT_CLIENTS: Final = ("claude-code",)


class NoRoom(Invalid):
    """No room was named and none can be meant."""

    code, title = "no-room", "Which room?"


@dataclass(slots=True)
class Shown:
    """What one tool result handed to a reader; counts once the reader is known to have it."""

    ids: tuple[str, ...]
    cursor: str | None
    finished: bool = False


@dataclass(slots=True)
class Reader:
    """Memory of one live connection: its current room, what it was shown, what still needs proof."""

    room: str | None = None
    entered: bool = False
    shown: Recent = field(default_factory=Recent)
    pending: dict[str, Shown] = field(default_factory=dict)

    def settle(self, done: Iterable[str] | None) -> str | None:
        """Take in which results arrived (None: all that finished); the newest cursor to acknowledge, if any."""
        keys = list(done) if done is not None else [k for k, s in self.pending.items() if s.finished]
        cursor = None
        for key in keys:
            if (shown := self.pending.pop(key, None)) is not None:
                self.shown.add(shown.ids)
                cursor = shown.cursor or cursor
        return cursor

    def await_proof(self, key: str, shown: Shown) -> None:
        """A result hands this over. What never gets its proof (cancelled, broken off) is forgotten in time.

        Nothing is dropped at the next call: a call made while this result is on its way knows nothing of it yet.
        """
        self.pending[key] = shown
        while len(self.pending) > MOST_PENDING:
            del self.pending[next(iter(self.pending))]

    def recall(self, memory: Mapping[str, Any]) -> str | None:
        """Take in what a relay remembers for a hub that forgot; the cursor it last wrote out, if any."""
        shown, room, cursor = memory.get("shown"), memory.get("room"), memory.get("cursor")
        self.shown.add(str(item) for item in (shown if isinstance(shown, list) else [])[-KEPT:])
        self.room = room if isinstance(room, str) else self.room
        return cursor if isinstance(cursor, str) else None


class Readers:
    """Readers by connection; the least recently used go when there are too many."""

    def __init__(self) -> None:
        self._readers: OrderedDict[str, Reader] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        return key in self._readers

    def get(self, key: str) -> Reader:
        reader = self._readers.setdefault(key, Reader())
        self._readers.move_to_end(key)
        while len(self._readers) > MOST_READERS:
            self._readers.popitem(last=False)
        return reader


async def _no_progress(_done: float, _message: str) -> None:
    return None


@dataclass(slots=True)
class Desk:
    """What a tool works with: `call` operations, the reader's memory, progress, the client's name."""

    caller: Caller
    name: str
    reader: Reader
    key: str
    client: str = ""
    progress: Callable[[float, str], Awaitable[None]] = _no_progress
    hidden_unread: int = 0
    wake: Literal["all", "concerned"] = "all"
    background: bool = False
    relayed: bool = False
    coming: frozenset[str] = frozenset()  # ids that the relay has pushed and not yet seen arrive
    uploaded: str | None = None  # id of the file whose bytes the relay sent ahead of this call
    _calls: int = 0

    @property
    def longest_wait_s(self) -> float:
        """55 s, the shortest of all clients' limits; 10 min in the background or where the client moves calls there."""
        return 600.0 if self.background or self.client in PATIENT_CLIENTS else 55.0

    async def call(self, request: Request[R]) -> R:
        """Perform an operation. Repeats of the same tool call have the same idempotency keys."""
        self._calls += 1
        return await self.caller.call(request, key=f"{self.key}/{self._calls}"[:128])

    async def rooms(self) -> list[str]:
        """Names of the caller's rooms."""
        return [item.room for item in (await self.call(ListRooms())).items]

    async def room(self, named: str | None) -> str:
        """The room meant: the named one, the reader's current one, or the only one. Raises NoRoom that lists them."""
        if named:
            return named
        if self.reader.room:
            return self.reader.room
        rooms = await self.rooms()
        if len(rooms) == 1:
            self.reader.room = rooms[0]
            return rooms[0]
        if not rooms:
            raise NoRoom("you are in no room yet; call join(room='…') first")
        raise NoRoom(f"name the room: room='…'. You are in: {listing(rooms)}")

    def show(self, messages: Iterable[Message], cursor: str | None = None) -> None:
        """This result hands these messages over; they count as shown when it arrives."""
        self.reader.await_proof(self.key, Shown(tuple(m.id for m in messages if not m.truncated or cursor), cursor))

    def fresh(self, messages: Iterable[Message]) -> list[Message]:
        """Those this reader was not shown before, in whatever way, and that are not on their way by another."""
        return [m for m in messages if m.id not in self.reader.shown and m.id not in self.coming]

    async def settle(self, done: Iterable[str] | None, recalled: str | None = None) -> None:
        """Acknowledge what earlier results proved to have arrived; `recalled` is what a relay remembered of one."""
        if cursor := self.reader.settle(done) or recalled:
            with suppress(CursorAhead, CursorInvalid):  # of a history that was restored or reset: the next poll says so
                await self.caller.call(AckInbox(cursor=cursor))

    def finish(self) -> None:
        """The handler ended without being cancelled."""
        if (shown := self.reader.pending.get(self.key)) is not None:
            shown.finished = True

    async def unread(self) -> int | str:
        """Messages by others that wait, without those this result shows; `100+` beyond 100."""
        try:
            count = (await self.caller.call(CountUnread())).unread
        except HubError:
            return 0
        if count > 100:
            return "100+"
        return max(0, count - self.hidden_unread)


def brief(message: Message, *, room: str | None = None) -> dict[str, Any]:
    """A message for a model: only what is not the default."""
    made: dict[str, Any] = {"id": message.id, "from": message.sender, "text": visible(message.text)}
    made["at"] = message.at[:19] + "Z"
    if message.room != room:
        made["room"] = message.room
    if message.channel != "general":
        made["channel"] = message.channel
    defaults = {"kind": "chat", "intent": "inform", "priority": "normal"}
    made |= {name: getattr(message, name) for name, usual in defaults.items() if getattr(message, name) != usual}
    for name in ("to", "attachments", "tags"):
        if value := getattr(message, name):
            made[name] = list(value)
    for name in ("reply_to", "accepted", "tombstone"):
        if value := getattr(message, name):
            made[name] = value
    for name in ("needs_ack", "truncated", "redelivered", "concerns_me"):
        if getattr(message, name):
            made[name] = True
    if message.about is not None:
        made["about"] = message.about.model_dump()
    return made


def lines(messages: Iterable[Message]) -> str:
    """Messages as text lines, control characters made visible."""
    return "\n".join(line(message) for message in messages)


def line(message: Message) -> str:
    """One message; further lines of its text are indented, so that none can pass for another message."""
    to = f" to {', '.join(message.to)}" if message.to else ""
    kind = "" if message.kind == "chat" else f" ({message.kind})"
    reply = f" re {message.reply_to}" if message.reply_to else ""
    cut = f" [cut; history(message='{message.id}') reads on]" if message.truncated else ""
    text = visible(message.text).replace("\n", "\n    ")
    return f"[{message.id}] {message.room} {message.sender}{to}{kind}{reply}: {text}{cut}"
