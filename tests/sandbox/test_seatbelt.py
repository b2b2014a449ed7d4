"""The macOS engine as text: what it would execute. Nobody has run it on a Mac yet, and the docs say so."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from hub.sandbox.engine import Given, Limits, RunSpec, SandboxUnavailable
from hub.sandbox.seatbelt import Seatbelt, collect_from, command, prepare, profile

# recorded: a change of either is a change of what stands between the code and a Mac
RECORDED_COMMAND = [
    "/usr/bin/sandbox-exec",
    *("-D", "WORK=/h/work", "-D", "CODE=/h/code", "-D", "ROOM=/h/room"),
    "-p",
    profile(),
    *("/bin/bash", "-c", 'ulimit -t 5 -u 32 -n 128 -f 65536 -c 0 && exec "$@"', "run"),
    *("python3", "-s", "-B", "-u", "/h/code/main"),
]
READS = (
    '(subpath "/usr") (subpath "/bin") (subpath "/System") (subpath "/Library/Frameworks") (subpath "/Library/Developer")'
    ' (subpath "/opt/homebrew") (subpath "/private/var/db/dyld")'
)
RECORDED_PROFILE = f"""(version 1)
(deny default)
(deny network*)
(allow process-fork)
(allow signal (target same-sandbox))
(allow sysctl-read)
(allow process-exec {READS})
(allow file-read-metadata (literal "/") (literal "/private") (literal "/private/var"))
(allow file-read* {READS})
(allow file-read* (literal "/dev/null") (literal "/dev/zero") (literal "/dev/random") (literal "/dev/urandom"))
(allow file-write-data (literal "/dev/null"))
(allow file-read* (subpath (param "CODE")) (subpath (param "ROOM")))
(allow file-read* file-write* (subpath (param "WORK")))"""


def test_the_command_and_the_profile_are_as_recorded() -> None:
    assert command(RunSpec("python", "x"), Path("/h")) == RECORDED_COMMAND
    assert profile() == RECORDED_PROFILE


def test_code_and_names_are_never_part_of_the_command_or_the_profile(tmp_path: Path) -> None:
    hostile = '") (allow default) ("'
    made = command(RunSpec("bash", hostile, files=(Given(hostile, 0),)), tmp_path)
    assert not any(hostile in part for part in made)


def test_only_the_work_folder_may_be_written_and_nothing_reaches_the_network() -> None:
    writes = [line for line in profile().splitlines() if "file-write" in line]
    assert writes == [
        '(allow file-write-data (literal "/dev/null"))',
        '(allow file-read* file-write* (subpath (param "WORK")))',
    ]
    assert [line for line in profile().splitlines() if "network" in line] == ["(deny network*)"]


def test_files_go_in_by_descriptor_and_come_out_without_following_links(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("a,b")
    with source.open("rb") as file:
        prepare(RunSpec("python", "code", files=(Given("data.csv", file.fileno()),)), tmp_path)
    assert (tmp_path / "room" / "data.csv").read_text() == "a,b"
    (tmp_path / "work" / "a.png").write_text("plot")
    (tmp_path / "work" / "b.png").symlink_to(source)
    produced, left_out = collect_from(tmp_path / "work", RunSpec("python", "", save=("*.png",), limits=Limits()))
    assert [file.name for file in produced] == ["a.png"]
    assert left_out == ("b.png: not a regular file",)
    os.close(produced[0].fd)


@pytest.mark.skipif(sys.platform == "darwin", reason="says what happens elsewhere")
@pytest.mark.anyio
async def test_elsewhere_it_refuses_with_the_reason() -> None:
    with pytest.raises(SandboxUnavailable, match="needs macOS"):
        await Seatbelt().self_test()
