"""Tables of proposals: projections."""

from hub.storage.interface import Migration

PROJECTIONS = ["proposal", "ballot", "amendment"]
MIGRATIONS = [
    Migration(
        "voting-0001",
        """
create table proposal (
  log {int} not null, seq {int} not null, proposer {int} not null, title {text} not null, body {text} not null,
  options {text} not null, rule {text} not null, electorate {text} not null, state {text} not null,
  opened_at {int} not null, deadline {int}, closed_at {int}, outcome {text}, arithmetic {text} not null,
  primary key (log, seq)
);
create index proposal_deadline on proposal (deadline) where state = 'open' and deadline is not null;
create table ballot (
  log {int} not null, seq {int} not null, agent {int} not null, choice {text} not null, reason {text} not null,
  at {int} not null, primary key (log, seq, agent)
);
create table amendment (
  log {int} not null, seq {int} not null, proposal {int} not null, agent {int} not null, data {text} not null,
  accepted {int} not null, primary key (log, seq)
);
""",
    )
]
