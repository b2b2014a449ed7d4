"""What time does to the register: votes that ended before the hub kept one get their lines, once."""

from __future__ import annotations

from typing import Final

from hub.core.call import Call
from hub.core.event import Placed
from hub.features.discussion.project import decided
from hub.log.chore import Chore
from hub.log.log import agent_name, hold, load_body, load_stream
from hub.storage.interface import Tx

BATCH: Final = 100


def fill_register(tx: Tx, call: Call) -> bool:
    """Write the lines of up to 100 earlier votes of one room; whether there are more, here or elsewhere."""
    first = tx.row("select log from register_due order by log limit 1")
    if first is None:
        return False
    log = first[0]
    hold(tx, log)
    rows = tx.rows(
        "select due.seq, event.type, event.at, event.actor, event.data from register_due due"
        " left join event on event.log = due.log and event.seq = due.seq and tombstone is null"
        " left join decision on decision.log = due.log and decision.seq = due.seq"
        " where due.log = :log and decision.seq is null order by due.seq limit :most",
        log=log,
        most=BATCH,
    )
    room = load_stream(tx, log).name
    for row in rows:
        if row[1] is not None:
            placed = Placed(log, room, row[0], row[2], row[3], agent_name(tx, row[3]), "")
            decided(tx, placed, load_body(row[1], bytes(row[4])))
    upto = rows[-1][0] if rows else load_stream(tx, log).head
    tx.run("delete from register_due where log = :log and seq <= :upto", log=log, upto=upto)
    return True


CHORES = [Chore(1, fill_register, "select min(0) from register_due")]
