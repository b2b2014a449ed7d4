"""Bubblewrap with what it lacks by itself: a filter, limits set inside, and a watchdog. Linux only.

    runner ── bwrap ── init of the pid namespace ── bash (lowers its own limits for good) ── exec code

The limits are set inside: earlier, the process limit would count the user's own processes on the desktop, and from
outside a hub in a container lacks the right (CAP_SYS_RESOURCE). Code and files go in through descriptors that bwrap
copies into a tmpfs, so no other process sees them in an argument list and nothing is left on disk.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import resource  # noqa: F401 (os.wait4 imports it when first called: too late, the runner gave its rights up)
import shutil
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from hub.sandbox.cgroup import Group, Groups, NoGroups
from hub.sandbox.engine import (
    Given,
    KilledReason,
    Language,
    Limits,
    OnOutput,
    Produced,
    RunResult,
    RunSpec,
    SandboxUnavailable,
    Stream,
)
from hub.sandbox.inside import Inside, Usage
from hub.sandbox.seccomp import ARCHES, program

_PATH: Final = "/usr/bin:/usr/local/bin"  # what the code sees of the machine is /usr, nothing else
_PROGRAMS: Final[dict[Language, tuple[str, tuple[str, ...], str]]] = {
    "python": ("python3", ("-s", "-B", "-u"), "main.py"),
    "javascript": ("node", (), "main.js"),
    "bash": ("bash", ("--noprofile", "--norc"), "main.sh"),
}
_HELLO: Final[dict[Language, str]] = {"python": "print(42)", "javascript": "console.log(42)", "bash": "echo 42"}
_LOOK_EVERY_S: Final = 0.02
_BURNS_MS: Final = 100
_START_S: Final = 10.0
_TEST_S: Final = 15.0  # some 50 ms, but a machine that just started has other things to do
_ETC: Final = ("ld.so.cache", "alternatives", "localtime")
_PAGE: Final = 4096
_PR_SET_CHILD_SUBREAPER: Final = 36

WITHOUT_GROUP: Final = "rlimit and watchdog"
WITH_GROUP: Final = "cgroup, rlimit and watchdog"
FIX: Final = (
    "Allow unprivileged user namespaces: sysctl kernel.unprivileged_userns_clone=1, on Ubuntu also "
    "kernel.apparmor_restrict_unprivileged_userns=0; in a container, a seccomp profile that permits them"
)
# The doorstep: lower the hard limits, say "here", wait to be let in, drop the descriptors, become the code. Without the
# wait, code that ends at once is gone before the watchdog has its folders open.
_DOORSTEP: Final = 'set -e; {limits}; echo here >&{here}; exec {here}>&-; read -r _ <&{go}; exec {go}<&-; exec "$@"'
_SELF_TEST: Final = """
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


