"""Bubblewrap with what it lacks by itself: a filter, a dropped uid, limits set inside, and a watchdog.

    hub ── bwrap ── init of the pid namespace ── bash (lowers its own limits for good) ── exec code

The limits are set inside: earlier, the process limit would count the user's own processes on the desktop,
and from outside a hub in a container lacks the right (CAP_SYS_RESOURCE).
"""

from __future__ import annotations

import asyncio
import os
import platform
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from hub.features.sandbox.engines.engine import (
    KilledReason,
    Language,
    Limits,
    OnOutput,
    RunResult,
    RunSpec,
    SandboxUnavailable,
)
from hub.features.sandbox.engines.seccomp import program

_COMMANDS: dict[Language, tuple[str, ...]] = {
    "python": ("/usr/bin/python3", "-I", "-u", "-c"),
    "javascript": ("/usr/bin/node", "-e"),
    "bash": ("/usr/bin/bash", "--noprofile", "--norc", "-c"),
}
_UNUSED_UID = 61184  # in no distribution's ranges: never the kernel's root, never another service
_LOOK_EVERY_S = 0.02
_ETC = ("ld.so.cache", "alternatives", "localtime")
_MOST_INODES = 4096


class Bwrap:
    """Needs bubblewrap and unprivileged user namespaces; x86-64 Linux."""

    name = "bwrap"

    def __init__(self, binary: str | None = None) -> None:
        self._binary = binary or shutil.which("bwrap")

    async def self_test(self) -> None:
        self._need_platform()
        result = await self.run(RunSpec("bash", _SELF_TEST, limits=Limits(wall_s=5)))
        if result.stdout != b"held\n":
            why = (result.stderr or result.stdout).decode(errors="replace").strip()[-300:]
            raise SandboxUnavailable(f"bubblewrap does not hold code in here: {why}. {_FIX}")

    def _need_platform(self) -> None:
        if not os.path.exists("/proc/self/ns/user") or platform.machine() != "x86_64":
            raise SandboxUnavailable("the bubblewrap engine needs Linux on x86-64")
        if self._binary is None:
            raise SandboxUnavailable("bubblewrap is not installed; install the package 'bubblewrap'")

    async def run(self, spec: RunSpec, on_output: OnOutput | None = None) -> RunResult:
        """Run to the end or to a limit; nothing of it is left alive. Raises SandboxUnavailable when it cannot start."""
        self._need_platform()
        return await _Run(self._arguments(spec), spec, on_output).finish()

    def _arguments(self, spec: RunSpec) -> list[str]:
        limits = spec.limits
        made = [str(self._binary), "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
        made += ["--unshare-cgroup-try", "--disable-userns", "--new-session", "--die-with-parent", "--cap-drop", "ALL"]
        made += ["--uid", "1000", "--gid", "1000", "--hostname", "sandbox", "--clearenv"]
        made += ["--setenv", "PATH", "/usr/bin", "--setenv", "HOME", "/work", "--setenv", "LANG", "C.UTF-8"]
        made += ["--ro-bind", "/usr", "/usr"]
        for name in ("bin", "sbin", "lib", "lib64"):
            made += ["--symlink", f"usr/{name}", f"/{name}"]
        for name in _ETC:
            made += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
        made += ["--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--dev", "/dev", "--remount-ro", "/dev"]
        made += ["--size", "65536", "--tmpfs", "/dev/shm"]  # noqa: S108
        made += ["--size", str(limits.tmp_bytes), "--tmpfs", "/tmp"]  # noqa: S108
        made += ["--size", str(limits.work_bytes), "--tmpfs", "/work", "--chdir", "/work"]
        if spec.room_dir is not None:
            made += ["--ro-bind", str(spec.room_dir), "/room"]
        return [*made, "--remount-ro", "/"]


# The doorstep: lower the hard limits, say "here", drop the descriptor, become the code.
_DOORSTEP = 'set -e; {limits}; echo here >&{here}; exec {here}>&-; exec "$@"'
_FIX = "Allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1; in a container, a profile that permits them)."
_SELF_TEST = """
fail() { echo "$1"; exit 1; }
[ "$(id -u)" = 1000 ] || fail "wrong user"
[ "$(tr -d '\\0' </proc/1/environ)" = "" ] || fail "the launcher's environment can be read"
[ "$(grep Seccomp: /proc/self/status | tr -dc 0-9)" = 2 ] || fail "no system-call filter"
# a filter can be there and refuse nothing; namespaces alone would allow this queue
ipcmk -Q 2>&1 | grep -q "not permitted" || fail "the system-call filter lets calls through"
[ "$(grep -c : /proc/net/dev)" -le 1 ] || fail "network is open"
unshare -U true 2>/dev/null && fail "user namespaces can be made"
[ -e /home ] || [ -e /root ] || [ -e /etc/passwd ] && fail "files of the machine are visible"
(: >/x) 2>/dev/null && fail "/ is writable"
(: >/proc/sys/kernel/core_pattern) 2>/dev/null && fail "kernel settings are writable"
echo held
"""


class _Run:
    """One execution: processes, pipes, limits. Made, finished once, thrown away."""

    def __init__(self, arguments: Sequence[str], spec: RunSpec, on_output: OnOutput | None) -> None:
        self._arguments, self._spec, self._on_output = arguments, spec, on_output
        self._out = {"stdout": bytearray(), "stderr": bytearray()}
        self._open: set[int] = set()
        self._drained = asyncio.Event()
        self._reason: KilledReason | None = None

    async def finish(self) -> RunResult:
        began = time.monotonic()
        process, here = self._start()
        try:
            await self._started(process, here)
            await self._watch(process, began)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            # killing bwrap ends the namespace's init, and that ends everything inside
            code = await asyncio.to_thread(process.wait)
            await self._drain()
            os.close(here)
        return self._result(code, began)

    def _start(self) -> tuple[subprocess.Popen[bytes], int]:
        here_r, here_w = os.pipe()
        filter_r, filter_w = os.pipe()
        os.write(filter_w, program())  # under 64 KiB: fits the pipe
        os.close(filter_w)
        doorstep = _DOORSTEP.format(limits=_ulimits(self._spec), here=here_w)
        command = [*_COMMANDS[self._spec.language], self._spec.code]
        arguments = [
            *self._arguments,
            "--seccomp",
            str(filter_r),
            "--",
            "/usr/bin/bash",
            "-c",
            doorstep,
            "run",
            *command,
        ]
        drop = {"user": _UNUSED_UID, "group": _UNUSED_UID, "extra_groups": []} if os.geteuid() == 0 else {}
        try:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={},
                cwd="/",
                pass_fds=(here_w, filter_r),
                **drop,  # type: ignore[call-overload]
            )
        finally:
            for fd in (here_w, filter_r):
                os.close(fd)
        self._listen("stdout", process.stdout.fileno())
        self._listen("stderr", process.stderr.fileno())
        os.set_blocking(here_r, False)
        self._process = process
        return process, here_r

    def _listen(self, name: str, fd: int) -> None:
        os.set_blocking(fd, False)
        self._open.add(fd)
        asyncio.get_running_loop().add_reader(fd, self._read, name, fd)

    def _read(self, name: str, fd: int) -> None:
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            return
        if not data:
            self._close(fd)
            return
        room = self._spec.limits.output_bytes - len(self._out[name])
        self._out[name] += data[:room]
        if len(data) > room:
            self._kill("output")
        if self._on_output is not None and room > 0:
            self._on_output("stdout" if name == "stdout" else "stderr", data[:room])

    def _close(self, fd: int) -> None:
        asyncio.get_running_loop().remove_reader(fd)
        self._open.discard(fd)
        if not self._open:
            self._drained.set()

    async def _drain(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._drained.wait(), 1)
        for fd in tuple(self._open):
            self._close(fd)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    async def _started(self, process: subprocess.Popen[bytes], here: int) -> None:
        """Returns once the code is about to run. Raises SandboxUnavailable."""
        until = time.monotonic() + 5
        while time.monotonic() < until and process.poll() is None:
            with suppress(BlockingIOError):
                if os.read(here, 16):
                    return
            await asyncio.sleep(0.001)
        process.kill()
        await self._drain()
        why = self._out["stderr"].decode(errors="replace").strip()
        raise SandboxUnavailable(f"bubblewrap did not start: {why or 'no answer within 5 s'}. {_FIX}")

    async def _watch(self, process: subprocess.Popen[bytes], began: float) -> None:
        limits, ended = self._spec.limits, asyncio.Event()
        loop, pidfd = asyncio.get_running_loop(), os.pidfd_open(process.pid)
        loop.add_reader(pidfd, ended.set)  # the end is noticed at once, not at the next look
        try:
            await self._look(process, began, limits, ended)
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)

    async def _look(self, process: subprocess.Popen[bytes], began: float, limits: Limits, ended: asyncio.Event) -> None:
        while process.poll() is None and self._reason is None:
            inside = _family(process.pid)[2:]
            if time.monotonic() - began > limits.wall_s:
                self._kill("timeout")
            elif sum(map(_memory, inside)) > limits.memory_bytes:
                self._kill("memory")
            elif len(inside) > limits.processes:
                self._kill("processes")
            elif inside and _inodes(inside[0]) > _MOST_INODES:
                self._kill("disk")
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), _LOOK_EVERY_S)

    def _kill(self, reason: KilledReason) -> None:
        self._reason = self._reason or reason
        self._process.kill()

    def _result(self, code: int, began: float) -> RunResult:
        # bwrap reports a signal of the code as 128 + signal
        by_signal = -code if code < 0 else code - 128 if code > 128 else None
        reason = self._reason or ("timeout" if by_signal == signal.SIGXCPU else None)
        return RunResult(
            exit_code=None if by_signal else code,
            signal=by_signal,
            killed_reason=reason,
            duration_ms=round((time.monotonic() - began) * 1000),
            stdout=bytes(self._out["stdout"]),
            stderr=bytes(self._out["stderr"]),
            engine="bwrap",
            memory_enforcement="rlimit and watchdog",
        )


