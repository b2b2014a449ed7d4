"""kill -9 at each durable system call of sharing, deleting and collecting: no file without bytes, nothing lost, no litter."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from hub.features.files.contract import GetFile, ListFiles, ReadFile
from hub.storage.blobs import MARK, BlobStore
from tests.faults.world import ROOT
from tests.support.hubs import Clock, TestHub, running_hub
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio
CALLS = ("fdatasync", "fsync", "rename", "unlink")


def killed(home: Path, report: Path, call: str, number: int) -> bool:
    """Run the script, killed at this call of one of its threads; false when it ended before."""
    assert shutil.which("strace"), "strace is not installed; .ci/install does it"
    trace = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}"]
    command = [*trace, "-e", f"inject={call}:signal=KILL:when={number}", sys.executable]
    done = subprocess.run(
        [*command, "-m", "tests.faults.upload_script", str(home), str(report)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode in (0, 137, -9), done.stderr.decode()
    return done.returncode != 0


async def check(home: Path, report: Path) -> None:
    """Start again and look at everything."""
    lines = [line.split() for line in report.read_text().splitlines()] if report.exists() else []
    deleting = {line[1] for line in lines if line[0] == "deleting"}
    async with running_hub(home, clock=Clock(1_900_000_000_000)) as hub:
        local, needed = await hub.local(), set[str]()
        for line in lines:
            if line[0] == "shared" and line[1] not in deleting:
                assert (await local.call(GetFile(room="build", file=line[1]))).sha256 == line[2], "acknowledged"
        if hub.app.dispatch.service(BlobStore).directory.exists() and lines:
            for newest in (await local.call(ListFiles(room="build"))).items:
                for item in (await local.call(ListFiles(room="build", name=newest.name))).items:
                    text = (await local.call(ReadFile(room="build", file=item.id))).text or ""
                    assert hashlib.sha256(text.encode()).hexdigest() == item.sha256
                    needed.add(item.sha256)
            await eventually(lambda: digests(hub) == sorted(needed), what="the start collects what was left over")


def digests(hub: TestHub) -> list[str]:
    folder = hub.app.dispatch.service(BlobStore).directory
    blobs = [path for path in folder.rglob("*") if path.is_file() and path.name != MARK]
    return sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in blobs)


async def at_each(tmp_path: Path, call: str, numbers: Iterable[int]) -> int:
    """How often it was killed before it ended by itself."""
    count = 0
    for number in numbers:
        home, report = tmp_path / f"{call}{number}", tmp_path / f"{call}{number}.txt"
        home.mkdir()
        if not await asyncio.to_thread(killed, home, report, call, number):
            return count
        await check(home, report)
        count += 1
    return count


@pytest.mark.timeout(240)
async def test_a_kill_at_some_durable_calls_leaves_every_file_whole(tmp_path: Path) -> None:
    assert await at_each(tmp_path, "fsync", (2, 3)) == 2
    assert await at_each(tmp_path, "rename", (1, 2)) >= 1
    assert await at_each(tmp_path, "fdatasync", (3, 5, 7, 9)) >= 2


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("call", CALLS)
async def test_a_kill_at_every_durable_call_leaves_every_file_whole(tmp_path: Path, call: str) -> None:
    assert await at_each(tmp_path, call, itertools.count(1)) > 0
