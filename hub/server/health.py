"""Probes, metrics, statistics, OpenAPI, page login: the small hand-written routes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hub.core.access import Principal
from hub.core.errors import HubError, Malformed
from hub.server.answers import send_problem
from hub.server.auth import bearer
from hub.server.http import read_body
from hub.server.openapi import openapi
from hub.server.strict_json import parse_object

if TYPE_CHECKING:
    from hub.app import HubApp


def routes(hub: HubApp) -> list[Route]:
    """The routes of this module, bound to a hub."""
    made = _Routes(hub)
    return [
        Route("/livez", made.livez),
        Route("/readyz", made.readyz),
        Route("/startupz", made.readyz),
        Route("/metrics", made.metrics),
        Route("/openapi.json", made.openapi),
        Route("/v1/admin/stats", made.stats),
        Route("/v1/tickets", made.ticket, methods=["POST"]),
        Route("/v1/login", made.login, methods=["POST"]),
        Route("/v1/login-codes", made.login_code, methods=["POST"]),
    ]


async def principal_of(hub: HubApp, request: Request) -> Principal:
    """Who calls a hand-written route."""
    address = request.client.host if request.client else ""
    return await hub.authenticator.authenticate(bearer(request.headers.get("authorization")), address)


class Problem(Response):
    """A HubError as a Starlette response."""

    def __init__(self, error: HubError) -> None:
        super().__init__(status_code=error.status)
        self.error = error

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send_problem(self.error, scope, receive, send)


class _Routes:
    def __init__(self, hub: HubApp) -> None:
        self._hub = hub
        self._openapi: dict[str, Any] | None = None

    async def livez(self, request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def readyz(self, request: Request) -> Response:
        """Ready when the store is open and writes work."""
        reason = self._hub.not_ready()
        return JSONResponse({"status": "ready" if reason is None else reason}, 200 if reason is None else 503)

    async def metrics(self, request: Request) -> Response:
        return await self._with(request, None, lambda who: self._metrics())

    def _metrics(self) -> Response:
        return Response(self._hub.dispatch.measures.exposition(), media_type=CONTENT_TYPE_LATEST)

    async def openapi(self, request: Request) -> Response:
        return await self._with(request, None, lambda who: JSONResponse(self._document()))

    def _document(self) -> dict[str, Any]:
        if self._openapi is None:
            self._openapi = openapi(self._hub.dispatch.registry)
        return self._openapi

    async def stats(self, request: Request) -> Response:
        return await self._with(request, "hub:admin", lambda who: JSONResponse(self._hub.stats()))

    async def ticket(self, request: Request) -> Response:
        return await self._with(
            request,
            "room:read",
            lambda who: JSONResponse({"ticket": self._hub.authenticator.ticket(who), "expires_in_s": 30}, 201),
        )

    async def login_code(self, request: Request) -> Response:
        return await self._with(
            request,
            "hub:admin",
            lambda who: JSONResponse({"code": self._hub.authenticator.login_code(who), "expires_in_s": 300}, 201),
        )

    async def login(self, request: Request) -> Response:
        """Exchange a one-time code for a token."""
        try:
            body = parse_object(await read_body(request.receive, dict(request.scope["headers"]), 4096))
            code = body.get("code")
            if not isinstance(code, str) or set(body) != {"code"}:
                raise Malformed('send {"code": "…"} with the code from the link')
            address = request.client.host if request.client else ""
            return JSONResponse({"token": await self._hub.authenticator.log_in(code, address)}, 201)
        except HubError as error:
            return Problem(error)

    async def _with(self, request: Request, scope: str | None, answer: Callable[[Principal], Response]) -> Response:
        try:
            who = await principal_of(self._hub, request)
            if scope is not None:
                who.need(scope)
            return answer(who)
        except HubError as error:
            return Problem(error)
