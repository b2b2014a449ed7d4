"""The bubblewrap engine against escapes and bombs. A missing engine is a failure here, never a skip."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import struct
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from hub.sandbox import bwrap
from hub.sandbox.engine import LANGUAGES, MIB, Given, Language, Limits, RunResult, RunSpec, SandboxUnavailable
from hub.sandbox.runner import UNUSED_UID
from hub.sandbox.seccomp import ARCHES, program
from hub.sandbox.supervisor import Supervised
from tests.sandbox.driven import drive
from tests.sandbox.probes import BOMBS, PROBES
from tests.support.waiting import eventually, eventually_sync

ROOT = Path(__file__).parents[2]
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
async def engine(anyio_backend: str) -> AsyncIterator[Supervised]:
    made = Supervised()
    yield made
    made.close()


HELD = {"ran": len(PROBES), "escaped": [], "self_test": "python javascript bash", "as_root": False}


def test_there_are_at_least_70_probes_and_30_bombs() -> None:
    assert len(PROBES) >= 70
    assert len(BOMBS) >= 30


def test_no_probe_escapes_from_a_run_started_by_this_user(place: Path) -> None:
    assert drive(place, "hardened") == HELD


@pytest.mark.skipif(os.getuid() != 0, reason="already an ordinary user: the test above is this one")
def test_no_probe_escapes_from_a_run_started_by_an_ordinary_user(place: Path) -> None:
    assert drive(place, "hardened", NOBODY) == HELD


def test_a_naive_configuration_is_caught_by_the_same_probes_and_by_the_self_test(place: Path) -> None:
    report = drive(place, "naive")
    assert {"planted secret", "read /etc/passwd", "listen on loopback of the machine"} <= set(report["escaped"])
    assert "does not hold code in" in report["self_test"]


@pytest.mark.anyio
@pytest.mark.parametrize("bomb", BOMBS)
async def test_a_bomb_ends_with_the_right_reason(bomb: str, engine: Supervised) -> None:
    language, code, reasons = BOMBS[bomb]
    result = await engine.run(RunSpec(spoken(language), code, limits=TINY))
    assert (result.killed_reason or "") in reasons, result
    assert result.duration_ms < 12_000
    assert len(result.stdout) <= TINY.output_bytes
    assert len(result.stderr) <= TINY.output_bytes


def spoken(name: str) -> Language:
    assert name in LANGUAGES
    return name


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("language", "code"),
    [("python", "print(6 * 7)"), ("javascript", "console.log(6 * 7)"), ("bash", "echo $((6 * 7))")],
)
async def test_each_language_runs_and_streams_its_output(language: str, code: str, engine: Supervised) -> None:
    heard: list[tuple[str, bytes]] = []
    result = await engine.run(RunSpec(spoken(language), code), lambda name, data: heard.append((name, data)))
    assert (result.exit_code, result.stdout, result.killed_reason) == (0, b"42\n", None)
    assert {name for name, _ in heard} == {"stdout"}
    assert b"".join(data for _, data in heard) == b"42\n"


@pytest.mark.anyio
async def test_files_are_shown_read_only_and_work_is_fresh_each_time(tmp_path: Path, engine: Supervised) -> None:
    (tmp_path / "data").write_text("a,b")
    code = "cat '/room/a b.csv'; ls /work; echo x >/work/left; echo x >'/room/a b.csv'"
    results = []
    for _ in range(2):
        with (tmp_path / "data").open("rb") as file:
            results.append(await engine.run(RunSpec("bash", code, (Given("a b.csv", file.fileno()),))))
    assert [result.stdout for result in results] == [b"a,b", b"a,b"]
    assert b"Read-only file system" in results[0].stderr
    assert (tmp_path / "data").read_text() == "a,b"


@pytest.mark.anyio
async def test_only_regular_files_that_match_are_given_back_and_the_rest_is_named(engine: Supervised) -> None:
    code = """
