"""Tables of messages. `delivery` is reader state: rows exist only for named recipients (at most 50)."""

from hub.storage.interface import Migration

PROJECTIONS = ["message", "reaction", "accepted"]
BY_EVENT = ["message", "reaction", "accepted"]
MIGRATIONS = [
    Migration(
        "messages-0001",
        """
create table message (
  log {int} not null, seq {int} not null, sender {int} not null, channel {text} not null, reply_to {int},
  root {int}, kind {text} not null, flags {int} not null, hops {int} not null, expires_at {int}, edited_seq {int},
  primary key (log, seq)
){without_rowid};
create index message_root on message (log, root, seq) where root is not null;
create index message_question on message (log, seq) where kind = 'question';
create index message_expires on message (expires_at) where expires_at is not null;
create table reaction (
  log {int} not null, seq {int} not null, agent {int} not null, emoji {text} not null,
  primary key (log, seq, agent, emoji)
);
create table accepted (log {int} not null, seq {int} not null, answer {text} not null, primary key (log, seq));
create table delivery (
  log {int} not null, seq {int} not null, agent {int} not null, addressed {int} not null, needs_ack {int} not null,
  tries {int} not null, due_at {int}, delivered_at {int}, seen_at {int}, answer_seq {int}, expires_at {int},
  expired {int} not null,
  primary key (log, seq, agent)
);
create index delivery_open on delivery (agent, log, seq) where seen_at is null;
create index delivery_due on delivery (due_at) where due_at is not null;
""",
    ),
    Migration(
        "messages-0002",
        """
drop index message_expires;
create index message_expires on message (expires_at) where expires_at is not null and flags & 11 = 0;
""",
    ),
]
