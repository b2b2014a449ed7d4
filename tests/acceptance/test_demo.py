"""The demo runs on real MCP processes and verifies its own log."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_demo_ends_with_a_verified_log() -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "mcp_bridge", "demo"], capture_output=True, text=True, env=env, timeout=110
    )
    assert done.returncode == 0, done.stderr
    assert "✗" not in done.stdout
    assert done.stdout.count("✓ ") >= 5
