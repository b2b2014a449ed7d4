"""A log of what was typed and read, one JSON line each, for the person to look at afterwards."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

_MOST_BYTES: Final = 2 * 2**20


class Journal(Protocol):
    """Takes down one thing that happened."""

    def note(self, what: str, **more: str) -> None: ...


class FileJournal:
    """A file that only its owner reads; at 2 MiB it becomes `.1` and a new one begins. A full disk stops no work."""

    def __init__(self, path: Path, agent: str, told: Callable[[str], None] = lambda _: None) -> None:
        self._path = path
        self._agent = agent
        self._told = told

    def note(self, what: str, **more: str) -> None:
        line = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "agent": self._agent, "what": what, **more}
        self._told(what if "text" in more else " ".join([what, *more.values()]))
        with contextlib.suppress(OSError):
            self._append(json.dumps(line, ensure_ascii=False))

    def _append(self, line: str) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._path.exists() and self._path.stat().st_size > _MOST_BYTES:
            self._path.replace(self._path.with_suffix(self._path.suffix + ".1"))
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(line + "\n")
