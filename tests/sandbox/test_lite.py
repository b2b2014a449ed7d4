"""The interpreters that know nothing of the machine: what they hold, what they report, what ends them."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from hub.sandbox.choose import Engines, engines_for
from hub.sandbox.engine import MIB, Given, Language, Limits, RunSpec, SandboxUnavailable
from hub.sandbox.lite import Lite
from tests.support.waiting import eventually_sync

pytestmark = pytest.mark.anyio
TINY: Final = Limits(wall_s=1, memory_bytes=64 * MIB, output_bytes=16 * 1024)
# An engine that runs Python as it is: what the self-test must refuse.
NAIVE: Final = """
import contextlib, io, json, sys
print(json.dumps({{"ready": True}}), flush=True)
asked, out = json.loads(sys.stdin.readline()), io.StringIO()
with contextlib.redirect_stdout(out):
    exec(asked["code"], {{}})
print(json.dumps({{"out": "stdout", "text": out.getvalue()}}))
print(json.dumps({{"end": {{"exit_code": 0}}}}), flush=True)
"""


@pytest.mark.parametrize(
    ("language", "code", "expected"),
    [
        ("python", "print(6 * 7)", (0, b"42\n", b"")),
        (
            "javascript",
            "console.log(6 * 7, {a: [1]}); Promise.resolve('é').then(x => console.log(x))",
            (0, b'42 {"a":[1]}\n\xc3\xa9\n', b""),
        ),
        ("javascript", "console.error('no')", (0, b"", b"no\n")),
    ],
)
async def test_each_language_runs_and_streams(
    language: Language, code: str, expected: tuple[int, bytes, bytes]
) -> None:
    heard: list[bytes] = []
    result = await Lite().run(RunSpec(language, code), lambda _name, data: heard.append(data))
    assert (result.exit_code, result.stdout, result.stderr) == expected
    assert b"".join(heard) == result.stdout + result.stderr
    assert (result.engine, result.killed_reason) == ("lite", None)
    assert result.cpu_ms is not None


@pytest.mark.parametrize(
    ("language", "code", "reason"),
    [
        ("python", "while True: pass", "timeout"),
        ("javascript", "for (;;);", "timeout"),
        ("python", "x = []\nwhile True: x.append('a' * 1000000)", "memory"),
        ("javascript", "let a = []; while (true) a.push('x'.repeat(1e6) + a.length)", "memory"),
        ("python", "while True: print('x' * 1000)", "output"),
        ("javascript", "for (;;) console.log('x'.repeat(1000))", "output"),
        ("python", "print('x' * 1000000)", "output"),
    ],
)
async def test_a_bomb_ends_with_the_right_reason(language: Language, code: str, reason: str) -> None:
    result = await Lite().run(RunSpec(language, code, limits=TINY))
    assert (result.killed_reason, result.exit_code) == (reason, None)
    assert len(result.stdout) <= TINY.output_bytes
    assert result.duration_ms < 5000


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "open('/etc/hostname').read()"),
        ("python", "open('x', 'w')"),
        ("python", "import socket"),
        ("python", "import subprocess"),
        ("python", "import ctypes"),
        ("python", "import os\nos.listdir('/')"),
        ("python", "import os\nos.system('true')"),
        ("python", "import os\nprint(os.environ['PATH'])"),
        ("python", "__import__('os').system('true')"),
        ("python", "().__class__.__base__.__subclasses__()"),
        ("javascript", "require('fs')"),
        ("javascript", "process.exit(0)"),
        ("javascript", "std.open('/etc/hostname', 'r')"),
        ("javascript", "import('os').then(() => 1, (e) => { throw e }); os.exec(['true'])"),
        ("javascript", "fetch('http://127.0.0.1')"),
        ("javascript", "__write.constructor('return process')().env"),
        ("javascript", "new Worker('x')"),
    ],
)
async def test_nothing_of_the_machine_is_there(language: Language, code: str) -> None:
    result = await Lite().run(RunSpec(language, code))
    assert (result.exit_code, result.stdout, result.killed_reason) == (1, b"", None)
    assert b"Error" in result.stderr


async def test_the_self_test_refuses_an_interpreter_that_holds_nothing() -> None:
    with pytest.raises(SandboxUnavailable, match="programs can be started, the network can be reached"):
        await Lite(NAIVE).self_test()


async def test_the_self_test_finds_both_languages_and_never_bash() -> None:
    assert await Lite().self_test() == ("python", "javascript")
    with pytest.raises(SandboxUnavailable, match="does not run bash"):
        await Lite().run(RunSpec("bash", "true"))


async def test_a_missing_interpreter_is_named_with_the_extra_that_brings_it() -> None:
    hidden = 'import sys; sys.modules["quickjs"] = None; sys.path.insert(0, {root!r})\nfrom hub.sandbox.lite_child import main; main()'
    with pytest.raises(
        SandboxUnavailable, match=r"quickjs is not installed; install multi-agent-bridge\[sandbox-lite\]"
    ):
        await Lite(hidden).run(RunSpec("javascript", "1"))


async def test_files_are_refused_and_save_is_answered_for() -> None:
    with pytest.raises(SandboxUnavailable, match="shows no files"):
        await Lite().run(RunSpec("python", "1", files=(Given("a", 0),)))
    assert (await Lite().run(RunSpec("python", "1", save=("*.png",)))).not_saved == (
        "*.png: the engine lite has no /work",
    )


async def test_a_stopped_run_ends_at_once() -> None:
    stop = asyncio.Event()
    code = "print('here')\nwhile True: pass"
    result = await Lite().run(RunSpec("python", code), lambda *_: stop.set(), stop)
    assert (result.stopped, result.exit_code, result.killed_reason) == (True, None, None)


async def test_the_strongest_engine_that_holds_is_chosen_for_each_language() -> None:
    engines = Engines(engines_for("auto"))
    await engines.examine()
    engines.close()
    assert engines.languages == {"python": "bwrap", "javascript": "bwrap", "bash": "bwrap"}
    weaker = Engines([engine for engine in engines_for("auto") if engine.name != "bwrap"])
    await weaker.examine()
    assert weaker.languages == {"python": "lite", "javascript": "lite"}
    assert [engine.name for engine in engines_for("seatbelt")] == ["seatbelt"]
    assert engines_for("off") == ()


def test_a_killed_hub_takes_the_child_and_its_workers_along(tmp_path: Path) -> None:
    script = (
        "import asyncio, os\nfrom hub.sandbox.lite import Lite\nfrom hub.sandbox.engine import Limits, RunSpec\n"
        "asyncio.run(Lite().run(RunSpec('python', 'while True: pass', limits=Limits(wall_s=60))))"
    )
    hub = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[2])
    found: list[int] = []
    try:
        found = eventually_sync(lambda: pids if len(pids := descendants(hub.pid)) >= 2 else None)
    finally:
        hub.send_signal(signal.SIGKILL)
        hub.wait()
    eventually_sync(lambda: not [pid for pid in found if alive(pid)], what="child and worker are gone")


def descendants(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, task.read_text().split())
    return found[1:]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
