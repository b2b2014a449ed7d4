"""How agents join: the MCP server, its stdio relay, client setup, session push and the command line."""
