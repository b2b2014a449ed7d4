"""Many operations in one request: one transaction per stream, a result per item, in the order given."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import orjson
from starlette.routing import Route

from hub.core.access import Principal
from hub.core.errors import HubError, Invalid, OperationNotFound, nearest
from hub.core.operation import AnyOperation, Registry, Request, Result
from hub.log.batch import Item, hash_of
from hub.log.handler import PREPARERS
from hub.log.idempotency import check_key
from hub.server.answers import send_json, send_problem
from hub.server.dispatch import Dispatch, lock_streams
from hub.server.http import bearer_of, need_json, read_body
from hub.server.parse import build
from hub.server.security import Receive, Scope, Send
from hub.server.strict_json import parse_object

if TYPE_CHECKING:
    from hub.app import HubApp

MOST: Final = 100
PATH: Final = "/v1/batch"


class Batches:
    """Runs batches against one dispatch."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch

    async def answer(self, principal: Principal, fields: dict[str, Any], key: str | None) -> bytes:
        """The JSON answer to `{"operations": […]}`. Raises HubError only when nothing at all was tried."""
        given = fields.pop("operations", None)
        if fields or not isinstance(given, list) or not 1 <= len(given) <= MOST:
            raise Invalid(f"a batch is {{'operations': [1 to {MOST} of {{'op': 'messages.post', …}}]}}")
        if key is not None:
            check_key(key)
        results: list[Result | HubError | None] = [None] * len(given)
        hashes = [""] * len(given) if key is None else [hash_of(one) for one in given]
        items: list[Item] = []
        for place, (one, hashed) in enumerate(zip(given, hashes, strict=True)):
            try:
                operation, request = build_item(self._dispatch.registry, principal, one)
                items.append(Item(place, operation, request, hashed))
            except HubError as error:
                results[place] = error
        await self._run(principal, items, key, results)
        return b'{"results":[%b]}' % b",".join(_result(result) for result in results)

    async def _run(
        self, principal: Principal, items: Sequence[Item], key: str | None, results: list[Result | HubError | None]
    ) -> None:
        writes = [one for one in items if not one.operation.reads]
        self._dispatch.limits.spend(principal.agent, write=True, cost=len(writes))
        self._dispatch.limits.spend(principal.agent, write=False, cost=len(items) - len(writes))
        self._dispatch.presence.heartbeat(principal.agent)
        while writes:
            now, locks = await self._together(writes)
            done = await self._dispatch.run_together(principal, now, key, locks)
            for one, result in zip(now, done, strict=True):
                results[one.place] = result
            done_now = {one.place for one in now}
            writes = [one for one in writes if one.place not in done_now]
        for one in items:
            if one.operation.reads:
                try:
                    results[one.place] = await self._dispatch.run(principal, one.request, limited=False)
                except HubError as error:
                    results[one.place] = error

    async def _together(self, writes: Sequence[Item]) -> tuple[list[Item], Sequence[int]]:
        """Those that write to the same streams as the first one, as the streams are now: a room may be new."""
        streams = await self._dispatch.store.read(lambda tx: _all_streams(tx, writes))  # what was just made counts
        first = streams[0]
        if not first:
            return [writes[0]], ()
        return [one for one, where in zip(writes, streams, strict=True) if where == first], first


def _all_streams(tx: Any, items: Sequence[Item]) -> list[tuple[int, ...]]:
    """The streams each of them writes to; most items of a batch write to the same room or queue."""
    known: dict[tuple[Any, ...], tuple[int, ...]] = {}
    found = []
    for one in items:
        fields = one.request.__dict__
        place = (one.operation.lock, fields.get("room"), fields.get("queue"), fields.get("task"))
        if place not in known:
            known[place] = _streams(tx, one)
        found.append(known[place])
    return found


def _streams(tx: Any, one: Item) -> tuple[int, ...]:
    with suppress(HubError):  # a wrong id: its handler says so
        return tuple(lock_streams(tx, one.operation, one.request))
    return ()


def build_item(registry: Registry, principal: Principal, fields: Any) -> tuple[AnyOperation, Request[Any]]:
    """The operation of one entry and its request; raises HubError that says what is wrong with it."""
    if not isinstance(fields, dict):
        raise Invalid("an operation of a batch is an object with 'op' and its fields")
    name = fields.get("op")
    operation = registry.by_name.get(name) if isinstance(name, str) else None
    if operation is None:
        close = nearest(str(name), registry.by_name)
        hint = f"did you mean {close[0]!r}?" if close else "GET /openapi.json lists them"
        raise OperationNotFound(f"no operation {str(name)[:80]!r}; {hint}")
    principal.need(operation.scope)
    del fields["op"]
    request = build(operation.request, fields)
    if operation.waits and operation.wait_s(request):
        raise Invalid("an operation of a batch cannot wait; leave wait_s out")
    if type(request) in PREPARERS:
        raise Invalid(f"{operation.name} needs a request of its own; it cannot be part of a batch")
    return operation, request


def _result(result: Result | HubError | None) -> bytes:
    assert result is not None, "every item has a result"
    if isinstance(result, HubError):
        return b'{"problem":%b}' % orjson.dumps(result.problem())
    return b'{"ok":%b}' % result.json_bytes()


def routes(hub: HubApp) -> list[Route]:
    return [Route(PATH, _Endpoint(hub), methods=["POST"])]


class _Endpoint:
    def __init__(self, hub: HubApp) -> None:
        self._hub = hub
        self._batches = Batches(hub.dispatch)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        try:
            client = scope.get("client")
            principal = await self._hub.authenticator.authenticate(bearer_of(headers), client[0] if client else "")
            raw = await read_body(receive, headers)
            need_json(headers)
            key = headers.get(b"idempotency-key")
            body = await self._batches.answer(
                principal, parse_object(raw), None if key is None else key.decode("latin-1")
            )
        except HubError as error:
            await send_problem(error, scope, receive, send)
        else:
            await send_json(scope, send, 200, body, headers)
