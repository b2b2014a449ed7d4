"""A control group of its own for each run, where the machine lets this hub make some. Version 2 of the interface only.

    own group of the hub ─┬─ hub                what was in it before: a group that is divided may hold no process
                          └─ mcp-bridge.<pid>   given to the runner, with less weight than the hub
                               ├─ runner
                               └─ run-1 …       one run: memory, processes, processor time, all killed at once

Needs no right of its own: only a group that is ours to divide. Without one, limits are kept by other means (rlimits
and the watchdog), which cannot see the kernel's own memory for pipes and sockets, and look only 50 times a second.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import shutil
import signal
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from hub.sandbox.engine import MIB, Limits

CONTROLLERS: Final = ("cpu", "memory", "pids")
FIX: Final = (
    "start the hub where it may divide its control group: a systemd unit with `Delegate=yes`, or "
    "`systemd-run --user --scope -p Delegate=yes mcp-bridge up`"
)
_PREFIX: Final = "mcp-bridge."
_WEIGHT: Final = 33  # of 100 that the hub has: what a nice value of 5 is between processes
_OVERHEAD_BYTES: Final = 16 * MIB  # bubblewrap itself, /dev/shm, page tables, pipes
_KEEPERS: Final = 2  # bubblewrap outside, and its init inside
_TRIES: Final = 10
_CLONE3: Final = 435  # the same number everywhere
_CLONE_INTO_CGROUP: Final = 0x200000000
_SYSTEMD: Final = Path("/run/systemd/system")
_SCOPE_S: Final = 5.0


class NoGroups(Exception):
    """Runs get no control group here; the text says why, and what would change it."""


# --- finding a place ------------------------------------------------------------------------------------------------


def own_folder(proc: Path = Path("/proc/self")) -> Path:
    """The folder of this process's own group. Raises NoGroups."""
    within = next((line[3:] for line in (proc / "cgroup").read_text().splitlines() if line.startswith("0::")), None)
    if within is None:
        raise NoGroups("the kernel has no control groups of version 2")
    for line in (proc / "mountinfo").read_text().splitlines():
        mount, _dash, kind = line.partition(" - ")
        root, place = mount.split()[3:5]
        if kind.startswith("cgroup2 ") and Path(within).is_relative_to(root) and ".." not in within:
            return Path(place) / Path(within).relative_to(root)
    raise NoGroups("this process's control group is not mounted where it can be seen (/sys/fs/cgroup)")


def claim(own: Path, user: int | None, *, systemd: Path = _SYSTEMD) -> Groups:
    """Divide `own`, and give a part to `user` (None: whoever we are). Raises NoGroups, and then little has changed."""
    _must_be_ours(own, systemd)
    try:
        sweep(own)
        if (own / "cgroup.type").exists():  # only the machine's first group lacks it, and may hold both
            _step_aside(own)
        else:
            _divide(own)
        base = own / f"{_PREFIX}{os.getpid()}"
        base.mkdir()
        _write(base / "cpu.weight", _WEIGHT)
        _divide(base)
        (base / "runner").mkdir()
        _write(base / "runner" / "cgroup.procs", 0)
        if user is not None:
            _give(base, user)
            _give(base / "runner", user)
    except OSError as error:
        raise NoGroups(f"{own} cannot be divided ({error.strerror}: {error.filename}); {FIX}") from error
    return Groups(base)


def _must_be_ours(own: Path, systemd: Path) -> None:
    missing = sorted(set(CONTROLLERS) - set(_read(own / "cgroup.controllers").split()))
    if missing:
        raise NoGroups(
            f"{own} does not offer {', '.join(missing)} (version 1 has them, or nobody passed them on); {FIX}"
        )
    if not all(os.access(path, os.W_OK) for path in (own, own / "cgroup.subtree_control", own / "cgroup.procs")):
        raise NoGroups(f"{own} belongs to somebody else; {FIX}")
    if systemd.exists() and not delegated(own):
        raise NoGroups(f"{own} is systemd's to divide, not the hub's; {FIX}")


def delegated(own: Path) -> bool:
    """Whether systemd marked the group as ours; older than version 251 it marks none for ordinary users."""
    for name in ("user.delegate", "trusted.delegate"):
        with suppress(OSError):
            return os.getxattr(own, name) == b"1"
    return False


def _step_aside(own: Path) -> None:
    """Move everybody in `own` one down and divide it; again when somebody was born meanwhile."""
    (own / "hub").mkdir(exist_ok=True)
    for left in reversed(range(_TRIES)):
        for pid in _read(own / "cgroup.procs").split():
            with suppress(ProcessLookupError):
                _write(own / "hub" / "cgroup.procs", pid)
        try:
            _divide(own)
            break
        except OSError as error:
            if error.errno != errno.EBUSY or not left:
                raise


def _divide(folder: Path) -> None:
    _write(folder / "cgroup.subtree_control", " ".join(f"+{name}" for name in CONTROLLERS))


