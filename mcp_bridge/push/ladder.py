"""Which way a waiting message takes into a session: pure decisions, no I/O.

From best to last: `wait` (the model has a call of ours open, which brings it), `socket` (the session's own inbox
socket), `queue` (the queue of a Codex session), `monitor` (a line of our plugin's monitor), `rewake` (our plugin's
waiting hook), `channel` (a notification, where the user switched channels on), `hook` (context hooks), `result` (a
digest on a tool result). The last two wake nobody: they bring what waits when the session does something by itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Rung = Literal["wait", "socket", "queue", "monitor", "rewake", "channel", "hook", "result"]
LADDER: Final[tuple[Rung, ...]] = ("wait", "socket", "queue", "monitor", "rewake", "channel", "hook", "result")
WAKING: Final[frozenset[Rung]] = frozenset({"wait", "socket", "queue", "monitor", "rewake", "channel"})
SWITCHES: Final[Mapping[Rung, str]] = {rung: f"BRIDGE_PUSH_{rung.upper()}" for rung in LADDER if rung != "wait"}
OFF_UNLESS_ASKED: Final[frozenset[Rung]] = frozenset({"channel"})
Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Session:
    """What a session offers now, and which rungs were switched off or have just failed."""

    offers: frozenset[Rung] = frozenset()
    off: frozenset[Rung] = frozenset()

    def works(self, rung: Rung) -> bool:
        return rung in self.offers and rung not in self.off


def choose(session: Session) -> Rung | None:
    """The best rung that works; None when the message has to wait for a `poll`."""
    return next((rung for rung in LADDER if session.works(rung)), None)


def reach(rung: Rung | None) -> str:
    """How mail gets to a session whose best rung this is, in the hub's words: `push` when it can be woken."""
    return "push" if rung in WAKING - {"wait"} else "poll"


def switched_off(environment: Mapping[str, str]) -> frozenset[Rung]:
    """The rungs that the user does not want: `BRIDGE_PUSH_<RUNG>=0`, or `BRIDGE_PUSH_CHANNEL` not set to 1."""
    off = {rung for rung, name in SWITCHES.items() if environment.get(name, "") == "0"}
    return frozenset(off | {rung for rung in OFF_UNLESS_ASKED if environment.get(SWITCHES[rung]) != "1"})


def switches(without: Collection[str]) -> list[str]:
    """The options of `mcp-bridge mcp` that leave out these rungs."""
    return [part for rung in LADDER if rung in without for part in ("--without", rung)]


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
