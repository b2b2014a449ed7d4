"""What time does to reservations: they run out, and end a minute after their holder's client did."""

from __future__ import annotations

from hub.core.call import Call
from hub.features.reservations.handlers import end_due
from hub.features.reservations.project import exited_at
from hub.features.reservations.rules import GRACE_MS
from hub.log.chore import Chore
from hub.log.log import hold
from hub.storage.interface import Tx


def release_due(tx: Tx, call: Call) -> bool:
    """Release what is over in one room; whether there may be more."""
    log = _expired(tx, call) or _left_behind(tx, call)
    if log is None:
        return False
    hold(tx, log)
    return end_due(tx, call, log) > 0


def _expired(tx: Tx, call: Call) -> int | None:
    row = tx.row(
        "select r.log from reservation r left join renewal n on n.log = r.log and n.seq = r.seq"
        " where coalesce(n.until, r.until) <= :now limit 1",
        now=call.now_ms,
    )
    return None if row is None else int(row[0])


def _left_behind(tx: Tx, call: Call) -> int | None:
    for row in tx.rows("select distinct agent, log from reservation order by agent, log"):
        ended = exited_at(tx, call, row[0]) if call.trace(row[0]).exited_at_ms is not None else None
        if ended is not None and ended + GRACE_MS <= call.now_ms:
            return int(row[1])
    return None


CHORES = [Chore(0.5, release_due, "select min(0) from reservation")]  # clients end without a row
