"""`open_question` follows the log; `job` holds leases, which are operational and never events."""

from hub.storage.interface import Migration

PROJECTIONS = ["open_question"]
BY_EVENT = ["open_question"]
MIGRATIONS = [
    Migration(
        "jobs-0001",
        """
create table open_question (
  log {int} not null, seq {int} not null, name {text} not null, primary key (log, seq, name)
){without_rowid};
create index open_question_name on open_question (name, log, seq);
create table job (
  log {int} not null, seq {int} not null, agent {int} not null, attempt {int} not null, token {text} not null,
  lease_expires_at {int} not null, submitted_at {int}, outcome {text}, answer_seq {int},
  primary key (log, seq, agent)
){without_rowid};
create index job_leased on job (agent, lease_expires_at) where outcome is null;
""",
    ),
    Migration(
        "jobs-0002",
        """
alter table job add column pending {text};
alter table job add column partial {text};
alter table job add column revision {int} not null default 0;
create index job_age on job (lease_expires_at);
""",
    ),
]
