"""What time does to proposals: those past their deadline are counted and closed, also after a restart."""

from __future__ import annotations

from typing import Final

from hub.core.call import Call
from hub.features.voting.handlers import verdict
from hub.features.voting.project import load_proposal
from hub.log.chore import Chore
from hub.log.log import append, hold
from hub.storage.interface import Tx

BATCH: Final = 100


def close_due(tx: Tx, call: Call) -> bool:
    """Close up to 100 proposals of one room whose deadline has passed; whether there may be more, here or elsewhere."""
    row = tx.row(
        "select log from proposal where state = 'open' and deadline <= :now order by deadline limit 1", now=call.now_ms
    )
    if row is None:
        return False
    log = row[0]
    hold(tx, log)  # a ballot that was accepted before is counted, and nobody closes it at the same time
    due = tx.rows(
        "select seq from proposal where log = :log and state = 'open' and deadline <= :now order by deadline limit :most",
        log=log,
        now=call.now_ms,
        most=BATCH,
    )
    for one in due:
        loaded = load_proposal(tx, log, one[0])
        append(tx, call, log, verdict(loaded, loaded.ballots), actor=0)
    return True


CHORES = [
    Chore(0.5, close_due, "select min(deadline) from proposal where state = 'open' and deadline is not null"),
]
