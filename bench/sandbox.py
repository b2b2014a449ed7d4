"""What a sandbox costs: over a plain process, with where the time goes; and others' latency beside busy runs."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from statistics import median

import uvloop

from bench.load import HttpConnection
from bench.queues import Missing
from bench.servers import Server
from hub.client import HubClient
from hub.features.runs.contract import CancelRun, GetRun, StartRun
from hub.kernel.agents.contract import RegisterAgent
from hub.kernel.rooms.contract import CreateRoom, JoinRoom, UpdateRoom
from hub.sandbox.bwrap import Bwrap
from hub.sandbox.engine import RunSpec
from hub.sandbox.runner import UNUSED_UID
from hub.sandbox.supervisor import Supervised

AIM_MS = 15.0
_TURNS = 5
BUSY = "while True: pass"
_SPEC = RunSpec("python", "pass")


def overhead(rounds: int) -> tuple[float, float, str]:
    """Median milliseconds of `pass` in Python through the engine and as a plain process, and the breakdown."""
    if shutil.which("bwrap") is None:
        raise Missing("bubblewrap")
    return asyncio.run(_overhead(rounds))


async def _overhead(rounds: int) -> tuple[float, float, str]:
    engine = Supervised()
    await engine.run(_SPEC)  # starts the runner
    bare = [str(shutil.which("bwrap")), *Bwrap("").arguments(_SPEC)]
    kinds: dict[str, Callable[[], object]] = {
        "plain": lambda: _process(["/usr/bin/python3", "-s", "-B", "-u", "-c", "pass"]),
        "true": lambda: _process(["/usr/bin/true"]),
        "bwrap": lambda: _process([*bare, "/usr/bin/true"]),
        "bash": lambda: _process(["/usr/bin/bash", "-c", "ulimit -c 0; exec true"]),
    }
    took: dict[str, list[float]] = {name: [] for name in (*kinds, "engine")}
    for _ in range(rounds):
        for name, run in kinds.items():
            began = time.perf_counter()
            await asyncio.to_thread(run)
            took[name].append(time.perf_counter() - began)
        began = time.perf_counter()
        await engine.run(_SPEC)
        took["engine"].append(time.perf_counter() - began)
    engine.close()
    ms = {name: median(times) * 1000 for name, times in took.items()}
    whole, namespaces, doorstep = ms["engine"] - ms["plain"], ms["bwrap"] - ms["true"], ms["bash"] - ms["true"]
    rest = whole - namespaces - doorstep
    parts = f"namespaces and mounts {namespaces:.1f}, doorstep {doorstep:.1f}, runner, filter and end {rest:.1f}"
    if os.sched_getscheduler(0) != os.SCHED_OTHER:
        parts += "; at real-time priority, since the machine was shared"
    reached = "reached" if whole <= AIM_MS else "**not reached**"
    return ms["engine"], ms["plain"], f"overhead {whole:.1f} ms (aim ≤ {AIM_MS:.0f}: {reached}): {parts}"


def _process(command: list[str]) -> None:
    drop = {"user": UNUSED_UID, "group": UNUSED_UID, "extra_groups": []} if os.geteuid() == 0 else {}
    subprocess.run(command, env={}, cwd="/", check=True, stdin=subprocess.DEVNULL, **drop)  # type: ignore[call-overload]


def beside_runs(subject: Server, seconds: float) -> tuple[float, float, str]:
    """Median and p99 of a send (ms) while as many runs as fit burn the processor, and while nothing does."""
    if shutil.which("bwrap") is None:
        raise Missing("bubblewrap")
    return uvloop.run(_beside_runs(subject, seconds))


async def _beside_runs(subject: Server, seconds: float) -> tuple[float, float, str]:
    quiet: list[float] = []
    busy: list[float] = []
    async with AsyncExitStack() as stack:
        local = await stack.enter_async_context(HubClient(subject.url, subject.token))
        room = f"lab-{time.monotonic_ns()}"
        await local.call(CreateRoom(room=room, open_to="all"))
        await local.call(UpdateRoom(room=room, runs=True))
        agents = [await stack.enter_async_context(await _agent(subject, local, room, number)) for number in range(2)]
        for _ in range(_TURNS):  # in turns, so that what else the machine does falls on both
            quiet += await _sends(subject, seconds / _TURNS)
            ask = StartRun(room=room, language="python", code=BUSY, timeout_s=120)
            runs = [await agent.call(ask) for agent in agents]
            busy += await _sends(subject, seconds / _TURNS)
            for run in runs:
                await local.call(CancelRun(room=room, run=run.id))
                await local.call(GetRun(room=room, run=run.id, wait_s=20))
    quiet.sort()
    busy.sort()
    p99 = f"p99 {_at(busy, 0.99):.2f} against {_at(quiet, 0.99):.2f} ms"
    return (
        _at(busy, 0.5),
        _at(quiet, 0.5),
        f"2 busy runs on {os.cpu_count()} cores, load average {os.getloadavg()[0]:.0f}; {p99}",
    )


async def _agent(subject: Server, local: HubClient, room: str, number: int) -> HubClient:
    scopes = ("room:read", "room:send", "run")
    made = await local.call(RegisterAgent(name=f"{room}-{number}", kind="script", scopes=scopes))
    assert made.token is not None
    agent = HubClient(subject.url, made.token)
    await agent.call(JoinRoom(room=room))
    return agent


async def _sends(subject: Server, seconds: float) -> list[float]:
    """Round trips of sends, one after the other, in milliseconds."""
    connection = await HttpConnection(subject.url, subject.token).open()
    took: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        await connection.request("POST", "/v1/rooms/bench/messages", b'{"text": "beside runs"}')
        took.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0.002)
    connection.close()
    return took


def _at(took: list[float], share: float) -> float:
    return took[int(len(took) * share)]
