"""The HTTP surface of all operations: route → request → dispatch → JSON. Hand-written routes are elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import lru_cache, partial
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import parse_qsl

from hub.core.access import Principal
from hub.core.errors import (
    HubError,
    Invalid,
    Malformed,
    MethodNotAllowed,
    TooLarge,
    UnsupportedMediaType,
)
from hub.core.operation import AnyOperation, Registry, Result
from hub.server.answers import json_response, problem_response, send_json, send_problem
from hub.server.auth import Authenticator, bearer
from hub.server.dispatch import Dispatch, as_refusal
from hub.server.encoding import decode
from hub.server.parse import build
from hub.server.security import Answer, Receive, Response, Scope, Send
from hub.server.strict_json import parse_object

MAX_BODY: Final = 1024 * 1024
_LONGEST_KEPT: Final = 200  # paths up to here are remembered with their node; anybody can ask for any path
T = TypeVar("T")


class Node:
    """One path segment in the routing tree."""

    __slots__ = ("children", "operations", "parameter")

    def __init__(self) -> None:
        self.children: dict[str, Node] = {}
        self.parameter: Node | None = None
        self.operations: dict[str, tuple[AnyOperation, tuple[str, ...]]] = {}


def routing_tree(operations: Iterable[AnyOperation]) -> Node:
    """Paths as a tree: a lookup costs one dict access per segment however many routes there are."""
    root = Node()
    for operation in operations:
        node, names = root, []
        for segment in operation.path.strip("/").split("/"):
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.parameter = node.parameter or Node()
                node = node.parameter
            else:
                node = node.children.setdefault(segment, Node())
        node.operations[operation.method] = (operation, tuple(names))
    return root


def find(root: Node, path: str) -> tuple[Node, Sequence[str]] | None:
    """The node of a path, literal segments first, and the values of its parameters."""
    return _find(root, path.strip("/").split("/"), 0, [])


def _find(node: Node, segments: list[str], index: int, values: list[str]) -> tuple[Node, list[str]] | None:
    if index == len(segments):
        return (node, values) if node.operations else None
    segment = segments[index]
    child = node.children.get(segment)
    if child is not None and (found := _find(child, segments, index + 1, values)):
        return found
    if node.parameter is not None and segment:
        return _find(node.parameter, segments, index + 1, [*values, segment])
    return None


class Stream(Protocol):
    """Answers an operation whose bytes are not JSON."""

    async def __call__(
        self, make: Callable[[], Any], principal: Principal, scope: Scope, receive: Receive, send: Send, /
    ) -> None:
        """`make` builds the request from path and query, or raises what is wrong with it."""
        ...


class HttpOperations:
    """ASGI app that answers every operation's route."""

    def __init__(self, dispatch: Dispatch, authenticator: Authenticator, registry: Registry) -> None:
        self._dispatch = dispatch
        self._authenticator = authenticator
        self._root = routing_tree(registry.all)
        self._find = lru_cache(maxsize=4096)(partial(find, self._root))
        self.streams: dict[str, Stream] = {}
        """Operations that take a raw body instead of JSON when their query names things (`?name=`)."""

    def serves(self, scope: Scope) -> bool:
        """Whether an operation has this path; anything else is a hand-written route or 404."""
        path = scope["path"]
        found = self._find(path) if len(path) <= _LONGEST_KEPT else find(self._root, path)
        scope["hub.route"] = found
        return found is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._answer(scope, receive, send)
        except HubError as error:
            await send_problem(error, scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        principal = self._authenticator.known(headers.get(b"authorization")) or await self.principal(scope, headers)
        operation, fields = self._route(scope)
        if (stream := self.streams.get(operation.name)) is not None and scope["query_string"]:
            await stream(
                lambda: build(operation.request, _with_query(fields, scope["query_string"], operation)),
                principal,
                scope,
                receive,
                send,
            )
            return
        if operation.method == "GET" or operation.method == "DELETE":
            fields = _with_query(fields, scope["query_string"], operation)
        raw = await read_body(receive, headers)
        if raw:
            need_json(headers)
            fields = _with_body(fields, parse_object(raw))
        elif operation.method not in ("GET", "DELETE"):
            fields = _with_query(fields, scope["query_string"], operation)
        request = build(operation.request, fields)
        key = headers.get(b"idempotency-key")
        run = self._dispatch.run(
            principal, request, key=key.decode("latin-1") if key is not None and not operation.reads else None
        )
        result = await (while_connected(run, receive) if operation.wait_s(request) else run)
        body = result.json_bytes()
        self._dispatch.measures.answered(len(body))
        await send_json(scope, send, operation.status, body, headers)

    def begin(self, path: str, headers: dict[bytes, bytes], raw: bytes, answer: Answer) -> bool:
        """Answer a whole POST without a task, if it is one transaction of somebody known; else nothing was done."""
        found = self._find(path) if len(path) <= _LONGEST_KEPT else None
        entry = found and found[0].operations.get("POST")
        if not found or not entry or not raw or len(raw) > MAX_BODY:
            return False
        principal = self._authenticator.known(headers.get(b"authorization"))
        if principal is None or b"content-encoding" in headers:
            return False
        operation, names = entry
        try:
            need_json(headers)
            fields = _with_body(dict(zip(names, found[1], strict=True)), parse_object(raw))
            request = build(operation.request, fields)
            key = headers.get(b"idempotency-key")
            make = partial(self._response, operation, path, headers.get(b"accept-encoding"))
            return self._dispatch.begin(
                principal, request, None if key is None else key.decode("latin-1"), make, answer
            )
        except Exception as error:
            answer(problem_response(as_refusal(error), path))
            return True

    def _response(
        self, operation: AnyOperation, path: str, accepted: bytes | None, outcome: Result | HubError
    ) -> Response:
        if isinstance(outcome, HubError):
            return problem_response(outcome, path)
        try:
            body = outcome.json_bytes()
            made = json_response(operation.status, body, accepted)
        except Exception as error:
            return problem_response(as_refusal(error), path)
        self._dispatch.measures.answered(len(body))
        return made

    async def principal(self, scope: Scope, headers: dict[bytes, bytes]) -> Principal:
        """Who calls, from the Authorization header."""
        client = scope.get("client")
        return await self._authenticator.authenticate(bearer_of(headers), client[0] if client else "")

    def _route(self, scope: Scope) -> tuple[AnyOperation, dict[str, Any]]:
        node, values = scope["hub.route"]
        entry = node.operations.get(scope["method"])
        if entry is None:
            allowed = ", ".join(sorted(node.operations))
            raise MethodNotAllowed(f"{scope['method']} is not possible here; allowed: {allowed}", allow=allowed)
        operation, names = entry
        return operation, dict(zip(names, values, strict=True))


async def while_connected(work: Coroutine[Any, Any, T], receive: Receive) -> T:
    """The result of `work`, which ends when the caller hangs up: a dead worker in line must not be handed a task."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(receive())
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Malformed("the caller hung up while it waited")
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


def _with_query(fields: dict[str, Any], query: bytes, operation: AnyOperation) -> dict[str, Any]:
    if not query:
        return fields
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=100, errors="strict"
        )
    except (ValueError, UnicodeDecodeError):
        raise Malformed("the query string is not valid; encode it as name=value&…") from None
    many: dict[str, list[str]] = {}
    for name, value in pairs:
        many.setdefault(name, []).append(value)
    given = {name: _value(operation, name, values) for name, values in many.items()}
    return _with_body(fields, given)


def _value(operation: AnyOperation, name: str, values: list[str]) -> Any:
    field = operation.request.model_fields.get(name)
    if field is not None and "tuple" in str(field.annotation):
        return [part for value in values for part in value.split(",")]
    if len(values) > 1:
        raise Invalid(f"'{name}' stands twice in the query")
    return values[0]


def _with_body(fields: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    for name in fields.keys() & given.keys():
        if fields[name] != given[name]:
            raise Invalid(
                f"'{name}' is {fields[name]!r} in the path but {given[name]!r} in the body; leave it out there"
            )
    return {**given, **fields}


def bearer_of(headers: dict[bytes, bytes]) -> str | None:
    """The token of the Authorization header."""
    header = headers.get(b"authorization")
    return bearer(header.decode("latin-1") if header else None)


def need_json(headers: dict[bytes, bytes]) -> None:
    if headers.get(b"content-type") == b"application/json":
        return
    kind = headers.get(b"content-type", b"").split(b";", 1)[0].strip().lower()
    if kind != b"application/json" and not kind.endswith(b"+json"):
        raise UnsupportedMediaType("send JSON with 'Content-Type: application/json'")


async def read_body(receive: Receive, headers: dict[bytes, bytes], most: int = MAX_BODY) -> bytes:
    """The whole body, decompressed. Raises TooLarge before reading, or unpacking, more than `most` bytes."""
    body = await _read_raw(receive, headers, most)
    coding = headers.get(b"content-encoding")
    return body if coding is None or not body else decode(body, coding, most)


async def _read_raw(receive: Receive, headers: dict[bytes, bytes], most: int) -> bytes:
    length = headers.get(b"content-length")
    if length is not None and (not length.isdigit() or int(length) > most):
        raise _too_large(most)
    message = await receive()
    if not message.get("more_body"):
        body: bytes = message.get("body", b"")
        if len(body) > most:
            raise _too_large(most)
        return body
    parts = [message.get("body", b"")]
    size = len(parts[0])
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Malformed("the connection ended before the body did")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise _too_large(most)
    return b"".join(parts)


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"the body is larger than {most // 1024} KiB; share larger content as a file")
