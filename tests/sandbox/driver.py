"""Runs the probes as whoever starts it, with only the standard library: `driver.py hardened|naive|unfiltered DIR`.

Prints, as JSON, the probes that escaped and what the self-test said. `driver.py hang DIR MARK` starts a run that
does not end, whose processes are called MARK. `driver.py late DIR` prints what is known of code that ends at once when
the watchdog is slow to look; `driver.py pretended DIR` how a run goes whose control group is none.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import socket
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, sys.argv[2])

from hub.sandbox import bwrap
from hub.sandbox.bwrap import Bwrap
from hub.sandbox.cgroup import Groups
from hub.sandbox.engine import MIB, Given, Limits, RunSpec, SandboxUnavailable
from hub.sandbox.inside import Inside
from hub.sandbox.runner import give_up_rights
from hub.sandbox.supervisor import Supervised
from tests.sandbox.probes import PROBES


class Naive(Bwrap):
    """What a README suggests: the system read-only, a folder to write in, and hope."""

    def arguments(self, spec: RunSpec) -> list[str]:
        made = ["--proc", "/proc", "--dev", "/dev", "--bind", "/tmp", "/tmp", "--dir", "/work", "--chdir", "/work"]
        for place in ("/usr", "/etc", "/bin", "/lib", "/lib64", "/home", "/root", "/var", "/opt", "/boot", "/sys"):
            made += ["--ro-bind-try", place, place]
        return made


def allow_everything() -> bytes:
    """A filter that is there and refuses nothing."""
    return struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF0000)


def limits(kind: str) -> Limits:
    """A naive sandbox shares the machine's processes, so its limits must be out of the way."""
    if kind != "naive":
        return Limits(wall_s=30)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    return Limits(
        wall_s=30, cpu_s=10**6, processes=hard if hard > 0 else 10**6, memory_bytes=MIB * MIB, inodes=MIB * MIB
    )


async def report(kind: str, home: Path) -> dict[str, object]:
    give_up_rights()
    if kind == "unfiltered":
        setattr(bwrap, "program", allow_everything)  # noqa: B010
    engine = (Naive if kind == "naive" else Bwrap)(shutil.which("bwrap"))
    (home / "secret").write_text("secret")
    shared = os.open(home / "secret", os.O_RDONLY)
    os.environ["PLANTED"] = "PLANTED"
    listener, abstract = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)
    name = f"bridge-probe-{os.getpid()}"
    abstract.bind(f"\0{name}")
    abstract.listen()
    port = str(listener.getsockname()[1])
    escaped, ran = [], 0
    for probe, code in PROBES.items():
        code = code.replace("SECRET", str(home / "secret")).replace("PORT", port).replace("ABSTRACT", name)
        os.lseek(shared, 0, os.SEEK_SET)
        result = await engine.run(RunSpec("python", code, (Given("shared", shared),), limits=limits(kind)))
        ran += result.killed_reason is None
        if b"ESCAPED" in result.stdout:
            escaped.append(probe)
    try:
        said = " ".join(await engine.self_test())
    except SandboxUnavailable as error:
        said = str(error)
    return {"ran": ran, "escaped": escaped, "self_test": said, "as_root": os.getuid() == 0}


async def late() -> dict[str, object]:
    give_up_rights()
    look = Inside

    def slow(init: int) -> Inside:
        threading.Event().wait(0.3)
        return look(init)

    setattr(bwrap, "Inside", slow)  # noqa: B010
    result = await Bwrap(shutil.which("bwrap")).run(RunSpec("bash", "echo left > kept", save=("kept",)))
    return {"exit_code": result.exit_code, "kept": [file.name for file in result.produced]}


async def pretended(home: Path) -> dict[str, object]:
    """With a control group that is none."""
    give_up_rights()
    groups = home / "groups"
    groups.mkdir()
    setattr(Path, "mkdir", _filled(Path.mkdir))  # noqa: B010
    engine = Bwrap(shutil.which("bwrap"), Groups(groups))
    result = await engine.run(RunSpec("bash", "echo here"))
    return {
        "exit_code": result.exit_code,
        "stdout": result.stdout.decode(),
        "enforcement": result.memory_enforcement,
    }


def _filled(mkdir: Callable[..., None]) -> Callable[..., None]:
    def made(self: Path, *arguments: int) -> None:
        mkdir(self, *arguments)
        for name in ("memory.max", "memory.oom.group", "pids.max"):
            (self / name).touch()

    return made


async def hang(mark: str) -> None:
    """Through the runner, as the hub does it."""
    sleep = f"exec -a {mark} sleep 61"
    await Supervised().run(RunSpec("bash", f"({sleep}) & setsid bash -c '{sleep}' & {sleep}", limits=Limits(wall_s=60)))


if __name__ == "__main__":
    if sys.argv[1] == "hang":
        asyncio.run(hang(sys.argv[3]))
    elif sys.argv[1] == "pretended":
        print(json.dumps(asyncio.run(pretended(Path(sys.argv[2])))))
    elif sys.argv[1] == "late":
        print(json.dumps(asyncio.run(late())))
    else:
        print(json.dumps(asyncio.run(report(sys.argv[1], Path(sys.argv[2])))))
