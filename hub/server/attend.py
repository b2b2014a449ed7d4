"""Attending: one open connection that stands for a client process.

While it is open the agent is online; when it breaks the agent is gone at once, so the roster shows no ghosts. It also
brings wake-ups: `event: wake` whenever something concerns the agent or a room grew that it set to wake it always.
A wake-up carries no message.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import orjson
from starlette.requests import Request
from starlette.routing import Route

from hub.core.access import Principal
from hub.core.errors import HubError, Invalid
from hub.kernel.inbox.contract import CountUnread
from hub.kernel.presence.presence import Reach
from hub.kernel.rooms.handlers import loud_rooms
from hub.log.log import HUB
from hub.server.answers import send_problem
from hub.server.beats import seconds_to_beat
from hub.server.security import Receive, Scope, Send
from hub.server.sse import HEADERS, HEARTBEAT_S, principal_of, until_gone, write

if TYPE_CHECKING:
    from hub.app import HubApp

_VIA: Final = re.compile("[a-z]{0,16}")
_REACHES: Final[dict[str, Reach]] = {"push": "push", "stream": "stream", "poll": "poll"}


def routes(hub: HubApp) -> list[Route]:
    return [Route("/v1/attend", _Attend(hub))]


class _Attend:
    def __init__(self, hub: HubApp) -> None:
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            principal = await principal_of(self._hub, request)
            reach = _REACHES.get(request.query_params.get("reach", "poll"))
            if reach is None:
                raise Invalid(f"'reach' is one of {', '.join(_REACHES)}")
            via = request.query_params.get("via", "")
            if not _VIA.fullmatch(via):
                raise Invalid("'via' is a word of at most 16 small letters")
            self._hub.dispatch.limits.open("sockets", principal.agent)
        except HubError as error:
            await send_problem(error, scope, receive, send)
            return
        try:
            with self._hub.dispatch.presence.connected(principal.agent, reach, via):
                await self._run(principal, receive, send)
        finally:
            self._hub.dispatch.limits.close("sockets", principal.agent)
            self._hub.dispatch.presence.gone(principal.agent)

    async def _run(self, principal: Principal, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await until_gone(receive, self._pump(principal, send))

    async def _pump(self, principal: Principal, send: Send) -> None:
        dispatch = self._hub.dispatch
        try:
            while not dispatch.draining.is_set():
                stamp = dispatch.tails.stamp
                loud = await self._hub.store.read(lambda tx: loud_rooms(tx, principal.agent))
                count = await dispatch.run(principal, CountUnread(), limited=False)
                await write(send, b"event: wake\ndata: " + orjson.dumps(count.model_dump()) + b"\n\n")
                topics = [-principal.agent, HUB, *loud]
                while not await dispatch.tails.wait(topics, stamp, seconds_to_beat(HEARTBEAT_S)):
                    await self._hub.authenticator.still(principal)
                    await write(send, b": still here\n\n")
                await self._hub.authenticator.still(principal)
        except HubError:
            pass  # no longer allowed: the stream ends
        except TimeoutError:
            return
        await send({"type": "http.response.body", "body": b""})