echo plot >a.png; ln -s /etc/hostname b.png; mkfifo c.png; mkdir d.png; truncate -s 3M e.png f.png; echo no >note.txt
echo dark >g.png; chmod 000 g.png"""
    result = await engine.run(RunSpec("bash", code, save=("*.png",), limits=TINY))
    contents = {file.name: _content(file.fd) for file in result.produced}
    assert set(contents) == {"a.png", "e.png"}
    assert contents["a.png"] == b"plot\n"
    assert [line.partition(":")[0] for line in result.not_saved] == ["b.png", "c.png", "d.png", "f.png", "g.png"]


def _content(fd: int) -> bytes:
    with os.fdopen(fd, "rb") as file:
        return file.read()


@pytest.mark.anyio
async def test_processor_time_and_peak_memory_are_those_of_all_its_processes(engine: Supervised) -> None:
    work = "x = bytearray(b'x') * (60 << 20)\nn = 0\nwhile time.process_time() < 0.3: n += 1"
    code = f"import os, time\nif os.fork() == 0:\n  {work.replace(chr(10), chr(10) + '  ')}\n  os._exit(0)\nos.wait()"
    result = await engine.run(RunSpec("python", code))
    assert result.cpu_ms is not None
    assert 290 <= result.cpu_ms < 900
    assert result.peak_memory_bytes is not None
    assert 60 * MIB <= result.peak_memory_bytes < 120 * MIB


@pytest.mark.anyio
async def test_processor_time_is_limited_for_all_processes_together(engine: Supervised) -> None:
    code = "while :; do (i=0; while ((i < 100000)); do ((++i)); done); done"  # none of them uses much
    limits = Limits(wall_s=30, cpu_s=1)
    result = await engine.run(RunSpec("bash", code, limits=limits))
    assert result.killed_reason == "timeout"
    assert result.duration_ms < 30_000, "the clock ended it, not the processor time"


@pytest.mark.anyio
async def test_code_lets_everything_else_on_the_machine_go_first(engine: Supervised) -> None:
    code = "for i in 1 2 3 4 5 6 7 8 9; do sleep 0.05; done; cut -d' ' -f19 /proc/self/stat; cat /proc/self/autogroup"
    nice, *group = (await engine.run(RunSpec("bash", code))).stdout.decode().split("\n")
    assert int(nice) == min(os.getpriority(os.PRIO_PROCESS, 0) + 5, 19), "not behind the hub, whatever that one has"
    assert not Path("/proc/self/autogroup").exists() or group[0].endswith(" nice 5")


@pytest.mark.anyio
async def test_a_hub_that_wakes_up_need_not_wait_for_the_slice_of_running_code(engine: Supervised) -> None:
    code = """
