"""The bubblewrap engine against escapes and bombs. A missing engine is a failure here, never a skip."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.features.sandbox.engines import bwrap
from hub.features.sandbox.engines.engine import MIB, Language, Limits, RunSpec, SandboxUnavailable
from hub.features.sandbox.engines.seccomp import program
from tests.features.sandbox.probes import BOMBS, PROBES
from tests.support.waiting import eventually_sync

ROOT = Path(__file__).parents[3]
TINY = Limits(
    wall_s=4,
    cpu_s=2,
    memory_bytes=256 * MIB,
    processes=16,
    work_bytes=4 * MIB,
    tmp_bytes=2 * MIB,
    output_bytes=64 * 1024,
)
NOBODY = 65534


@pytest.fixture
def place() -> Iterator[Path]:
    """A copy of the engine an ordinary user can read, wherever the checkout lies."""
    with tempfile.TemporaryDirectory(prefix="sandbox-") as made:
        home = Path(made)
        for part in ("hub/features/sandbox", "tests/features/sandbox"):
            shutil.copytree(ROOT / part, home / part, ignore=shutil.ignore_patterns("__pycache__"))
        home.chmod(0o777)
        yield home


def _drive(place: Path, kind: str, user: int | None = None) -> dict[str, Any]:
    command = ["/usr/bin/python3", str(place / "tests/features/sandbox/driver.py"), kind, str(place)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, user=user, check=False)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_there_are_at_least_70_probes_and_30_bombs() -> None:
    assert len(PROBES) >= 70
    assert len(BOMBS) >= 30


def test_no_probe_escapes_from_a_run_started_by_this_user(place: Path) -> None:
    assert _drive(place, "hardened") == {"ran": len(PROBES), "escaped": [], "self_test": "held", "uid": os.getuid()}


@pytest.mark.skipif(os.getuid() != 0, reason="already an ordinary user: the test above is this one")
def test_no_probe_escapes_from_a_run_started_by_an_ordinary_user(place: Path) -> None:
    assert _drive(place, "hardened", NOBODY) == {"ran": len(PROBES), "escaped": [], "self_test": "held", "uid": NOBODY}


def test_a_naive_configuration_is_caught_by_the_same_probes_and_by_the_self_test(place: Path) -> None:
    report = _drive(place, "naive")
    assert {"planted secret", "read /etc/passwd", "listen on loopback of the machine"} <= set(report["escaped"])
    assert "does not hold code in" in report["self_test"]


@pytest.mark.anyio
@pytest.mark.parametrize("bomb", BOMBS)
async def test_a_bomb_ends_with_the_right_reason(bomb: str) -> None:
    language, code, reasons = BOMBS[bomb]
    spec = RunSpec(_language(language), code, limits=TINY)
    result = await bwrap.Bwrap().run(spec)
    assert (result.killed_reason or "") in reasons, result
    assert result.duration_ms < 12_000
    assert len(result.stdout) <= TINY.output_bytes
    assert len(result.stderr) <= TINY.output_bytes


def _language(name: str) -> Language:
    assert name in ("python", "javascript", "bash")
    return name  # type: ignore[return-value]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("language", "code"),
    [("python", "print(6 * 7)"), ("javascript", "console.log(6 * 7)"), ("bash", "echo $((6 * 7))")],
)
async def test_each_language_runs_and_streams_its_output(language: str, code: str) -> None:
    heard: list[tuple[str, bytes]] = []
    result = await bwrap.Bwrap().run(RunSpec(_language(language), code), lambda name, data: heard.append((name, data)))
    assert (result.exit_code, result.stdout, result.killed_reason) == (0, b"42\n", None)
    assert {name for name, _ in heard} == {"stdout"}
    assert b"".join(data for _, data in heard) == b"42\n"


@pytest.mark.anyio
async def test_the_room_is_shown_read_only_and_work_is_fresh_each_time(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "data.csv").write_text("a,b")
    code = "cat /room/data.csv; ls /work; echo x >/work/left; echo x >/room/data.csv"
    with tempfile.TemporaryDirectory() as open_to_all:
        room = Path(open_to_all)
        room.chmod(0o755)
        shutil.copy(tmp_path / "data.csv", room)
        first = await bwrap.Bwrap().run(RunSpec("bash", code, room_dir=room))
        second = await bwrap.Bwrap().run(RunSpec("bash", code, room_dir=room))
    assert first.stdout == second.stdout == b"a,b"
    assert b"Read-only file system" in first.stderr


@pytest.mark.anyio
async def test_without_bubblewrap_the_engine_refuses_and_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SandboxUnavailable, match="install the package 'bubblewrap'"):
        await bwrap.Bwrap().self_test()


@pytest.mark.anyio
async def test_where_user_namespaces_are_forbidden_the_engine_refuses_and_says_what_to_allow(tmp_path: Path) -> None:
    forbidden = tmp_path / "bwrap"
    # bubblewrap itself inside a sandbox that forbids further namespaces
    forbidden.write_text(
        f'#!/bin/sh\nexec {shutil.which("bwrap")} --unshare-user --disable-userns --dev-bind / / "$0.real" "$@"\n'
    )
    shutil.copy(str(shutil.which("bwrap")), tmp_path / "bwrap.real")
    with tempfile.TemporaryDirectory() as made:
        home = Path(made)
        home.chmod(0o755)
        for name in ("bwrap", "bwrap.real"):
            shutil.copy(tmp_path / name, home)
            (home / name).chmod(0o755)
        with pytest.raises(SandboxUnavailable, match="Allow unprivileged user namespaces"):
            await bwrap.Bwrap(str(home / "bwrap")).self_test()


@pytest.mark.anyio
async def test_a_filter_that_refuses_nothing_fails_the_self_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bwrap, "program", lambda: struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF0000))
    with pytest.raises(SandboxUnavailable, match="filter lets calls through"):
        await bwrap.Bwrap().self_test()


def test_killing_the_hub_leaves_no_process_and_none_ran_as_root(place: Path) -> None:
    mark = uuid.uuid4().hex
    driver = str(place / "tests/features/sandbox/driver.py")
    hub = subprocess.Popen(["/usr/bin/python3", driver, "hang", str(place), mark], stdout=subprocess.PIPE)
    try:
        inside = eventually_sync(lambda: [pid for pid in _marked(mark) if pid != hub.pid])
        owners = {os.stat(f"/proc/{pid}").st_uid for pid in inside}
        assert 0 not in owners
    finally:
        hub.send_signal(signal.SIGKILL)
        hub.wait()
        assert hub.stdout is not None
        hub.stdout.close()
    eventually_sync(lambda: not _marked(mark), what="every process of the run is gone")


def _marked(mark: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_the_filter_is_whole_instructions_and_short_enough_for_the_kernel() -> None:
    assert len(program()) % 8 == 0
    assert len(program()) // 8 < 4096
