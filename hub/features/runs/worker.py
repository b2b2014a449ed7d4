"""Executes the runs that were given to this hub, shows their output as it comes, and reports each end once.

What is asked for and what became of it is in the log; this holds only processes. A hub that dies leaves its slots
behind, and the next start (or another hub, see chores) reports those runs as interrupted.
"""

from __future__ import annotations

import asyncio
import codecs
import logging
import math
import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

import orjson

from hub.core.errors import HubError
from hub.core.names import make_id
from hub.features.runs import rules
from hub.features.runs.contract import RUN_LETTER, OutputSignal, RunFinished, RunRequested, Status
from hub.features.runs.exchange import Saved, keep_files, share_all, show_files
from hub.features.runs.handlers import finish, refuse_impossible, report_lost
from hub.features.runs.project import TOPIC, somewhere_on
from hub.log.log import HUB, load_stream, read_event
from hub.log.log import load_body as body_of
from hub.log.tail import Tails
from hub.log.worker import Host, Worker
from hub.sandbox.choose import OFF, Engines, engines_for
from hub.sandbox.engine import Given, Limits, RunResult, RunSpec, SandboxUnavailable, Stream
from hub.storage.interface import Tx

log = logging.getLogger(__name__)
SIGNAL_EVERY_S: Final = 0.25
SIGNAL_BYTES: Final = 4096
ALIVE_MS: Final = 30_000  # a hub that did not say so for this long is gone, where several hubs share a database
_FOREVER: Final = 1 << 62
_PATIENCE_S: Final = 5.0
_RETRY_S: Final = 1.0
_LONG_S: Final = 3600.0
Place = tuple[int, int]


