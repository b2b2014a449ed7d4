"""A model API on loopback (Gemini `generateContent`, streaming): answers by script and records every request body."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.support.loopback import LoopbackHandler, LoopbackServer

Body = dict[str, Any]
Part = dict[str, Any]
Script = Callable[[Body], list[Part]]


def say(text: str) -> Part:
    return {"text": text}


def use(tool: str, **arguments: Any) -> Part:
    return {"functionCall": {"name": tool, "args": arguments}}


class MockGemini(LoopbackServer):
    """`script` maps a request with tools to the answer's parts; requests without tools get a plain word."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.bodies: list[Body] = []
        self.refuses = False  # answers every request with an error that no client tries again
        model = self

        class Handler(LoopbackHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"] or 0)) or b"{}")
                if "countTokens" in self.path:
                    self.send(b'{"totalTokens": 1}', "application/json")
                    return
                model.bodies.append(body)
                if model.refuses:
                    self.send_error(400, "refused")
                    return
                answer = json.dumps(model.answer(body))
                if "streamGenerateContent" in self.path:
                    self.send(f"data: {answer}\n\n".encode(), "text/event-stream")
                else:
                    self.send(answer.encode(), "application/json")

        self.serve(Handler)

    def having(self, text: str) -> list[Body]:
        """Requests with tools whose conversation holds this text."""
        return [b for b in list(self.bodies) if b.get("tools") and text in json.dumps(b.get("contents"))]

    def answer(self, body: Body) -> Body:
        parts = self.script(body) if body.get("tools") else [say("fine")]
        content = {"role": "model", "parts": parts}
        usage = {"promptTokenCount": 10, "candidatesTokenCount": 10, "totalTokenCount": 20}
        return {"candidates": [{"content": content, "finishReason": "STOP", "index": 0}], "usageMetadata": usage}
