"""Names from any text. Standard library only, because the relay imports it."""

from __future__ import annotations

import re
import unicodedata
from typing import Final, get_args

from hub.core.access import Kind

KINDS: Final[tuple[str, ...]] = get_args(Kind)
RESERVED: Final = frozenset({"me", "all", "hub", "system", "admin", "human", "here", "room", "queue", *KINDS})


def slug(text: str, *, fallback: str = "agent") -> str:
    """A valid name made from any text, at most 48 characters: `My Project!` → `my-project`."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    made = re.sub(r"[^a-z0-9._-]+", "-", plain).strip("-._")[:48].rstrip("-._")
    return made if made and made not in RESERVED else (f"{made}-1" if made else fallback)
