"""What Gemini CLI writes down of its own session: the proof of what its hooks brought. Shapes seen in 0.61.0.

A line for each entry: `user` holds prompts and results of tools with what hooks added, `gemini` an answer of the model,
which is written again, with the same id, when its tools have run. Where the file is, only a hook tells.
"""

from __future__ import annotations

import json

from mcp_bridge.push.transcript import Transcript


class Chat(Transcript):
    """One session's chat, from the first hook on."""

    def __init__(self) -> None:
        super().__init__(lambda: None)

    def _take(self, raw: bytes) -> None:
        try:
            line = json.loads(raw)
        except ValueError:
            return
        if not isinstance(line, dict):
            return
        if line.get("type") == "user":
            self._reached("placed", line.get("content"))
        elif line.get("type") == "gemini" and (answer := str(line.get("id", ""))) != self._answer:
            self._answer = answer
            for marker, stage in self._expected.items():
                if stage == "placed":
                    self._expected[marker] = "answered"
