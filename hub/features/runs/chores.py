"""What time does to runs: those of a hub that died without a word are over."""

from __future__ import annotations

from hub.core.call import Call
from hub.features.runs.handlers import report_lost
from hub.log.chore import Chore
from hub.storage.interface import Tx


def report_dead(tx: Tx, call: Call) -> bool:
    """Report runs of hubs that are gone as interrupted."""
    report_lost(tx, call)
    return False


CHORES = [
    Chore(
        5, report_dead, "select min(coalesce(runner.until, 0)) from slot left join runner on runner.id = slot.runner"
    ),
]
