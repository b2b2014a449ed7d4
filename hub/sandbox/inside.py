"""Looking into a running sandbox from outside, through descriptors of its own /proc and folders.

The descriptors are taken once, before the code runs: no path is resolved later, so nothing inside can redirect them.
They keep the folders readable after everything inside is dead, so what was produced is collected when nobody can
change it any more.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from hub.sandbox.engine import Produced
from hub.sandbox.priority import NICE, give_way, go_second

_TICK_MS: Final = 1000 // os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 10
_PAGE: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_MOST_PRODUCED: Final = 32
_INIT, _FIRST = 1, 2


@dataclass(slots=True)
class Usage:
    """What the processes inside use together, now or at most."""

    processes: int = 0
    memory_bytes: int = 0
    cpu_ms: int = 0
    inodes: int = 0

    def note(self, now: Usage) -> None:
        """Keep the larger of each."""
        self.processes = max(self.processes, now.processes)
        self.note_memory(now.memory_bytes)
        self.cpu_ms = max(self.cpu_ms, now.cpu_ms)
        self.inodes = max(self.inodes, now.inodes)

    def note_memory(self, seen_bytes: int) -> None:
        self.memory_bytes = max(self.memory_bytes, seen_bytes)


class Inside:
    """A running sandbox, by the process id of its init as the machine sees it."""

    def __init__(self, init: int) -> None:
        self._yielded = self._gave_way = False
        self._init = init
        with suppress(OSError):
            for pid in (init, *map(int, Path(f"/proc/{init}/task/{init}/children").read_text().split())):
                go_second(pid)
        self._proc, self._work, self._tmp = (_folder(f"/proc/{init}/root/{name}") for name in ("proc", "work", "tmp"))

    def close(self) -> None:
        for fd in (self._proc, self._work, self._tmp):
            os.close(fd)

    def yield_to_others(self) -> None:
        """Let everything else on the machine go first, the hub above all.

        Each session is a scheduling group of its own where the kernel groups so (most desktops), and then only the
        group's own value counts. The kernel takes one change in 100 ms from ordinary users: call again until it did.
        """
        if self._yielded:
            return
        try:
            fd = os.open(f"{_FIRST}/autogroup", os.O_WRONLY | os.O_CLOEXEC, dir_fd=self._proc)
            try:
                os.write(fd, str(NICE).encode())
            finally:
                os.close(fd)
        except BlockingIOError:
            return
        except OSError:  # no such groups here
            pass
        self._yielded = True

    def give_way(self) -> None:
        """Once the code has burned some processor time: let the hub run before it whenever it wakes up."""
        if not self._gave_way:
            self._gave_way = True
            for pid in _family(self._init):
                with suppress(OSError):
                    give_way(pid)

    def look(self) -> Usage:
        """What is used now, daemons and orphans included: whoever is in the namespace is in its /proc."""
        usage = Usage(inodes=_inodes(self._work) + _inodes(self._tmp))
        for pid in self._pids():
            with suppress(OSError, IndexError, ValueError):
                fields = self._read(f"{pid}/stat").rpartition(b")")[2].split()
                usage.cpu_ms += (
                    sum(map(int, fields[11:15])) * _TICK_MS
                )  # own and waited-for children's, user and system
                if pid != _INIT:
                    usage.processes += 1
                    usage.memory_bytes += int(fields[21]) * _PAGE
        return usage

    def shared_once(self) -> int:
        """Resident memory with shared pages divided among those that share them; slower than `look`."""
        total = 0
        for pid in self._pids():
            with suppress(OSError, ValueError):
                lines = self._read(f"{pid}/smaps_rollup").splitlines()
                total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(b"Pss:"))
        return total

    def _pids(self) -> list[int]:
        with suppress(OSError):  # the namespace has ended
            return [int(name) for name in os.listdir(self._proc) if name.isdigit()]
        return []

    def _read(self, name: str) -> bytes:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
        try:
            return os.read(fd, 8192)
        finally:
            os.close(fd)

    def produced(self, globs: Sequence[str], most_bytes: int) -> tuple[tuple[Produced, ...], tuple[str, ...]]:
        """See `collect`; only when all is dead."""
        return collect(self._work, globs, most_bytes)


def collect(folder: int, globs: Sequence[str], most_bytes: int) -> tuple[tuple[Produced, ...], tuple[str, ...]]:
    """Regular files directly in an open folder that match, opened; and what was left out, with why."""
    found: list[Produced] = []
    left_out: list[str] = []
    for name in sorted(os.listdir(folder)) if globs else ():
        if not any(fnmatchcase(name, glob) for glob in globs):
            continue
        room = most_bytes - sum(file.size_bytes for file in found)
        try:
            found.append(_regular(folder, name, room, len(found)))
        except (OSError, UnicodeError, ValueError) as error:
            left_out.append(f"{name.encode(errors='replace').decode()}: {error}")
    return tuple(found), tuple(left_out[:_MOST_PRODUCED])


def _family(pid: int) -> list[int]:
    """A process and what descends from it, as the machine numbers them."""
    found = [pid]
    for parent in found:
        with suppress(OSError):
            found += map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split())
    return found


def _folder(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _inodes(fd: int) -> int:
    """Inodes used; a tmpfs size does not cap them."""
    held = os.fstatvfs(fd)
    return held.f_files - held.f_ffree


def _regular(folder: int, name: str, room: int, count: int) -> Produced:
    """The file opened for reading; raises what is wrong with it."""
    name.encode()  # a name that is not text cannot be shown to anybody
    if count >= _MOST_PRODUCED:
        raise ValueError(f"more than {_MOST_PRODUCED} files")
    if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        raise ValueError("not a regular file")
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    size = os.fstat(fd).st_size
    if size > room:
        os.close(fd)
        raise ValueError("the files together are larger than /work may be")
    return Produced(name, size, fd)
