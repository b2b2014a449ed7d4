"""One module per command or group of commands; `mcp_bridge/cli.py` lists them and imports each when it is used."""
