"""Tables of reservations: what is held now. `renewal` is operational: renewals are not events."""

from hub.storage.interface import Migration

PROJECTIONS = ["reservation"]
MIGRATIONS = [
    Migration(
        "reservations-0001",
        """
create table reservation (
  log {int} not null, seq {int} not null, agent {int} not null, repo {text} not null, mode {text} not null,
  reason {text} not null, paths {text} not null, since {int} not null, until {int} not null,
  primary key (log, seq)
);
create table renewal (log {int} not null, seq {int} not null, until {int} not null, primary key (log, seq));
""",
    )
]
