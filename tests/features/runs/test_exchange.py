"""Files into runs and out of them, on the real sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hub.features.files.contract import DeleteFile, ListFiles, ReadFile, ShareFile
from hub.features.runs import contract as c
from hub.features.runs import exchange
from hub.features.runs.worker import RunWorker
from hub.kernel.files.contract import SharedFileNotFound
from hub.kernel.rooms.contract import CreateRoom, JoinRoom
from hub.storage.blobs import MARK, BlobStore
from tests.features.runs.test_runs import hub, open_room, outcome
from tests.log.test_rebuild import same_after_rebuild
from tests.support.hubs import TestHub, running_hub
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio
__all__ = ["hub"]
SCOPES = ("room:read", "room:send", "run", "file:read", "file:write")


async def coder(hub: TestHub, name: str) -> Any:
    made = await hub.agent(name, "code", SCOPES)
    await made.call(JoinRoom(room="lab"))
    return made


def on_disk(hub: TestHub) -> list[bytes]:
    folder = hub.app.dispatch.service(BlobStore).directory
    return sorted(path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != MARK)


async def test_a_run_reads_files_of_the_room_and_leaves_new_versions_of_others(hub: TestHub) -> None:
    ada, ben = await coder(hub, "ada"), await coder(hub, "ben")
    data = await ada.call(ShareFile(room="lab", name="data.csv", content="1\n2\n3\n"))
    await ada.call(ShareFile(room="lab", name="unseen.txt", content="x"))
    code = (
        "import os, pathlib\n"
        "print(sorted(os.listdir('/room')))\n"
        "total = sum(map(int, open('/room/data.csv')))\n"
        "pathlib.Path('total.txt').write_text(f'total {total}')\n"
        "pathlib.Path('other.log').write_text('not asked for')\n"
        "try: open('/room/data.csv', 'w')\n"
        "except OSError as e: print('read-only', type(e).__name__)\n"
    )
    started = await ben.call(c.StartRun(room="lab", language="python", code=code, files=(data.id,), save=("*.txt",)))
    done = await outcome(ada, started)
    assert (done.state, done.stdout.splitlines()[0]) == ("succeeded", "['data.csv']"), done.stderr
    assert "read-only" in done.stdout
    assert [(f.name, f.version, f.size_bytes) for f in done.files] == [("total.txt", 1, 7)]
    assert done.not_saved == ()
    shared = await ada.call(ReadFile(room="lab", file="total.txt"))
    assert (shared.text, shared.file.sender, shared.file.id) == ("total 6", "ben", done.files[0].id)
    append = "cat /room/total.txt > total.txt; echo 2 >> total.txt"
    asked = c.StartRun(room="lab", language="bash", code=append, files=("total.txt",), save=("total.txt",))
    again = await ada.call(asked)
    assert [(f.name, f.version) for f in (await outcome(ada, again)).files] == [("total.txt", 2)]
    assert await hub.app.store.write(same_after_rebuild) == []


async def test_a_pattern_shows_the_newest_version_of_every_file_that_matches(hub: TestHub) -> None:
    ada = await coder(hub, "ada")
    for name, content in (("a.csv", "old"), ("a.csv", "new"), ("b.csv", "b"), ("c.txt", "c"), ("[x].csv", "x")):
        await ada.call(ShareFile(room="lab", name=name, content=content))
    look = "cd /room; for file in *; do echo $file $(cat $file); done"
    seen = {}
    for files in (("*.csv",), ("*",), ("[x].csv",), ("[ab].csv", "c.txt")):
        asked = c.StartRun(room="lab", language="bash", code=look, files=files)
        seen[files] = (await outcome(ada, await ada.call(asked))).stdout.splitlines()
    assert seen == {
        ("*.csv",): ["[x].csv x", "a.csv new", "b.csv b"],
        ("*",): ["[x].csv x", "a.csv new", "b.csv b", "c.txt c"],
        ("[x].csv",): ["[x].csv x"],
        ("[ab].csv", "c.txt"): ["a.csv new", "b.csv b", "c.txt c"],
    }
    with pytest.raises(SharedFileNotFound, match=r"no file of room 'lab' matches '\*\.pdf'"):
        await ada.call(c.StartRun(room="lab", language="bash", code=look, files=("*.pdf",)))


async def test_a_pattern_that_means_too_many_files_is_refused(hub: TestHub) -> None:
    ada = await coder(hub, "ada")
    for number in range(exchange.MOST_SHOWN + 1):
        await ada.call(ShareFile(room="lab", name=f"{number}.txt", content="x"))
    with pytest.raises(exchange.TooMuchShown, match="33 files are meant, a run can see 32"):
        await ada.call(c.StartRun(room="lab", language="bash", code="true", files=("*",)))


async def test_what_cannot_be_kept_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    async with running_hub(tmp_path, sandbox="auto", room_files_bytes=10_000, file_bytes=5_000) as hub:
        await open_room(hub, "lab")
        ada = await coder(hub, "ada")
        code = (
            "head -c 6000 /dev/zero > large; head -c 4000 /dev/zero | tr '\\0' a > one;"
            "head -c 4000 /dev/zero | tr '\\0' b > two; head -c 4000 /dev/zero | tr '\\0' c > three;"
            "ln -s /etc/passwd link; mkfifo pipe; mkdir folder; touch $'bad\\nname'"
        )
        await hub.app.dispatch.service(RunWorker).ready.wait()
        done = await outcome(ada, await ada.call(c.StartRun(room="lab", language="bash", code=code, save=("*",))))
        assert done.state == "succeeded", done.stderr
        assert len(done.files) == 2
        reasons = "\n".join(done.not_saved)
        for name in ("large: a file may have 5,000 bytes", "link: not a regular file", "pipe:", "folder:", "U+000A"):
            assert name in reasons
        assert "holds 8,000 of 10,000 bytes" in reasons
        kept = {item.name for item in (await ada.call(ListFiles(room="lab"))).items}
        assert kept == {file.name for file in done.files}
        assert kept < {"one", "two", "three"}
        await eventually(lambda: len(on_disk(hub)) == 2, what="what was not kept is gone from disk")


async def test_a_run_sees_only_files_of_its_own_room_that_are_still_there(hub: TestHub) -> None:
    ada, eve = await coder(hub, "ada"), await hub.agent("eve", "code", SCOPES)
    await eve.call(CreateRoom(room="own"))
    secret = await eve.call(ShareFile(room="own", name="secret.txt", content="treasure"))
    for file in (secret.id, "secret.txt", "../own/secret.txt", "missing"):
        with pytest.raises(SharedFileNotFound):
            await ada.call(c.StartRun(room="lab", language="bash", code="ls /room", files=(file,)))
    gone = await ada.call(ShareFile(room="lab", name="gone.txt", content="soon"))
    slow = [await ada.call(c.StartRun(room="lab", language="bash", code="sleep 1"))]  # one run at a time per agent
    waiting = await ada.call(c.StartRun(room="lab", language="bash", code="cat /room/*", files=("gone.txt",)))
    assert waiting.state == "queued"
    await ada.call(DeleteFile(room="lab", file=gone.id))
    await outcome(ada, slow[0])
    done = await outcome(ada, waiting)
    assert (done.state, "was deleted before" in done.reason) == ("unavailable", True)


async def test_more_than_a_run_can_hold_is_refused_before_it_begins(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await coder(hub, "ada")
    await ada.call(ShareFile(room="lab", name="one", content="123456"))
    await ada.call(ShareFile(room="lab", name="two", content="654321"))
    monkeypatch.setattr(exchange, "MOST_SHOWN_BYTES", 10)
    with pytest.raises(exchange.TooMuchShown, match="have 12 bytes, a run can see 10"):
        await ada.call(c.StartRun(room="lab", language="bash", code="true", files=("one", "two")))
    one = await ada.call(c.StartRun(room="lab", language="bash", code="cat /room/one", files=("one", "one")))
    assert (await outcome(ada, one)).stdout == "123456"
