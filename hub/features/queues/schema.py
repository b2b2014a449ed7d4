"""Tables of queues. `lease` and `workload` are operational: claims, extensions and assignments are not events."""

from hub.storage.interface import Migration

PROJECTIONS = ["queue", "task", "worker"]
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
    Migration(
        "queues-0003",
        """
alter table queue add column mode {text} not null default 'pull';
alter table queue add column strategy {text} not null default 'round_robin';
alter table queue add column assign_timeout_ms {int} not null default 5000;
alter table queue add column max_open {int} not null default 100000;
alter table queue add column draining {int} not null default 0;
alter table queue add column open_tasks {int} not null default 0;
update queue set open_tasks = (select count(*) from task where task.log = queue.log and task.state = 'open');
alter table task add column grp {text};
alter table task add column sticky {text};
alter table task add column worker {int};
create index task_group on task (log, grp, seq) where state = 'open' and grp is not null;
alter table lease add column handed_at {int};
alter table lease add column progress {real};
alter table lease add column note {text};
create index lease_agent on lease (log, agent);
create table worker (
  log {int} not null, agent {int} not null, weight {real} not null, capacity {int} not null, primary key (log, agent)
);
create table workload (
  log {int} not null, agent {int} not null, turns {real} not null, latency_ms {real}, failures {int} not null,
  opens {int} not null, open_until {int} not null, seen_at {int} not null, primary key (log, agent)
);
""",
    ),
    Migration(
        "queues-0004",
        """
alter table queue add column keep_days {int};
alter table task add column ended_at {int};
alter table task add column ended_seq {int};
create index task_ended on task (log, ended_at) where ended_at is not null;
""",
    ),
]
