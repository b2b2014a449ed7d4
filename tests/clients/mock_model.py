"""A model API on loopback (Anthropic Messages, streaming): answers by script and records every request body."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.support.loopback import LoopbackHandler, LoopbackServer

Body = dict[str, Any]
Block = dict[str, Any]
Script = Callable[[Body], list[Block]]


def say(text: str) -> Block:
    return {"type": "text", "text": text}


def use(tool: str, **arguments: Any) -> Block:
    return {"type": "tool_use", "name": tool, "input": arguments}


class MockModel(LoopbackServer):
    """`script` maps a request with tools to the answer's blocks; requests without tools get a plain word."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.bodies: list[Body] = []
        self.texts: list[str] = []  # of `bodies`, as JSON; empty for requests without tools
        self._looked: dict[str, tuple[int, list[Body]]] = {}
        self.cut_off = False  # then no request gets an answer, only an error
        self._count = 0
        model = self

        class Handler(LoopbackHandler):
            def do_HEAD(self) -> None:
                self._json({})

            def do_GET(self) -> None:
                self._json({"data": [], "has_more": False})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
                if "count_tokens" in self.path:
                    self._json({"input_tokens": 1})
                elif "/v1/messages" in self.path:
                    self._answer(body)
                else:
                    self._json({})

            def _answer(self, body: Body) -> None:
                model.texts.append(json.dumps(body) if body.get("tools") else "")
                model.bodies.append(body)
                if model.cut_off:
                    self.send_error(400)
                    return
                blocks = model.script(body) if body.get("tools") else [say("fine")]
                if not body.get("stream"):
                    self._json(model.whole(body, blocks))
                    return
                data = "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in model.events(body, blocks))
                self.send(data.encode(), "text/event-stream")

            def _json(self, value: Body) -> None:
                self.send(json.dumps(value).encode(), "application/json")

        self.serve(Handler)

    def having(self, text: str) -> list[Body]:
        """Requests with tools whose body holds this text. Each body is looked through once for each text."""
        looked, found = self._looked.get(text, (0, []))
        upto = len(self.bodies)
        found += [
            body for body, whole in zip(self.bodies[looked:upto], self.texts[looked:upto], strict=True) if text in whole
        ]
        self._looked[text] = (upto, found)
        return list(found)

    def whole(self, body: Body, blocks: list[Block]) -> Body:
        self._count += 1
        content = [
            {**block, "id": f"toolu_{self._count:06d}{i}"} if block["type"] == "tool_use" else block
            for i, block in enumerate(blocks)
        ]
        used = any(block["type"] == "tool_use" for block in blocks)
        return {
            "id": f"msg_{self._count}",
            "type": "message",
            "role": "assistant",
            "model": body.get("model", "mock"),
            "content": content,
            "stop_reason": "tool_use" if used else "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 10, "output_tokens": 10},
        }

    def events(self, body: Body, blocks: list[Block]) -> list[Body]:
        made = self.whole(body, blocks)
        content, stop = made["content"], made["stop_reason"]
        found: list[Body] = [{"type": "message_start", "message": {**made, "content": [], "stop_reason": None}}]
        for index, block in enumerate(content):
            if block["type"] == "text":
                start: Body = {"type": "text", "text": ""}
                delta: Body = {"type": "text_delta", "text": block["text"]}
            else:
                start = {**block, "input": {}}
                delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
            found += [
                {"type": "content_block_start", "index": index, "content_block": start},
                {"type": "content_block_delta", "index": index, "delta": delta},
                {"type": "content_block_stop", "index": index},
            ]
        ending = {"stop_reason": stop, "stop_sequence": None}
        return [
            *found,
            {"type": "message_delta", "delta": ending, "usage": {"output_tokens": 10}},
            {"type": "message_stop"},
        ]
