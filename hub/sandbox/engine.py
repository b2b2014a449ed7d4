"""What every engine promises: the same request in, the same result out. No engine details here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, get_args

Language = Literal["python", "javascript", "bash"]
Stream = Literal["stdout", "stderr"]
KilledReason = Literal["timeout", "memory", "output", "processes", "disk"]
OnOutput = Callable[[Stream, bytes], None]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use at most. `cpu_s` counts all its processes together."""

    wall_s: float = 10.0
    cpu_s: int = 5
    memory_bytes: int = 512 * MIB
    processes: int = 32
    work_bytes: int = 32 * MIB
    tmp_bytes: int = 16 * MIB
    inodes: int = 4096
    open_files: int = 128
    output_bytes: int = 256 * 1024


@dataclass(frozen=True, slots=True)
class Given:
    """A file shown read-only as /room/`name`; `fd` is open for reading, at its start, and stays the caller's."""

    name: str
    fd: int


@dataclass(frozen=True, slots=True)
class Produced:
    """A regular file that the code left in /work. `fd` is open for reading; the receiver closes it."""

    name: str
    size_bytes: int
    fd: int


@dataclass(frozen=True, slots=True)
class RunSpec:
    """`save` are globs over names in /work of what is given back."""

    language: Language
    code: str
    files: tuple[Given, ...] = ()
    save: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended.

    `exit_code` is as a shell reports it (128 + n after signal n) and null when the hub ended the run; then
    `killed_reason` says which limit it was, or `stopped` that somebody cancelled it. `peak_memory_bytes` is the
    largest sum over its processes that was seen.
    """

    exit_code: int | None
    signal: int | None
    killed_reason: KilledReason | None
    duration_ms: int
    stdout: bytes
    stderr: bytes
    engine: str
    memory_enforcement: str
    cpu_ms: int | None = None
    peak_memory_bytes: int | None = None
    stopped: bool = False
    produced: tuple[Produced, ...] = ()
    not_saved: tuple[str, ...] = ()
    network: Literal["none"] = "none"


class SandboxUnavailable(Exception):
    """This machine cannot run code apart from itself; the text says why and what to install or allow."""


class Engine(Protocol):
    """A way to run code apart from the machine."""

    name: str
    enforcement: str  # what keeps the memory limit, once tested
    note: str  # how it could be stronger here; empty when nothing is missing

    async def run(
        self, spec: RunSpec, on_output: OnOutput | None = None, stop: asyncio.Event | None = None
    ) -> RunResult:
        """Run to the end, to a limit, or until `stop` is set; nothing of it is left alive.

        Raises SandboxUnavailable when it cannot start.
        """
        ...

    async def self_test(self) -> tuple[Language, ...]:
        """The languages that run here. Raises SandboxUnavailable when this machine does not hold code in."""
        ...

    def close(self) -> None:
        """End whatever runs and every helper process."""
        ...
