"""`mcp-bridge files` as a person meets it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from mcp_bridge.commands.files import FileExists, safe_here, whole
from tests.commands.test_commands import bridge, home
from tests.mcp.test_relay import ROOT

__all__ = ["home"]


def test_a_file_goes_up_and_comes_down_and_nothing_is_written_over(home: Path, tmp_path: Path) -> None:
    bridge(home, "rooms", "create", "build")
    source = tmp_path / "data.csv"
    source.write_bytes(b"a,b\n" * 10_000)
    assert "is version 1, 40,000 bytes" in bridge(home, "files", "put", "build", str(source), "--text", "data")
    assert "was there already" in bridge(home, "files", "put", "build", str(source))
    target = tmp_path / "out" / "copy.csv"
    target.parent.mkdir()
    assert "version 1" in bridge(home, "files", "get", "build", "data.csv", "-o", str(target))
    assert target.read_bytes() == source.read_bytes()
    target.write_bytes(b"mine")
    assert "--force" in bridge(home, "files", "get", "build", "data.csv", "-o", str(target), code=1)
    assert target.read_bytes() == b"mine"
    bridge(home, "files", "get", "build", "data.csv", "-o", str(target), "--force")
    assert target.read_bytes() == source.read_bytes()
    assert [path.name for path in target.parent.iterdir()] == ["copy.csv"]
    assert "data.csv" in bridge(home, "files", "ls", "build")
    os.mkfifo(tmp_path / "pipe")
    assert "not an ordinary file" in bridge(home, "files", "put", "build", str(tmp_path / "pipe"), code=1)
    assert "give one with --name" in bridge(home, "files", "put", "build", "-", code=2)
    bridge(home, "files", "put", "build", "-", "--name", ".bashrc", text="evil")
    assert "say where with --output" in bridge(home, "files", "get", "build", ".bashrc", code=2)
    assert "deleted data.csv version 1" in bridge(home, "files", "rm", "build", "data.csv")


def test_standard_output_gets_the_bytes_and_nothing_else(home: Path, tmp_path: Path) -> None:
    bridge(home, "rooms", "create", "build")
    (tmp_path / "raw").write_bytes(bytes(range(256)))
    bridge(home, "files", "put", "build", str(tmp_path / "raw"))
    env = {**os.environ, "BRIDGE_HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mcp_bridge", "files", "get", "build", "raw", "-o", "-"]
    out = subprocess.run(command, env=env, capture_output=True, check=True, timeout=60).stdout
    assert hashlib.sha256(out).digest() == hashlib.sha256(bytes(range(256))).digest()


@pytest.mark.parametrize("name", [".bashrc", "-rf", "~root", "CON", "nul.txt", "a:stream", "Com1.log"])
def test_a_name_that_means_something_to_the_system_is_not_written_unasked(name: str) -> None:
    with pytest.raises(click.UsageError):
        safe_here(name)


def test_a_download_that_fails_or_loses_the_race_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "a"
    with pytest.raises(ZeroDivisionError):
        write(target, lambda: 1 / 0)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "secret").write_bytes(b"untouched")
    with pytest.raises(FileExists):
        write(target, lambda: target.symlink_to(tmp_path / "secret"))
    assert (tmp_path / "secret").read_bytes() == b"untouched"
    with pytest.raises(FileExists):
        write(target, lambda: None)


def write(target: Path, meanwhile: Callable[[], object]) -> None:
    with whole(target, force=False) as part:
        part.write(b"half")
        meanwhile()
