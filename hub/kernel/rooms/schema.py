"""Tables of rooms. `preference` and `follow` are reader state: not in the log."""

from hub.storage.interface import Migration

PROJECTIONS = ["room", "member", "ability", "former", "channel", "invite"]
MIGRATIONS = [
    Migration(
        "rooms-0001",
        """
create table room (
  log {int} not null, settings {text} not null, owner {int} not null, created_at {int} not null,
  archived_at {int}, primary key (log)
);
create table member (
  log {int} not null, agent {int} not null, access {text} not null, role {text}, weight {int} not null,
  joined_seq {int} not null, joined_at {int} not null,
  primary key (log, agent)
);
create index member_agent on member (agent, log);
create table channel (
  log {int} not null, name {text} not null, topic {text} not null, primary key (log, name)
);
create table invite (
  log {int} not null, seq {int} not null, hash {text} not null, agent {int}, access {text} not null,
  expires_at {int} not null, primary key (log, seq)
);
create table preference (agent {int} not null, log {int} not null, wake {text} not null, primary key (agent, log));
create table follow (
  agent {int} not null, log {int} not null, channel {text} not null, state {text} not null,
  primary key (agent, log, channel)
);
create table guard (
  log {int} not null, window_start {int} not null, count {int} not null, paused_until {int} not null,
  pauses {int} not null, primary key (log)
);
""",
    ),
    Migration(
        "rooms-0002",
        """
create table former (
  log {int} not null, agent {int} not null, access {text} not null, weight {int} not null, left_seq {int} not null,
  primary key (log, agent)
);
""",
    ),
    Migration(
        "rooms-0003",  # not a column of member: snapshots of before hold whole rows of it
        """
create table ability (log {int} not null, agent {int} not null, names {text} not null, primary key (log, agent));
""",
    ),
]
