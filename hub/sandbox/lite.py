"""The engine for machines without bubblewrap or seatbelt: interpreters that know nothing of the machine.

Weaker than the others: what stands between the code and the machine is the interpreter, not the kernel. No Bash, no
room files, no produced files. Each run is a process of its own that can be killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from hub.sandbox.child import end, kill_group
from hub.sandbox.engine import (
    KilledReason,
    Language,
    Limits,
    OnOutput,
    RunResult,
    RunSpec,
    SandboxUnavailable,
    Stream,
)

_ROOT: Final = str(Path(__file__).parents[2])
_START: Final = "import sys; sys.path.insert(0, {root!r}); from hub.sandbox.lite_child import main; main()"
_START_S: Final = 15.0
_GRACE_S: Final = 0.5  # the interpreter ends itself at the limit; after this it is killed
_LINE_BYTES: Final = 1024 * 1024
_FIX: Final = "install multi-agent-bridge[sandbox-lite]"
# Each must print `held` in an interpreter that holds and something else in one that does not.
_SELF_TEST: Final[dict[Language, str]] = {
    "python": """
out = []
try:
    open('/etc/passwd').read()
    out.append('/etc/passwd can be read')
except Exception:
    pass
try:
    open('C:/Windows/win.ini').read()
    out.append('win.ini can be read')
except Exception:
    pass
try:
    import subprocess
    out.append('programs can be started')
except Exception:
    pass
try:
    import socket
    out.append('the network can be reached')
except Exception:
    pass
print(', '.join(out) or 'held')
""",
    "javascript": """
const open = ["require", "process", "std", "os", "Deno", "Bun", "fetch", "XMLHttpRequest", "WebSocket"]
  .filter((name) => typeof globalThis[name] !== "undefined");
console.log(open.length ? open.join(", ") + " can be reached" : "held");
""",
}
_ENDLESS: Final[dict[Language, str]] = {"python": "while True:\n    pass", "javascript": "for (;;);"}


class Lite:
    """Python (a subset) and JavaScript, on any platform."""

    name = "lite"
    enforcement = "the interpreter's own limit"
    note = ""

    def __init__(self, start: str = _START) -> None:
        self._start = start.format(root=_ROOT)
        self._running: set[asyncio.subprocess.Process] = set()

    async def self_test(self) -> tuple[Language, ...]:
        """The languages whose interpreter is installed and holds. Raises SandboxUnavailable when none is."""
        refusals, spoken = [], list[Language]()
        for language in _SELF_TEST:
            try:
                await self._test(language)
                spoken.append(language)
            except SandboxUnavailable as error:
                refusals.append(f"{language}: {error}")
        if not spoken:
            raise SandboxUnavailable("; ".join(refusals))
        return tuple(spoken)

    async def _test(self, language: Language) -> None:
        held = await self.run(RunSpec(language, _SELF_TEST[language]))
        if held.stdout != b"held\n":
            said = (held.stdout + held.stderr).decode(errors="replace").strip()[-300:]
            raise SandboxUnavailable(f"the interpreter does not hold code in: {said}")
        endless = await self.run(RunSpec(language, _ENDLESS[language], limits=replace(Limits(), wall_s=0.2)))
        if endless.killed_reason != "timeout":
            raise SandboxUnavailable("the interpreter does not keep its time limit")

    async def run(
        self, spec: RunSpec, on_output: OnOutput | None = None, stop: asyncio.Event | None = None
    ) -> RunResult:
        """See `Engine.run`."""
        if spec.language not in _SELF_TEST:
            raise SandboxUnavailable(f"the engine lite does not run {spec.language}")
        if spec.files:
            raise SandboxUnavailable("the engine lite shows no files to code; put the data into the code")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-c", self._start),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ},
            limit=_LINE_BYTES,
            start_new_session=os.name == "posix",  # a group of its own, so that its workers are killed with it
        )
        self._running.add(process)
        try:
            return await _Run(process, spec, on_output, stop or asyncio.Event()).finish()
        finally:
            await end(process)
            self._running.discard(process)

    def close(self) -> None:
        """End whatever runs."""
        for process in self._running:
            kill_group(process)


class _Run:
    """One conversation with a child."""

    def __init__(
        self, process: asyncio.subprocess.Process, spec: RunSpec, on_output: OnOutput | None, stop: asyncio.Event
    ) -> None:
        self._process, self._spec, self._on_output, self._stop = process, spec, on_output, stop
        self._out: dict[Stream, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._last: dict[str, Any] = {}
        self._reason: KilledReason | None = None

    async def finish(self) -> RunResult:
        try:
            async with asyncio.timeout(_START_S):
                ready = await self._message()
        except TimeoutError:
            ready = {}
        if not ready:
            raise SandboxUnavailable(f"the interpreter's process did not start within {_START_S:.0f} s")
        began = time.monotonic()
        self._ask()
        stopped = await self._until_the_end()
        end = self._last.get("end", {})
        if "unavailable" in end:
            raise SandboxUnavailable(f"{end['unavailable']}; {_FIX}")
        reason = self._reason or end.get("reason")
        if not self._last and reason is None and not stopped:
            raise SandboxUnavailable("the interpreter's process ended without a word")
        return RunResult(
            exit_code=None if reason or stopped else end.get("exit_code"),
            signal=None,
            killed_reason=reason,
            duration_ms=round((time.monotonic() - began) * 1000),
            cpu_ms=self._last.get("cpu_ms"),
            peak_memory_bytes=self._last.get("peak_memory_bytes"),
            stdout=bytes(self._out["stdout"]),
            stderr=bytes(self._out["stderr"]),
            engine="lite",
            memory_enforcement=Lite.enforcement,
            stopped=stopped and reason is None,
            not_saved=tuple(f"{glob}: the engine lite has no /work" for glob in self._spec.save),
        )

    def _ask(self) -> None:
        limits = self._spec.limits
        asked: dict[str, Any] = {"language": self._spec.language, "code": self._spec.code}
        asked |= {"wall_s": limits.wall_s, "memory_bytes": limits.memory_bytes}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")

    async def _until_the_end(self) -> bool:
        """Take in what it says until it ends, a limit, or `stop`; whether it was stopped."""
        reading = asyncio.create_task(self._listen())
        stopping = asyncio.create_task(self._stop.wait())
        limit_s = self._spec.limits.wall_s + _GRACE_S
        done, _ = await asyncio.wait({reading, stopping}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            self._reason = "timeout"
        for task in (reading, stopping):
            task.cancel()
        await asyncio.gather(reading, stopping, return_exceptions=True)
        return stopping in done and reading not in done

    async def _listen(self) -> None:
        while message := await self._message():
            if "end" in message:
                self._last = message
                return
            name: Stream = "stderr" if message["out"] == "stderr" else "stdout"
            data = message["text"].encode("utf-8", "replace")
            room = self._spec.limits.output_bytes - len(self._out[name])
            self._out[name] += data[:room]
            if self._on_output is not None and room > 0:
                self._on_output(name, data[:room])
            if len(data) > room:
                self._reason = "output"
                return

    async def _message(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        try:
            line = await self._process.stdout.readline()
            message: dict[str, Any] = json.loads(line) if line else {}
        except ValueError:  # too long, or not JSON: not one of ours
            return {}
        return message