class RunWorker:
    """This hub among those that run code."""

    def __init__(self, host: Host, engines: Engines) -> None:
        self._host, self.engines = host, engines
        self.id = secrets.token_hex(8)
        self._slots = host.settings.sandbox_slots or min(os.cpu_count() or 1, rules.MOST_SLOTS)
        self._stops: dict[Place, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self.ready = asyncio.Event()
        self.unwanted = asyncio.Event()  # no room had runs on when it looked

    async def run(self) -> None:
        """Test the engines, make this hub known, and execute what is given to it, until cancelled."""
        await self._insist(self._clear)
        await self._wanted()
        await self.engines.examine()
        await self._insist(self._appear)
        self.ready.set()
        log.info("sandbox: %s %s", self.engines.languages, self.engines.refusal)
        while True:
            stamp = self._host.tails.stamp
            try:
                await self._look()
            except HubError as error:
                log.warning("runs are looked at again: %s", error.detail)
            await self._host.tails.wait([TOPIC], stamp, ALIVE_MS / 3000)
            if self._host.store.locking:
                await self._insist(self._stay)

    async def close(self) -> None:
        """Take no more, end what runs, and say so in the log."""
        self._closing = True
        with suppress(HubError):
            await self._host.store.write(self._leave)
        for stop in self._stops.values():
            stop.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_PATIENCE_S)
        self.engines.close()
        with suppress(HubError):
            await self._host.store.write(lambda tx: report_lost(tx, self._host.system_call()))

    async def _insist(self, body: Callable[[Tx], None], *logs: int) -> None:
        """Write, again and again while the store is away: nobody else knows how a run ended."""
        while True:
            try:
                return await self._host.store.write(body, locks=sorted({HUB, *logs}))
            except HubError as error:
                log.warning("a run's state will be written again: %s", error.detail)
                if self._closing:
                    raise
                await asyncio.sleep(_RETRY_S)

    # --- being known ------------------------------------------------------------------------------------------

    async def _wanted(self) -> None:
        """Wait until a room has runs on: until then a sandbox would be tested, and a runner kept, for nobody."""
        while True:
            stamp = self._host.tails.stamp
            if self._host.settings.sandbox == OFF or await self._host.store.read(somewhere_on):
                return
            self.unwanted.set()
            await self._host.tails.wait([TOPIC], stamp, _LONG_S)

    def _clear(self, tx: Tx) -> None:
        if not self._host.store.locking:  # the only hub over this data: whoever else ran code is dead
            tx.run("delete from runner")
        report_lost(tx, self._host.system_call())

    def _appear(self, tx: Tx) -> None:
        call = self._host.system_call()
        tx.run(
            "insert into runner (id, slots, languages, refusal, until) values (:id, :slots, :languages, :why, :until)",
            id=self.id,
            slots=self._slots,
            languages=orjson.dumps(self.engines.languages).decode(),
            why=self.engines.refusal,
            until=call.now_ms + ALIVE_MS if self._host.store.locking else _FOREVER,
        )
        refuse_impossible(tx, call)

    def _stay(self, tx: Tx) -> None:
        until = self._host.system_call().now_ms + ALIVE_MS
        tx.run("update runner set until = :until where id = :id", until=until, id=self.id)

    def _leave(self, tx: Tx) -> None:
        tx.run("delete from runner where id = :id", id=self.id)

    # --- executing --------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Begin what was given to this hub since, and stop what was cancelled."""
        rows = await self._host.store.read(
            lambda tx: [
                (row[0], row[1], row[2])
                for row in tx.rows("select log, seq, stop from slot where runner = :id", id=self.id)
            ]
        )
        for stream, seq, stopping in rows:
            if (stream, seq) not in self._stops and not self._closing:
                self._stops[stream, seq] = asyncio.Event()
                task = asyncio.create_task(self._execute(stream, seq))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            if stopping:
                self._stops[stream, seq].set()

    async def _execute(self, stream: int, seq: int) -> None:
        async with AsyncExitStack() as stack:
            event, saved = await self._outcome(stream, seq, stack)
            try:
                await self._insist(lambda tx: _finish(tx, self._host, stream, seq, event, saved), stream)
            finally:
                del self._stops[stream, seq]
        log.info("run %s: %s by %s", make_id(RUN_LETTER, stream, seq), event.status, event.engine)

    async def _outcome(self, stream: int, seq: int, stack: AsyncExitStack) -> tuple[RunFinished, Saved]:
        """The final event, and what the run left: on disk as long as `stack` is open, longer once the room has it."""
        room, requester, started_at, asked = await self._host.store.read(lambda tx: _asked(tx, stream, seq))
        common = {"run": seq, "requester": requester, "started_at_ms": started_at}
        if asked is None:
            return RunFinished(**common, status="interrupted", reason="its request is not kept any more"), Saved()
        output = LiveOutput(self._host.tails, stream, room, make_id(RUN_LETTER, stream, seq))
        try:
            given = await show_files(self._host, stream, asked.files, stack)
            result = await self.engines.run(_spec(asked, given), output.hear, self._stops[stream, seq])
            saved = await keep_files(self._host, result, stack)
        except (SandboxUnavailable, HubError) as error:
            return RunFinished(**common, status="unavailable", reason=str(error)), Saved()
        except Exception as error:  # a bug of ours: the run still gets its end
            log.exception("a run could not be executed")
            reason = f"the hub failed: {type(error).__name__}"
            return RunFinished(**common, status="unavailable", reason=reason), Saved()
        finally:
            output.close()
        return RunFinished(**common, **_report(result, asked), status=self._status(result)), saved

    def _status(self, result: RunResult) -> Status:
        if result.stopped:
            return "interrupted" if self._closing else "cancelled"
        if result.killed_reason is not None:
            return "killed"
        return "succeeded" if result.exit_code == 0 else "failed"


def _finish(tx: Tx, host: Host, stream: int, seq: int, event: RunFinished, saved: Saved) -> None:
    """The end and the files it left, in one transaction."""
    call = host.system_call()
    if saved.kept or saved.left_out:
        files, left_out = share_all(tx, call, stream, event.requester, saved)
        event = event.model_copy(update={"files": files, "not_saved": left_out})
    finish(tx, call, stream, seq, event)


