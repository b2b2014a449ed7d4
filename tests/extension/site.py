"""A web server that is `https://claude.ai` for the browser: the imitation page, and answers the test decides."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

HERE = Path(__file__).parent
CSP = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; frame-ancestors 'none'"
PAGE = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Claude</title>'
    '<link rel="stylesheet" href="/imitation.css">'
    '<script type="module" src="/imitation.js"></script></head><body><div id="root"></div></body></html>'
)


@dataclass
class Reply:
    """What the site answers: pieces of text, pauses (seconds) and holds (events) in between."""

    pieces: list[str | float | asyncio.Event]
    status: int = 200


def say(text: str) -> Reply:
    """An answer in three pieces."""
    third = max(1, len(text) // 3)
    return Reply([text[:third], text[third : 2 * third], text[2 * third :]])


@dataclass
class Site:
    """The imitation's server. `prompts` is what was really sent, exactly."""

    port: int
    script: str
    near_port: int = 0  # the same server, where the browser takes it for one on this machine
    answer: Callable[[str], Reply] = field(default=lambda prompt: say(f"You said: {prompt}"))
    prompts: list[str] = field(default_factory=list)
    downloads: dict[str, bytes] = field(default_factory=dict)
    retried: list[str] = field(default_factory=list)
    files: list[dict[str, str]] = field(default_factory=list)
    conversations: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    def routes(self) -> list[Route]:
        api = "/api/organizations/o1/chat_conversations/{id}"
        return [
            Route("/imitation.js", self._script),
            Route("/imitation.css", self._style),
            Route("/plain", self._plain),
            Route("/api/files/{name}", self._download),
            Route(api, self._conversation),
            Route(api + "/completion", self._complete, methods=["POST"]),
            Route(api + "/retry_completion", self._retry, methods=["POST"]),
            Route("/{path:path}", self._page),
        ]

    async def _page(self, request: Request) -> Response:
        return HTMLResponse(PAGE, headers={"content-security-policy": CSP})

    async def _plain(self, request: Request) -> Response:
        """A page that its own policy keeps from nothing."""
        return HTMLResponse("<!doctype html><title>plain</title><p>plain</p>")

    async def _download(self, request: Request) -> Response:
        content = self.downloads.get(request.path_params["name"])
        return Response(content, 404 if content is None else 200)

    async def _script(self, request: Request) -> Response:
        return Response(self.script, media_type="text/javascript")

    async def _style(self, request: Request) -> Response:
        return Response(
            ".ProseMirror { white-space: break-spaces }", media_type="text/css"
        )  # what every ProseMirror needs

    async def _conversation(self, request: Request) -> Response:
        return JSONResponse({"messages": self.conversations.get(request.path_params["id"], [])})

    async def _complete(self, request: Request) -> Response:
        body = await request.json()
        prompt = body["prompt"]
        self.prompts.append(prompt)
        self.files += body["files"]
        turns = self.conversations.setdefault(request.path_params["id"], [])
        turns.append({"sender": "human", "text": prompt})
        return self._answered(prompt, turns)

    async def _retry(self, request: Request) -> Response:
        """The newest answer is gone; another one comes."""
        prompt = (await request.json())["prompt"]
        self.retried.append(prompt)
        turns = self.conversations[request.path_params["id"]]
        if turns[-1]["sender"] == "assistant":
            turns.pop()
        return self._answered(prompt, turns)

    def _answered(self, prompt: str, turns: list[dict[str, str]]) -> Response:
        reply = self.answer(prompt)
        if reply.status != 200:
            return JSONResponse({"error": "limit"}, reply.status)
        answer = {"sender": "assistant", "text": ""}
        turns.append(answer)
        return StreamingResponse(self._stream(reply, answer), media_type="text/event-stream")

    async def _stream(self, reply: Reply, answer: dict[str, str]) -> AsyncIterator[bytes]:
        for piece in reply.pieces:
            if isinstance(piece, str):
                answer["text"] += piece
                yield b"data: " + json.dumps({"delta": piece}).encode() + b"\n\n"
            elif isinstance(piece, asyncio.Event):
                await piece.wait()
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.Event().wait(), piece)


def bundle() -> str:
    """The page's script with its editor, in one file."""
    esbuild = HERE / "node_modules" / ".bin" / "esbuild"
    assert esbuild.exists(), "run .ci/install, or `npm ci` in tests/extension"
    command = [str(esbuild), str(HERE / "site" / "imitation.js"), "--bundle", "--format=esm", "--log-level=error"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@asynccontextmanager
async def imitation(folder: Path) -> AsyncIterator[Site]:
    """Serve the imitation with a certificate of its own."""
    certificate = trustme.CA().issue_cert("claude.ai")
    key, chain = folder / "key.pem", folder / "chain.pem"
    certificate.private_key_pem.write_to_path(str(key))
    for part in certificate.cert_chain_pems:
        part.write_to_path(str(chain), append=True)
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    port, near_port = (listener.getsockname()[1] for listener in listeners)
    site = Site(port, bundle(), near_port)
    config: Any = uvicorn.Config(
        Starlette(routes=site.routes()),
        loop="none",
        lifespan="off",
        log_level="error",
        ssl_keyfile=str(key),
        ssl_certfile=str(chain),
        timeout_graceful_shutdown=1,
    )
    server = _Quiet(config)
    task = asyncio.create_task(server.serve(listeners))
    try:
        yield site
    finally:
        server.should_exit = True
        await task
        for listener in listeners:
            listener.close()


class _Quiet(uvicorn.Server):
    """uvicorn that leaves signals to the test session."""

    def install_signal_handlers(self) -> None: ...

    @asynccontextmanager
    async def _nothing(self) -> AsyncIterator[None]:
        yield

    def capture_signals(self) -> Any:
        from contextlib import nullcontext

        return nullcontext()
