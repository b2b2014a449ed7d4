"""Files of the agent's own machine: only from declared folders, never by a link, a device or a trick."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from mcp_bridge.local_files import NotShared, open_shared, pieces, share_roots
from tests.mcp.conftest import call, refused
from tests.mcp.test_relay import Sessions, home, sessions

__all__ = ["home", "sessions"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with files, and a secret beside it."""
    made = tmp_path / "project"
    (made / "data").mkdir(parents=True)
    (made / "data" / "sales.csv").write_bytes(b"a,b\n1,2\n")
    (made / ".env").write_bytes(b"secret")
    (tmp_path / "secret.txt").write_bytes(b"secret")
    (tmp_path / "project-2").mkdir()
    (tmp_path / "project-2" / "secret.txt").write_bytes(b"secret")
    return made


def content(project: Path, path: str) -> bytes:
    with open_shared([project], path) as file:
        return file.read()


def test_files_below_the_project_open_by_relative_and_absolute_path(project: Path) -> None:
    for path in ("data/sales.csv", "./data/sales.csv", str(project / "data" / "sales.csv")):
        assert content(project, path) == b"a,b\n1,2\n"


def test_everything_else_is_refused_with_the_reason(project: Path) -> None:
    (project / "link").symlink_to(project.parent / "secret.txt")
    (project / "inside").symlink_to(project / "data" / "sales.csv")
    (project / "folder").symlink_to(project.parent)
    (project / "proc").symlink_to("/proc/self")
    os.mkfifo(project / "pipe")
    cases = {
        "../secret.txt": "'..'",
        "data/../../secret.txt": "'..'",
        str(project.parent / "secret.txt"): "not below a shared folder",
        str(project.parent / "project-2" / "secret.txt"): "not below a shared folder",
        "/etc/passwd": "not below a shared folder",
        "link": "without following a link",
        "inside": "without following a link",
        "folder/secret.txt": "without following a link",
        "proc/environ": "without following a link",
        "pipe": "not an ordinary file",
        "data": "not an ordinary file",
        "missing.csv": "cannot be opened",
        ".env": "hidden",
        ".": "not below a shared folder",
        "": "not below a shared folder",
    }
    for path, reason in cases.items():
        with pytest.raises(NotShared, match=reason):
            content(project, path)


def test_a_folder_swapped_for_a_link_during_the_walk_is_noticed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.parent / "sales.csv").write_bytes(b"secret")
    opening = os.open

    def swapping(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == "data":
            (project / "data").rename(project / "moved")
            (project / "data").symlink_to(project.parent)
        return opening(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "supports_dir_fd", {*os.supports_dir_fd, swapping})
    monkeypatch.setattr(os, "open", swapping)
    with pytest.raises(NotShared, match="without following a link"):
        content(project, "data/sales.csv")


def test_the_roots_are_what_was_declared_else_the_project_and_never_the_whole_home(tmp_path: Path) -> None:
    project, person = tmp_path / "home" / "me" / "project", tmp_path / "home" / "me"
    project.mkdir(parents=True)
    assert share_roots({}, project, person) == [project]
    for too_much in (person, tmp_path, Path("/")):
        assert share_roots({}, too_much, person) == []
    declared = {"BRIDGE_SHARE_ROOTS": f"{tmp_path / 'one'}{os.pathsep}{tmp_path / 'two'}"}
    assert share_roots(declared, project, person) == [tmp_path / "one", tmp_path / "two"]
    with pytest.raises(NotShared, match="BRIDGE_SHARE_ROOTS declares some"):
        open_shared([], "a.txt")


def test_a_file_that_grows_is_sent_as_long_as_it_was(project: Path) -> None:
    with open_shared([project], "data/sales.csv") as file:
        with (project / "data" / "sales.csv").open("ab") as more:
            more.write(b"POST / HTTP/1.1")
        assert b"".join(pieces(file, 8)) == b"a,b\n1,2\n"


@pytest.mark.anyio
async def test_an_agent_shares_a_file_of_its_project_by_path(sessions: Sessions) -> None:
    ada, ben = await sessions.open("--name", "ada"), await sessions.open("--name", "ben")
    for agent in (ada, ben):
        await call(agent, "join", room="lab")
    large = os.urandom(3_000_000)
    (sessions.project / "out").mkdir()
    (sessions.project / "out" / "model.bin").write_bytes(large)
    (sessions.project / "notes.md").write_text("# hi")
    (sessions.project / "link.md").symlink_to("/etc/passwd")
    shared = await call(ada, "file", action="put", path="out/model.bin", text="trained")
    assert (shared["file"]["name"], shared["file"]["size_bytes"]) == ("model.bin", 3_000_000)
    renamed = await call(ada, "file", action="put", path="notes.md", file="readme.md", room="lab")
    news = (await call(ben, "poll"))["messages"]
    assert [(m["text"], m["attachments"]) for m in news] == [
        ("trained", [shared["file"]["id"]]),
        ("Shared readme.md", [renamed["file"]["id"]]),
    ]
    assert (await call(ben, "file", action="get", file="readme.md"))["content"] == "# hi"
    found: Any = await ben.read_resource(f"room://lab/files/{shared['file']['id']}")

    assert hashlib.sha256(base64.b64decode(found.contents[0].blob)).digest() == hashlib.sha256(large).digest()
    assert "without following a link" in await refused(ada, "file", action="put", path="link.md")
    assert "not below a shared folder" in await refused(ada, "file", action="put", path="/etc/passwd")
    assert "give only the last part" in await refused(ada, "file", action="put", path="notes.md", file="../x")
    assert "you are in" in await refused(ada, "file", action="put", path="notes.md", room="elsewhere")
    assert len((await call(ben, "file", action="list"))["files"]) == 2
