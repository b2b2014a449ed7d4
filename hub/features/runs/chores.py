"""What time does to runs: those of a hub that died without a word are over."""

from __future__ import annotations

from hub.core.call import Call
from hub.features.runs.handlers import report_lost
from hub.storage.interface import Tx


def report_dead(tx: Tx, call: Call) -> bool:
    """Report runs of hubs that are gone as interrupted."""
    report_lost(tx, call)
    return False


CHORES = [(5, report_dead)]
