"""Waits are reader state: operational rows, never events."""

from hub.storage.interface import Migration

MIGRATIONS = [
    Migration(
        "waits-0001",
        """
create table waiting (
  id {text} not null, agent {int} not null, reader {text} not null, tool {text} not null, arguments {text} not null,
  status {text} not null, created_at {int} not null, updated_at {int} not null, expires_at {int} not null,
  result {text}, primary key (id)
);
create index waiting_expires on waiting (expires_at);
""",
    )
]
