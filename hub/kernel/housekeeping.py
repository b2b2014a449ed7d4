"""What time brings: texts expire, important messages are offered again, keys are forgotten, rooms are trimmed.

Bodies only; `hub/server/timers.py` runs them. Each does a bounded amount and says whether there is more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, LiteralString

from hub.core.call import Call
from hub.core.names import make_id
from hub.kernel.inbox.receipts import next_due
from hub.kernel.messages.contract import DeliveryFailed
from hub.kernel.messages.project import EXPIRED, edits_of, mark
from hub.kernel.rooms.project import load_room
from hub.log.idempotency import forget_old
from hub.log.log import agent_name, append, blank, hold, load_stream
from hub.log.retention import over_limit, trim
from hub.storage.interface import Tx

BATCH: Final = 200
_ENDING: LiteralString = "from message where expires_at is not null and flags & 11 = 0"  # as the index: GONE is 11
FIRST_EXPIRED: Final[LiteralString] = f"select min(expires_at) {_ENDING}"
FIRST_REDELIVERED: Final[LiteralString] = "select min(due_at) from delivery where due_at is not null"


def expire_messages(tx: Tx, call: Call) -> bool:
    """Blank texts whose time is over, in their event and its edits; readers hid them from that moment already."""
    first = tx.row(f"select log {_ENDING} and expires_at <= :now order by expires_at limit 1", now=call.now_ms)
    if first is None:
        return False
    hold(tx, first[0])
    for row in tx.rows(
        f"select log, seq {_ENDING} and log = :log and expires_at <= :now limit :most",
        log=first[0],
        now=call.now_ms,
        most=BATCH,
    ):
        blank(tx, row[0], [row[1], *edits_of(tx, row[0], row[1])], "expired")
        mark(tx, row[0], row[1], EXPIRED)
    return True


def redeliver(tx: Tx, call: Call) -> bool:
    """Offer again what needs an acknowledgement; past its deadline tell the sender once. A room at a time."""
    first = tx.row("select log from delivery where due_at <= :now order by due_at limit 1", now=call.now_ms)
    if first is None:
        return False
    hold(tx, first[0])  # two hubs look at the same time: the second must see what the first did
    rows = tx.rows(
        "select log, seq, agent, tries, expires_at from delivery where log = :log and due_at <= :now limit :most",
        log=first[0],
        now=call.now_ms,
        most=BATCH,
    )
    failed: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row in rows:
        if row[4] is not None and row[4] <= call.now_ms:
            failed[row[0], row[1]].append(row[2])
            continue
        due = next_due(row[3] + 1, call.now_ms)
        tx.run(
            "update delivery set tries = tries + 1, due_at = :due where log = :log and seq = :seq and agent = :agent",
            due=due if row[4] is None else min(due, row[4]),
            log=row[0],
            seq=row[1],
            agent=row[2],
        )
        tx.wake(-row[2])
    for (log, seq), agents in failed.items():
        _give_up(tx, call, log, seq, agents)
    return True


def _give_up(tx: Tx, call: Call, log: int, seq: int, agents: Sequence[int]) -> None:
    for agent in agents:
        tx.run(
            "update delivery set expired = 1, due_at = null where log = :log and seq = :seq and agent = :agent",
            log=log,
            seq=seq,
            agent=agent,
        )
    sender = tx.row("select sender from message where log = :log and seq = :seq", log=log, seq=seq)
    if sender is not None:
        names = tuple(agent_name(tx, agent) for agent in agents)
        event = DeliveryFailed(message=make_id("m", log, seq), sender=sender[0], recipients=names)
        append(tx, call, log, event, actor=0)


def forget_keys(tx: Tx, call: Call) -> bool:
    """Delete idempotency records older than 24 h."""
    return forget_old(tx, call.now_ms) > 0


def trim_rooms(tx: Tx, call: Call, tables: Sequence[str], by_event: Sequence[str]) -> bool:
    """One trimming step in every room that is over its retention."""
    more = False
    for row in tx.rows("select log from room where settings like '%keep_%' order by log"):
        if _over(tx, call, row[0]) > load_stream(tx, row[0]).floor:
            hold(tx, row[0])
            for known in (("stream", row[0]), ("room", row[0])):
                tx.forget(known)  # what was loaded before the lock
            upto = _over(tx, call, row[0])
            more |= trim(tx, row[0], upto, tables, by_event) < upto
    return more


def _over(tx: Tx, call: Call, log: int) -> int:
    """Up to which number the room's own retention lets events go."""
    settings = load_room(tx, log).settings
    return over_limit(tx, log, call.now_ms, settings.keep_days, settings.keep_events, settings.keep_bytes)


def save_presence(tx: Tx, seen: Mapping[int, int]) -> None:
    """Last-seen times, so that they survive a restart."""
    for agent, at_ms in seen.items():
        tx.run(
            "insert into presence (agent, seen_at) values (:agent, :at)"
            " on conflict (agent) do update set seen_at = excluded.seen_at",
            agent=agent,
            at=at_ms,
        )
