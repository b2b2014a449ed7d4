"""WebSocket: operations and events on one socket. Checked before it is accepted; one outbox per connection."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import orjson
from starlette.routing import WebSocketRoute

from hub.core.access import Principal
from hub.core.cursor import decode
from hub.core.errors import HubError, Invalid, Malformed, OperationNotFound, nearest
from hub.core.operation import Request, Result
from hub.log.tail import Page
from hub.server.answers import send_problem
from hub.server.auth import bearer
from hub.server.batch import Batches
from hub.server.coalesce import FRAMES, TEXTS, text_frame
from hub.server.dispatch import as_refusal
from hub.server.parse import build
from hub.server.pump import Allowance, Pump
from hub.server.security import Receive, Scope, Send
from hub.server.strict_json import parse_object
from hub.server.subscription import Batch, Subscription

if TYPE_CHECKING:
    from hub.app import HubApp

PROTOCOL: Final = "bridge.v1"
STUCK_S: Final = 10
PING_S: Final = 16  # and on the next beat, so every 18 s
IN_FLIGHT: Final = 256
_IDS: Final = (int, str)
_TRY_AGAIN, _RESTART, _POLICY = 1013, 1012, 1008


def routes(hub: HubApp) -> list[WebSocketRoute]:
    return [WebSocketRoute("/v1/ws", _Endpoint(hub))]


def offered_token(header: str | None) -> str | None:
    """The token of the subprotocol `token.<base64url>`, for clients that cannot set headers."""
    for part in (header or "").split(","):
        name = part.strip()
        if name.startswith("token."):
            try:
                return base64.urlsafe_b64decode(name[6:] + "=" * (-len(name[6:]) % 4)).decode("ascii")
            except (binascii.Error, UnicodeDecodeError):
                return None
    return None


class _Endpoint:
    def __init__(self, hub: HubApp) -> None:
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            principal = await self._who(scope, headers)
            self._hub.dispatch.limits.open("sockets", principal.agent)
        except HubError as error:
            await send_problem(error, scope, receive, send)
            return
        try:
            offered = [p.strip() for p in headers.get("sec-websocket-protocol", "").split(",")]
            await receive()  # websocket.connect
            await send({"type": "websocket.accept", "subprotocol": PROTOCOL if PROTOCOL in offered else None})
            with self._hub.dispatch.presence.connected(principal.agent, "stream"):
                await _Connection(self._hub, principal, receive, send, scope.get("extensions", {})).run()
        finally:
            self._hub.dispatch.limits.close("sockets", principal.agent)

    async def _who(self, scope: Scope, headers: Mapping[str, str]) -> Principal:
        query = dict(part.partition("=")[::2] for part in scope["query_string"].decode("latin-1").split("&"))
        if ticket := query.get("ticket"):
            return await self._hub.authenticator.redeem(ticket)
        token = bearer(headers.get("authorization")) or offered_token(headers.get("sec-websocket-protocol"))
        client = scope.get("client")
        return await self._hub.authenticator.authenticate(token, client[0] if client else "")


class _Connection:
    """One socket: reads operations, runs them side by side, writes answers and events in order of completion."""

    def __init__(
        self, hub: HubApp, principal: Principal, receive: Receive, send: Send, extensions: Mapping[str, Any]
    ) -> None:
        self._hub = hub
        self._receive = receive
        self._send = send
        self._write_frames: Callable[..., bool] = extensions.get(FRAMES, _not_now)
        self._give_texts = extensions.get(TEXTS)
        self._allowance = Allowance(hub, principal)
        self._subscription = Subscription(hub.dispatch, principal)
        self._pump = Pump(hub, self._allowance, self._subscription, self)
        self._shape = single_frames
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way = 0  # operations that run without a task
        self._to_start = 0  # tasks that have not begun
        self._late = False  # a text waits for room; the others behind it
        self._over = False
        self._room = asyncio.Event()
        self._stuck = Stuck()

    async def run(self) -> None:
        if self._give_texts is not None:
            self._give_texts(self._take)
        reader = asyncio.create_task(self._read())
        pump = asyncio.create_task(self._pump.run(None))
        done, _ = await asyncio.wait({reader, pump, self._stuck.noticed}, return_when=asyncio.FIRST_COMPLETED)
        self._over = True
        self._stuck.stop()
        for task in (reader, pump, *self._tasks):
            task.cancel()
        await asyncio.gather(reader, pump, *self._tasks, return_exceptions=True)
        if reader not in done:
            with suppress(RuntimeError, OSError):  # the socket may be gone already
                await self._send({"type": "websocket.close", "code": self._close_code(pump in done)})

    def _close_code(self, pump_ended: bool) -> int:
        """Why the hub ends the connection: it stops, the reader is stuck, or may no longer read."""
        if self._hub.dispatch.draining.is_set():
            return _RESTART
        return _POLICY if pump_ended else _TRY_AGAIN

    # --- reading ----------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] != "websocket.receive":
                return
            raw = message.get("text")
            data = raw.encode("utf-8", "surrogatepass") if raw is not None else message.get("bytes") or b""
            while self._full():
                self._late = True
                self._room.clear()
                await self._room.wait()
            self._late = False
            self._begin(data)

    def _full(self) -> bool:
        return len(self._tasks) + self._under_way >= IN_FLIGHT

    def _take(self, data: bytes) -> bool:
        """One text, straight from the socket; false when it has to wait."""
        if self._late or self._over or self._full():
            return False
        self._begin(data)
        return True

    def _begin(self, data: bytes) -> None:
        """Start what one frame asks for: at once when that is one transaction, else in a task. Nothing overtakes."""
        call_id: Any = None
        try:
            frame = parse_object(data)
            call_id = frame.pop("id", None)
            if not isinstance(call_id, _IDS) or isinstance(call_id, bool) or len(str(call_id)) > 128:
                raise Malformed("every frame needs an 'id' (a number or a short string) that its answer will carry")
            name = frame.pop("op", None)
            operation = self._hub.dispatch.registry.by_name.get(name) if isinstance(name, str) else None
            if operation is None:
                perform = partial(self._perform, name, frame)
            else:
                key = _key(frame)
                request = build(operation.request, frame)
                if not self._to_start and self._begin_now(call_id, request, key):
                    return
                perform = partial(self._run, request, None if operation.reads else key)
        except Exception as error:
            named = call_id if isinstance(call_id, _IDS) and len(str(call_id)) <= 128 else None
            self._reply(named, _problem(as_refusal(error)))
        else:
            self._to_start += 1
            self._spawn(self._answer(call_id, perform))

    def _begin_now(self, call_id: int | str, request: Request[Any], key: str | None) -> bool:
        ended = partial(self._ended, call_id)
        began = self._hub.dispatch.begin(self._allowance.principal, request, key, _outcome, ended)
        self._under_way += began
        return began

    def _ended(self, call_id: int | str, body: bytes) -> None:
        self._under_way -= 1
        self._room.set()
        self._reply(call_id, body)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.set()
        if not task.cancelled():
            task.exception()  # a broken socket: the reader ends by itself

    async def _answer(self, call_id: int | str, perform: Callable[[], Awaitable[bytes]]) -> None:
        self._to_start -= 1
        try:
            body = await perform()
        except Exception as error:
            body = _problem(as_refusal(error))
        text = b'{"re":' + orjson.dumps(call_id) + body
        if not self._write_frames(text_frame(text), soon=True):
            await self._write(text)

    async def _perform(self, name: Any, frame: dict[str, Any]) -> bytes:
        """What only this surface has."""
        if name == "subscribe":
            return await self._subscribe(frame)
        if name == "unsubscribe":
            self._subscription.unfollow([str(room) for room in frame.get("rooms", [])])
            return b',"ok":{}}'
        if name == "batch":
            return b',"ok":%b}' % await self._batch(frame)
        close = nearest(str(name), [*self._hub.dispatch.registry.by_name, "subscribe", "unsubscribe", "batch"])
        hint = f"did you mean {close[0]!r}?" if close else "GET /openapi.json lists them"
        raise OperationNotFound(f"no operation {str(name)[:80]!r}; {hint}")

    async def _run(self, request: Request[Any], key: str | None) -> bytes:
        result: Result = await self._hub.dispatch.run(self._allowance.principal, request, key=key)
        return _outcome(result)

    async def _batch(self, frame: dict[str, Any]) -> bytes:
        key = _key(frame)
        return await Batches(self._hub.dispatch).answer(self._allowance.principal, frame, key)

    async def _subscribe(self, frame: dict[str, Any]) -> bytes:
        """Follow rooms; `batch` asks for {"events": […], "cursor": …} instead of one frame per event."""
        self._allowance.principal.need("room:read")
        if unknown := set(frame) - {"cursors", "cursor", "batch"}:
            raise Invalid(f"unknown field {min(unknown)[:80]!r} in subscribe; fields: cursors, cursor, batch")
        cursors = frame.get("cursors")
        if cursors is not None and not isinstance(cursors, dict):
            raise Invalid("'cursors' is an object from room to cursor (or null)")
        marks = dict(decode(_text(frame.get("cursor")) or "c"))
        for cursor in (cursors or {}).values():
            marks |= decode(_text(cursor) or "c")
        rooms = await self._subscription.follow(None if cursors is None else list(cursors), marks)
        if "batch" in frame:
            self._shape = batched_frames if frame["batch"] else single_frames
        self._pump.open()
        return b',"ok":' + orjson.dumps({"rooms": rooms, "cursor": self._subscription.cursor}) + b"}"

    # --- writing ----------------------------------------------------------------------------------------------

    def write_now(self, batch: Batch) -> bool:
        return self._write_frames(batch.shape(self._shape).wire)

    async def write(self, batch: Batch) -> None:
        """The whole batch; one frame after the other as the socket takes them when it does not take all at once."""
        frames = batch.shape(self._shape)
        if not self._write_frames(frames.wire):
            for text in frames.texts:
                await self._write(text)

    def still_here_now(self) -> bool:
        return True  # the server pings

    async def still_here(self) -> None: ...

    def _reply(self, call_id: int | str | None, body: bytes) -> None:
        """Answer without a task, or with one when the socket is full."""
        text = b'{"re":' + orjson.dumps(call_id) + body
        if not self._write_frames(text_frame(text), soon=True) and not self._over:
            self._spawn(self._write(text))

    async def _write(self, text: bytes) -> None:
        """One frame, whole. Waits while the socket's buffers are full; `Stuck` ends a reader that takes nothing."""
        self._stuck.begin()
        try:
            await self._send({"type": "websocket.send", "text": text.decode()})
        finally:
            self._stuck.end()


