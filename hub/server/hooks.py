"""`POST /v1/hooks/{id}`: signed calls from other services. No token: the signature says who calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hub.core.errors import HubError, UnsupportedMediaType
from hub.features.hooks import rules
from hub.features.hooks.project import Known, load_hook
from hub.features.hooks.worker import receive
from hub.server.health import Problem
from hub.server.http import read_body
from hub.server.strict_json import parse_object

if TYPE_CHECKING:
    from hub.app import HubApp


def routes(hub: HubApp) -> list[Route]:
    return [Route("/v1/hooks/{hook}", _Inbound(hub).answer, methods=["POST"])]


class _Inbound:
    def __init__(self, hub: HubApp) -> None:
        self._hub = hub

    async def answer(self, request: Request) -> Response:
        try:
            return JSONResponse(await self._received(request))
        except HubError as error:
            return Problem(error)

    async def _received(self, request: Request) -> dict[str, object]:
        body = await read_body(request.receive, dict(request.scope["headers"]))
        hook, headers = await self._hook(str(request.path_params["hook"])), dict(request.headers)
        call = self._hub.system_call()
        proof = rules.proof(hook.source, hook.secret, headers, body, call.now_ms)
        self._hub.dispatch.limits.spend(hook.agent, write=True)
        if not headers.get("content-type", "").lower().startswith("application/json"):
            raise UnsupportedMediaType("send application/json; at GitHub choose it as the content type of the webhook")
        payload, event = parse_object(body), headers.get("x-github-event", "")[:100]
        return await self._hub.store.write(lambda tx: receive(tx, call, hook, proof, event, payload), locks=(hook.log,))

    async def _hook(self, name: str) -> Known:
        """The hook; one that does not exist fails like a wrong signature."""
        try:
            return await self._hub.store.read(lambda tx: load_hook(tx, name))
        except HubError:
            raise rules.refuse() from None
