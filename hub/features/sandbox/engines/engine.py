"""What every engine promises: the same request in, the same result out. No engine details here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

Language = Literal["python", "javascript", "bash"]
KilledReason = Literal["timeout", "memory", "output", "processes", "disk"]
OnOutput = Callable[[Literal["stdout", "stderr"], bytes], None]
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    wall_s: float = 10.0
    cpu_s: int = 5
    memory_bytes: int = 512 * MIB
    processes: int = 32
    work_bytes: int = 32 * MIB
    tmp_bytes: int = 16 * MIB
    open_files: int = 128
    output_bytes: int = 256 * 1024


@dataclass(frozen=True, slots=True)
class RunSpec:
    """`room_dir` is shown read-only at /room."""

    language: Language
    code: str
    room_dir: Path | None = None
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class RunResult:
    """`exit_code` is null when a signal ended it; `killed_reason` says which limit the hub enforced."""

    exit_code: int | None
    signal: int | None
    killed_reason: KilledReason | None
    duration_ms: int
    stdout: bytes
    stderr: bytes
    engine: str
    memory_enforcement: str
    network: Literal["none"] = "none"


class SandboxUnavailable(Exception):
    """This machine cannot run code apart from itself; the text says why and what to install or allow."""


class Engine(Protocol):
    name: str

    async def run(self, spec: RunSpec, on_output: OnOutput | None = None) -> RunResult: ...

    async def self_test(self) -> None:
        """Raises SandboxUnavailable when this machine or configuration does not hold code in."""
