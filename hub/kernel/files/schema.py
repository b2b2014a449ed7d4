"""Tables of files. `blob` is operational: which place holds which bytes is this hub's business, not the log's."""

from hub.storage.interface import Migration

PROJECTIONS = ["file", "file_name"]
BY_EVENT = ["file"]
MIGRATIONS = [
    Migration(
        "files-0001",
        """
create table file (
  log {int} not null, seq {int} not null, name {text} not null, version {int} not null, sha256 {text} not null,
  size_bytes {int} not null, media_type {text} not null, agent {int} not null, at {int} not null,
  primary key (log, seq)
);
create index file_version on file (log, name, version);
create index file_size on file (log, size_bytes);
create index file_blob on file (sha256);
create table file_name (
  log {int} not null, name {text} not null, version {int} not null, primary key (log, name)
);
create table blob (
  sha256 {text} not null, place {text} not null, size_bytes {int} not null, used_at {int} not null,
  primary key (sha256)
);
create index blob_used on blob (used_at);
create index blob_place on blob (place);
""",
    ),
    Migration("files-0002", "create table files_home (one {int} not null, mark {text} not null, primary key (one));"),
]
