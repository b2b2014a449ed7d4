"""Tables of the inbox. `position` is reader state; `notice` is a projection of events that concern somebody."""

from hub.storage.interface import Migration

PROJECTIONS = ["notice"]
BY_EVENT = ["notice"]
MIGRATIONS = [
    Migration(
        "inbox-0001",
        """
create table position (
  agent {int} not null, log {int} not null, acked_seq {int} not null, offered_seq {int} not null,
  primary key (agent, log)
){without_rowid};
create table notice (log {int} not null, agent {int} not null, seq {int} not null, primary key (log, agent, seq));
create index notice_agent on notice (agent, log, seq);
create table presence (agent {int} not null, seen_at {int} not null, primary key (agent));
""",
    )
]
