"""The command `mcp-bridge`. `mcp` goes straight to the relay: it must answer before heavy modules are imported."""

from __future__ import annotations

import sys
from importlib import import_module


def main() -> None:
    """Run the command line; exits with its code."""
    if sys.argv[1:2] == ["mcp"]:
        import_module("mcp_bridge.relay").main(sys.argv[2:])
        return
    if sys.argv[1:2] == ["listen"]:
        import_module("mcp_bridge.push.listen").main(sys.argv[2:])
        return
    import_module("mcp_bridge.cli").cli.main(prog_name="mcp-bridge")


if __name__ == "__main__":
    main()