import ctypes, struct, time
while time.process_time() < 0.4: pass
said = ctypes.create_string_buffer(48)
assert ctypes.CDLL(None).syscall({"x86_64": 315, "aarch64": 275}[__import__("os").uname().machine], 0, said, 48, 0) == 0
print(struct.unpack("=IIQiIQQQ", said.raw)[5])
"""
    slice_ns = int((await engine.run(RunSpec("python", code))).stdout)
    release = tuple(int(number) for number in os.uname().release.split(".")[:2])
    assert slice_ns == (100_000_000 if release >= (6, 12) else 0)


@pytest.mark.anyio
async def test_what_a_shell_calls_an_exit_code_is_reported_as_one(engine: Supervised) -> None:
    by_itself = await engine.run(RunSpec("bash", "exit 200"))
    by_signal = await engine.run(RunSpec("bash", "kill -SEGV $$"))
    assert (by_itself.exit_code, by_itself.signal) == (200, None)
    assert (by_signal.exit_code, by_signal.signal) == (128 + signal.SIGSEGV, signal.SIGSEGV)


@pytest.mark.anyio
async def test_a_stopped_run_ends_at_once_and_says_so(engine: Supervised) -> None:
    stop = asyncio.Event()
    heard = asyncio.Event()
    code = "echo here; sleep 60"
    running = asyncio.create_task(engine.run(RunSpec("bash", code), lambda *_: heard.set(), stop))
    await heard.wait()
    stop.set()
    result = await running
    assert (result.stopped, result.killed_reason, result.exit_code, result.stdout) == (True, None, None, b"here\n")
    assert result.duration_ms < 5_000


@pytest.mark.anyio
async def test_a_run_that_is_stopped_before_it_began_ends_at_once(engine: Supervised) -> None:
    stop = asyncio.Event()
    stop.set()
    result = await engine.run(RunSpec("bash", "sleep 60"), None, stop)
    assert (result.stopped, result.exit_code) == (True, None)


@pytest.mark.anyio
async def test_code_and_files_are_in_no_argument_list(tmp_path: Path, engine: Supervised) -> None:
    mark = uuid.uuid4().hex
    heard, stop = asyncio.Event(), asyncio.Event()
    code = f"echo here; : {mark}; sleep 60"
    running = asyncio.create_task(engine.run(RunSpec("bash", code), lambda *_: heard.set(), stop))
    await heard.wait()
    assert marked(mark) == []
    stop.set()
    await running


@pytest.mark.anyio
async def test_a_runner_that_dies_ends_its_runs_and_the_next_run_has_a_new_one(engine: Supervised) -> None:
    heard = asyncio.Event()
    mark = uuid.uuid4().hex
    running = asyncio.create_task(
        engine.run(RunSpec("bash", f"echo here; exec -a {mark} sleep 60"), lambda *_: heard.set())
    )
    await heard.wait()
    await eventually(lambda: marked(mark))
    os.kill(runner_of(engine), signal.SIGKILL)
    with pytest.raises(SandboxUnavailable, match="the next run starts it again"):
        await running
    await eventually(lambda: not marked(mark), what="what it ran is gone")
    assert (await engine.run(RunSpec("bash", "echo again"))).stdout == b"again\n"


def runner_of(engine: Supervised) -> int:
    assert engine.process is not None
    return engine.process.pid


@pytest.mark.anyio
async def test_without_bubblewrap_the_engine_refuses_and_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    without = Supervised()
    with pytest.raises(SandboxUnavailable, match="install the package 'bubblewrap'"):
        await without.self_test()
    without.close()


@pytest.mark.anyio
async def test_where_user_namespaces_are_forbidden_the_engine_refuses_and_says_what_to_allow() -> None:
    real = shutil.which("bwrap")
    with tempfile.TemporaryDirectory() as made:
        home = Path(made)
        home.chmod(0o755)
        # bubblewrap itself inside a sandbox that forbids further namespaces
        script = f'#!/bin/sh\nexec {real} --unshare-user --disable-userns --dev-bind / / {real} "$@"\n'
        (home / "bwrap").write_text(script)
        (home / "bwrap").chmod(0o755)
        forbidden = Supervised(str(home / "bwrap"))
        with pytest.raises(SandboxUnavailable, match="Allow unprivileged user namespaces"):
            await forbidden.self_test()
        forbidden.close()


def test_code_that_ends_at_once_waits_until_somebody_watches_it(place: Path) -> None:
    assert drive(place, "late") == {"exit_code": 0, "kept": ["kept"]}


def test_a_filter_that_refuses_nothing_is_caught_by_the_probes_and_by_the_self_test(place: Path) -> None:
    report = drive(place, "unfiltered")
    assert {"call memfd_create", "call msgget", "socket netlink"} <= set(report["escaped"])
    assert "filter lets calls through" in report["self_test"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root has rights to give up")
def test_the_engine_itself_refuses_to_run_as_root() -> None:
    with pytest.raises(SandboxUnavailable, match="never as root"):
        asyncio.run(bwrap.Bwrap("bwrap").run(RunSpec("bash", "true")))


def test_killing_the_hub_leaves_no_process_and_none_ran_as_root(place: Path) -> None:
    mark = uuid.uuid4().hex
    driver = str(place / "tests/sandbox/driver.py")
    hub = subprocess.Popen(["/usr/bin/python3", driver, "hang", str(place), mark])
    try:
        inside = eventually_sync(lambda: found if len(found := others(mark, hub.pid)) == 3 else None)
        owners = {os.stat(f"/proc/{pid}").st_uid for pid in inside}
        assert owners == {UNUSED_UID if os.getuid() == 0 else os.getuid()}
    finally:
        hub.send_signal(signal.SIGKILL)
        hub.wait()
    eventually_sync(lambda: not marked(mark), what="every process of the run is gone")


def others(mark: str, pid: int) -> list[int]:
    return [found for found in marked(mark) if found != pid]


def marked(mark: str) -> list[int]:
    """Processes of this machine with `mark` in their argument list."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def verdict(machine: str, nr: int, *args: int, arch: int | None = None) -> int:
    """What the filter answers to a call, by running its instructions as the kernel would."""
    data = struct.pack("<IIQ6Q", nr, ARCHES[machine].audit if arch is None else arch, 0, *[*args, 0, 0, 0, 0, 0, 0][:6])
    code, at, accumulator = program(machine), 0, 0
    while True:
        kind, yes, no, value = struct.unpack_from("<HBBI", code, at * 8)
        at += 1
        if kind == 0x20:
            accumulator = struct.unpack_from("<I", data, value)[0]
        elif kind == 0x06:
            return int(value)
        else:
            true = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[kind]
            at += yes if true else no


ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS


