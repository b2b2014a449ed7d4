"""Append events to a stream and project them, inside the caller's transaction; read them back as frames.

State rows change only through functions registered with `projects`, called from `append`. Seq, head and time are
assigned here: gapless per stream, time never going back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, TypeVar

from hub.core.call import Call
from hub.core.cursor import encode_mark
from hub.core.event import EVENT_TYPES, Event, EventBody, Placed, Tombstone
from hub.storage.interface import Row, Tx

HUB: Final = 1  # the hub's own stream: agents, tokens, webhooks; also the audit trail
_FOLLOWED: Final = frozenset({"room", "dm"})  # kinds whose readers get each event as it comes; others are only woken
B = TypeVar("B", bound=EventBody)
Projection = Callable[[Tx, Placed, Any], None]
PROJECTIONS: dict[type[EventBody], list[Projection]] = {}
OF_ALL: list[tuple[str, Projection]] = []
_CHOSEN: dict[type[EventBody], tuple[Projection, ...]] = {}


def projects(body: type[B]) -> Callable[[Callable[[Tx, Placed, B], None]], Callable[[Tx, Placed, B], None]]:
    """Register the function that turns events of `body` into rows."""

    def register(function: Callable[[Tx, Placed, B], None]) -> Callable[[Tx, Placed, B], None]:
        PROJECTIONS.setdefault(body, []).append(function)
        return function

    return register


def projects_all(saying: str) -> Callable[[Projection], Projection]:
    """Register a projection of events of every type whose body says something by this method (`concerns`)."""

    def register(function: Projection) -> Projection:
        OF_ALL.append((saying, function))
        return function

    return register


def _projections(body: type[EventBody]) -> tuple[Projection, ...]:
    """Those of the type first; of all only where the type has something to say: asking each event costs every send."""
    chosen = _CHOSEN.get(body)
    if chosen is None:
        spoken = [function for saying, function in OF_ALL if getattr(body, saying) is not getattr(EventBody, saying)]
        chosen = _CHOSEN[body] = (*PROJECTIONS.get(body, ()), *spoken)
    return chosen


_new = tuple.__new__  # a NamedTuple's own constructor is a Python function: three of them are felt in every send


class Stream(NamedTuple):
    """The state of one stream: its newest number and the oldest that is still kept minus one."""

    log: int
    kind: str
    name: str
    epoch: int
    head: int
    floor: int
    last_at: int

    @property
    def cursor(self) -> str:
        return encode_mark(self.log, self.epoch, self.head)


def create_stream(tx: Tx, call: Call, kind: str, name: str) -> Stream:
    """A new empty stream with a fresh epoch."""
    epoch = int.from_bytes(call.random(4), "big") | 1
    row = tx.row(
        "insert into log (kind, name, epoch, head, floor, last_at) values (:kind, :name, :epoch, 0, 0, 0) returning id",
        kind=kind,
        name=name,
        epoch=epoch,
    )
    assert row is not None
    stream = Stream(row[0], kind, name, epoch, 0, 0, 0)
    tx.remember(("stream", stream.log), stream)
    tx.remember(("stream id", kind, name), stream.log)
    return stream


def load_stream(tx: Tx, log: int) -> Stream:
    """The stream's current state, from memory where this process is the only writer."""

    def load() -> Stream:
        row = tx.peek("select id, kind, name, epoch, head, floor, last_at from log where id = :log", log=log)
        if row is None:
            raise RuntimeError(f"stream {log} does not exist")
        return _stream(row)

    return tx.memo(("stream", log), load)


def find_stream(tx: Tx, kind: str, name: str) -> int | None:
    """Id of the stream with this kind and name."""

    def load() -> int | None:
        row = tx.peek("select id from log where kind = :kind and name = :name", kind=kind, name=name)
        return None if row is None else int(row[0])

    return tx.memo(("stream id", kind, name), load)


def hold(tx: Tx, log: int) -> None:
    """From here to COMMIT no other writer changes the stream. For bodies whose locks nobody could name before.

    Load what you decide on only after this; hold one stream per body, or several in the order of their ids.
    """
    tx.run("update log set head = head where id = :log", log=log)


def _stream(row: Row) -> Stream:
    return Stream(row[0], row[1], row[2], row[3], row[4], row[5], row[6])


