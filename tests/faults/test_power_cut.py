"""A power cut at any moment loses nothing acknowledged and damages nothing; with `synchronous=NORMAL` it would."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.power import Disk, Step, Sync, Told, Write, cuts, judge, record, steps

FILES = ("hub.db", "hub.db-wal")


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder for the images, in memory where there is such a place."""
    shared = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="bridge-cut-", dir=shared if shared.is_dir() else tmp_path))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def recorded(tmp_path: Path, rounds: int, synchronous: str) -> list[Step]:
    assert shutil.which("strace"), "strace is not installed; .ci/install does it"
    home = tmp_path / f"home-{synchronous}"
    home.mkdir()
    record(home, tmp_path / f"told-{synchronous}", tmp_path / "trace", rounds, synchronous)
    run = steps(tmp_path / "trace", FILES, f"told-{synchronous}")
    assert sum(isinstance(step, Sync) and step.file == "hub.db" for step in run) > rounds / 4, "too few checkpoints"
    return run


def lost(run: list[Step], images: int, seed: int, folder: Path) -> Counter[str]:
    """How many images had what wrong."""
    dice, wrong = random.Random(seed), Counter[str]()
    for image, told in cuts(run, dice, images):
        wrong.update(judge(folder, image, told))
    return wrong


@pytest.mark.timeout(300)
def test_a_power_cut_loses_nothing_acknowledged(tmp_path: Path, memory: Path) -> None:
    assert lost(recorded(tmp_path, 10, "FULL"), 2500, 1, memory) == {}
    normal = lost(recorded(tmp_path, 10, "NORMAL"), 300, 1, memory)
    assert normal, "without waiting for the disk something must get lost, or the cut cuts nothing"
    assert not any("corrupt" in what for what in normal), "and even then nothing is damaged"


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_a_hundred_thousand_power_cuts_lose_nothing_acknowledged(tmp_path: Path, memory: Path) -> None:
    assert lost(recorded(tmp_path, 60, "FULL"), 100_000, 2, memory) == {}


def test_the_model_of_the_disk_keeps_what_was_synced_and_doubts_the_rest() -> None:
    disk = Disk()
    run: list[Step] = [
        Write("f", 0, b"a" * 1024),
        Sync("f", 1),
        Write("f", 0, b"b" * 1024),
        Write("f", 1024, b"c"),
        Told("x"),
    ]
    for number, step in enumerate(run):
        disk.take(number, step)
    assert disk.image(random.Random(1), 0.0) == {"f": b"a" * 1024}
    assert disk.image(random.Random(1), 1.0) == {"f": b"b" * 1024 + b"c"}
    torn = {bytes(disk.image(random.Random(seed), 0.5)["f"][:1024]) for seed in range(40)}
    assert b"a" * 512 + b"b" * 512 in torn
    disk.take(5, Sync("f", 3))  # began before the last write
    assert disk.image(random.Random(1), 0.0) == {"f": b"b" * 1024}
    assert disk.told == ["x"]
