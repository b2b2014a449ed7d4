"""The entries of one agent's inbox: messages by others and notices, per room by number, rooms in turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from hub.core.call import Call
from hub.core.cursor import Mark, encode
from hub.core.event import EventBody, Placed
from hub.core.names import is_direct, make_id
from hub.core.times import rfc3339
from hub.kernel.inbox.contract import Gap, Inbox
from hub.kernel.inbox.positions import COUNTED, Position, count_after, load_position
from hub.kernel.messages.contract import About, Message
from hub.kernel.messages.project import REQUEST, SELECT, message_row, tombstone, view
from hub.log.log import Stream, load_body, load_stream, projects_all
from hub.storage.interface import Row, Tx

PREVIEW_BYTES = 400


@projects_all("concerns")
def noticed(tx: Tx, at: Placed, body: EventBody) -> None:
    """An event that concerns somebody becomes an entry of their inbox."""
    if not (concerned := body.concerns()):
        return
    for agent in dict.fromkeys(concerned):
        if agent != at.actor and agent > 0:
            tx.run(
                "insert into notice (log, agent, seq) values (:log, :agent, :seq)"
                " on conflict (log, agent, seq) do nothing",
                log=at.log,
                agent=agent,
                seq=at.seq,
            )


@dataclass(frozen=True, slots=True)
class RoomEntries:
    """One room's share of a page: entries after the position, and how far reading got."""

    log: int
    epoch: int
    position: Position
    entries: tuple[Message, ...]
    reached: int
    more: bool
    gap: Gap | None

    @property
    def concerns(self) -> bool:
        return any(entry.concerns_me for entry in self.entries)


def read_inbox(
    tx: Tx, call: Call, logs: Sequence[int], limit: int, max_bytes: int, after: Mapping[int, Mark] | None = None
) -> Inbox:
    """One page of the inbox over these streams, with the cursor that acknowledges exactly it (and what is before)."""
    rooms = [_room_entries(tx, call, log, limit, (after or {}).get(log)) for log in logs]
    taken, cut = _take_turns(rooms, limit, max_bytes)
    marks = [_mark(room, taken.get(room.log, [])) for room in rooms]
    unread = min(sum(_unread(tx, call, room) for room in rooms), COUNTED + 1)
    shown = _in_turns([taken.get(room.log, []) for room in _by_concern(rooms)])
    return Inbox(
        messages=tuple(shown),
        cursor=encode(marks),
        has_more=cut or any(room.more for room in rooms),
        unread=unread,
        gaps=tuple(room.gap for room in rooms if room.gap),
    )


def inbox_streams(tx: Tx, agent: int) -> list[int]:
    """Streams that can hold entries for the agent: its rooms, and rooms whose notices concern it."""
    rows = tx.rows(
        "select log from member where agent = :agent union"
        " select notice.log from notice left join position p on p.agent = notice.agent and p.log = notice.log"
        " where notice.agent = :agent and notice.seq > coalesce(p.acked_seq, 0) order by 1",
        agent=agent,
    )
    return [row[0] for row in rows]


def readable(tx: Tx, agent: int, marks: Mapping[int, Mark]) -> dict[int, Mark]:
    """Marks of streams the agent can have read; foreign ones are left out."""
    known = set(inbox_streams(tx, agent))
    return {log: mark for log, mark in marks.items() if log in known}


def _room_entries(tx: Tx, call: Call, log: int, limit: int, after: Mark | None) -> RoomEntries:
    stream, position = load_stream(tx, log), load_position(tx, call.agent, log)
    if after is not None and after.epoch == stream.epoch:
        position = Position(max(position.acked, min(after.seq, stream.head)), position.offered)
    gap = trimmed(stream, position.acked) if position.acked < stream.floor else None
    if position.acked >= stream.head:
        return RoomEntries(log, stream.epoch, position, (), stream.head, False, gap)
    found = sorted(
        [*_messages(tx, call, log, position, limit), *_notices(tx, call, log, position, limit)],
        key=lambda entry: entry.seq,
    )
    more = len(found) > limit
    entries = tuple(found[:limit])
    reached = entries[-1].seq if more else stream.head
    return RoomEntries(log, stream.epoch, position, entries, reached, more, gap)


def trimmed(stream: Stream, after: int) -> Gap:
    """What a reader who has everything up to `after` can no longer get."""
    floor = stream.floor
    return Gap(room=stream.name, reason="trimmed", from_seq=after + 1, to_seq=floor, oldest_seq=floor + 1)


