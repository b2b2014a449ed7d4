"""Where control groups can be made, and that everything goes on where they cannot.

The tree here is a folder laid out as the kernel documents it (cgroup-v2.rst, "Interface Files" and "Delegation"); what
the kernel does with it is shown by `test_machine.py`.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from hub.sandbox.bwrap import WITHOUT_GROUP
from hub.sandbox.cgroup import Groups, NoGroups, claim, own_folder, sweep
from hub.sandbox.engine import MIB, Limits
from tests.sandbox.driven import drive

NO_SYSTEMD = Path("/nonexistent")
MOUNT = "29 23 0:26 {root} {place} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


def proc(home: Path, within: str, root: str = "/", place: str = "/sys/fs/cgroup") -> Path:
    made = home / "proc"
    made.mkdir()
    (made / "cgroup").write_text(f"4:memory:/elsewhere\n0::{within}\n")
    (made / "mountinfo").write_text("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" + MOUNT.format(root=root, place=place))
    return made


def tree(home: Path, controllers: str = "cpuset cpu io memory pids", procs: str = "") -> Path:
    """A group with the files the kernel makes in one."""
    own = home / "own"
    own.mkdir()
    _fill(own, controllers, procs)
    return own


def _fill(folder: Path, controllers: str = "", procs: str = "") -> None:
    for name in (
        "cgroup.subtree_control",
        "cgroup.threads",
        "cpu.weight",
        "memory.max",
        "memory.oom.group",
        "pids.max",
    ):
        (folder / name).write_text("")
    (folder / "cgroup.controllers").write_text(controllers)
    (folder / "cgroup.procs").write_text(procs)
    (folder / "cgroup.type").write_text("domain")


@pytest.fixture
def filled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders come with their files, as the kernel's do."""
    made = Path.mkdir

    def mkdir(self: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        made(self, mode, parents, exist_ok)
        _fill(self)

    monkeypatch.setattr(Path, "mkdir", mkdir)


def test_the_own_group_is_found_where_it_is_mounted(tmp_path: Path) -> None:
    assert own_folder(proc(tmp_path, "/user.slice/hub.scope")) == Path("/sys/fs/cgroup/user.slice/hub.scope")


def test_the_own_group_is_found_where_only_a_part_of_the_tree_is_mounted(tmp_path: Path) -> None:
    assert own_folder(proc(tmp_path, "/pod/hub", root="/pod", place="/cg")) == Path("/cg/hub")


@pytest.mark.parametrize("within", ["/../other", "/elsewhere"])
def test_a_group_that_cannot_be_seen_from_here_is_not_used(tmp_path: Path, within: str) -> None:
    with pytest.raises(NoGroups, match="not mounted"):
        own_folder(proc(tmp_path, within, root="/pod"))


def test_version_1_alone_is_not_used(tmp_path: Path) -> None:
    made = proc(tmp_path, "/")
    (made / "cgroup").write_text("4:memory:/\n")
    with pytest.raises(NoGroups, match="version 2"):
        own_folder(made)


def test_a_group_without_the_controllers_is_refused_by_their_names(tmp_path: Path) -> None:
    with pytest.raises(NoGroups, match=r"does not offer memory, pids .*Delegate=yes"):
        claim(tree(tmp_path, "hugetlb cpu"), None, systemd=NO_SYSTEMD)


def test_a_group_that_systemd_keeps_for_itself_is_left_alone(tmp_path: Path) -> None:
    own = tree(tmp_path)
    with pytest.raises(NoGroups, match="systemd's to divide"):
        claim(own, None, systemd=tmp_path)
    assert (own / "cgroup.subtree_control").read_text() == ""


def test_a_group_marked_by_systemd_is_ours(tmp_path: Path, filled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tree(tmp_path)
    marks = {(str(own), "user.delegate"): b"1"}
    monkeypatch.setattr(os, "getxattr", lambda path, name: marks[str(path), name])
    claim(own, None, systemd=tmp_path)
    assert (own / f"mcp-bridge.{os.getpid()}" / "runner").is_dir()


def test_who_is_in_the_group_steps_aside_before_it_is_divided(tmp_path: Path, filled: None) -> None:
    own = tree(tmp_path, procs="17\n")
    claim(own, None, systemd=NO_SYSTEMD)
    base = own / f"mcp-bridge.{os.getpid()}"
    assert (own / "hub" / "cgroup.procs").read_text() == "17"
    assert (own / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    assert (base / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    assert ((base / "cpu.weight").read_text(), (base / "runner" / "cgroup.procs").read_text()) == ("33", "0")


def test_a_run_gets_what_its_limits_say_and_room_for_its_files(tmp_path: Path, filled: None) -> None:
    groups = Groups(tmp_path)
    limits = Limits(memory_bytes=64 * MIB, processes=8, work_bytes=4 * MIB, tmp_bytes=2 * MIB)
    groups.make(limits, shown_bytes=3 * MIB).close()
    made = tmp_path / "run-1"
    written = {name: (made / name).read_text() for name in ("memory.max", "memory.oom.group", "pids.max")}
    assert written == {"memory.max": str((64 + 4 + 2 + 3 + 16) * MIB), "memory.oom.group": "1", "pids.max": "10"}


def test_a_tree_that_only_looks_like_one_is_found_out(tmp_path: Path, filled: None) -> None:
    with pytest.raises(NoGroups, match="cannot be used"):
        Groups(tmp_path).verify()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_root_gives_the_runner_its_part_and_nothing_above(tmp_path: Path, filled: None) -> None:
    own = tree(tmp_path)
    claim(own, 61184, systemd=NO_SYSTEMD)
    base = own / f"mcp-bridge.{os.getpid()}"
    assert {path.stat().st_uid for path in (base, base / "cgroup.procs", base / "runner")} == {61184}
    assert {path.stat().st_uid for path in (own, own / "cgroup.procs", base / "cpu.weight")} == {0}


def test_what_a_dead_runner_left_is_removed_and_a_living_one_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "rmdir", shutil.rmtree)  # the kernel's folders go with the files in them
    for name, populated in (("mcp-bridge.1", 0), ("mcp-bridge.2", 1), ("other", 0)):
        (tmp_path / name / "runner").mkdir(parents=True)
        (tmp_path / name / "cgroup.events").write_text(f"populated {populated}\nfrozen 0\n")
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mcp-bridge.2", "other"]


def test_a_run_that_cannot_have_its_group_goes_on_without_and_says_so(place: Path) -> None:
    assert drive(place, "pretended") == {"exit_code": 0, "stdout": "here\n", "enforcement": WITHOUT_GROUP}
