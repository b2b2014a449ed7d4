"""`mcp_bridge` with next to no memory for SQLite's pages: what still grows is the hub's own."""

from __future__ import annotations

from hub.storage import sqlite
from mcp_bridge.__main__ import main

if __name__ == "__main__":
    sqlite.CACHE_KIB = 1024
    main()
