"""Tables of hooks. Secrets and what was received are operational: they are not in the log, which members read."""

from hub.storage.interface import Migration

PROJECTIONS = ["hook"]
MIGRATIONS = [
    Migration(
        "hooks-0001",
        """
create table hook (
  log {int} not null, seq {int} not null, agent {int} not null, source {text} not null, channel {text} not null,
  moves {text} not null, at {int} not null, primary key (log, seq)
);
create table hook_secret (log {int} not null, seq {int} not null, secret {text} not null, primary key (log, seq));
create table hook_seen (
  log {int} not null, seq {int} not null, proof {text} not null, at {int} not null, primary key (log, seq, proof)
);
create index hook_seen_at on hook_seen (at);
""",
    )
]
