"""Tables of routing. Only the rules themselves follow from the log; hits, keys seen and what is on its way do not."""

from hub.storage.interface import Migration

PROJECTIONS = ["routing_rule"]
MIGRATIONS = [
    Migration(
        "routing-0001",
        """
create table routing_rule (
  log {int} not null, seq {int} not null, author {int} not null, spec {text} not null, primary key (log, seq)
);
create table routing_hit (
  log {int} not null, rule {int} not null, hits {int} not null, last_at {int} not null, failures {int} not null,
  failure {text}, primary key (log, rule)
);
create table routing_seen (
  log {int} not null, rule {int} not null, hash {text} not null, until {int} not null, primary key (log, rule, hash)
);
create index routing_seen_until on routing_seen (until);
create table routing_outbox (
  log {int} not null, seq {int} not null, rule {int} not null, number {int} not null, author {int} not null,
  target {int} not null, action {text} not null, passed {text} not null, tries {int} not null, due_at {int} not null,
  primary key (log, seq, rule, number)
);
create index routing_outbox_due on routing_outbox (due_at);
""",
    ),
]
