"""Tables of the board: projections. `rank` has digits only, so every collation orders it alike.

`card_event` says which events made a card what it is; card 0 is the board itself.
"""

from hub.storage.interface import Migration

PROJECTIONS = ["board", "card", "card_blocker", "card_comment", "card_event"]
BY_EVENT = ["card_event"]
MIGRATIONS = [
    Migration(
        "kanban-0001",
        """
create table board (log {int} not null, columns {text} not null, primary key (log));
create table card (
  log {int} not null, seq {int} not null, creator {int} not null, title {text} not null, body {text} not null,
  lane {text} not null, rank {text} not null, assignee {int}, role {text}, priority {text} not null,
  labels {text} not null, due {text}, checklist {text} not null, links {text} not null, version {int} not null,
  archived {int} not null, created_at {int} not null, changed_at {int} not null, primary key (log, seq)
);
create index card_lane on card (log, lane, rank);
create table card_blocker (
  log {int} not null, card {int} not null, place {int} not null, blocker {int} not null,
  primary key (log, card, place)
);
create index card_blocks on card_blocker (log, blocker);
create table card_comment (
  log {int} not null, seq {int} not null, card {int} not null, agent {int} not null, at {int} not null,
  text {text} not null, primary key (log, seq)
);
create index card_comments on card_comment (log, card, seq);
create table card_event (log {int} not null, seq {int} not null, card {int} not null, primary key (log, seq));
create index card_events on card_event (log, card, seq);
""",
    )
]
