"""Serves the dashboard's files with a strict content security policy. The page itself holds no secret."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.app import HubApp

_FILES: Final = Path(__file__).parent / "static"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def add_dashboard(hub: HubApp) -> None:
    """Serve the page at / and its files under /static/."""
    hub.mount([Route("/", _index), Route("/static/{name}", _file)])


async def _index(request: Request) -> Response:
    return _answer("index.html")


async def _file(request: Request) -> Response:
    return _answer(request.path_params["name"])


def _answer(name: str) -> Response:
    path = _FILES / name
    if path.parent != _FILES or not path.is_file():
        return Response("not found", 404, _HEADERS, "text/plain")
    return Response(path.read_bytes(), 200, _HEADERS, _TYPES.get(path.suffix, "application/octet-stream"))
