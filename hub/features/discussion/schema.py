"""Tables of remarks and decisions: projections."""

from hub.storage.interface import Migration

PROJECTIONS = ["remark", "decision"]
MIGRATIONS = [
    Migration(
        "discussion-0001",
        """
create table remark (
  log {int} not null, seq {int} not null, target {text} not null, kind {text} not null, agent {int} not null,
  text {text} not null, severity {text}, alternatives {text} not null, side {text}, resolved {int} not null,
  at {int} not null, primary key (log, seq)
);
create index remark_target on remark (log, target);
create table decision (
  log {int} not null, seq {int} not null, what {text} not null, outcome {text} not null, agents {text} not null,
  about {text}, links {text} not null, superseded_by {int}, at {int} not null, primary key (log, seq)
);
""",
    )
]
