"""The one pipeline of every operation: scope, limits, idempotency, transaction, waiting. Surfaces only parse."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar, cast
from weakref import WeakValueDictionary

from hub.core.access import Principal
from hub.core.call import Call
from hub.core.cursor import decode
from hub.core.errors import HubError, InternalError, Invalid, OperationNotFound, StillRunning
from hub.core.names import is_direct, split_id
from hub.core.operation import AnyOperation, Registry, Request, Result
from hub.kernel.inbox.contract import Inbox, PollInbox
from hub.kernel.inbox.entries import readable
from hub.kernel.inbox.positions import acknowledge, offer
from hub.kernel.inbox.receipts import mark_delivered
from hub.kernel.presence.presence import PresenceBoard
from hub.log.batch import Item, run_items
from hub.log.handler import ANSWERERS, HANDLERS, PREPARERS, note_of
from hub.log.idempotency import check_key, digest, recall, record, repeated
from hub.log.log import HUB, find_stream
from hub.log.tail import Tails
from hub.server.limits import Limits
from hub.server.measures import Measures
from hub.storage.interface import Growth, Store, Tx

R = TypeVar("R", bound=Result)
S = TypeVar("S")
A = TypeVar("A")
log = logging.getLogger("hub")
_OFFER_DELAY_S = 0.25


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a waiting write: `stamp` is the growth it had seen before."""

    call: Call
    stamp: int
    result: Result


class _Reply(Generic[A]):
    """An answer that is made when its result is there, and given when that is on disk."""

    __slots__ = ("_give", "_made", "_make")

    def __init__(self, make: Callable[[Result | HubError], A], give: Callable[[A], None]) -> None:
        self._make = make
        self._give = give
        self._made: A | None = None

    def prepare(self, result: Result) -> None:
        self._made = self._make(result)

    def end(self, outcome: Result | HubError) -> None:
        made = self._made
        self._give(self._make(outcome) if made is None or isinstance(outcome, HubError) else made)


