"""Bytes of files over HTTP: streamed in and out, never whole in memory, served so that a browser runs nothing.

Every answer with a file's bytes is an attachment of a harmless type with `nosniff` and a sandboxing policy, so HTML,
SVG or a file that is two things at once stays data. `ETag` is the content's SHA-256.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.routing import Route

from hub.core.access import Principal
from hub.core.call import Call
from hub.core.errors import HubError, Invalid, Malformed, MethodNotAllowed
from hub.features.files.contract import SHARE, GetFile, ShareFile
from hub.features.files.handlers import find_bytes
from hub.features.files.rules import BodyTooSlow, RangeNotSatisfiable, need_digest
from hub.features.files.thumbnails import Thumbnails
from hub.kernel.files.contract import SharedFile
from hub.kernel.files.project import newest_of
from hub.kernel.files.receive import receiving
from hub.kernel.files.share import check_quota
from hub.kernel.rooms.project import enter_to_write
from hub.log.idempotency import is_kept
from hub.server.answers import JSON, send_bytes, send_problem
from hub.server.parse import build
from hub.server.security import Receive, Scope, Send
from hub.server.sse import principal_of
from hub.storage.blobs import CHUNK_BYTES, BlobStore, FileLimits, too_large
from hub.storage.interface import Tx

if TYPE_CHECKING:
    from hub.app import HubApp

STUCK_S: Final = 10  # a reader that takes nothing for so long is gone
_SLOWEST_BYTES_PER_S: Final = 1024
_LINGER_S: Final = 10.0
_LINGER_IDLE_S: Final = 0.5
_LINGER_BYTES: Final = (4 * 1024 * 1024, 64 * 1024 * 1024)  # of a body without and with an announced length
_RANGE: Final = re.compile(r"^bytes=(\d{0,18})-(\d{0,18})$")
_CONTENT_DIGEST: Final = re.compile(r"sha-256=:([A-Za-z0-9+/=]{44}):")


def routes(hub: HubApp) -> list[Route]:
    return [
        Route("/v1/rooms/{room}/files/{file}/content", _Content(hub)),
        Route("/v1/rooms/{room}/files/{file}/thumbnail", _Thumbnail(hub)),
    ]


class Upload:
    """`POST …/files?name=` with the bytes as the body."""

    def __init__(self, hub: HubApp) -> None:
        self._hub = hub

    async def __call__(
        self, make: Callable[[], ShareFile], principal: Principal, scope: Scope, receive: Receive, send: Send, /
    ) -> None:
        limits = self._hub.dispatch.limits
        try:
            limits.open("uploads", principal.agent)
            try:
                shared = await self._store(make(), principal, dict(scope["headers"]), receive)
            finally:
                limits.close("uploads", principal.agent)
        except HubError as error:
            await _refuse(error, scope, receive, send)
            return
        await send_bytes(send, 201, shared.json_bytes(), (JSON,))

    async def _store(
        self, request: ShareFile, principal: Principal, headers: dict[bytes, bytes], receive: Receive
    ) -> SharedFile:
        dispatch = self._hub.dispatch
        blobs = dispatch.service(BlobStore)
        if request.inline() is not None:
            raise Invalid("the body is the file; leave content out of the query, or send JSON without a query")
        principal.need("file:write")
        announced = _announced(headers, blobs.limits.file_bytes)
        given = headers.get(b"idempotency-key")
        key = None if given is None else given.decode("latin-1")
        call = dispatch.call(principal)
        await dispatch.store.read(lambda tx: _may_send(tx, call, request, announced or 0, blobs.limits, key))
        async with receiving(dispatch.store, blobs) as reception:
            async for part in _parts(receive, self._hub.settings.body_idle_s):
                await reception.write(part)
            blob = await reception.finish()
            need_digest(request.sha256, blob.sha256)
            need_digest(_content_digest(headers), blob.sha256)
            return await dispatch.run(principal, request.stored(blob), key=key)


def _may_send(tx: Tx, call: Call, request: ShareFile, size_bytes: int, limits: FileLimits, key: str | None) -> None:
    """Refuse what cannot be taken before its bytes travel; what is decided counts only when they are here."""
    entered = enter_to_write(tx, call, request.room)
    newest = newest_of(tx, entered.log, request.name)
    maybe_unchanged = newest is not None and newest.size_bytes == size_bytes
    if not maybe_unchanged and not (key and is_kept(tx, call, SHARE, key)):
        check_quota(tx, entered.room, size_bytes, limits.room_bytes)


def _announced(headers: dict[bytes, bytes], most_bytes: int) -> int | None:
    """The length the sender announced. Raises TooLarge before a byte is read."""
    length = headers.get(b"content-length")
    if length is None:
        return None
    if not length.isdigit() or len(length) > 18 or int(length) > most_bytes:
        raise too_large(most_bytes)
    return int(length)


def _content_digest(headers: dict[bytes, bytes]) -> str | None:
    """The SHA-256 of a Content-Digest header (RFC 9530); other algorithms are not looked at."""
    value = headers.get(b"content-digest", b"").decode("latin-1")
    if (found := _CONTENT_DIGEST.search(value)) is None:
        return None
    try:
        return base64.b64decode(found[1], validate=True).hex()
    except binascii.Error:
        raise Malformed("Content-Digest is not valid: sha-256=:<base64>:") from None


async def _parts(receive: Receive, idle_s: float) -> AsyncIterator[bytes]:
    """The body as it comes. Raises BodyTooSlow when it stands still or trickles, Malformed when it breaks off."""
    started, size, more = time.monotonic(), 0, True
    while more:
        try:
            async with asyncio.timeout(idle_s):
                message = await receive()
        except TimeoutError:
            raise _too_slow() from None
        if message["type"] == "http.disconnect":
            raise Malformed("the connection ended before the body did; nothing was stored")
        part, more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        if part:
            yield part
        if more and size < (time.monotonic() - started - idle_s) * _SLOWEST_BYTES_PER_S:
            raise _too_slow()


def _too_slow() -> BodyTooSlow:
    return BodyTooSlow("the body came too slowly; nothing was stored. Send it again over a better connection")


async def _refuse(error: HubError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer before the body was read: say so, let a little more of it pass so that the answer is seen, then close."""

    announced = any(name == b"content-length" for name, _ in scope["headers"])

    async def closing(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            headers = [*message["headers"], (b"connection", b"close")]  # type: ignore[misc]
            await send({**message, "headers": headers})
            return
        await send({**message, "more_body": True})
        if not isinstance(error, BodyTooSlow):
            await _linger(receive, _LINGER_BYTES[announced])
        await send({"type": "http.response.body", "body": b""})

    await send_problem(error, scope, receive, closing)  # type: ignore[arg-type]


async def _linger(receive: Receive, most_bytes: int) -> None:
    """Closing with unread bytes makes TCP forget the answer, so read what is on the way."""
    size = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_S):
            while size < most_bytes:
                async with asyncio.timeout(_LINGER_IDLE_S):
                    message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return
                size += len(message.get("body", b""))


