"""Events: immutable numbered facts of a stream, and how they look on the wire.

Bodies are forever: add optional fields or a new type, never change a meaning. A body class names its `type`; its
fields are what rebuilds every projection, so it carries agent ids where rows need them (names are for people).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import orjson

from hub.core.cursor import encode_mark
from hub.core.model import Model
from hub.core.names import make_id
from hub.core.times import rfc3339

EVENT_TYPES: dict[str, type[EventBody]] = {}
Tombstone = Literal["redacted", "expired", "purged"]


@dataclass(frozen=True, slots=True)
class Decided:
    """What an event decides, for the register of decisions. `agents` are the ids of who decided; none: its actor."""

    what: str
    outcome: str
    agents: tuple[int, ...] = ()
    about: str | None = None
    links: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attached:
    """An address that from now on belongs to these things of the room."""

    things: tuple[str, ...]
    url: str


class EventBody(Model):
    """Base of all event bodies; subclasses set `type`, for example `message.posted`."""

    type: ClassVar[str] = ""

    def __init_subclass__(cls, **kw: Any) -> None:
        super().__init_subclass__(**kw)
        kind = cls.__dict__.get("type", "")
        if kind and EVENT_TYPES.setdefault(kind, cls).__qualname__ != cls.__qualname__:
            raise RuntimeError(f"event type {kind!r} is declared twice")

    def data(self, at: Placed) -> bytes:
        """The JSON kept in the log and spliced into frames. Override to add what only the place knows (ids)."""
        return self.model_dump_json(exclude_none=True).encode()

    @classmethod
    def load(cls, data: bytes) -> EventBody:
        """The body of stored JSON; fields that `data` added are ignored, so old events load for ever."""
        known = {field.alias or name for name, field in cls.model_fields.items()}
        return cls.model_validate({k: v for k, v in orjson.loads(data).items() if k in known})

    def blank(self) -> bytes:
        """What stays of a tombstone's data: structure that projections need, never content."""
        return b"{}"

    def concerns(self) -> tuple[int, ...]:
        """Ids of agents who get this event as a notice in their inbox."""
        return ()

    def subject(self, log: int, seq: int) -> str:
        """Id of the thing a notice is about; override where the event belongs to something made earlier."""
        return make_id("e", log, seq)

    def notice(self) -> str:
        """One line for the notice's text."""
        return self.type

    def decides(self) -> Decided | None:
        """What this event decides, if it does: a line in the room's register."""
        return None

    def attaches(self) -> Attached | None:
        """An address that this event gives to things made earlier, if it does: they show it among their links."""
        return None


class Placed(NamedTuple):
    """Where an event stands: stream, number, time, actor. Given to projections and to `EventBody.data`."""

    log: int
    room: str
    seq: int
    at_ms: int
    actor: int
    actor_name: str
    actor_kind: str
    tombstone: Tombstone | None = None


class Event(NamedTuple):
    """A stored event. `data` is its JSON; a tombstone's data is blank."""

    log: int
    room: str
    epoch: int
    seq: int
    type: str
    at_ms: int
    actor: str
    data: bytes
    tombstone: Tombstone | None = None

    def frame(self) -> bytes:
        """The event as every reader gets it: one encoding, shared. Names and types need no escaping by their grammar."""
        stone = f'"{self.tombstone}"' if self.tombstone else "null"
        head = (
            f'{{"seq":{self.seq},"room":"{self.room}","type":"{self.type}","at":"{rfc3339(self.at_ms)}",'
            f'"actor":"{self.actor}","cursor":"{encode_mark(self.log, self.epoch, self.seq)}","data":'
        )
        return b'%b%b,"tombstone":%b}' % (head.encode(), self.data or b"null", stone.encode())
