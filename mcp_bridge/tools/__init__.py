"""MCP tools, one small file per theme. They know contracts only and reach the hub through a `Caller`."""
