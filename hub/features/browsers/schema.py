"""The newest report of each tab: operational, never an event."""

from hub.storage.interface import Migration

MIGRATIONS = [
    Migration(
        "browsers-0001",
        "create table browser_health (agent {int} not null, report {text} not null, primary key (agent));",
    )
]
