"""Waiting calls that outlive their request: an MCP client gets a handle now and the result when it is there."""
