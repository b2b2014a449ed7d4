"""`mcp-bridge demo`: three scripted agents, each a real MCP client in a process of its own, hold a conversation."""
