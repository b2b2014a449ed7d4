"""Files: share, list, read, delete. Their bytes over HTTP are in hub/server/files.py."""
