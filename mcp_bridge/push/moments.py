"""How each client names the moments at which its hooks run, and what its hooks answer. One table: the shapes do not port.

Claude Code 2.1.332, Codex 0.169.0 and Gemini CLI 0.61.0. A wrong shape fails without a word, so each has a test with
the real client. Moments are called as Claude Code calls them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

TOOL: Final = "session_hook"  # a tool of ours that no list shows: clients whose hooks call tools call this one
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One client's names for the moments, and the decision that makes a turn go on (none: context does)."""

    moments: Mapping[str, str]
    goes_on: str = ""

    def moment(self, event: object) -> str:
        """What this event is called here; empty when it is none of ours."""
        return self.moments.get(str(event), "")

    def output(self, event: str, text: str) -> Json:
        """A hook's output that brings this text to the model."""
        if self.goes_on and self.moment(event) == "Stop":
            return {"decision": self.goes_on, "reason": text}
        return {"hookSpecificOutput": {"hookEventName": event, "additionalContext": text}}


_OURS: Final = {name: name for name in ("SessionStart", "UserPromptSubmit", "PostToolUse", "Stop")}
CLAUDE_CODE: Final = Dialect(_OURS)
CODEX: Final = Dialect(_OURS, goes_on="block")
GEMINI: Final = Dialect({"BeforeAgent": "UserPromptSubmit", "AfterTool": "PostToolUse", "AfterAgent": "Stop"}, "deny")