def _outcome(outcome: Result | HubError) -> bytes:
    """The rest of an answer's frame, whatever goes wrong with it."""
    try:
        return _problem(outcome) if isinstance(outcome, HubError) else b',"ok":%b}' % outcome.json_bytes()
    except Exception as error:
        return _problem(as_refusal(error))


def _problem(error: HubError) -> bytes:
    return b',"problem":' + orjson.dumps(error.problem()) + b"}"


def _not_now(_frames: bytes, *, soon: bool = False) -> bool:
    """For servers that take no ready frames."""
    return False


class Stuck:
    """Notices when writes make no progress for 10 s, without a timer per write. Nothing runs while nothing waits."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting = 0
        self._progress = 0
        self._timer: asyncio.TimerHandle | None = None
        self.noticed: asyncio.Future[None] = self._loop.create_future()
        """Done when something waited through a whole period without any write ending."""

    def begin(self) -> None:
        self._waiting += 1
        if self._timer is None:
            self._watch()

    def end(self) -> None:
        self._waiting -= 1
        self._progress += 1

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.noticed.cancel()

    def _watch(self) -> None:
        self._timer = self._loop.call_later(STUCK_S, self._look, self._progress)

    def _look(self, before: int) -> None:
        self._timer = None
        if self._waiting and self._progress != before:
            self._watch()
        elif self._waiting and not self.noticed.done():
            self.noticed.set_result(None)


class Frames:
    """WebSocket frames: their texts, and all of them as they go over the wire."""

    __slots__ = ("texts", "wire")

    def __init__(self, texts: list[bytes], wire: bytes) -> None:
        self.texts = texts
        self.wire = wire

    @classmethod
    def of(cls, texts: list[bytes]) -> Frames:
        return cls(texts, b"".join(map(text_frame, texts)))


def single_frames(batch: Batch) -> Frames:
    """The batch as WebSocket frames, one per event, ending with the resume cursor."""
    cursor = b'{"cursor":' + orjson.dumps(batch.cursor) + b"}"
    parts = [Frames.of(_extras(batch)), *batch.parts(_event_frames), Frames.of([cursor])]
    return Frames([text for part in parts for text in part.texts], b"".join([part.wire for part in parts]))


def batched_frames(batch: Batch) -> Frames:
    """The batch as one WebSocket frame with the resume cursor; gaps and signals come before it."""
    joined = b",".join(batch.parts(_joined))
    events = b"".join((b'{"events":[', joined, b'],"cursor":', orjson.dumps(batch.cursor), b"}"))
    return Frames.of([*_extras(batch), events])


def _joined(page: Page) -> bytes:
    return b",".join(page.frames)


def _event_frames(page: Page) -> Frames:
    return Frames.of([b'{"event":' + frame + b"}" for frame in page.frames])


def _extras(batch: Batch) -> list[bytes]:
    gaps = [b'{"gap":' + orjson.dumps(gap.model_dump()) + b"}" for gap in batch.gaps]
    return gaps + [b'{"signal":' + signal + b"}" for signal in batch.signals]


def _key(frame: dict[str, Any]) -> str | None:
    key = frame.pop("idempotency_key", None)
    if key is not None and not isinstance(key, str):
        raise Invalid("'idempotency_key' is a string")
    return key


def _text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise Invalid("a cursor is a string or null")
    return value