def _asked(tx: Tx, stream: int, seq: int) -> tuple[str, int, int, RunRequested | None]:
    """Room, who asked, when it was started, and the request; None when its event is gone or blanked."""
    row = tx.row(
        "select run.agent, slot.started_at from slot join run on run.log = slot.log and run.seq = slot.seq"
        " where slot.log = :log and slot.seq = :seq",
        log=stream,
        seq=seq,
    )
    event = read_event(tx, stream, seq)
    room = load_stream(tx, stream).name
    if row is None or event is None or event.tombstone is not None:
        return room, 0 if row is None else row[0], 0 if row is None else row[1], None
    asked = body_of(event.type, event.data)
    assert isinstance(asked, RunRequested)
    return room, row[0], row[1], asked


def _limits(asked: RunRequested) -> Limits:
    return Limits(wall_s=asked.timeout_s, cpu_s=math.ceil(asked.timeout_s / 2))


def _spec(asked: RunRequested, given: tuple[Given, ...]) -> RunSpec:
    return RunSpec(asked.language, asked.code, given, asked.save, _limits(asked))


def _report(result: RunResult, asked: RunRequested) -> dict[str, object]:
    """What the final event says of a result."""
    most = _limits(asked).output_bytes
    names = ("exit_code", "signal", "killed_reason", "duration_ms", "cpu_ms", "peak_memory_bytes", "engine", "network")
    report: dict[str, object] = {name: getattr(result, name) for name in (*names, "memory_enforcement")}
    for name, data in (("stdout", result.stdout), ("stderr", result.stderr)):
        report |= {name: text_of(data), f"{name}_bytes": len(data), f"{name}_truncated": len(data) >= most}
    return report


def text_of(data: bytes) -> str:
    """Output as text; what is not UTF-8 is shown as U+FFFD, the same in signals and in the end."""
    return data.decode("utf-8", "replace")


class LiveOutput:
    """Output of one run as signals: at most every 250 ms or 4 KiB, never half a character."""

    def __init__(self, tails: Tails, stream: int, room: str, run: str) -> None:
        self._tails, self._stream, self._room, self._run = tails, stream, room, run
        self._decoders = {name: codecs.getincrementaldecoder("utf-8")("replace") for name in ("stdout", "stderr")}
        self._texts: dict[Stream, str] = {"stdout": "", "stderr": ""}
        self._offsets: dict[Stream, int] = {"stdout": 0, "stderr": 0}
        self._due: asyncio.TimerHandle | None = None

    def hear(self, name: Stream, data: bytes) -> None:
        self._texts[name] += self._decoders[name].decode(data)
        if sum(map(len, self._texts.values())) >= SIGNAL_BYTES:
            self._flush()
        elif self._due is None:
            self._due = asyncio.get_running_loop().call_later(SIGNAL_EVERY_S, self._flush)

    def close(self) -> None:
        """What is left goes with the final event."""
        if self._due is not None:
            self._due.cancel()

    def _flush(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        for name, text in self._texts.items():
            if text:
                signal = OutputSignal(
                    room=self._room, run=self._run, stream=name, offset=self._offsets[name], text=text
                )
                self._tails.signal(self._stream, signal.model_dump_json().encode())
                self._offsets[name] += len(text)
                self._texts[name] = ""


def _say_why(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("no more runs are executed until the hub is started again: %r", error, exc_info=error)


@asynccontextmanager
async def running(host: Host) -> AsyncIterator[None]:
    """Execute runs as long as the hub lives."""
    worker = RunWorker(host, Engines(engines_for(host.settings.sandbox)))
    host.provide(worker)
    task = asyncio.create_task(worker.run())
    task.add_done_callback(_say_why)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await worker.close()


WORKERS: Final[list[Worker]] = [running]