def _messages(tx: Tx, call: Call, log: int, position: Position, limit: int) -> list[Message]:
    member = tx.row("select 1 from member where log = :log and agent = :agent", log=log, agent=call.agent)
    if member is None:
        return []
    rows = tx.rows(
        SELECT + "where message.log = :log and message.seq > :after and sender <> :agent"
        " order by message.seq limit :limit",
        log=log,
        after=position.acked,
        agent=call.agent,
        limit=limit + 1,
    )
    if not rows:
        return []
    named, mine, muted = _named(tx, call, log, position), _my_parents(tx, call, log, rows), _muted(tx, call, log)
    direct = is_direct(load_stream(tx, log).name)
    made = []
    for row in rows:
        found = message_row(row)
        concerns = direct or found.seq in named or bool(found.flags & REQUEST) or found.reply_to in mine
        if tombstone(found, call.now_ms) or (found.channel in muted and not concerns):
            continue
        marks: dict[str, Any] = {"concerns_me": concerns, "redelivered": found.seq <= position.offered}
        made.append(view(tx, row, call.now_ms, **marks))
    return made


def _named(tx: Tx, call: Call, log: int, position: Position) -> set[int]:
    rows = tx.rows(
        "select seq from delivery where agent = :agent and log = :log and seq > :after",
        agent=call.agent,
        log=log,
        after=position.acked,
    )
    return {row[0] for row in rows}


def _my_parents(tx: Tx, call: Call, log: int, rows: Sequence[Row]) -> set[int]:
    """Which of the messages answered here are the caller's own."""
    parents = {message_row(row).reply_to for row in rows} - {None}
    mine = set()
    for parent in parents:
        row = tx.row("select sender from message where log = :log and seq = :seq", log=log, seq=parent)
        if row is not None and row[0] == call.agent:
            mine.add(parent)
    return {seq for seq in mine if seq is not None}


def _muted(tx: Tx, call: Call, log: int) -> set[str]:
    rows = tx.rows(
        "select channel from follow where agent = :agent and log = :log and state = 'mute'", agent=call.agent, log=log
    )
    return {row[0] for row in rows}


def _notices(tx: Tx, call: Call, log: int, position: Position, limit: int) -> list[Message]:
    rows = tx.rows(
        "select event.seq, event.type, event.at, event.data from notice"
        " join event on event.log = notice.log and event.seq = notice.seq"
        " where notice.log = :log and notice.agent = :agent and notice.seq > :after order by notice.seq limit :limit",
        log=log,
        agent=call.agent,
        after=position.acked,
        limit=limit + 1,
    )
    return [_notice(tx, log, row, position) for row in rows]


def _notice(tx: Tx, log: int, row: Row, position: Position) -> Message:
    body = load_body(row[1], bytes(row[3]))
    return Message(
        id=make_id("n", log, row[0]),
        room=load_stream(tx, log).name,
        seq=row[0],
        sender="hub",
        from_kind="script",
        text=body.notice(),
        kind="notice",
        at=rfc3339(row[2]),
        about=About(type=row[1], id=body.subject(log, row[0])),
        concerns_me=True,
        redelivered=row[0] <= position.offered,
    )


def _by_concern(rooms: Sequence[RoomEntries]) -> list[RoomEntries]:
    return sorted(rooms, key=lambda room: not room.concerns)


def _in_turns(shares: Sequence[Sequence[Message]]) -> list[Message]:
    return [entry for turn in zip_longest(*shares) for entry in turn if entry is not None]


def _take_turns(rooms: Sequence[RoomEntries], limit: int, max_bytes: int) -> tuple[Mapping[int, list[Message]], bool]:
    """Fill the page: rooms in turns, those that concern the agent first, until `limit` or `max_bytes`."""
    taken: dict[int, list[Message]] = {}
    used = 0
    logs = {entry.id: room.log for room in rooms for entry in room.entries}
    for count, entry in enumerate(_in_turns([room.entries for room in _by_concern(rooms)])):
        short = _fit(entry, max_bytes)
        used += len(short.text.encode()) + PREVIEW_BYTES
        if count and (count >= limit or used > max_bytes):
            return taken, True
        taken.setdefault(logs[entry.id], []).append(short)
    return taken, False


def _fit(entry: Message, max_bytes: int) -> Message:
    """Cut one text to at most half the page; `history(message=…, offset=…)` reads on."""
    raw = entry.text.encode()
    most = max(max_bytes // 2, PREVIEW_BYTES)
    if len(raw) <= most:
        return entry
    return entry.model_copy(update={"text": raw[:most].decode(errors="ignore"), "truncated": True})


def _mark(room: RoomEntries, taken: Sequence[Message]) -> Mark:
    """Up to the last entry shown, or to where reading got when all were shown."""
    if len(taken) == len(room.entries):
        return Mark(room.log, room.epoch, max(room.reached, room.position.acked))
    return Mark(room.log, room.epoch, taken[-1].seq if taken else room.position.acked)


def _unread(tx: Tx, call: Call, room: RoomEntries) -> int:
    if not room.more:
        return sum(1 for entry in room.entries if entry.kind != "notice")
    return count_after(tx, call.agent, room.log, room.position.acked)
