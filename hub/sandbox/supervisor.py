"""The hub's side of the runner: starts it when first needed, again when it died, and speaks to it. Linux only."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any, Final

from hub.sandbox import runner
from hub.sandbox.cgroup import scope, scope_environment
from hub.sandbox.engine import (
    Language,
    OnOutput,
    Produced,
    RunResult,
    RunSpec,
    SandboxUnavailable,
    Stream,
)
from hub.sandbox.wire import Wire, pair

_ROOT: Final = str(Path(__file__).parents[2])
_START: Final = "import sys; sys.path.insert(0, {root!r}); from hub.sandbox.runner import main; main()"


class Supervised:
    """The bubblewrap engine, in a process of its own."""

    name = "bwrap"

    def __init__(self, binary: str | None = None) -> None:
        self._binary = binary or shutil.which("bwrap")
        self._wire: Wire | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self._waiting: dict[int, _Waiting] = {}
        self._numbers = count(1)
        self._scope: list[str] = []
        self.enforcement = ""
        self.note = "not tested"

    async def self_test(self) -> tuple[Language, ...]:
        """The languages that run here. Raises SandboxUnavailable with the fix."""
        if not sys.platform.startswith("linux"):
            raise SandboxUnavailable("the bubblewrap engine needs Linux")
        self._scope = await scope()
        number, waiting = self._begin(None)
        self._need_wire().send({"id": number, "do": "test"})
        found = await self._answer(number, waiting)
        self.enforcement, self.note = found["enforcement"], found["note"]
        return tuple(found["languages"])

    async def run(
        self, spec: RunSpec, on_output: OnOutput | None = None, stop: asyncio.Event | None = None
    ) -> RunResult:
        """See `Engine.run`."""
        number, waiting = self._begin(on_output)
        code = os.memfd_create("code")
        stopping = None if stop is None else asyncio.create_task(self._stop_at(number, stop))
        try:
            os.write(code, spec.code.encode())
            os.lseek(code, 0, os.SEEK_SET)
            self._need_wire().send(runner.request(number, spec), fds=[code, *(given.fd for given in spec.files)])
            head = await self._answer(number, waiting)
        finally:
            if stopping is not None:
                stopping.cancel()
            os.close(code)
        produced = zip(head["produced"], waiting.fds, strict=True)
        return RunResult(
            **{**head["result"], "not_saved": tuple(head["result"]["not_saved"])},
            stdout=bytes(waiting.out["stdout"]),
            stderr=bytes(waiting.out["stderr"]),
            produced=tuple(Produced(name, size, fd) for (name, size), fd in produced),
        )

    def close(self) -> None:
        """End the runner, and with it whatever runs."""
        if self._wire is not None:
            self._wire.close()
            self._gone()

    # --- the conversation -------------------------------------------------------------------------------------

    def _begin(self, on_output: OnOutput | None) -> tuple[int, _Waiting]:
        number = next(self._numbers)
        waiting = self._waiting[number] = _Waiting(on_output)
        return number, waiting

    async def _answer(self, number: int, waiting: _Waiting) -> dict[str, Any]:
        try:
            head = await waiting.answer
        except asyncio.CancelledError:
            if self._wire is not None:
                self._wire.send({"id": number, "do": "stop"})
            raise
        finally:
            self._waiting.pop(number, None)
        if "unavailable" in head:
            raise SandboxUnavailable(head["unavailable"])
        return head

    async def _stop_at(self, number: int, stop: asyncio.Event) -> None:
        await stop.wait()
        if self._wire is not None:
            self._wire.send({"id": number, "do": "stop"})

    def _receive(self, head: dict[str, Any], body: bytes, fds: list[int]) -> None:
        waiting = self._waiting.get(head["id"])
        if waiting is None or waiting.answer.done():
            for fd in fds:
                os.close(fd)
        elif "out" in head:
            waiting.hear(head["out"], body)
        else:
            waiting.fds = fds
            waiting.answer.set_result(head)

    # --- the process ------------------------------------------------------------------------------------------

    def _need_wire(self) -> Wire:
        if self._wire is None:
            ours, theirs = pair()
            self.process = subprocess.Popen(
                [
                    *self._scope,
                    sys.executable,
                    "-I",
                    "-c",
                    _START.format(root=_ROOT),
                    str(theirs.fileno()),
                    self._binary or "",
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=scope_environment() if self._scope else {},
                cwd="/",
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # a Ctrl-C in the terminal is for the hub, which then ends this in order
            )
            theirs.close()
            self._wire = Wire(ours, self._receive, self._gone)
        return self._wire

    def _gone(self) -> None:
        """The runner is dead, and so is everything it ran."""
        self._wire, process, self.process = None, self.process, None
        if process is not None:
            process.kill()
            process.wait()
        for waiting in self._waiting.values():
            if not waiting.answer.done():
                waiting.answer.set_result({"unavailable": "the runner process ended; the next run starts it again"})


class _Waiting:
    """One request on its way."""

    def __init__(self, on_output: OnOutput | None) -> None:
        self.answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.out: dict[Stream, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self.fds: list[int] = []
        self._on_output = on_output

    def hear(self, name: Stream, data: bytes) -> None:
        self.out[name] += data
        if self._on_output is not None:
            self._on_output(name, data)
