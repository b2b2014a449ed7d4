"""What time does to reservations: they run out, and end a minute after their holder's client did."""

from __future__ import annotations

from typing import LiteralString

from hub.core.call import Call
from hub.features.reservations.handlers import end_due
from hub.features.reservations.project import exited_at
from hub.features.reservations.rules import GRACE_MS
from hub.log.chore import Chore
from hub.log.log import hold
from hub.storage.interface import Tx

_HELD: LiteralString = "from reservation r left join renewal n on n.log = r.log and n.seq = r.seq"
_FIRST_DUE: LiteralString = f"select min(coalesce(n.until, r.until)) {_HELD}"


def release_expired(tx: Tx, call: Call) -> bool:
    """Release what has run out in one room; whether there may be more."""
    row = tx.row(f"select r.log {_HELD} where coalesce(n.until, r.until) <= :now limit 1", now=call.now_ms)
    return row is not None and _release(tx, call, row[0])


def release_left_behind(tx: Tx, call: Call) -> bool:
    """Release in one room what belongs to clients that ended; whether there may be more."""
    for row in tx.rows("select distinct agent, log from reservation order by agent, log"):
        ended = exited_at(tx, call, row[0]) if call.trace(row[0]).exited_at_ms is not None else None
        if ended is not None and ended + GRACE_MS <= call.now_ms:
            return _release(tx, call, row[1])
    return False


def _release(tx: Tx, call: Call, log: int) -> bool:
    hold(tx, log)
    return end_due(tx, call, log) > 0


CHORES = [
    Chore(0.5, release_expired, _FIRST_DUE),
    Chore(5, release_left_behind, "select min(0) from reservation"),  # that a client ended is in no row
]
