"""Tables of agents and tokens: projections of the hub's own stream."""

from hub.storage.interface import Migration

PROJECTIONS = ["agent", "token"]
MIGRATIONS = [
    Migration(
        "agents-0001",
        """
create table agent (
  log {int} not null, id {int} not null, name {text} not null, kind {text} not null, owner {int} not null,
  title {text} not null, labels {text} not null, created_at {int} not null, retired_at {int},
  primary key (log, id)
);
create unique index agent_name on agent (name) where retired_at is null;
create table token (
  log {int} not null, id {int} not null, agent {int} not null, hash {text} not null, scopes {text} not null,
  created_at {int} not null, expires_at {int} not null, revoked_at {int},
  primary key (log, id)
);
create index token_agent on token (agent);
""",
    )
]
