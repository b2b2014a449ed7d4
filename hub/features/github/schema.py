"""Tables of what rooms open at GitHub.

Operational: `github_call` (what is still to be done for an opening, written before GitHub is called) and `github_hub`
(hubs that run now and what they lack for GitHub).
"""

from hub.storage.interface import Migration

PROJECTIONS = ["github_room", "github_opening"]
MIGRATIONS = [
    Migration(
        "github-0001",
        """
create table github_room (log {int} not null, repositories {text} not null, primary key (log));
create table github_opening (
  log {int} not null, seq {int} not null, agent {int} not null, kind {text} not null, repo {text} not null,
  title {text}, about {text} not null, head {text}, base {text}, state {text} not null, number {int}, url {text},
  code {text} not null, reason {text} not null, not_linked {text} not null, at {int} not null, primary key (log, seq)
);
create index github_opening_url on github_opening (log, url);
create table github_call (
  log {int} not null, seq {int} not null, step {text} not null, marker {text} not null, tries {int} not null,
  due_at {int} not null, owner {text} not null, asked_at {int} not null, reason {text} not null, primary key (log, seq)
);
create index github_call_due on github_call (due_at);
create table github_hub (id {text} not null, missing {text} not null, until {int} not null, primary key (id));
""",
    )
]
