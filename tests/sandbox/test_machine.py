"""Control groups as a real kernel keeps them, in a small virtual machine: few machines that run tests lend theirs."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.machine import KERNEL, boot

MAIN = (
    "import runpy, sys; sys.path.insert(0, '/given'); runpy.run_module('tests.sandbox.in_machine', run_name='__main__')"
)
ROOT = Path(__file__).parents[2]
BY_THE_RUNNER = {
    "languages": ["python", "bash"],
    "by": "cgroup, rlimit and watchdog",
    "note": "",
    "daemons": [0, "0::/\n", "cgroup, rlimit and watchdog"],
    "by many": "memory",
    "spun": ["timeout", True],
    "groups left": [],
    "runner killed": "the runner process ended; the next run starts it again",
}

pytestmark = [
    pytest.mark.timeout(420),
    pytest.mark.skipif(
        "CI" not in os.environ and not (KERNEL.exists() and shutil.which("qemu-system-x86_64")),
        reason="needs QEMU and a kernel: bash .ci/install",
    ),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the small machine says; it is started once."""
    home = tmp_path_factory.mktemp("machine")
    for part in ("hub/sandbox", "tests/sandbox"):
        shutil.copytree(ROOT / part, home / part, ignore=shutil.ignore_patterns("__pycache__"))
    said = boot(MAIN, [home / "hub", home / "tests"], home)
    made: dict[str, Any] = json.loads(said)
    return made


def test_roots_hub_gives_each_run_a_control_group(report: dict[str, Any]) -> None:
    assert report["root"] == BY_THE_RUNNER


def test_an_ordinary_users_hub_divides_the_group_it_was_given(report: dict[str, Any]) -> None:
    assert report["user"] == BY_THE_RUNNER


def test_the_kernel_holds_memory_and_processes_where_watchdog_and_rlimits_are_out_of_action(
    report: dict[str, Any],
) -> None:
    assert report["kernel"] == {
        "by many": ["memory", None],
        "never more than": True,
        "forks": "BlockingIOError: [Errno 11] Resource temporarily unavailable",
    }


def test_a_killed_hub_leaves_nobody_in_its_groups_and_the_next_start_removes_them(report: dict[str, Any]) -> None:
    assert report["killed hub"] == {"started": "up", "had groups": True, "alive": [], "left": 0}


def test_a_group_of_somebody_else_is_left_alone_and_the_fix_is_named(report: dict[str, Any]) -> None:
    assert report["foreign"].startswith("/sys/fs/cgroup/foreign belongs to somebody else")
    assert "Delegate=yes" in report["foreign"]
