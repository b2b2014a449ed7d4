"""A model API on loopback (OpenAI Responses, streaming): answers by script and records every request body."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from tests.support.loopback import LoopbackHandler, LoopbackServer

Body = dict[str, Any]
Item = dict[str, Any]
Script = Callable[[Body], list[Item]]


def say(text: str) -> Item:
    return {
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }


def use(tool: str, *, namespace: str | None = None, **arguments: Any) -> Item:
    made = {"type": "function_call", "status": "completed", "name": tool, "arguments": json.dumps(arguments)}
    return made | ({"namespace": namespace} if namespace else {})


def has_servers(body: Body) -> bool:
    """Whether this is a turn of a session with MCP servers; Codex also asks the model for titles, without tools."""
    return any(tool.get("type") == "namespace" and tool["name"].startswith("mcp__") for tool in body.get("tools", ()))


class MockResponses(LoopbackServer):
    """`script` maps a session's request to the output items of the answer; other requests get a plain word."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.bodies: list[Body] = []
        self._count = 0
        model = self

        class Handler(LoopbackHandler):
            def do_GET(self) -> None:
                self.send(b'{"data": [], "models": []}', "application/json")

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"] or 0)))
                if has_servers(body):
                    model.bodies.append(body)
                events = "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in model.events(body))
                self.send(events.encode(), "text/event-stream")

        self.serve(Handler)

    def having(self, text: str) -> list[Body]:
        """Requests of the session whose input holds this text."""
        return [body for body in list(self.bodies) if text in json.dumps(body.get("input"), ensure_ascii=False)]

    def events(self, body: Body) -> Iterator[Body]:
        self._count += 1
        response = {"id": f"resp_{self._count}", "object": "response", "status": "in_progress", "output": []}
        yield {"type": "response.created", "response": response}
        items = [
            {"id": f"item_{self._count}_{place}", "call_id": f"call_{self._count}_{place}", **item}
            if item["type"] == "function_call"
            else {"id": f"item_{self._count}_{place}", **item}
            for place, item in enumerate(self.script(body) if has_servers(body) else [say("fine")])
        ]
        for place, item in enumerate(items):
            yield {"type": "response.output_item.added", "output_index": place, "item": item}
            yield {"type": "response.output_item.done", "output_index": place, "item": item}
        usage = {"input_tokens": 10, "output_tokens": 10, "total_tokens": 20}
        done = response | {"status": "completed", "output": items, "usage": usage}
        yield {"type": "response.completed", "response": done}