class _Content:
    """`GET …/files/{file}/content`: the bytes, or a range of them."""

    def __init__(self, hub: HubApp) -> None:
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        try:
            if request.method not in ("GET", "HEAD"):
                raise MethodNotAllowed("only GET and HEAD are possible here", allow="GET, HEAD")
            principal = await principal_of(self._hub, request)
            shared, place = await self._find(request, principal)
            file = self._hub.dispatch.service(BlobStore).open(place)
        except HubError as error:
            await send_problem(error, scope, receive, send)
            return
        with file:
            try:
                await self._answer(request, shared, file, scope, receive, send)
            except HubError as error:
                await send_problem(error, scope, receive, send)

    async def _answer(
        self, request: Request, shared: SharedFile, file: BinaryIO, scope: Scope, receive: Receive, send: Send
    ) -> None:
        await _send_file(request, shared, file, scope, receive, send)

    async def _find(self, request: Request, principal: Principal) -> tuple[SharedFile, str]:
        dispatch = self._hub.dispatch
        version = request.query_params.get("version")
        fields = {"room": request.path_params["room"], "file": request.path_params["file"]}
        wanted = build(GetFile, fields | ({} if version is None else {"version": version}))
        await dispatch.run(principal, wanted)
        call = dispatch.call(principal)
        return await dispatch.store.read(lambda tx: find_bytes(tx, call, wanted.room, wanted.file, wanted.version))