class Dispatch:
    """Runs operations for principals against one store."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        *,
        clock: Callable[[], int],
        limits: Limits | None = None,
        measures: Measures | None = None,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.store = store
        self.registry = registry
        self.clock = clock
        self.limits = limits or Limits()
        self.measures = measures or Measures()
        self.presence = PresenceBoard(clock)
        self._services: dict[type[Any], object] = {}
        self.tails = Tails()
        self.draining = asyncio.Event()
        self._random = random
        self._lines: WeakValueDictionary[tuple[int, ...], asyncio.Lock] = WeakValueDictionary()
        self._running: set[tuple[int, str, str]] = set()
        self._noting: set[asyncio.Future[None]] = set()
        self._offers: dict[tuple[int, int], int] = {}
        self._offer_task: asyncio.Task[None] | None = None
        self.on_hub_growth: list[Callable[[], None]] = []
        self.still_allowed: Callable[[Principal], Awaitable[Principal]] = _trusted
        store.on_growth = self._grown
        store.watched = self.tails.watched

    def _grown(self, growth: Sequence[Growth]) -> None:
        self.tails.on_growth(growth)
        if any(grown.log == HUB for grown in growth):
            for changed in self.on_hub_growth:
                changed()

    # --- the pipeline -----------------------------------------------------------------------------------------

    async def run(
        self, principal: Principal, request: Request[R], *, key: str | None = None, limited: bool = True
    ) -> R:
        """The result of `request` for `principal`. Raises HubError; nothing was stored then, except 5xx = unknown."""
        operation = self.operation(request)
        started = time.perf_counter()
        try:
            now_ms = self._admit(principal, operation, limited=limited)
            if operation.reads:
                result = await self._read(operation, principal, request)
            else:
                wait_s = operation.wait_s(request)
                result = await (
                    self._write_waiting(operation, principal, request, key, wait_s)
                    if wait_s
                    else self._write(operation, self.call(principal, now_ms), request, key)
                )
        except HubError as error:
            self.measures.failed(operation.name, error.code)
            raise
        except OverflowError as error:
            self.measures.failed(operation.name, Invalid.code)
            raise as_refusal(error) from error
        self.measures.done(operation.name, time.perf_counter() - started)
        return cast("R", result)

    def begin(
        self,
        principal: Principal,
        request: Request[Any],
        key: str | None,
        make: Callable[[Result | HubError], A],
        give: Callable[[A], None],
    ) -> bool:
        """Like `run`, without a task, for a write that is nothing but one transaction: `give` gets what `make` makes of it.

        A result's answer is made a little earlier than it is given, while the disk works; `make` must not raise.
        False, and nothing was done, for everything else. Raises HubError when it is refused at once.
        """
        operation = self.operation(request)
        if operation.reads or self.store.locking or type(request) in PREPARERS:
            return False
        if operation.waits and operation.wait_s(request):
            return False
        started = time.perf_counter()
        running = None if key is None else (principal.agent, operation.name, key)
        try:
            call = self.call(principal, self._admit(principal, operation))
            body = self.body(operation, call, request, key)
            self._must_not_run(running)
            reply = _Reply(make, give)
            self.store.begin(body, partial(self._begun, operation, running, started, reply.end), reply.prepare)
        except HubError as error:
            self.measures.failed(operation.name, error.code)
            raise
        if running:
            self._running.add(running)
        return True

    def _begun(
        self,
        operation: AnyOperation,
        running: tuple[int, str, str] | None,
        started: float,
        answer: Callable[[Result | HubError], None],
        result: Result,
        failure: Exception | None,
    ) -> None:
        """What `begin` began has ended."""
        if running:
            self._running.discard(running)
        if failure is None:
            self.measures.done(operation.name, time.perf_counter() - started)
            answer(result)
            return
        refusal = as_refusal(failure)
        self.measures.failed(operation.name, refusal.code)
        if note_of(refusal) is None:
            answer(refusal)
        else:
            noting = asyncio.ensure_future(self._record_refusal(refusal, ()))
            self._noting.add(noting)
            noting.add_done_callback(self._noting.discard)
            noting.add_done_callback(lambda _: answer(refusal))

    def _admit(self, principal: Principal, operation: AnyOperation, *, limited: bool = True) -> int:
        """The time of a call, if it may be made."""
        principal.need(operation.scope)
        if limited:
            self.limits.spend(principal.agent, write=not operation.reads)
        now_ms = self.clock()
        self.presence.heartbeat(principal.agent, now_ms)
        return now_ms

    def _must_not_run(self, running: tuple[int, str, str] | None) -> None:
        if running in self._running:
            raise StillRunning("the same call with this key is still running; wait for it", retry_after_s=1)

    def operation(self, request: Request[Any]) -> AnyOperation:
        found = self.registry.by_request.get(type(request))
        if found is None:
            raise OperationNotFound(f"{type(request).__name__} is not an operation of this hub")
        return found

    def provide(self, service: object) -> None:
        """Offer a long-lived helper to answerers and workers, found by its class."""
        self._services[type(service)] = service

    def service(self, kind: type[S]) -> S:
        """The helper of this class; raises RuntimeError when the hub was built without it."""
        found = self._services.get(kind)
        if not isinstance(found, kind):
            raise RuntimeError(f"this hub has no {kind.__name__}")
        return found

    def call(self, principal: Principal, now_ms: int | None = None) -> Call:
        """A call by `principal`, now if not told otherwise."""
        now_ms = self.clock() if now_ms is None else now_ms
        return Call(principal, now_ms, self._random, self.presence.state, self.presence.trace)

    # --- writing ----------------------------------------------------------------------------------------------

    async def _write_waiting(
        self, operation: AnyOperation, principal: Principal, request: Request[Any], key: str | None, wait_s: float
    ) -> Result:
        """Write; when there is nothing to take yet, wait for it."""

        async def attempt() -> Attempt:
            call, stamp = self.call(principal), self.tails.stamp
            return Attempt(call, stamp, await self._write(operation, call, request, key))

        first = await attempt()
        if first.result.settled():
            return first.result
        self.limits.open("waits", principal.agent)
        try:
            with self.presence.connected(principal.agent, "poll"):
                return await self._stand_in_line(first, attempt, time.monotonic() + wait_s)
        finally:
            self.limits.close("waits", principal.agent)

    async def _stand_in_line(self, last: Attempt, attempt: Callable[[], Awaitable[Attempt]], deadline: float) -> Result:
        """The first settled result, or the last one at the deadline (a `time.monotonic()`) or when the hub stops.

        Only the head of a line tries again: what one new task wakes is one writer, however many wait.
        """
        while not last.result.settled() and (left := deadline - time.monotonic()) > 0:
            place = tuple(last.call.line)
            line = self._lines.setdefault(place, asyncio.Lock())
            try:
                async with asyncio.timeout(left):
                    await line.acquire()
            except TimeoutError:
                break  # its turn did not come
            try:
                last = await self._head_of_line(last, attempt, deadline)
            finally:
                line.release()
            if self.draining.is_set():
                break
        return last.result

    async def _head_of_line(self, last: Attempt, attempt: Callable[[], Awaitable[Attempt]], deadline: float) -> Attempt:
        """Try whenever what it watches has grown, until there is something, or it belongs into another line."""
        place = last.call.line
        while (left := deadline - time.monotonic()) > 0 and not self.draining.is_set():
            await self._wait(last.call.principal, last.call.watched, last.stamp, left)
            last = await attempt()
            if last.result.settled() or last.call.line != place:
                break
        return last

    async def _write(self, operation: AnyOperation, call: Call, request: Request[Any], key: str | None) -> Result:
        if (prepare := PREPARERS.get(type(request))) is None:
            return await self._commit(operation, call, request, key)
        async with prepare(self, call, request) as prepared:
            return await self._commit(operation, call, prepared, key)

    async def _commit(self, operation: AnyOperation, call: Call, request: Request[Any], key: str | None) -> Result:
        principal = call.principal
        body = self.body(operation, call, request, key)
        locks = await self._locks(operation, request) if self.store.locking else ()
        running = None if key is None else (principal.agent, operation.name, key)
        self._must_not_run(running)
        if running:
            self._running.add(running)
        try:
            return await self.store.write(body, locks=locks)
        except HubError as refusal:
            await self._record_refusal(refusal, locks)
            raise
        finally:
            if running:
                self._running.discard(running)

    async def run_together(
        self, principal: Principal, items: Sequence[Item], key: str | None, locks: Sequence[int]
    ) -> list[Result | HubError]:
        """Results, or refusals, of writes in one transaction; each is kept or refused by itself."""
        call, started = self.call(principal), time.perf_counter()
        try:
            ended = await self.store.write(partial(run_items, call, items, key), locks=locks)
            results = [as_refusal(one) if isinstance(one, Exception) else one for one in ended]
        except HubError as failure:
            results = [failure] * len(items)
        took_s = (time.perf_counter() - started) / len(items)
        for item, result in zip(items, results, strict=True):
            if isinstance(result, HubError):
                self.measures.failed(item.operation.name, result.code)
                await self._record_refusal(result, locks)
            else:
                self.measures.done(item.operation.name, took_s)
        return results

    async def _record_refusal(self, refusal: HubError, locks: Sequence[int]) -> None:
        """Keep what must stay of a refused write, whose own transaction is gone."""
        if (note := note_of(refusal)) is not None:
            with suppress(HubError):
                await self.store.write(note, locks=locks)

    def body(
        self, operation: AnyOperation, call: Call, request: Request[Any], key: str | None
    ) -> Callable[[Tx], Result]:
        """The transaction body of one write: idempotency around the handler."""
        handler = HANDLERS[type(request)]
        if key is None:
            return lambda tx: handler(tx, call, request)
        check_key(key)
        hashed = digest(request.json_bytes(exclude_defaults=True))
        waits = operation.waits and operation.wait_s(request) > 0

        def keyed(tx: Tx) -> Result:
            kept = recall(tx, call, operation, key, hashed, sure=waits)
            if kept is not None:
                return repeated(tx, call, operation, kept)
            result: Result = handler(tx, call, request)
            if not waits or result.settled():  # a waiting call is tried again
                record(tx, call, operation, key, hashed, result)
            return result

        return keyed

    async def _locks(self, operation: AnyOperation, request: Request[Any]) -> Sequence[int]:
        """Streams to serialise on, for stores where several writers meet."""
        return await self.store.read(lambda tx: lock_streams(tx, operation, request))

    # --- reading ----------------------------------------------------------------------------------------------

    async def _read(self, operation: AnyOperation, principal: Principal, request: Request[Any]) -> Result:
        if isinstance(request, PollInbox) and request.ack is not None:
            await self.acknowledge(principal, request.ack)
        wait_s = operation.wait_s(request)
        if not wait_s:
            result, _call, _stamp = await self._read_once(principal, request)
        else:
            result = await self._read_waiting(principal, request, wait_s)
        if isinstance(result, Inbox):
            self._offered(principal, result)
        return result

    async def _read_once(self, principal: Principal, request: Request[Any]) -> tuple[Result, Call, int]:
        call, stamp = self.call(principal), self.tails.stamp
        if (answerer := ANSWERERS.get(type(request))) is not None:
            return await answerer(self, call, request), call, stamp
        handler = HANDLERS[type(request)]
        result: Result = await self.store.read(lambda tx: handler(tx, call, request))
        return result, call, stamp

    async def _read_waiting(self, principal: Principal, request: Request[Any], wait_s: float) -> Result:
        """Read; while there is nothing, wait for the watched streams to grow and read again."""
        self.limits.open("waits", principal.agent)
        try:
            with self.presence.connected(principal.agent, "poll"):
                deadline = time.monotonic() + wait_s
                while True:
                    result, call, stamp = await self._read_once(principal, request)
                    left = deadline - time.monotonic()
                    if result.settled() or left <= 0 or self.draining.is_set():
                        return result
                    await self._wait(principal, call.watched, stamp, left)
        finally:
            self.limits.close("waits", principal.agent)

    async def _wait(self, principal: Principal, topics: Sequence[int], stamp: int, timeout_s: float) -> None:
        """Until a topic grows or time is over. Raises Unauthorized when the principal's token ends meanwhile."""
        until = time.monotonic() + timeout_s
        while await self.tails.wait([*topics, HUB], stamp, until - time.monotonic()):
            if self.tails.grown_since((HUB,), stamp):
                await self.still_allowed(principal)
            if self.tails.grown_since(topics, stamp):
                return
            stamp = self.tails.stamp

    async def acknowledge(self, principal: Principal, cursor: str) -> None:
        """Durably acknowledge everything up to `cursor` for the principal."""
        call, marks = self.call(principal), decode(cursor)
        if not marks:
            return

        def body(tx: Tx) -> None:
            acknowledge(tx, call, readable(tx, call.agent, marks))

        await self.store.write(body, locks=sorted(marks) if self.store.locking else ())

    def _offered(self, principal: Principal, page: Inbox) -> None:
        """Note, written behind, what was handed out."""
        if not page.messages:
            return
        for mark in decode(page.cursor).values():
            name = (principal.agent, mark.log)
            self._offers[name] = max(self._offers.get(name, 0), mark.seq)
        if self._offer_task is None or self._offer_task.done():
            self._offer_task = asyncio.create_task(self._flush_offers())

    async def _flush_offers(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_OFFER_DELAY_S):
                await self.draining.wait()
        offers, self._offers = self._offers, {}
        now_ms = self.clock()

        def body(tx: Tx) -> None:
            for (agent, log), seq in offers.items():
                mark_delivered(tx, agent, log, 0, seq, now_ms)
                offer(tx, agent, log, seq)

        with suppress(HubError):
            await self.store.write(body)

    def drain(self) -> None:
        """Stop waiting and streaming: everyone gets what there is and comes back later."""
        self.draining.set()
        self.tails.wake_all()

    async def settle(self) -> None:
        """Write what is still behind."""
        self.drain()
        if self._offer_task is not None:
            await self._offer_task


def as_refusal(failure: BaseException) -> HubError:
    """What the caller hears of a failed write; a bug of ours becomes an internal error."""
    if isinstance(failure, OverflowError):  # no field of ours needs more than 64 bits; SQLite takes none that do
        return Invalid("a number in the request is too large; at most 9223372036854775807")
    if isinstance(failure, HubError):
        return failure
    log.error("an operation failed in an unexpected way", exc_info=failure)
    return InternalError("the hub failed unexpectedly; its log has the reason")


async def _trusted(principal: Principal) -> Principal:
    """Before there are tokens everybody is who they were."""
    return principal


def lock_streams(tx: Tx, operation: AnyOperation, request: Any) -> list[int]:
    """Ids of the streams an operation writes to, as far as they exist yet."""
    found: set[int] = set()
    if operation.lock in ("hub", "direct"):
        found.add(HUB)
    if room := getattr(request, "room", None):
        found.add(find_stream(tx, "dm" if is_direct(room) else "room", room) or 0)
    if queue := getattr(request, "queue", None):
        found.add(find_stream(tx, "queue", queue) or 0)
    if operation.lock == "task" and (task := getattr(request, "task", None)):
        found.add(split_id("t", task)[0])
    return sorted(found - {0})
