"""kill -9 at each durable system call of sending, redacting, claiming, finishing and burying, and of the first migration."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.faults.power import judge
from tests.faults.world import ROOT

CALLS = ("pwrite64", "fdatasync", "fsync", "ftruncate", "unlink")


def run(home: Path, report: Path, *trace: str) -> int:
    """Run the script, under strace when told how; its exit code."""
    command = [*trace, sys.executable, "-m", "tests.faults.talk_script", str(home), str(report), "2", "FULL"]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=ROOT, capture_output=True, timeout=120
    )
    assert done.returncode in (0, 137, -9), done.stderr.decode()[-2000:]
    return done.returncode


def wrong_after(home: Path, report: Path, folder: Path) -> list[str]:
    """What is wrong with the database as the killed process left it, given what it had acknowledged."""
    told = report.read_text().splitlines() if report.exists() else []
    image = {name: (home / name).read_bytes() for name in ("hub.db", "hub.db-wal") if (home / name).exists()}
    return judge(folder, image, told) if told else []


def at_each(tmp_path: Path, call: str, numbers: Iterable[int]) -> int:
    """How often it was killed before it ended by itself; each time what was acknowledged is there, and it goes on."""
    assert shutil.which("strace"), "strace is not installed; .ci/install does it"
    count = 0
    for number in numbers:
        home, report = tmp_path / f"{call}{number}", tmp_path / f"{call}{number}.txt"
        home.mkdir()
        kill = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"]
        if run(home, report, "strace", "-f", "-qq", "-o", os.devnull, *kill) == 0:
            return count
        assert wrong_after(home, report, tmp_path) == [], f"killed at {call} {number}"
        before = len(report.read_text().splitlines()) if report.exists() else 0
        assert run(home, report) == 0, "it starts again, finishes its migration and serves"
        assert len(report.read_text().splitlines()) > before
        assert wrong_after(home, report, tmp_path) == [], f"after the start that followed {call} {number}"
        shutil.rmtree(home)
        count += 1
    return count


@pytest.mark.timeout(300)
def test_a_kill_at_some_durable_calls_loses_nothing_acknowledged(tmp_path: Path) -> None:
    assert at_each(tmp_path, "fdatasync", (3, 12, 25)) == 3
    assert at_each(tmp_path, "pwrite64", (4, 90, 170)) == 3


@pytest.mark.faults
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("call", CALLS)
def test_a_kill_at_every_durable_call_loses_nothing_acknowledged(tmp_path: Path, call: str) -> None:
    assert at_each(tmp_path, call, itertools.count(1)) > 0
