"""How mail gets to a session of each client, and how we know: shown by `doctor` and in the docs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Way:
    """`reach` as in `who`; `tested` means that CI runs the real client, else its documentation is all we have."""

    reach: str
    how: str
    tested: bool
    since: tuple[int, ...] = ()

    def in_version(self, version: str) -> Way:
        """This way in that version; an older one is reached when it polls."""
        numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
        if self.since and numbers and numbers < self.since:
            wanted = ".".join(map(str, self.since))
            return Way("poll", f"it is older than {wanted}, which can be woken", self.tested)
        return self

    def text(self) -> str:
        return f"reach {self.reach} ({self.how}{'' if self.tested else '; not verified with the real client'})"


POLL: Final = "when it calls a tool or waits in poll"
WAYS: Final = {
    "claude-code": Way("push", "its inbox socket", tested=True, since=(2, 1, 270)),
    "claude-desktop": Way("poll", POLL, tested=False),
    "codex": Way("push", "its queue, from its first tool call on; in a turn its hooks, or when it polls", tested=True),
    "cursor": Way("poll", POLL, tested=False),
    "vscode": Way("poll", POLL, tested=False),
    "gemini": Way("poll", "its hooks in a turn; idle while it waits in poll", tested=True),
}
