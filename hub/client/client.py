"""The typed HTTP client: retries with the same key, follows rooms with a cursor, raises the hub's own errors."""

from __future__ import annotations

import asyncio
import json
import os
import random
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self, TypeVar, cast
from urllib.parse import quote, urlsplit

import httpx2

from hub import features
from hub.client.fanout import Outcome, fan_out
from hub.client.transfer import Download, Progress, measure, opened, stream
from hub.core.errors import ERRORS, HubError, HubUnreachable, Unavailable
from hub.core.keys import Keys
from hub.core.operation import AnyOperation, Registry, Request, Result
from hub.features.files.contract import GetFile
from hub.kernel.files.contract import SharedFile
from hub.running import find_running

R = TypeVar("R", bound=Result)
T = TypeVar("T")
_TRIES: Final = 6
_NO_TLS: Final = ssl.SSLContext(
    ssl.PROTOCOL_TLS_CLIENT
)  # trusts nobody; to load whom to trust takes a tenth of a second
_registry: list[Registry] = []


def registry() -> Registry:
    """All operations, loaded once."""
    if not _registry:
        _registry.append(features.load_contracts())
    return _registry[0]


def operation_of(kind: type[Request[Any]]) -> AnyOperation:
    """The operation that a request asks for: of the contract that declares it, for to load all takes a third of a second."""
    declared: Iterable[AnyOperation] = getattr(sys.modules[kind.__module__], "OPERATIONS", ())
    return next((operation for operation in declared if operation.request is kind), None) or registry().by_request[kind]


def http_request(
    operation: AnyOperation, request: Request[Any]
) -> tuple[str, str, dict[str, Any], dict[str, Any] | None]:
    """Method, path, query and JSON body of a request."""
    fields = request.model_dump(mode="json", by_alias=True, exclude_unset=True)
    path = operation.path
    for name in [part[1:-1] for part in path.split("/") if part.startswith("{")]:
        path = path.replace("{" + name + "}", quote(str(fields.pop(name)), safe="@"))
    if operation.method in ("GET", "DELETE"):
        query = {name: _query(value) for name, value in fields.items() if value is not None}
        return operation.method, path, query, None
    return operation.method, path, {}, fields


