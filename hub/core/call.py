"""What a handler knows beyond its request: who calls, when, and where randomness comes from."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from hub.core.access import Principal


def _nobody(_agent: int) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Call:
    """One call. Time and randomness come in here, so rules stay pure and a replay is exact.

    `watch` collects the wake-up topics (a stream's id, or minus an agent's id) that a waiting answer depends on.
    """

    principal: Principal
    now_ms: int
    random: Callable[[int], bytes] = secrets.token_bytes
    online: Callable[[int], bool] = _nobody
    watched: list[int] = field(default_factory=list)
    redelivered: bool = False

    @property
    def agent(self) -> int:
        return self.principal.agent

    def watch(self, *topics: int) -> None:
        self.watched.extend(topics)
