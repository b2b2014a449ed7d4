"""Tables of the log itself."""

from hub.storage.interface import Migration

MIGRATIONS = [
    Migration(
        "log-0001",
        """
create table log (
  id {id}, kind {text} not null, name {text} not null, epoch {int} not null,
  head {int} not null, floor {int} not null, last_at {int} not null,
  unique (kind, name)
);
create table event (
  log {int} not null, seq {int} not null, type {text} not null, actor {int} not null, at {int} not null,
  data {blob} not null, tombstone {text},
  primary key (log, seq)
);
create table snapshot (log {int} not null, seq {int} not null, rows {blob} not null, primary key (log));
create table consumer (name {text} not null, log {int} not null, seq {int} not null, primary key (name, log));
create table idempotency (
  id {id}, agent {int} not null, op {text} not null, key {text} not null, hash {blob} not null, at {int} not null,
  log {int}, seq {int}, response {blob},
  unique (agent, op, key)
);
""",
    ),
    Migration("log-0002", "drop table consumer;\n"),  # nothing ever used it, see decision 0007
]
