"""What time does to proposals: those past their deadline are counted and closed, also after a restart."""

from __future__ import annotations

from hub.core.call import Call
from hub.features.voting.handlers import verdict
from hub.features.voting.project import load_proposal
from hub.log.log import append
from hub.storage.interface import Tx


def close_due(tx: Tx, call: Call) -> bool:
    """Close up to 100 proposals whose deadline has passed."""
    rows = tx.rows(
        "select log, seq from proposal where state = 'open' and deadline <= :now order by deadline limit 100",
        now=call.now_ms,
    )
    for row in rows:
        loaded = load_proposal(tx, row[0], row[1])
        append(tx, call, loaded.log, verdict(loaded, loaded.ballots), actor=0)
    return len(rows) == 100


CHORES = [(0.5, close_due)]
