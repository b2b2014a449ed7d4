"""Tables of runs. Operational: `runner` (hubs that run code now) and `slot` (which of them executes which run)."""

from hub.storage.interface import Migration

PROJECTIONS = ["run"]
BY_EVENT = ["run"]
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
    )
]
