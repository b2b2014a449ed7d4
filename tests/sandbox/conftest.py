"""What tests of the sandbox share."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def place() -> Iterator[Path]:
    """A copy of the engine an ordinary user can read, wherever the checkout lies."""
    with tempfile.TemporaryDirectory(prefix="sandbox-") as made:
        home = Path(made)
        for part in ("hub/sandbox", "tests/sandbox"):
            shutil.copytree(ROOT / part, home / part, ignore=shutil.ignore_patterns("__pycache__"))
        home.chmod(0o777)
        yield home
