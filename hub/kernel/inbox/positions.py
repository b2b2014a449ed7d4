"""How far an agent has acknowledged each room. Moves only forward and only by an acknowledgement (P4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hub.core.call import Call
from hub.core.cursor import Mark
from hub.core.errors import CursorAhead
from hub.kernel.inbox.receipts import mark_seen
from hub.log.log import load_stream
from hub.storage.interface import Tx

COUNTED: Final = 100  # unread is exact up to here; 101 means more


@dataclass(frozen=True, slots=True)
class Position:
    acked: int = 0
    offered: int = 0


def load_position(tx: Tx, agent: int, log: int) -> Position:
    row = tx.row(
        "select acked_seq, offered_seq from position where agent = :agent and log = :log", agent=agent, log=log
    )
    return Position() if row is None else Position(row[0], row[1])


def start_at(tx: Tx, agent: int, log: int, seq: int) -> None:
    """A joiner starts at the head; one who comes back keeps what was acknowledged before, if that is further."""
    _move(tx, agent, log, acked=seq, offered=seq)


def _move(tx: Tx, agent: int, log: int, *, acked: int, offered: int) -> None:
    tx.run(
        "insert into position (agent, log, acked_seq, offered_seq) values (:agent, :log, :acked, :offered)"
        " on conflict (agent, log) do update set"
        " acked_seq = case when position.acked_seq > excluded.acked_seq then position.acked_seq"
        " else excluded.acked_seq end,"
        " offered_seq = case when position.offered_seq > excluded.offered_seq then position.offered_seq"
        " else excluded.offered_seq end",
        agent=agent,
        log=log,
        acked=acked,
        offered=offered,
    )


def acknowledge(tx: Tx, call: Call, marks: dict[int, Mark]) -> None:
    """Move the caller's positions forward to the marks. A mark of an older epoch is ignored: it proves nothing now.

    Raises CursorAhead for a mark beyond the head.
    """
    for mark in marks.values():
        stream = load_stream(tx, mark.log)
        if mark.epoch != stream.epoch:
            continue
        if mark.seq > stream.head:
            raise CursorAhead(f"that cursor is ahead of room {stream.name!r}; use the cursor of your last result")
        before = load_position(tx, call.agent, mark.log).acked
        if mark.seq > before:
            _move(tx, call.agent, mark.log, acked=mark.seq, offered=mark.seq)
            mark_seen(tx, call, mark.log, mark.seq)


def offer(tx: Tx, agent: int, log: int, seq: int) -> None:
    """Note what was handed out, so that a later reader learns that it is offered again."""
    _move(tx, agent, log, acked=0, offered=seq)


def unread_count(tx: Tx, agent: int, log: int) -> int:
    """Messages by others after the agent's position, counted to 101."""
    return count_after(tx, agent, log, load_position(tx, agent, log).acked)


def count_after(tx: Tx, agent: int, log: int, after: int) -> int:
    """Messages by others after a number, counted to 101."""
    row = tx.row(
        "select count(*) from (select 1 from message where log = :log and seq > :after and sender <> :agent"
        " limit :most) as unread",
        log=log,
        after=after,
        agent=agent,
        most=COUNTED + 1,
    )
    return 0 if row is None else int(row[0])