@pytest.mark.parametrize("machine", ARCHES)
def test_the_filter_answers_each_call_as_written_on_every_architecture(machine: str) -> None:
    arch = ARCHES[machine]
    assert {name for name, nr in arch.refused.items() if verdict(machine, nr) != EPERM} == set()
    assert verdict(machine, 435) == ENOSYS
    assert verdict(machine, 463) == ENOSYS
    assert verdict(machine, arch.clone, 0x10000000 | 17) == EPERM
    assert verdict(machine, arch.clone, 17) == ALLOW
    assert [verdict(machine, arch.socket, family) for family in (1, 2, 10, 16, 40)] == [ALLOW] * 3 + [EPERM] * 2
    assert [verdict(machine, arch.ioctl, 0, request) for request in (0x5412, 0x541C, 0x5401)] == [EPERM, EPERM, ALLOW]
    assert verdict(machine, 1 | 0x40000000) == KILL
    assert verdict(machine, 1, arch=0x40000003) == KILL
    assert {verdict(machine, nr) for nr in (0, 1, 3, 220 if machine == "x86_64" else 64)} == (
        {ALLOW, EPERM} if machine == "x86_64" else {ALLOW}
    )


def test_the_refused_calls_have_the_numbers_of_the_kernel_headers() -> None:
    """The headers of this machine's compiler, where they are installed; newer calls than theirs are left out."""
    headers = {"x86_64": "x86_64-linux-gnu/asm/unistd_64.h", "aarch64": "asm-generic/unistd.h"}
    for machine, name in headers.items():
        path = Path("/usr/include") / name
        assert path.exists(), "linux-libc-dev is not installed; .ci/install does it"
        known = dict(_numbers(path.read_text()))
        wrong = {call: nr for call, nr in ARCHES[machine].refused.items() if known.get(call, nr) != nr}
        assert wrong == {}
        assert len(set(ARCHES[machine].refused) & set(known)) > 60


def _numbers(text: str) -> Iterator[tuple[str, int]]:
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[1].startswith("__NR") and words[2].isdigit():
            yield words[1].removeprefix("__NR3264_").removeprefix("__NR_"), int(words[2])


def test_the_filter_is_whole_instructions_and_short_enough_for_the_kernel() -> None:
    for machine in ARCHES:
        assert len(program(machine)) % 8 == 0
        assert len(program(machine)) // 8 < 4096


def test_results_say_which_engine_and_that_there_was_no_network() -> None:
    fields = RunResult.__dataclass_fields__
    assert fields["network"].default == "none"