class Bwrap:
    """Needs bubblewrap and unprivileged user namespaces, on Linux (x86-64 or ARM64)."""

    name = "bwrap"

    def __init__(self, binary: str | None, groups: Groups | None = None, note: str = "") -> None:
        self._binary = binary
        self._adopts = False
        self._groups = groups
        self.note = note

    @property
    def enforcement(self) -> str:
        return WITHOUT_GROUP if self._groups is None else WITH_GROUP

    async def self_test(self) -> tuple[Language, ...]:
        """The languages that run here. Raises SandboxUnavailable when this machine does not hold code in."""
        binary = self._need_platform()
        result = await self.run(RunSpec("bash", _SELF_TEST, limits=Limits(wall_s=_TEST_S)))
        if result.stdout != b"held\n":
            said = (result.stderr or result.stdout).decode(errors="replace").strip()[-300:]
            why = said or f"it ended without a word (exit code {result.exit_code}, {result.killed_reason})"
            raise SandboxUnavailable(f"bubblewrap ({binary}) does not hold code in here: {why}. {FIX}")
        if result.peak_memory_bytes is None:
            raise SandboxUnavailable("the watchdog cannot look into the sandbox (is /proc mounted with hidepid?)")
        self._test_groups()
        return tuple([language for language in _PROGRAMS if await self._speaks(language)])

    def _test_groups(self) -> None:
        """Go on without control groups where they hold nothing: they are a second wall, not the only one."""
        if self._groups is not None:
            try:
                self._groups.verify()
            except NoGroups as error:
                self._groups, self.note = None, str(error)

    def group_for(self, spec: RunSpec) -> Group | None:
        """A control group for a run; None where there is none to be had."""
        with suppress(OSError):
            if self._groups is not None:
                return self._groups.make(spec.limits, _room_bytes(spec.files))
        return None

    def remove_groups(self) -> None:
        if self._groups is not None:
            self._groups.remove()

    async def _speaks(self, language: Language) -> bool:
        if shutil.which(_PROGRAMS[language][0], path=_PATH) is None:
            return False
        result = await self.run(RunSpec(language, _HELLO[language]))
        return result.stdout == b"42\n"

    def _need_platform(self) -> str:
        if not os.path.exists("/proc/self/ns/user") or os.uname().machine not in ARCHES:
            raise SandboxUnavailable(f"the bubblewrap engine needs Linux on {' or '.join(ARCHES)}")
        if os.geteuid() == 0:
            raise SandboxUnavailable("never as root: the runner gives its rights up before it starts anything")
        if self._binary is None:
            raise SandboxUnavailable("bubblewrap is not installed; install the package 'bubblewrap'")
        if not self._adopts:  # see `_Run._reap`
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            self._adopts = True
        return self._binary

    async def run(
        self, spec: RunSpec, on_output: OnOutput | None = None, stop: asyncio.Event | None = None
    ) -> RunResult:
        """Run to the end, to a limit, or until `stop`; nothing of it is left alive. Raises SandboxUnavailable."""
        binary = self._need_platform()
        return await _Run(self, binary, spec, on_output, stop or asyncio.Event()).finish()

    def close(self) -> None:
        """Nothing outlives its run."""

    def arguments(self, spec: RunSpec) -> list[str]:
        """What the code may see and do, as bwrap's options; files and code come on top, then `/` is closed."""
        limits = spec.limits
        made = ["--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
        made += ["--unshare-cgroup-try", "--disable-userns", "--new-session", "--die-with-parent", "--cap-drop", "ALL"]
        made += ["--uid", "1000", "--gid", "1000", "--hostname", "sandbox", "--clearenv"]
        made += ["--setenv", "PATH", _PATH, "--setenv", "HOME", "/work", "--setenv", "LANG", "C.UTF-8"]
        if spec.files:
            made += ["--setenv", "PYTHONPATH", "/room"]
        made += ["--ro-bind", "/usr", "/usr"]
        for name in ("bin", "sbin", "lib", "lib64"):
            made += ["--symlink", f"usr/{name}", f"/{name}"]
        for name in _ETC:
            made += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
        made += ["--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--dev", "/dev", "--remount-ro", "/dev"]
        made += ["--size", "65536", "--tmpfs", "/dev/shm"]  # noqa: S108
        made += ["--size", str(limits.tmp_bytes), "--tmpfs", "/tmp"]  # noqa: S108
        return [*made, "--size", str(limits.work_bytes), "--tmpfs", "/work", "--chdir", "/work"]


def _with_files(code: int, code_path: str, files: Sequence[Given]) -> list[str]:
    """Options that copy code and files in, by descriptor, and close what holds them."""
    program_name = ["--dir", "/code", "--perms", "0444", "--file", str(code), code_path]
    if not files:
        return [*program_name, "--dir", "/room", "--remount-ro", "/"]
    made = ["--size", str(_room_bytes(files)), "--tmpfs", "/room"]
    for given in files:
        made += ["--perms", "0444", "--file", str(given.fd), f"/room/{given.name}"]
    return [*program_name, *made, "--remount-ro", "/room", "--remount-ro", "/"]


def _room_bytes(files: Sequence[Given]) -> int:
    """What /room takes, in whole pages."""
    return sum(-(-os.fstat(given.fd).st_size // _PAGE) * _PAGE + _PAGE for given in files) + 16 * _PAGE


@dataclass(slots=True)
class _Ends:
    """Our ends of the pipes of one run, closed together."""

    here: int
    go: int
    info: int
    stdout: int
    stderr: int

    def close(self) -> None:
        for fd in (self.here, self.go, self.info, self.stdout, self.stderr):
            os.close(fd)


class _Run:
    """One execution: processes, pipes, limits. Made, finished once, thrown away."""

    def __init__(
        self, engine: Bwrap, binary: str, spec: RunSpec, on_output: OnOutput | None, stop: asyncio.Event
    ) -> None:
        self._engine, self._binary, self._spec = engine, binary, spec
        self._on_output, self._stop = on_output, stop
        self._out: dict[Stream, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._heard: dict[Stream, int] = {"stdout": 0, "stderr": 0}
        self._open: set[int] = set()
        self._drained = asyncio.Event()
        self._ended = asyncio.Event()
        self._reason: KilledReason | None = None
        self._killed = False
        self._usage = Usage()
        self._init: tuple[int, int] | None = None  # pid and pidfd of the namespace's init
        self._group = engine.group_for(spec)
        self._enforced = WITHOUT_GROUP

    async def finish(self) -> RunResult:
        began = time.monotonic()
        self._ends = self._start()
        loop, inside = asyncio.get_running_loop(), None
        saved: tuple[tuple[Produced, ...], tuple[str, ...]] = (), ()
        try:
            loop.add_reader(self._pidfd, self._ended.set)  # the end is noticed at once, not at the next look
            inside = await self._started()
            await self._watch(inside, began)
        finally:
            code = await self._reap()
            await self._drain()
            if inside is not None:
                saved = inside.produced(self._spec.save, self._spec.limits.work_bytes) if not self._killed else saved
                inside.close()
            self._ends.close()
            self._leave_group()
        return self._result(code, began, *saved)

    # --- starting ---------------------------------------------------------------------------------------------

    def _start(self) -> _Ends:
        pipes = {name: os.pipe() for name in ("here", "go", "info", "stdout", "stderr", "filter")}
        os.write(pipes["filter"][1], program())  # under 64 KiB: fits the pipe
        os.close(pipes["filter"][1])
        code = os.memfd_create("code")
        os.write(code, self._spec.code.encode())
        os.lseek(code, 0, os.SEEK_SET)
        theirs = [pipes["here"][1], pipes["go"][0], pipes["info"][1], pipes["filter"][0], code]
        try:
            command = self._command(here=theirs[0], go=theirs[1], info=theirs[2], filtered=theirs[3], code=code)
            keep = (*theirs, *(given.fd for given in self._spec.files))
            self._pid = self._spawn(command, pipes["stdout"][1], pipes["stderr"][1], keep)
        finally:
            for fd in (*theirs, pipes["stdout"][1], pipes["stderr"][1]):
                os.close(fd)
        self._pidfd = os.pidfd_open(self._pid)
        self._listen("stdout", pipes["stdout"][0])
        self._listen("stderr", pipes["stderr"][0])
        return _Ends(pipes["here"][0], pipes["go"][1], pipes["info"][0], pipes["stdout"][0], pipes["stderr"][0])

    def _spawn(self, command: list[str], stdout: int, stderr: int, keep: Sequence[int]) -> int:
        if self._group is not None:
            null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            try:
                pid = self._group.start(command, stdin=null, stdout=stdout, stderr=stderr, keep=keep)
                self._enforced = WITH_GROUP
                return pid
            except OSError:
                self._leave_group()  # and go on without
            finally:
                os.close(null)
        actions = [(os.POSIX_SPAWN_DUP2, fd, fd) for fd in keep]  # onto itself: keeps it open over exec
        actions += [(os.POSIX_SPAWN_DUP2, stdout, 1), (os.POSIX_SPAWN_DUP2, stderr, 2)]
        opened = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        return os.posix_spawn(
            self._binary, command, {}, file_actions=[opened, *actions], setsigmask=(), setsigdef=(signal.SIGPIPE,)
        )

    def _command(self, *, here: int, go: int, info: int, filtered: int, code: int) -> list[str]:
        program_name, options, file_name = _PROGRAMS[self._spec.language]
        doorstep = _DOORSTEP.format(limits=_ulimits(self._spec), here=here, go=go)
        return [
            self._binary,
            *self._engine.arguments(self._spec),
            *_with_files(code, f"/code/{file_name}", self._spec.files),
            *("--info-fd", str(info), "--seccomp", str(filtered), "--", "bash", "-c", doorstep, "run"),
            *(program_name, *options, f"/code/{file_name}"),
        ]

    def _listen(self, name: Stream, fd: int) -> None:
        os.set_blocking(fd, False)
        self._open.add(fd)
        asyncio.get_running_loop().add_reader(fd, self._read, name, fd)

    async def _started(self) -> Inside:
        """Returns once the code is about to run. Raises SandboxUnavailable."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_START_S):
                if await self._first_of(self._ends.here) and os.read(self._ends.here, 16):
                    child: int = json.loads(os.read(self._ends.info, 4096))["child-pid"]
                    self._init = child, os.pidfd_open(child)
                    inside = Inside(child)
                    os.write(self._ends.go, b"\n")
                    return inside
        self._kill_all()
        await self._drain()
        why = self._out["stderr"].decode(errors="replace").strip()
        raise SandboxUnavailable(f"bubblewrap did not start: {why or f'no answer within {_START_S:.0f} s'}. {FIX}")

    async def _first_of(self, fd: int) -> bool:
        """Wait until `fd` can be read; false when the process ended first."""
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(fd, ready.set)
        waits = [asyncio.ensure_future(event.wait()) for event in (ready, self._ended)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loop.remove_reader(fd)
            for wait in waits:
                wait.cancel()
        return ready.is_set()

    # --- while it runs ----------------------------------------------------------------------------------------

    def _read(self, name: Stream, fd: int) -> None:
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            return
        if not data:
            self._close(fd)
            return
        room = self._spec.limits.output_bytes - len(self._out[name])
        self._heard[name] += len(data)
        self._out[name] += data[:room]
        if len(data) > room:
            self._kill("output")
        if self._on_output is not None and room > 0:
            self._on_output(name, data[:room])

    def _close(self, fd: int) -> None:
        asyncio.get_running_loop().remove_reader(fd)
        self._open.discard(fd)
        if not self._open:
            self._drained.set()

    async def _drain(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await self._drained.wait()
        for fd in tuple(self._open):
            self._close(fd)

    async def _watch(self, inside: Inside, began: float) -> None:
        while not self._ended.is_set() and not self._killed:
            inside.yield_to_others()
            now = inside.look()
            self._usage.note(now)
            if now.cpu_ms > _BURNS_MS:
                inside.give_way()
            if self._group is not None:
                now.cpu_ms = max(now.cpu_ms, self._group.cpu_ms())
            if self._stop.is_set():
                self._kill_all()
            elif (reason := self._over(now, time.monotonic() - began, inside)) is not None:
                self._kill(reason)
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_EVERY_S):
                        await self._ended.wait()

    def _over(self, now: Usage, ran_s: float, inside: Inside) -> KilledReason | None:
        """Which limit is passed, if one is."""
        limits = self._spec.limits
        if ran_s > limits.wall_s or now.cpu_ms > (limits.cpu_s + 1) * 1000:
            return "timeout"
        # resident pages count once per process that shares them: look closer before killing
        if now.memory_bytes > limits.memory_bytes and inside.shared_once() > limits.memory_bytes:
            return "memory"
        if now.processes > limits.processes:
            return "processes"
        return "disk" if now.inodes > limits.inodes else None

    def _kill(self, reason: KilledReason) -> None:
        self._reason = self._reason or reason
        self._kill_all()

    def _kill_all(self) -> None:
        self._killed = True
        if self._group is not None:
            self._group.kill()
        # bwrap first: init dies with its parent and, as nobody else can wait for it, becomes ours
        for pidfd in (self._pidfd, *(() if self._init is None else self._init[1:])):
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)

    # --- the end ----------------------------------------------------------------------------------------------

    async def _reap(self) -> int:
        """The code's exit code, after everything is gone; takes in what the kernel says it all used.

        bwrap ends before the namespace's init does, so init becomes ours (we are a subreaper) and is waited for too:
        that is the proof that nothing is left, and the only place where short processes are counted.
        """
        if not self._ended.is_set():
            self._kill_all()
        await self._ended.wait()
        _pid, status = os.waitpid(self._pid, 0)  # noqa: ASYNC222 (it has ended)
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        if self._init is not None:
            await self._reap_init(*self._init)
        if self._group is not None:
            self._account(self._group)
        return os.waitstatus_to_exitcode(status)

    async def _reap_init(self, pid: int, pidfd: int) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        dead = asyncio.Event()
        asyncio.get_running_loop().add_reader(pidfd, dead.set)
        await dead.wait()
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)
        with suppress(ChildProcessError):
            _pid, _status, used = os.wait4(pid, 0)  # noqa: ASYNC222 (it has ended)
            self._usage.cpu_ms = max(self._usage.cpu_ms, round((used.ru_utime + used.ru_stime) * 1000))
            self._usage.note_memory(used.ru_maxrss * 1024)

    def _account(self, group: Group) -> None:
        """What the kernel did and counted, after all is over."""
        self._usage.cpu_ms = max(self._usage.cpu_ms, group.cpu_ms())
        if not self._killed and group.out_of_memory():
            self._reason, self._killed = "memory", True

    def _leave_group(self) -> None:
        if self._group is not None:
            self._group.close()
            self._engine.remove_groups()
            self._group = None

    def _result(self, code: int, began: float, produced: Sequence[Produced], not_saved: Sequence[str]) -> RunResult:
        # bwrap reports a signal of the code as 128 + signal, as a shell does
        by_signal = -code if code < 0 else code - 128 if 128 < code <= 192 else None
        reason = self._reason or ("timeout" if by_signal == signal.SIGXCPU and not self._killed else None)
        return RunResult(
            exit_code=None if self._killed or reason else code,
            signal=by_signal,
            killed_reason=reason,
            duration_ms=round((time.monotonic() - began) * 1000),
            cpu_ms=self._usage.cpu_ms,
            peak_memory_bytes=self._usage.memory_bytes or None,
            stdout=bytes(self._out["stdout"]),
            stderr=bytes(self._out["stderr"]),
            engine="bwrap",
            memory_enforcement=self._enforced,
            stopped=self._killed and self._reason is None,
            produced=tuple(produced),
            not_saved=tuple(not_saved),
        )


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
