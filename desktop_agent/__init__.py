"""The desktop agent: windows without MCP take part through clipboard and keyboard."""
