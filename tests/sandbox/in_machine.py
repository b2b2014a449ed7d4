"""Runs inside the small machine, as root: the bubblewrap engine on real control groups. Prints one JSON object."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, "/given")

from hub.sandbox import bwrap, cgroup
from hub.sandbox.bwrap import Bwrap
from hub.sandbox.cgroup import NoGroups, claim, own_folder
from hub.sandbox.engine import MIB, Limits, RunSpec, SandboxUnavailable
from hub.sandbox.supervisor import Supervised

TREE: Final = Path("/sys/fs/cgroup")
USER: Final = 1000
LIMITS: Final = Limits(wall_s=60, cpu_s=50, memory_bytes=64 * MIB, processes=8, work_bytes=4 * MIB, tmp_bytes=4 * MIB)
BY_MANY: Final = """
import mmap, os, time
for _ in range(6):
    if os.fork() == 0:
        mmap.mmap(-1, 48 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)
        time.sleep(60)
time.sleep(60)
"""
FORKS: Final = "import os, time\nfor _ in range(99):\n    if os.fork() == 0: time.sleep(60)"
DAEMONS: Final = "for i in 1 2 3; do (setsid sleep 600 &) ; done; cat /proc/self/cgroup"
HANG: Final = "echo up; sleep 600 & setsid sleep 600 & sleep 600"
HUB: Final = "import sys; sys.path.insert(0, '/given'); from tests.sandbox.in_machine import hang; hang()"


async def through_the_runner() -> dict[str, Any]:
    """As the hub does it."""
    engine = Supervised()
    found: dict[str, Any] = {"languages": await engine.self_test(), "by": engine.enforcement, "note": engine.note}
    daemons = await engine.run(RunSpec("bash", DAEMONS, limits=LIMITS))
    found["daemons"] = daemons.exit_code, daemons.stdout.decode(), daemons.memory_enforcement
    found["by many"] = (await engine.run(RunSpec("python", BY_MANY, limits=LIMITS))).killed_reason
    spun = await engine.run(RunSpec("bash", "while :; do :; done", limits=Limits(wall_s=60, cpu_s=1)))
    found["spun"] = spun.killed_reason, 900 <= (spun.cpu_ms or 0) <= 3000
    found["groups left"] = [folder.name for folder in TREE.rglob("run-*")]
    found["runner killed"] = await _kill_runner(engine)
    engine.close()
    return found


async def _kill_runner(engine: Supervised) -> str:
    assert engine.process is not None
    pid = engine.process.pid
    try:
        await engine.run(RunSpec("bash", HANG, limits=LIMITS), lambda _name, _data: os.kill(pid, signal.SIGKILL))
    except SandboxUnavailable as error:
        return str(error)
    return "the run ended"


async def by_the_kernel_alone() -> dict[str, Any]:
    """With a watchdog that finds nothing and no rlimit of processes."""
    groups = claim(own_folder(), None)
    groups.verify()
    peaks = _peaks()
    setattr(bwrap._Run, "_over", lambda *_arguments: None)  # noqa: B010
    setattr(bwrap, "_ulimits", lambda _spec: "true")  # noqa: B010
    engine = Bwrap("/usr/bin/bwrap", groups)
    many = await engine.run(RunSpec("python", BY_MANY, limits=LIMITS))
    forks = await engine.run(RunSpec("python", FORKS, limits=LIMITS))
    return {
        "by many": (many.killed_reason, many.exit_code),
        "never more than": len(peaks) == 2 and all(peak <= most for peak, most in peaks),
        "forks": forks.stderr.decode().strip().rpartition("\n")[2],
    }


def _peaks() -> list[tuple[int, int]]:
    """Filled with the most memory that each group had, and could have had."""
    peaks: list[tuple[int, int]] = []
    close = cgroup.Group.close

    def closing(group: cgroup.Group) -> None:
        said = [int((group._folder / name).read_text()) for name in ("memory.peak", "memory.max")]
        peaks.append((said[0], said[1]))
        close(group)

    setattr(cgroup.Group, "close", closing)  # noqa: B010
    return peaks


def killed_hub() -> dict[str, Any]:
    """kill -9 of a hub in the middle of a run: who is left, and what the next start does with its groups."""
    hub = subprocess.Popen([sys.executable, "-c", HUB], stdout=subprocess.PIPE)
    assert hub.stdout is not None
    started = hub.stdout.readline().decode().strip()
    hub.kill()
    hub.wait()
    bases = [folder for folder in TREE.glob("mcp-bridge.*") if folder.is_dir()]
    for _ in range(200):
        alive = [base.name for base in bases if "populated 0" not in (base / "cgroup.events").read_text()]
        if not alive:
            break
        subprocess.run(["sleep", "0.05"], check=True)
    cgroup.sweep(TREE)
    return {"started": started, "had groups": bool(bases), "alive": alive, "left": len(list(TREE.glob("mcp-bridge.*")))}


def hang() -> None:
    """The hub that is killed."""

    async def both() -> None:
        engine = Supervised()
        await engine.self_test()
        await engine.run(RunSpec("bash", HANG, limits=LIMITS), lambda _name, data: print(data.decode(), flush=True))

    asyncio.run(both())


def elsewhere(work: Callable[[], Any], group: Path) -> Any:
    """What `work` finds in a process of an ordinary user in `group`."""
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        (group / "cgroup.procs").write_text("0")
        os.setresgid(USER, USER, USER)
        os.setresuid(USER, USER, USER)
        try:
            said = work()
        except Exception as error:
            said = repr(error)
        os.write(writing, json.dumps(said).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        said = json.loads(file.read() or b'"it died"')
    os.waitpid(pid, 0)
    return said


def group_of(user: int, name: str) -> Path:
    """A group that belongs to `user`, as systemd or an administrator would make it."""
    (TREE / "cgroup.subtree_control").write_text("+cpu +memory +pids")
    group = TREE / name
    group.mkdir()
    for part in ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
        os.chown(group / part, user, user)
    return group


def refused() -> str:
    try:
        claim(own_folder(), None)
    except NoGroups as error:
        return str(error)
    return "claimed"


if __name__ == "__main__":
    report = {"root": asyncio.run(through_the_runner()), "killed hub": killed_hub()}
    report["user"] = elsewhere(lambda: asyncio.run(through_the_runner()), group_of(USER, "theirs"))
    report["kernel"] = elsewhere(lambda: asyncio.run(by_the_kernel_alone()), group_of(USER, "alone"))
    report["foreign"] = elsewhere(refused, group_of(0, "foreign"))
    print(json.dumps(report))
