"""Tables of queues. `lease` is operational: claims and extensions are not events."""

from hub.storage.interface import Migration

PROJECTIONS = ["queue", "task"]
MIGRATIONS = [
    Migration(
        "queues-0001",
        """
create table queue (
  log {int} not null, owner {int} not null, open_to {text} not null, max_attempts {int} not null,
  paused {int} not null, primary key (log)
);
create table task (
  log {int} not null, seq {int} not null, sender {int} not null, body {text} not null, priority {text} not null,
  sort_at {int} not null, ready_at {int} not null, expires_at {int} not null, state {text} not null,
  result {text}, reason {text}, attempts {int} not null, primary key (log, seq)
);
create index task_order on task (log, state, sort_at, seq);
create table lease (
  log {int} not null, seq {int} not null, token {text} not null, agent {int} not null, attempt {int} not null,
  until {int} not null, ready_at {int} not null, primary key (log, seq)
);
""",
    ),
    Migration(
        "queues-0002",
        """
alter table task add column reasons {text};
alter table lease add column reasons {text};
delete from lease where exists (
  select 1 from task where task.log = lease.log and task.seq = lease.seq and state <> 'open'
);
create index lease_until on lease (until);
create index lease_ready on lease (ready_at);
create index task_expiry on task (state, expires_at);
""",
    ),
]
