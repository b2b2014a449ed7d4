"""Starts `driver.py` in a process of its own, as any user."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any


def drive(place: Path, kind: str, user: int | None = None) -> dict[str, Any]:
    command = ["/usr/bin/python3", str(place / "tests/sandbox/driver.py"), kind, str(place)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, user=user, check=False)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report