class _Thumbnail(_Content):
    """`GET …/files/{file}/thumbnail`: a small PNG, drawn anew, which a page may show."""

    def __init__(self, hub: HubApp) -> None:
        super().__init__(hub)
        self._thumbnails = Thumbnails()

    async def _answer(
        self, request: Request, shared: SharedFile, file: BinaryIO, scope: Scope, receive: Receive, send: Send
    ) -> None:
        etag = f'"{shared.sha256}-small"'
        common = [header for header in headers_of(shared) if header[0] not in (b"etag", b"accept-ranges")]
        headers = [*common, (b"etag", etag.encode())]
        if _matches(request.headers.get("if-none-match"), etag):
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        picture = await self._thumbnails.of(shared, file)
        headers += [(b"content-type", b"image/png"), (b"content-length", b"%d" % len(picture))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else picture})


def headers_of(shared: SharedFile) -> list[tuple[bytes, bytes]]:
    """What every answer about a file's bytes says."""
    plain = re.sub(r'[^\x20-\x7e]|["\\%]', "_", shared.name)
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(shared.name, safe='')}"
    return [
        (b"etag", f'"{shared.sha256}"'.encode()),
        (b"accept-ranges", b"bytes"),
        (b"cache-control", b"private, no-cache"),
        (b"content-disposition", disposition.encode("latin-1")),
        (b"content-security-policy", b"default-src 'none'; sandbox"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"x-content-type-options", b"nosniff"),
    ]


async def _send_file(
    request: Request, shared: SharedFile, file: BinaryIO, scope: Scope, receive: Receive, send: Send
) -> None:
    headers, etag, size = headers_of(shared), f'"{shared.sha256}"', shared.size_bytes
    if _matches(request.headers.get("if-none-match"), etag):
        await send({"type": "http.response.start", "status": 304, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return
    condition = request.headers.get("if-range")
    wanted = request.headers.get("range") if condition is None or condition.strip() == etag else None
    try:
        first, last, status = _range(wanted, size)
    except RangeNotSatisfiable as error:
        await _send_416(error, size, scope, receive, send)
        return
    headers += [(b"content-type", shared.media_type.encode()), (b"content-length", b"%d" % (last - first + 1))]
    if status == 206:
        headers.append((b"content-range", b"bytes %d-%d/%d" % (first, last, size)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await _send_part(file, first, 0 if request.method == "HEAD" else last - first + 1, send)


async def _send_part(file: BinaryIO, first: int, size: int, send: Send) -> None:
    """Send `size` bytes from `first` on. Raises TimeoutError when the reader takes nothing for 10 s."""
    if size and first:
        file.seek(first)
    while size:
        data = await asyncio.to_thread(file.read, min(CHUNK_BYTES, size))
        if not data:
            raise RuntimeError(
                "a file on disk is shorter than its row says; the answer breaks off so that nobody trusts it"
            )
        size -= len(data)
        async with asyncio.timeout(STUCK_S):
            await send({"type": "http.response.body", "body": data, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _send_416(error: HubError, size: int, scope: Scope, receive: Receive, send: Send) -> None:
    async def with_length(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"content-range", b"bytes */%d" % size)]}  # type: ignore[misc]
        await send(message)

    await send_problem(error, scope, receive, with_length)  # type: ignore[arg-type]


def _matches(header: str | None, etag: str) -> bool:
    """Whether an If-None-Match names this content (weak comparison, RFC 9110 13.1.2)."""
    tags = [] if header is None else [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return "*" in tags or etag in tags


def _range(header: str | None, size: int) -> tuple[int, int, int]:
    """First and last byte and the status. One range is served; several, or what is not a range, get everything."""
    whole = (0, size - 1, 200)
    match = _RANGE.match(header.strip()) if header is not None else None
    if match is None or match[1] == match[2] == "":
        return whole
    if match[1] == "":
        first, last = max(0, size - int(match[2])), size - 1
        empty = int(match[2]) == 0 or size == 0
    else:
        first, last = int(match[1]), min(int(match[2] or size - 1), size - 1)
        if match[2] and int(match[2]) < first:
            return whole
        empty = first >= size
    if empty:
        raise RangeNotSatisfiable(f"the file has {size} bytes; ask for a range inside")
    return first, last, 206
