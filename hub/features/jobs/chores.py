"""What time does to jobs: rows of closed ones go. Their outcome stays in the answer's metadata."""

from __future__ import annotations

from typing import Final

from hub.core.call import Call
from hub.log.chore import Chore
from hub.storage.interface import Tx

KEEP_MS: Final = 7 * 86400 * 1000
BATCH: Final = 200


def forget_closed(tx: Tx, call: Call) -> bool:
    """Delete up to 200 rows of jobs that closed, or whose question is gone, a week after their last lease."""
    rows = tx.rows(
        "select log, seq, agent from job where lease_expires_at < :old and (outcome is not null or not exists"
        " (select 1 from open_question o where o.log = job.log and o.seq = job.seq)) limit :most",
        old=call.now_ms - KEEP_MS,
        most=BATCH,
    )
    for row in rows:
        tx.run(
            "delete from job where log = :log and seq = :seq and agent = :agent", log=row[0], seq=row[1], agent=row[2]
        )
    return len(rows) == BATCH


CHORES = [Chore(300, forget_closed)]
