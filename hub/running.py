"""Where a local hub says that it runs: a file in its data directory. Standard library only; relays start with it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

FILE: Final = "hub.json"


def find_running(home: Path) -> str | None:
    """The address of the hub that runs for this data directory; None when none has said so, or the one that did is dead.

    Killed, a hub leaves its file. What answers at its address then is somebody else, who must not get a token of ours.
    """
    try:
        told = json.loads((home / FILE).read_text("utf-8"))
        return str(told["url"]) if is_running(int(told["pid"])) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_running(pid: int) -> bool:
    """Whether a process lives."""
    if pid <= 0:
        return False
    if os.name == "nt":
        return True  # asking would end it there; a stale file only costs a failed connection
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
