"""Files of a question on this machine: whole, under harmless names, and gone afterwards."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desktop_agent.attachments import Attachments, Litter, names_of
from desktop_agent.jobs import LeasedJobs, Outbox
from desktop_agent.window import Refused
from hub.features.files.contract import ReadFile, ShareFile
from hub.features.messages.contract import PostMessage
from hub.kernel.files.contract import SharedFile
from hub.kernel.rooms.contract import JoinRoom
from tests.support.hubs import running_hub

LARGE = bytes(range(256)) * 2500


def shared(name: str) -> SharedFile:
    return SharedFile.model_validate(
        {
            "id": "f",
            "room": "plan",
            "name": name,
            "version": 1,
            "size_bytes": 1,
            "sha256": "",
            "media_type": "text/plain",
        }
        | {"from": "alice", "at": "2026-01-01T00:00:00Z"}
    )


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20), max_size=5))
def test_every_name_is_one_visible_part_of_a_path_and_no_two_are_the_same(given_names: list[str]) -> None:
    names = names_of(tuple(map(shared, given_names)))
    assert len({name.casefold() for name in names}) == len(names) == len(given_names)
    for name in names:
        assert name == os.path.basename(name) != ""
        assert not name.startswith(".")
        assert not set(name) & set('<>:"|?*\\\0')


def test_devices_and_hidden_files_become_ordinary_names_and_ordinary_names_stay() -> None:
    names = ["nul.txt", "COM1", "../x", ".bashrc", "a:b", "..", "my report ü.txt", "My Report ü.txt"]
    assert names_of(tuple(map(shared, names))) == [
        "_nul.txt", "_COM1", "_x", "bashrc", "a_b", "file", "my report ü.txt", "8-My Report ü.txt"
    ]  # fmt: skip


@pytest.mark.anyio
async def test_files_arrive_whole_readable_by_their_owner_only_and_are_gone_after_the_job(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub") as hub:
        alice, window = await hub.agent("alice"), await hub.agent("window", kind="desktop")
        await alice.call(JoinRoom(room="plan", create=True))
        await window.call(JoinRoom(room="plan"))
        content = base64.b64encode(LARGE).decode()
        await alice.call(ShareFile(room="plan", name="large.bin", content_base64=content))
        await alice.call(
            PostMessage(room="plan", text="?", kind="question", to=("window",), attachments=("large.bin",))
        )
        job = await LeasedJobs(window, Outbox(tmp_path / "outbox")).next()
        assert job is not None
        files = Attachments(window, tmp_path / "files")
        with files.kept():
            [path] = await files.fetch(job)
            assert (path.name, path.read_bytes(), path.stat().st_mode & 0o777) == ("large.bin", LARGE, 0o600)
            first = path.stat().st_mtime_ns
            assert (await files.fetch(job), path.stat().st_mtime_ns) == ((path,), first), "fetched once"
            (path.parent / "left.part").write_bytes(b"")
        assert not (tmp_path / "files").exists()

        class Lying:
            async def call(self, request: Any, *, key: str | None = None) -> Any:
                answer = await window.call(request)
                if isinstance(request, ReadFile):
                    return answer.model_copy(update={"content_base64": "AAAA"})
                return answer

        with files.kept(), pytest.raises(Refused, match="did not arrive"):
            await Attachments(Lying(), tmp_path / "files").fetch(job)


def test_what_may_be_attached_is_known_after_a_restart(tmp_path: Path) -> None:
    Litter(tmp_path / "d" / "a").put((Path("/x/one.txt"), Path("/x/two.txt")))
    assert Litter(tmp_path / "d" / "a").names() == "one.txt, two.txt"
    Litter(tmp_path / "d" / "a").clear()
    assert Litter(tmp_path / "d" / "a").names() == ""