def _family(pid: int) -> list[int]:
    """`pid` and all its descendants, parents first."""
    found = [pid]
    for parent in found:
        with suppress(OSError):
            for task in os.listdir(f"/proc/{parent}/task"):
                found += map(int, Path(f"/proc/{parent}/task/{task}/children").read_text().split())
    return found


def _memory(pid: int) -> int:
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    return 0


def _inodes(pid: int) -> int:
    """Inodes used in /work and /tmp together; a tmpfs size does not cap them."""
    used = 0
    for place in ("work", "tmp"):
        with suppress(OSError):
            held = os.statvfs(f"/proc/{pid}/root/{place}")
            used += held.f_files - held.f_ffree
    return used


def _ulimits(spec: RunSpec) -> str:
    """Limits as bash sets them: -v -d -f -l in KiB, -t in seconds.

    The soft CPU limit is lower: SIGXCPU tells that it was the limit, where a hard one alone sends a plain SIGKILL.
    """
    limits = spec.limits
    # Node reserves address space it never uses: DATA counts what it really maps
    memory = "d" if spec.language == "javascript" else "v"
    lines = [
        f"-{memory} {limits.memory_bytes // 1024}",
        f"-St {limits.cpu_s}",
        f"-Ht {limits.cpu_s + 1}",
        f"-u {limits.processes}",
    ]
    lines += [f"-n {limits.open_files}", f"-f {limits.work_bytes // 1024}", "-c 0", "-l 0"]
    return "; ".join(f"ulimit {line}" for line in lines)
