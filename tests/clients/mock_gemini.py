"""A model API on loopback (Gemini `generateContent`, streaming): answers by script and records every request body."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]
Part = dict[str, Any]
Script = Callable[[Body], list[Part]]


def say(text: str) -> Part:
    return {"text": text}


def use(tool: str, **arguments: Any) -> Part:
    return {"functionCall": {"name": tool, "args": arguments}}


class MockGemini:
    """`script` maps a request with tools to the answer's parts; requests without tools get a plain word."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.bodies: list[Body] = []
        model = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                return None

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"] or 0)) or b"{}")
                if "countTokens" in self.path:
                    self._send(b'{"totalTokens": 1}', "application/json")
                    return
                model.bodies.append(body)
                answer = json.dumps(model.answer(body))
                if "streamGenerateContent" in self.path:
                    self._send(f"data: {answer}\n\n".encode(), "text/event-stream")
                else:
                    self._send(answer.encode(), "application/json")

            def _send(self, data: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def having(self, text: str) -> list[Body]:
        """Requests with tools whose conversation holds this text."""
        return [b for b in list(self.bodies) if b.get("tools") and text in json.dumps(b.get("contents"))]

    def answer(self, body: Body) -> Body:
        parts = self.script(body) if body.get("tools") else [say("fine")]
        content = {"role": "model", "parts": parts}
        usage = {"promptTokenCount": 10, "candidatesTokenCount": 10, "totalTokenCount": 20}
        return {"candidates": [{"content": content, "finishReason": "STOP", "index": 0}], "usageMetadata": usage}
