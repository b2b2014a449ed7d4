"""The commit guard in real git repositories, against a real hub."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mcp_bridge.guard import ASIDE, GuardError, install, remove, staged
from tests.commands.test_commands import bridge, home

__all__ = ["home"]


def git(at: Path, *arguments: str, code: int = 0, **env: Any) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=at,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", **env},
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with two committed files."""
    at = tmp_path / "work"
    at.mkdir()
    git(at, "init", "-q", "-b", "main")
    git(at, "config", "user.name", "ada")
    git(at, "config", "user.email", "ada@example.org")
    (at / "src").mkdir()
    for name in ("src/app.py", "other.py"):
        (at / name).write_text("one\n")
    git(at, "add", "-A")
    git(at, "commit", "-q", "-m", "start")
    return at


def change(at: Path, *names: str) -> None:
    for name in names:
        (at / name).write_text((at / name).read_text() + "more\n")
    git(at, "add", "-A")


def agent_holding(home: Path, name: str, *paths: str) -> str:
    token = bridge(home, "agents", "register", name).strip()
    bridge(home, "rooms", "join", "build", BRIDGE_TOKEN=token)
    bridge(home, "reservations", "make", "build", *paths, "--reason", "new login", BRIDGE_TOKEN=token)
    return token


def test_a_commit_on_what_another_agent_holds_is_refused_until_it_is_overridden(home: Path, repo: Path) -> None:
    bridge(home, "rooms", "join", "build", "--create")
    ben = agent_holding(home, "ben", "src/**")
    assert "refuses files that others hold in build" in bridge(
        home, "guard", "install", "--room", "build", "--at", str(repo)
    )
    env: dict[str, Any] = {"BRIDGE_HOME": str(home)}
    change(repo, "other.py")
    git(repo, "commit", "-q", "-m", "free", **env)
    change(repo, "src/app.py", "other.py")
    told = git(repo, "commit", "-q", "-m", "held", code=1, **env)
    assert "src/app.py is held by ben (exclusive) since" in told
    assert ": new login" in told
    assert "other.py" not in told
    assert git(repo, "log", "--oneline").count("\n") == 2
    told = git(repo, "-c", "mcp-bridge.override=production is down", "commit", "-q", "-m", "now", **env)
    assert "overridden; the holders are told" in told
    assert "Somebody changes what you hold (src/app.py): production is down" in bridge(home, "poll", BRIDGE_TOKEN=ben)
    change(repo, "src/app.py")
    git(repo, "commit", "-q", "-m", "the holder's own", BRIDGE_NAME="ben", **env)
    git(repo, "mv", "src/app.py", "moved.py")
    assert "src/app.py is held" in git(repo, "commit", "-q", "-m", "moved away", code=1, **env)
    bridge(home, "guard", "install", "--room", "build", "--warn", "--at", str(repo))
    assert "src/app.py is held" in git(repo, "commit", "-q", "-m", "moved away", **env)


def test_without_a_hub_the_guard_says_so_and_stands_in_nobodys_way(repo: Path, tmp_path: Path) -> None:
    install(repo, "build", "", warn=False, agent="ada")
    change(repo, "src/app.py")
    env: dict[str, Any] = {"BRIDGE_URL": "http://127.0.0.1:9", "BRIDGE_TOKEN": "x", "BRIDGE_HUB_WAIT_S": "1"}
    assert "nothing was checked" in git(repo, "commit", "-q", "-m", "alone", **env)


def test_a_hook_that_was_there_runs_first_and_comes_back(repo: Path) -> None:
    hook = repo / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    text = "#!/bin/sh\necho mine ran\nexit 3\n"
    hook.write_text(text)
    hook.chmod(0o755)
    for _ in range(2):
        assert install(repo, "build", "", warn=False) == hook
    assert hook.with_name(ASIDE).read_text() == text
    change(repo, "other.py")
    told = git(repo, "commit", "-q", "-m", "x", code=1)
    assert "mine ran" in told
    assert "guard" not in told, "the first hook refused already"
    assert remove(repo)
    assert (hook.read_text(), hook.with_name(ASIDE).exists()) == (text, False)
    assert os.access(hook, os.X_OK)
    assert not remove(repo)
    assert hook.read_text() == text


def test_two_foreign_hooks_are_left_alone(repo: Path) -> None:
    folder = repo / ".git" / "hooks"
    folder.mkdir(exist_ok=True)
    (folder / "pre-commit").write_text("#!/bin/sh\n")
    (folder / ASIDE).write_text("#!/bin/sh\n# precious\n")
    with pytest.raises(GuardError, match="move one of them away first"):
        install(repo, "build", "", warn=False)
    assert (folder / ASIDE).read_text() == "#!/bin/sh\n# precious\n"


def test_hooks_shared_with_other_repositories_are_left_alone(repo: Path, tmp_path: Path) -> None:
    git(repo, "config", "core.hooksPath", str(tmp_path / "shared"))
    with pytest.raises(GuardError, match="other repositories may share"):
        install(repo, "build", "", warn=False)
    assert not (tmp_path / "shared").exists()


def test_a_folder_without_git_and_a_repository_without_the_guard_say_what_to_do(tmp_path: Path, repo: Path) -> None:
    assert "not a git repository" in bridge(
        tmp_path, "guard", "install", "--room", "build", "--at", str(tmp_path), code=1
    )
    told = bridge(
        tmp_path, "guard", "check", "--at", str(repo), code=1, BRIDGE_URL="http://127.0.0.1:9", BRIDGE_TOKEN="x"
    )
    assert "mcp-bridge guard install --room ROOM" in told


def test_staged_paths_are_named_as_they_are(repo: Path) -> None:
    odd = ["ü ö.py", "a*b[1].py", "new\nline.py"]
    for name in odd:
        (repo / name).write_text("x")
    git(repo, "add", "-A")
    git(repo, "mv", "other.py", "renamed.py")
    assert sorted(staged(repo)) == sorted([*odd, "other.py", "renamed.py"])
