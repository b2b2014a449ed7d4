"""Jobs: a question to an agent without MCP (browser, desktop) as leased work with exactly one answer."""
