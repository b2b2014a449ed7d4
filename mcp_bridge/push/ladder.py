"""Which way a waiting message takes into a session: pure decisions, no I/O.

From best to last: `wait` (the model has a call of ours open, which brings it), `socket` (the session's own inbox
socket), `result` (the unread count on every tool result; always there, wakes nobody).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Rung = Literal["wait", "socket", "result"]
LADDER: Final[tuple[Rung, ...]] = ("wait", "socket", "result")
Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Session:
    """What a session offers now, and which rungs were switched off or have just failed."""

    waiting: bool = False
    socket: bool = False
    off: frozenset[Rung] = frozenset()

    def works(self, rung: Rung) -> bool:
        offered = {"wait": self.waiting, "socket": self.socket, "result": True}[rung]
        return offered and (rung not in self.off or rung == "result")


def choose(session: Session) -> Rung:
    """The best rung that works; `result` when nothing else does."""
    return next(rung for rung in LADDER if session.works(rung))


def reach(session: Session) -> str:
    """How mail gets to this session, in the hub's words: `push` when it can be woken, else `poll`."""
    return "push" if session.works("socket") else "poll"


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A daily span in minutes after midnight, local time; may cross midnight. Equal ends: never quiet."""

    start: int = 0
    end: int = 0

    @classmethod
    def parse(cls, text: str) -> QuietHours:
        """From `22:00-07:00`; raises ValueError for anything else. Empty text is never quiet."""
        if not text.strip():
            return cls()
        found = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)\s*-\s*([01]?\d|2[0-3]):([0-5]\d)", text.strip())
        if not found:
            raise ValueError(f"BRIDGE_QUIET_HOURS={text!r} is not like 22:00-07:00")
        a, b, c, d = (int(part) for part in found.groups())
        return cls(a * 60 + b, c * 60 + d)

    def covers(self, minute: int) -> bool:
        if self.start <= self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end


def fresh(entries: Iterable[Entry], known: Collection[str]) -> list[Entry]:
    """Entries that this session was not shown yet, whatever way."""
    return [entry for entry in entries if entry["id"] not in known]


def wakes(entries: Iterable[Entry], waking: Collection[str], *, quiet: bool) -> bool:
    """Whether one of these may disturb: the hub says it may wake this agent; in quiet hours only critical ones."""
    return any(entry["id"] in waking and (not quiet or entry.get("priority") == "critical") for entry in entries)
