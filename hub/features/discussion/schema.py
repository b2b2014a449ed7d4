"""Tables of remarks and decisions: projections. `register_due` is operational: votes that ended before there was a register."""

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
    ),
    Migration(  # a chore writes their lines: what a vote decided is in its event's JSON
        "discussion-0002",
        """
create table register_due (log {int} not null, seq {int} not null, primary key (log, seq));
insert into register_due (log, seq) select log, seq from event where type = 'proposal.closed' and tombstone is null
  and not exists (select 1 from decision where decision.log = event.log and decision.seq = event.seq);
""",
    ),
]
