"""Rung `hook`: what our plugin's hooks ask for at the moments at which the client can add context to the session.

The hooks are of the kind `mcp_tool`: the client calls a tool of our own server, which no list shows, so a hook starts
no process. The answer is a hook's JSON output. Events and fields as in Claude Code 2.1.332.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from mcp_bridge.push.pusher import Pusher
from mcp_bridge.push.transcript import Transcript

TOOL: Final = "session_hook"
FIELDS: Final = {  # what each hook passes on of its input
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

    def heard(self, given: Mapping[str, Any]) -> bool:
        """A hook asked, so this rung is there; false for one of a subagent, whose context is not the session's."""
        if given.get("event") not in EVENTS or given.get("agent"):
            return False
        self._follow(str(given.get("transcript", "")))
        self._pusher.pulls.add("hook")
        self._pusher.wake()
        return True

    def answer(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The hook's output; empty when there is nothing to say."""
        event = str(given.get("event", ""))
        text = self._text(event, str(given.get("prompt", "")))
        return {"hookSpecificOutput": {"hookEventName": event, "additionalContext": text}} if text else {}

    def _follow(self, path: str) -> None:
        if self._transcript is not None and path:
            self._transcript.follow(Path(path))

    def _text(self, event: str, prompt: str) -> str | None:
        self._stops = self._stops + 1 if event == "Stop" else 0 if event == "UserPromptSubmit" else self._stops
        if event == "UserPromptSubmit" and (claimed := self._claim(prompt)):
            return claimed
        if event == "Stop" and self._stops > MOST_STOPS:
            return None  # it would keep the turn open for ever; the next prompt brings it
        made = self._pusher.pull("hook", anything=event in ADDED, most_chars=HOOK_CHARS)
        return made.text if made else None
