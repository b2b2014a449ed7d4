"""Which hub a program talks to when it is told of none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hub.client.client import locate
from hub.core.errors import HubUnreachable


@pytest.fixture(autouse=True)
def told_of_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BRIDGE_URL", "BRIDGE_TOKEN", "BRIDGE_HOME"):
        monkeypatch.delenv(name, raising=False)


def written(home: Path, pid: int) -> Path:
    (home / "hub.json").write_text(json.dumps({"url": "http://127.0.0.1:7411", "pid": pid, "version": "1"}))
    (home / "token").write_text("secret\n")
    return home


def test_the_hub_that_runs_for_the_directory_is_found_with_its_token(tmp_path: Path) -> None:
    assert locate(written(tmp_path, os.getpid())) == ("http://127.0.0.1:7411", "secret")


def test_whoever_listens_where_a_dead_hub_did_is_not_given_its_token(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with pytest.raises(HubUnreachable, match="mcp-bridge up"):
        locate(written(tmp_path, ended.pid))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"url": "http://127.0.0.1:7411", "pid": "none"}'])
def test_a_file_that_says_nothing_is_no_hub(tmp_path: Path, text: str) -> None:
    written(tmp_path, os.getpid())
    (tmp_path / "hub.json").write_text(text)
    with pytest.raises(HubUnreachable, match="no hub is running"):
        locate(tmp_path)
