"""What a handler knows beyond its request: who calls, when, and where randomness comes from."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from hub.core.access import Principal

Presence = tuple[Literal["online", "away", "offline"], Literal["push", "stream", "poll", "none"]]


@dataclass(frozen=True, slots=True)
class Trace:
    """The last signs of an agent at this hub: its newest call, when its client ended if it has none since, and which
    way into its session is the best now."""

    seen_at_ms: int | None = None
    exited_at_ms: int | None = None
    via: str = ""


def _no_trace(_agent: int) -> Trace:
    return Trace()


def _nobody(_agent: int) -> Presence:
    return ("offline", "none")


@dataclass(slots=True)  # not frozen: freezing seven fields costs more than the rest of a call
class Call:
    """One call. Time and randomness come in here, so rules stay pure and a replay is exact.

    `watch` collects the wake-up topics (a stream's id, or minus an agent's id) that a waiting answer depends on.
    `stand_in_line` says among whom a waiting write waits: of one line only the head tries again.
    """

    principal: Principal
    now_ms: int
    random: Callable[[int], bytes] = secrets.token_bytes
    presence: Callable[[int], Presence] = _nobody
    trace: Callable[[int], Trace] = _no_trace
    watched: list[int] = field(default_factory=list)
    line: list[int] = field(default_factory=list)

    @property
    def agent(self) -> int:
        return self.principal.agent

    def watch(self, *topics: int) -> None:
        self.watched.extend(topics)

    def stand_in_line(self, *line: int) -> None:
        """Where this call waits when it has nothing to take; the last word counts."""
        self.line[:] = line
