"""Tables of runs. Operational: `runner` (hubs that run code now) and `slot` (which of them executes which run)."""

from hub.storage.interface import Migration

PROJECTIONS = ["run", "run_audit"]
BY_EVENT = ["run", "run_audit"]
MIGRATIONS = [
    Migration(
        "runs-0001",
        """
create table run (
  log {int} not null, seq {int} not null, agent {int} not null, language {text} not null, state {text} not null,
  requested_at {int} not null, finished_seq {int}, primary key (log, seq)
);
create index run_live on run (requested_at, log, seq) where state = 'open';
create table slot (
  log {int} not null, seq {int} not null, runner {text} not null, started_at {int} not null, stop {int} not null,
  primary key (log, seq)
);
create table runner (
  id {text} not null, slots {int} not null, languages {text} not null, refusal {text} not null, until {int} not null,
  primary key (id)
);
""",
    ),
    Migration(
        "runs-0002",
        """
create table run_audit (
  log {int} not null, seq {int} not null, at {int} not null, agent {int} not null, room {text} not null,
  what {text} not null, run {text}, language {text}, code_sha256 {text}, files {text} not null,
  primary key (log, seq)
);
""",
    ),
]