def append(tx: Tx, call: Call, log: int, *bodies: EventBody, actor: int | None = None) -> Placed:
    """Add events to a stream and project them; where the last one stands. The stream's lock must be held."""
    stream = load_stream(tx, log)
    at_ms = max(call.now_ms, stream.last_at)
    placed: Placed | None = None
    for body in bodies:
        placed = _append_one(tx, call, stream, body, at_ms, actor)
        stream = _new(Stream, (log, stream.kind, stream.name, stream.epoch, placed.seq, stream.floor, at_ms))
    assert placed is not None, "append needs at least one event"
    tx.remember(("stream", log), stream)
    tx.defer(
        ("head", log),
        "update log set head = :head, last_at = :at where id = :log",
        head=stream.head,
        at=at_ms,
        log=log,
    )
    return placed


def _append_one(tx: Tx, call: Call, stream: Stream, body: EventBody, at_ms: int, actor: int | None) -> Placed:
    log, kind, room, epoch, head = stream[:5]
    seq, who = head + 1, call.principal
    if actor is None:
        actor, name, actor_kind = who.agent, who.name, who.kind
    else:
        name, actor_kind = agent_name(tx, actor), "script"
    placed = _new(Placed, (log, room, seq, at_ms, actor, name, actor_kind, None))
    data = body.data(placed)
    tx.stage("event", (log, seq, body.type, actor, at_ms, data, None))
    project_event(tx, placed, body)
    followed = kind in _FOLLOWED
    tx.grew(log, seq, _new(Event, (log, room, epoch, seq, body.type, at_ms, name, data, None)) if followed else b"")
    return placed


def project_event(tx: Tx, at: Placed, body: EventBody) -> None:
    """Turn one event into rows."""
    for project in _projections(type(body)):
        project(tx, at, body)


def agent_name(tx: Tx, agent: int) -> str:
    """Name of an agent id; ids are generations, so the name behind one never changes. 0 is the hub itself."""
    if agent == 0:
        return "hub"

    def load() -> str:
        row = tx.peek("select name from agent where log = 1 and id = :agent", agent=agent)
        return "unknown" if row is None else str(row[0])

    return tx.memo(("agent name", agent), load)


def read_events(tx: Tx, log: int, after: int, limit: int) -> list[Event]:
    """Up to `limit` events of a stream with seq > `after`, in order."""
    rows = tx.rows(
        "select event.log, log.name, log.epoch, event.seq, event.type, event.at, event.actor, event.data, tombstone"
        " from event join log on log.id = event.log"
        " where event.log = :log and event.seq > :after order by event.seq limit :limit",
        log=log,
        after=after,
        limit=limit,
    )
    return [_event(tx, row) for row in rows]


def read_event(tx: Tx, log: int, seq: int) -> Event | None:
    found = read_events(tx, log, seq - 1, 1)
    return found[0] if found and found[0].seq == seq else None


def _event(tx: Tx, row: Row) -> Event:
    stone = row[8]
    return Event(
        log=row[0],
        room=row[1],
        epoch=row[2],
        seq=row[3],
        type=row[4],
        at_ms=row[5],
        actor=agent_name(tx, row[6]),
        data=b"" if stone else bytes(row[7]),
        tombstone=stone,
    )


def blank(tx: Tx, log: int, seqs: Iterable[int], why: Tombstone) -> None:
    """Blank events in place. What their body keeps in `blank()` (structure, never content) still projects."""
    for seq in seqs:
        row = tx.row("select type, data from event where log = :log and seq = :seq", log=log, seq=seq)
        if row is None:
            continue
        kept = load_body(row[0], bytes(row[1])).blank()
        tx.run(
            "update event set data = :data, tombstone = :why where log = :log and seq = :seq",
            data=kept,
            why=why,
            log=log,
            seq=seq,
        )
    tx.rewrote(log)


def load_body(kind: str, data: bytes) -> EventBody:
    """The typed body of stored event data."""
    return EVENT_TYPES[kind].load(data)


def replay(tx: Tx, log: int) -> None:
    """Project every kept event of a stream again, in order, onto rows that were cleared before."""
    stream = load_stream(tx, log)
    after = stream.floor
    while rows := tx.rows(
        "select seq, type, at, actor, data, tombstone from event where log = :log and seq > :after"
        " order by seq limit 1000",
        log=log,
        after=after,
    ):
        for row in rows:
            body = load_body(row[1], bytes(row[4]))
            placed = Placed(log, stream.name, row[0], row[2], row[3], agent_name(tx, row[3]), "", row[5])
            project_event(tx, placed, body)
        after = rows[-1][0]
