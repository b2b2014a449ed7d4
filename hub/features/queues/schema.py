"""Tables of queues. `lease`, `ready` and `workload` are operational: claims, extensions, assignments are no events."""

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
    Migration(
        "queues-0005",
        """
create table ready (
  log {int} not null, sort_at {int} not null, seq {int} not null, primary key (log, sort_at, seq)
){without_rowid};
insert into ready (log, sort_at, seq)
select task.log, task.sort_at, task.seq from task
left join lease on lease.log = task.log and lease.seq = task.seq
where task.state = 'open' and (lease.token is null or (lease.until = 0 and lease.ready_at = 0))
and (task.grp is null or not exists (select 1 from task older where older.log = task.log and older.state = 'open'
and older.grp = task.grp and older.seq < task.seq));
drop index task_order;
drop index task_expiry;
create table lease_now (
  log {int} not null, seq {int} not null, token {text} not null, agent {int} not null, attempt {int} not null,
  until {int} not null, ready_at {int} not null, reasons {text}, handed_at {int}, progress {real}, note {text},
  primary key (log, seq)
){without_rowid};
insert into lease_now select log, seq, token, agent, attempt, until, ready_at, reasons, handed_at, progress, note from lease;
drop table lease;
alter table lease_now rename to lease;
create index lease_agent on lease (log, agent);
create index task_dead on task (log, seq) where state = 'dead';
create index task_expiry on task (expires_at) where state = 'open' and expires_at <> 4611686018427387904;
create index lease_ready on lease (ready_at) where ready_at > 0;
create index task_expiry_of on task (log, expires_at) where state = 'open' and expires_at <> 4611686018427387904;
create index lease_until_of on lease (log, until) where until > 0;
create index lease_ready_of on lease (log, ready_at) where ready_at > 0;
""",
    ),
]
