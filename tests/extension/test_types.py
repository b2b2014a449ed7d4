"""The extension's JavaScript: its types hold, its unit tests pass."""

from __future__ import annotations

import subprocess
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=110)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_the_types_hold() -> None:
    tsc = HERE / "node_modules" / ".bin" / "tsc"
    assert tsc.exists(), "run .ci/install, or `npm ci` in tests/extension"
    run(str(tsc), "-p", "extension")


def test_the_unit_tests_pass() -> None:
    run("node", "--test", "tests/extension/unit/")
