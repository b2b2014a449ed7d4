"""Rung `hook`: what hooks of the client ask for at the moments at which it can add context to the session.

In Claude Code and Codex they are of the kind `mcp_tool`: the client calls a tool of our own server, which no list
shows, so a hook starts no process. Gemini CLI starts a command, which asks at the session's port. The answer is a
hook's JSON output; its shape is in `moments.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from mcp_bridge.push.moments import CLAUDE_CODE, Dialect
from mcp_bridge.push.pusher import Pusher
from mcp_bridge.push.transcript import Transcript

FIELDS: Final = {  # what each hook of our plugin passes on of its input
    "event": "${hook_event_name}",
    "transcript": "${transcript_path}",
    "agent": "${agent_id}",
    "prompt": "${prompt}",
}
EVENTS: Final = ("SessionStart", "UserPromptSubmit", "PostToolUse", "Stop")
ADDED: Final = ("UserPromptSubmit", "SessionStart")  # at these what disturbs nobody rides along
HOOK_CHARS: Final = 8_000  # the client puts more than 10,000 into a file
MOST_STOPS: Final = 5  # in a row; the client allows eight
Claim = Callable[[str], str | None]


class Hooks:
    """Answers hooks. `claim` gives the text that a monitor's line announced, when the prompt is such a line."""

    def __init__(self, pusher: Pusher, transcript: Transcript | None, claim: Claim) -> None:
        self._pusher = pusher
        self._transcript = transcript
        self._claim = claim
        self._stops = 0
        self._held = ""  # what a turn goes on with; some clients then say that it was prompted

    def heard(self, given: Mapping[str, Any], dialect: Dialect = CLAUDE_CODE) -> bool:
        """A hook asked, so this rung is there; false for one of a subagent, whose context is not the session's."""
        if not dialect.moment(given.get("event")) or given.get("agent"):
            return False
        self._follow(str(given.get("transcript", "")))
        self._pusher.pulls.add("hook")
        self._pusher.wake()
        return True

    def answer(self, given: Mapping[str, Any], dialect: Dialect = CLAUDE_CODE) -> dict[str, Any]:
        """The hook's output; empty when there is nothing to say."""
        event = str(given.get("event", ""))
        text = self._text(dialect.moment(event), str(given.get("prompt", "")))
        return dialect.output(event, text) if text else {}

    def _follow(self, path: str) -> None:
        if self._transcript is not None and path:
            self._transcript.follow(Path(path))

    def _text(self, event: str, prompt: str) -> str | None:
        if event == "UserPromptSubmit" and not (self._held and prompt == self._held):
            self._stops = 0
        elif event == "Stop":
            self._stops += 1
        if event == "UserPromptSubmit" and (claimed := self._claim(prompt)):
            return claimed
        if event == "Stop" and self._stops > MOST_STOPS:
            return None  # it would keep the turn open for ever; the next prompt brings it
        made = self._pusher.pull("hook", anything=event in ADDED, most_chars=HOOK_CHARS)
        self._held = made.text if made and event == "Stop" else self._held
        return made.text if made else None