def _query(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def raise_problem(status: int, body: Any) -> None:
    """Raise the HubError a problem body stands for."""
    problem = body if isinstance(body, dict) else {"detail": str(body)[:200]}
    raise problem_error({"status": status, **problem})


def problem_error(body: dict[str, Any]) -> HubError:
    """The HubError a problem body stands for."""
    if body.get("code", "") not in ERRORS:
        registry()  # features declare errors of their own
    kind = ERRORS.get(body.get("code", ""), HubError)
    error = kind.__new__(kind)
    HubError.__init__(error, body.get("detail") or f"the hub answered {body.get('status')}")
    error.extra = {k: v for k, v in body.items() if k not in _BASIC}
    error.retry_after_s = body.get("retry_after_s")
    if kind is HubError:
        error.extra = {**error.extra, "status": body.get("status")}
    return error


_BASIC: Final = frozenset({"type", "title", "status", "detail", "code", "instance", "retry_after_s"})


class HubClient:
    """Talk to a hub over HTTP as one agent.

    `url` and `token` default to BRIDGE_URL and BRIDGE_TOKEN, else to the hub that runs on this machine for this user.
    Writes carry an idempotency key that stays the same over retries, so a lost answer never sends twice.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        home: Path | None = None,
        tries: int = _TRIES,
        transport: httpx2.AsyncBaseTransport | None = None,
        verify: Any = True,
    ) -> None:
        found_url, found_token = locate(home) if url is None or token is None else (url, token)
        self.url = (url or found_url).rstrip("/")
        self._token = token or found_token
        self._tries = max(1, tries)
        self._keys = Keys()
        self.http = httpx2.AsyncClient(
            base_url=self.url,
            headers={"authorization": f"Bearer {self._token}", **_local_headers(self.url)},
            timeout=httpx2.Timeout(70, connect=5),
            transport=transport,
            verify=_NO_TLS if verify is True and self.url.startswith("http://") else verify,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self.http.aclose()

    async def call(self, request: Request[R], *, key: str | None = None) -> R:
        """The result of `request`.

        Retries what may be retried (no answer, 429, 503) with the same key. Raises the HubError the hub answered
        with, or HubUnreachable when it never answered: then nothing is confirmed.
        """
        operation = operation_of(type(request))
        if not operation.reads and key is None:
            key = self._keys.new()
        method, path, query, body = http_request(operation, request)
        headers = {"idempotency-key": key} if key and not operation.reads else {}
        answer = await self._trying(
            lambda: self.http.request(method, path, params=query, json=body, headers=headers), by=self._tries
        )
        return cast("R", operation.response.model_validate_json(answer.content))

    async def batch(self, requests: Sequence[Request[Any]], *, key: str | None = None) -> list[Result | HubError]:
        """Results, or the refusals, of up to 100 operations in one round trip: one transaction per room or queue."""
        operations = [operation_of(type(request)) for request in requests]
        items = [
            {"op": operation.name, **request.model_dump(mode="json", by_alias=True, exclude_unset=True)}
            for operation, request in zip(operations, requests, strict=True)
        ]
        headers = {"idempotency-key": key or self._keys.new()}
        answer = await self._trying(
            lambda: self.http.post("/v1/batch", json={"operations": items}, headers=headers), by=self._tries
        )
        return [
            operation.response.model_validate(one["ok"]) if "ok" in one else problem_error(one["problem"])
            for operation, one in zip(operations, answer.json()["results"], strict=True)
        ]

    async def share_file(
        self,
        room: str,
        source: Path | bytes,
        *,
        name: str | None = None,
        text: str | None = None,
        key: str | None = None,
        progress: Progress | None = None,
    ) -> SharedFile:
        """Share a file with a room, streamed; `text` also posts a message with it attached. Safe to repeat.

        `progress` is told (bytes so far, bytes in all). Raises the hub's refusal, or HubUnreachable; and NotAFile for a
        path that is no ordinary file.
        """
        key, called = key or self._keys.new(), name or getattr(source, "name", "")
        with opened(source) as file:
            size_bytes, sha256 = await asyncio.to_thread(measure, file)
            query = {"name": called, "sha256": sha256} | ({} if text is None else {"text": text})
            headers = {"idempotency-key": key, "content-length": str(size_bytes)}
            answer = await self._trying(
                lambda: self.http.request(
                    "POST",
                    f"/v1/rooms/{quote(room, safe='@')}/files",
                    params=query,
                    content=stream(file, size_bytes, progress),
                    headers=headers,
                ),
                by=self._tries,
            )
        return SharedFile.model_validate_json(answer.content)

    async def fetch_file(
        self, room: str, file: str, target: BinaryIO, *, version: int | None = None, progress: Progress | None = None
    ) -> SharedFile:
        """Write a file's bytes to `target`; a download that breaks off goes on where it stopped.

        Raises DigestMismatch when what arrived is not what was shared: throw the target away then.
        """
        shared = await self.call(GetFile.model_validate({"room": room, "file": file, "version": version}))
        path = f"/v1/rooms/{quote(room, safe='@')}/files/{shared.id}/content"
        download = Download(self.http, path, shared, target, progress)
        if shared.size_bytes:
            await self._trying(download.go_on, by=self._tries)
        download.check()
        return shared

    async def _trying(self, attempt: Callable[[], Awaitable[httpx2.Response]], *, by: int) -> httpx2.Response:
        """The first answer that is not a reason to try again, in at most `by` tries."""
        last: HubError | None = None
        for number in range(by):
            try:
                answer = await attempt()
            except httpx2.TransportError as error:
                last = HubUnreachable(
                    f"the hub at {self.url} did not answer ({type(error).__name__}); nothing is confirmed. "
                    "Start it with `mcp-bridge up`, then try again"
                )
                last.__cause__ = error
            else:
                if answer.status_code < 400:
                    return answer
                try:
                    raise_problem(answer.status_code, _json(answer))
                except Unavailable as error:
                    last = error
                except HubError as error:
                    if error.status != 429 or error.code == "loop-guard":
                        raise
                    last = error
            if number + 1 < by:
                await asyncio.sleep(_pause(number, last))
        assert last is not None
        raise last

    async def tail(self, room: str, cursor: str | None = None) -> AsyncIterator[dict[str, Any]]:
        """Events of a room as they happen, from `cursor` (None: from the oldest kept), resuming by itself for ever.

        A gap in history comes as an item with the key `gap`; keep `event["cursor"]` to go on later.
        """
        from hub.kernel.inbox.contract import ReadEvents

        while True:
            page = await self.call(ReadEvents(room=room, cursor=cursor, wait_s=50, limit=500))
            for gap in page.gaps:
                yield {"gap": gap.model_dump()}
            for event in page.items:
                yield event
            cursor = page.cursor

    def map(self, queue: str, bodies: Iterable[Any], **options: Any) -> AsyncIterator[Outcome]:
        """One task per body over a queue; outcomes as they end, failed ones too. Options: see `fan_out`."""
        return fan_out(self, queue, bodies, **options)

    async def signals(self, room: str, opened: asyncio.Event | None = None) -> AsyncIterator[dict[str, Any]]:
        """Short-lived signals of a room (the output of runs as it comes) from now until the connection ends.

        `opened` is set once nothing can be missed any more. Signals are in no log: what is lost is not sent again.
        """
        from hub.kernel.rooms.contract import GetRoom

        cursor = (await self.call(GetRoom(room=room))).cursor
        async with self.http.stream("GET", "/v1/stream", params={"rooms": room, "cursor": cursor}) as answer:
            if answer.status_code != 200:
                await answer.aread()
                raise_problem(answer.status_code, _json(answer))
            kind = ""
            async for line in answer.aiter_lines():
                if opened is not None:
                    opened.set()
                if line.startswith("event: "):
                    kind = line[7:]
                elif line.startswith("data: ") and kind == "signal":
                    yield json.loads(line[6:])


class SyncHubClient:
    """The same client for scripts without asyncio: every call blocks."""

    def __init__(self, url: str | None = None, token: str | None = None, **kw: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = self._runner.run(_made(lambda: HubClient(url, token, **kw)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._runner.run(self._client.close())
        self._runner.close()

    def call(self, request: Request[R], *, key: str | None = None) -> R:
        """The result of `request`; see `HubClient.call`."""
        return self._runner.run(self._client.call(request, key=key))

    def share_file(self, room: str, source: Path | bytes, **options: Any) -> SharedFile:
        """Share a file with a room; see `HubClient.share_file`."""
        return self._runner.run(self._client.share_file(room, source, **options))

    def fetch_file(self, room: str, file: str, target: BinaryIO, **options: Any) -> SharedFile:
        """Write a file's bytes to `target`; see `HubClient.fetch_file`."""
        return self._runner.run(self._client.fetch_file(room, file, target, **options))

    def batch(self, requests: Sequence[Request[Any]], *, key: str | None = None) -> list[Result | HubError]:
        """Several operations in one round trip; see `HubClient.batch`."""
        return self._runner.run(self._client.batch(requests, key=key))

    def tail(self, room: str, cursor: str | None = None) -> Iterator[dict[str, Any]]:
        """Events of a room as they happen; see `HubClient.tail`."""
        return self._each(self._client.tail(room, cursor))

    def map(self, queue: str, bodies: Iterable[Any], **options: Any) -> Iterator[Outcome]:
        """One task per body over a queue; see `HubClient.map`."""
        return self._each(self._client.map(queue, bodies, **options))

    def _each(self, items: AsyncIterator[T]) -> Iterator[T]:
        while True:
            try:
                yield self._runner.run(anext(items))  # type: ignore[arg-type]
            except StopAsyncIteration:
                return


def _local_headers(url: str) -> dict[str, str]:
    """On the same machine compressing costs both sides more than the bytes."""
    return {"accept-encoding": "identity"} if urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1") else {}


async def _made(make: Callable[[], HubClient]) -> HubClient:
    return make()


def _json(answer: httpx2.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return {"detail": answer.text[:200]}


def _pause(attempt: int, error: HubError | None) -> float:
    """Seconds before the next try: what the hub asked for, else 0.1 s × 2 with jitter, at most 5 s."""
    asked = error.retry_after_s if error is not None else None
    base: float = min(0.1 * 2**attempt, 5.0)
    return max(asked or 0, base * random.uniform(0.5, 1))  # noqa: S311 (spreads retries; not a secret)


def locate(home: Path | None = None) -> tuple[str, str]:
    """URL and token of the hub to use: BRIDGE_URL and BRIDGE_TOKEN, else the running hub's files.

    Raises HubUnreachable that says how to start one.
    """
    from hub.settings import default_home

    url, token = os.environ.get("BRIDGE_URL", ""), os.environ.get("BRIDGE_TOKEN", "")
    where = home or Path(os.environ.get("BRIDGE_HOME") or default_home())
    if not url:
        found = find_running(where)
        if found is None:
            raise HubUnreachable(f"no hub is running for {where}; nothing is confirmed. Start one with `mcp-bridge up`")
        url = found
    if not token:
        try:
            token = (where / "token").read_text("utf-8").strip()
        except OSError:
            raise HubUnreachable(
                f"no token: set BRIDGE_TOKEN, or run `mcp-bridge up` once to make {where}/token"
            ) from None
    return url, token
