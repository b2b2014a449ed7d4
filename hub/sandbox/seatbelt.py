"""macOS: `sandbox-exec` with a profile that allows reading the system, writing one folder, and nothing else.

Experimental. The command line and the profile are tested as text; nobody has run it on a Mac yet. It is used only
when asked for by name, and only where its self-test, run on that Mac, finds that it holds.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import signal
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Final

from hub.sandbox.child import end, kill_group
from hub.sandbox.engine import (
    KilledReason,
    Language,
    OnOutput,
    Produced,
    RunResult,
    RunSpec,
    SandboxUnavailable,
    Stream,
)
from hub.sandbox.inside import collect

_SANDBOX_EXEC: Final = "/usr/bin/sandbox-exec"
_READABLE: Final = (
    "/usr",
    "/bin",
    "/System",
    "/Library/Frameworks",
    "/Library/Developer",
    "/opt/homebrew",
    "/private/var/db/dyld",
)
_PATH: Final = "/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin"
_PROGRAMS: Final[dict[Language, tuple[str, ...]]] = {
    "python": ("python3", "-s", "-B", "-u"),
    "javascript": ("node",),
    "bash": ("bash", "--noprofile", "--norc"),
}
_HELLO: Final[dict[Language, str]] = {"python": "print(42)", "javascript": "console.log(42)", "bash": "echo 42"}
_SELF_TEST: Final = """
fail() { echo "$1"; exit 1; }
ls "{home}" >/dev/null 2>&1 && fail "the home folder can be read"
cat /etc/passwd >/dev/null 2>&1 && fail "/etc can be read"
(: >"{home}/.bridge-probe") 2>/dev/null && fail "the home folder can be written"
(: >/tmp/bridge-probe) 2>/dev/null && fail "/tmp can be written"
(: </dev/tcp/127.0.0.1/{port}) 2>/dev/null && fail "the network can be reached"
echo held
"""


def profile() -> str:
    """The profile; WORK, CODE and ROOM are given as parameters, so no path is ever part of the text."""
    reads = " ".join(f'(subpath "{place}")' for place in _READABLE)
    return "\n".join(
        [
            "(version 1)",
            "(deny default)",
            "(deny network*)",
            "(allow process-fork)",
            "(allow signal (target same-sandbox))",
            "(allow sysctl-read)",
            f"(allow process-exec {reads})",
            '(allow file-read-metadata (literal "/") (literal "/private") (literal "/private/var"))',
            f"(allow file-read* {reads})",
            '(allow file-read* (literal "/dev/null") (literal "/dev/zero") (literal "/dev/random") (literal "/dev/urandom"))',
            '(allow file-write-data (literal "/dev/null"))',
            '(allow file-read* (subpath (param "CODE")) (subpath (param "ROOM")))',
            '(allow file-read* file-write* (subpath (param "WORK")))',
        ]
    )


def command(spec: RunSpec, home: Path) -> list[str]:
    """What is executed for a run whose folders are in `home`."""
    limits = spec.limits
    # macOS knows no limit of address space that holds; the watchdog is the wall clock and these
    lowered = (
        f"ulimit -t {limits.cpu_s} -u {limits.processes} -n {limits.open_files} -f {limits.work_bytes // 512} -c 0"
    )
    folders = [part for name in ("WORK", "CODE", "ROOM") for part in ("-D", f"{name}={home / name.lower()}")]
    doorstep = ["/bin/bash", "-c", f'{lowered} && exec "$@"', "run"]
    return [_SANDBOX_EXEC, *folders, "-p", profile(), *doorstep, *_PROGRAMS[spec.language], str(home / "code" / "main")]


class Seatbelt:
    """Needs macOS."""

    name = "seatbelt"
    enforcement = "none"
    note = ""

    def __init__(self) -> None:
        self._running: set[asyncio.subprocess.Process] = set()

    async def self_test(self) -> tuple[Language, ...]:
        """The languages that run here. Raises SandboxUnavailable when it does not hold."""
        if platform.system() != "Darwin":
            raise SandboxUnavailable("the seatbelt engine needs macOS")
        async with await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            test = _SELF_TEST.replace("{home}", str(Path.home())).replace("{port}", str(port))
            result = await self.run(RunSpec("bash", test))
        if result.stdout != b"held\n":
            said = (result.stdout + result.stderr).decode(errors="replace").strip()[-300:]
            raise SandboxUnavailable(f"sandbox-exec does not hold code in here: {said}")
        spoken = [language for language in _PROGRAMS if shutil.which(_PROGRAMS[language][0], path=_PATH)]
        return tuple([one for one in spoken if (await self.run(RunSpec(one, _HELLO[one]))).stdout == b"42\n"])

    async def run(
        self, spec: RunSpec, on_output: OnOutput | None = None, stop: asyncio.Event | None = None
    ) -> RunResult:
        """See `Engine.run`."""
        with tempfile.TemporaryDirectory(prefix="bridge-run-") as made:
            home = Path(os.path.realpath(made))  # noqa: ASYNC240 (/var is a link there; the profile sees real paths)
            await asyncio.to_thread(prepare, spec, home)
            process = await asyncio.create_subprocess_exec(
                *command(spec, home),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={"PATH": _PATH, "HOME": str(home / "work"), "LANG": "C.UTF-8", "PYTHONPATH": str(home / "room")},
                cwd=home / "work",
                start_new_session=True,
            )
            self._running.add(process)
            try:
                return await _Run(process, spec, on_output, stop or asyncio.Event()).finish(home)
            finally:
                self._running.discard(process)

    def close(self) -> None:
        """End whatever runs."""
        for process in self._running:
            kill_group(process)


def prepare(spec: RunSpec, home: Path) -> None:
    """Folders of one run: the code, the files shown to it, and where it may write."""
    for name in ("work", "code", "room"):
        (home / name).mkdir()
    (home / "code" / "main").write_text(spec.code, "utf-8")
    for given in spec.files:
        with os.fdopen(os.dup(given.fd), "rb") as source, (home / "room" / given.name).open("xb") as target:
            shutil.copyfileobj(source, target)


class _Run:
    """One execution."""

    def __init__(
        self, process: asyncio.subprocess.Process, spec: RunSpec, on_output: OnOutput | None, stop: asyncio.Event
    ) -> None:
        self._process, self._spec, self._on_output, self._stop = process, spec, on_output, stop
        self._out: dict[Stream, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._reason: KilledReason | None = None

    async def finish(self, home: Path) -> RunResult:
        began = time.monotonic()
        stopped = await self._until_the_end()
        code = await end(self._process)
        ended_by_us = stopped or self._reason is not None
        produced, not_saved = ((), ()) if ended_by_us else collect_from(home / "work", self._spec)
        return RunResult(
            exit_code=None if ended_by_us else code if code >= 0 else 128 - code,
            signal=-code if code < 0 else None,
            killed_reason=self._reason or ("timeout" if code == -signal.SIGXCPU else None),
            duration_ms=round((time.monotonic() - began) * 1000),
            stdout=bytes(self._out["stdout"]),
            stderr=bytes(self._out["stderr"]),
            engine="seatbelt",
            memory_enforcement=Seatbelt.enforcement,
            stopped=stopped and self._reason is None,
            produced=produced,
            not_saved=not_saved,
        )

    async def _until_the_end(self) -> bool:
        """Whether it was stopped; `_reason` says which limit ended it, if one did."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        pipes = (self._read("stdout", self._process.stdout), self._read("stderr", self._process.stderr))
        reading = asyncio.create_task(self._both(*pipes))
        stopping = asyncio.create_task(self._stopped())
        done, _ = await asyncio.wait(
            {reading, stopping}, timeout=self._spec.limits.wall_s, return_when=asyncio.FIRST_COMPLETED
        )
        if not done:
            self._reason = "timeout"
        for task in (reading, stopping):
            task.cancel()
        await asyncio.gather(reading, stopping, return_exceptions=True)
        return stopping in done and reading not in done

    async def _both(self, *pipes: Coroutine[None, None, None]) -> None:
        await asyncio.gather(*pipes)
        await self._process.wait()

    async def _stopped(self) -> None:
        await self._stop.wait()

    async def _read(self, name: Stream, pipe: asyncio.StreamReader) -> None:
        while data := await pipe.read(65536):
            room = self._spec.limits.output_bytes - len(self._out[name])
            self._out[name] += data[:room]
            if self._on_output is not None and room > 0:
                self._on_output(name, data[:room])
            if len(data) > room:
                self._reason = self._reason or "output"
                kill_group(self._process)
                return


def collect_from(work: Path, spec: RunSpec) -> tuple[tuple[Produced, ...], tuple[str, ...]]:
    """What matches `save`, opened without following a link, so that it outlives the folder."""
    folder = os.open(work, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return collect(folder, spec.save, spec.limits.work_bytes)
    finally:
        os.close(folder)
