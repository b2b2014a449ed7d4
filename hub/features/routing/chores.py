"""What time does for routing: messages are carried on, keys seen are forgotten."""

from __future__ import annotations

from hub.core.call import Call
from hub.features.routing.worker import send_due
from hub.log.chore import Chore
from hub.storage.interface import Tx


def forget_seen(tx: Tx, call: Call) -> bool:
    """Forget keys whose window is over, up to 1,000 at a time."""
    gone = tx.run(
        "delete from routing_seen where until <= :now and until <= coalesce((select until from routing_seen"
        " order by until limit 1 offset 1000), :now)",
        now=call.now_ms,
    )
    return gone > 1000


CHORES = [Chore(0.5, send_due, "select min(due_at) from routing_outbox"), Chore(60, forget_seen)]