def _give(folder: Path, user: int) -> None:
    """Let `user` divide a group, and not change what limits it."""
    for name in ("", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"):
        os.chown(folder / name, user, user)


def sweep(own: Path) -> None:
    """Remove what runners that are gone left: a process cannot remove the group it is in."""
    for base in own.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # one that is alive is busy
            if "populated 0" in _read(base / "cgroup.events"):
                for folder in (*base.glob("*/"), base):
                    folder.rmdir()


async def scope() -> list[str]:
    """What, before a command, has systemd put it into a group that is its own to divide; nothing where that fails."""
    with suppress(NoGroups, OSError):
        systemd_run = shutil.which("systemd-run")
        if systemd_run is None or not _SYSTEMD.exists() or delegated(own_folder()):
            return []
        command = [systemd_run, *(() if os.geteuid() == 0 else ("--user",)), "--scope", "--quiet", "--collect"]
        command += [
            "-p",
            "Delegate=yes",
            "-p",
            f"CPUWeight={_WEIGHT}",
            "--description=Runs of a multi-agent-bridge hub",
        ]
        command += ["/usr/bin/env", "-i"]  # what follows gets nothing of what systemd-run needs to find the manager
        null = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(*command, "true", stdin=null, stdout=null, stderr=null)
        try:
            async with asyncio.timeout(_SCOPE_S):
                if await process.wait() == 0:
                    return command
        except TimeoutError:
            process.kill()
            await process.wait()
    return []


def scope_environment() -> dict[str, str]:
    """The environment that a command with `scope()` before it needs."""
    return {name: os.environ[name] for name in ("XDG_RUNTIME_DIR",) if name in os.environ}


# --- groups of runs -------------------------------------------------------------------------------------------------


class Groups:
    """A part of the tree in which this process may make groups."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._made = 0
        self._to_remove: list[Path] = []

    def make(self, limits: Limits, shown_bytes: int = 0) -> Group:
        """A group for one run. Raises OSError."""
        # what lies in /work, /tmp and /room is memory of the group too
        memory = limits.memory_bytes + limits.work_bytes + limits.tmp_bytes + shown_bytes + _OVERHEAD_BYTES
        return self._make(memory, limits.processes + _KEEPERS)

    def _make(self, memory_bytes: int, processes: int) -> Group:
        self.remove()
        self._made += 1
        folder = self._base / f"run-{self._made}"
        folder.mkdir()
        self._to_remove.append(folder)
        _write(folder / "memory.max", memory_bytes)
        _write(folder / "memory.oom.group", 1)
        _write(folder / "pids.max", processes)
        with suppress(FileNotFoundError):  # a kernel without swap accounting
            _write(folder / "memory.swap.max", 0)
        with suppress(FileNotFoundError):  # Linux 5.15; only the runner is beside it, which must be able to look
            _write(folder / "cpu.idle", 1)
        return Group(folder)

    def remove(self) -> None:
        """Remove the groups of runs that are over."""
        for folder in tuple(self._to_remove):
            with suppress(OSError):  # still in use: next time
                folder.rmdir()
                self._to_remove.remove(folder)

    def verify(self) -> None:
        """Raises NoGroups unless a program started in a group really is in it, counted and charged to it.

        Not by breaking a limit: the kernel would tell the administrator of every one.
        """
        try:
            group = self._make(32 * MIB, 1)
            try:
                said = _counted(group)
            finally:
                group.close()
                self.remove()
        except (OSError, ValueError) as error:
            raise NoGroups(f"control groups cannot be used here ({error})") from error
        if said:
            raise NoGroups(f"control groups hold nothing here: {said}")


class Group:
    """The group of one run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def start(self, command: Sequence[str], *, stdin: int, stdout: int, stderr: int, keep: Sequence[int] = ()) -> int:
        """Start a program inside, with an empty environment: it is never anywhere else. Its process id; OSError.

        `posix_spawn` cannot, and moving a process afterwards takes the kernel many milliseconds.
        """
        libc = ctypes.PyDLL(None, use_errno=True)  # PyDLL keeps the interpreter's lock: the child must own it
        asked = struct.pack("=11Q", _CLONE_INTO_CGROUP, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, self._fd)
        pid: int = libc.syscall(_CLONE3, asked, ctypes.c_size_t(len(asked)))
        if pid < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(self._folder))
        if pid == 0:
            _become(command, (stdin, stdout, stderr), keep)
        return pid

    def cpu_ms(self) -> int:
        """Processor time of everybody that was ever in it."""
        return int(_field(self._look("cpu.stat"), "usage_usec")) // 1000

    def out_of_memory(self) -> bool:
        """Whether the kernel ended it for want of memory."""
        return _field(self._look("memory.events"), "oom_kill") != "0"

    def members(self) -> list[int]:
        return [int(pid) for pid in _read(self._folder / "cgroup.procs").split()]

    def charged_bytes(self) -> int:
        return int(_read(self._folder / "memory.current"))

    def kill(self) -> None:
        """Kill everybody in it at once, however fast they multiply (Linux 5.14)."""
        with suppress(OSError):
            _write(self._folder / "cgroup.kill", 1)

    def close(self) -> None:
        os.close(self._fd)

    def _look(self, name: str) -> str:
        with suppress(OSError):
            return _read(self._folder / name)
        return ""


def _become(command: Sequence[str], standard: Sequence[int], keep: Sequence[int]) -> None:
    """In the child of a clone: become `command`. Never returns."""
    try:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        for number, fd in enumerate(standard):
            os.dup2(fd, number)
        for fd in keep:
            os.set_inheritable(fd, True)
        os.execve(command[0], list(command), {})  # noqa: S606 (the command is ours)
    finally:
        os._exit(127)


def _counted(group: Group) -> str:
    """What is wrong with a group, tried with a program that waits; empty when nothing is."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    pid = 0
    try:
        pid = group.start(["/usr/bin/sleep", "60"], stdin=null, stdout=null, stderr=null)
        if group.members() != [pid]:
            return "a program started in one is not in it"
        return "" if group.charged_bytes() > 0 else "they do not count memory"
    finally:
        os.close(null)
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _field(text: str, name: str) -> str:
    return next((line.split()[1] for line in text.splitlines() if line.startswith(f"{name} ")), "0")


def _read(path: Path) -> str:
    return path.read_text()


def _write(path: Path, value: object) -> None:
    """One write, without creating: what is not there is not a control group."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, str(value).encode())
    finally:
        os.close(fd)
