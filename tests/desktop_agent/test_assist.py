"""Assist, against a real hub in-process, a scripted person and a clipboard: remembered, or the real X11 one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from desktop_agent.assist import Assistant, Person
from desktop_agent.attachments import Attachments
from desktop_agent.clipboard import Clipboard, SystemClipboard
from desktop_agent.control import Pace
from desktop_agent.jobs import LeasedJobs, Outbox
from desktop_agent.loop import Ending
from hub.core.caller import Caller
from hub.features.files.contract import ShareFile
from hub.features.jobs.contract import Leased
from hub.features.messages.contract import ListMessages, PostMessage
from hub.kernel.files.contract import SharedFile
from hub.kernel.rooms.contract import JoinRoom
from tests.commands.test_commands import bridge, home
from tests.mcp.test_relay import ROOT
from tests.support.hubs import running_hub
from tests.support.waiting import eventually_sync

TAG = "ab12cd34"
__all__ = ["home"]
pytestmark = pytest.mark.anyio
HARD = ["naïve 🦀 👩‍👩‍👧 漢字", "def f():\n    return 1\n\n\tprint('x')", "0123456789" * 1000]


class Memory:
    """A clipboard in memory."""

    def __init__(self) -> None:
        self.text = "mine"
        self.kinds: Mapping[str, bytes] = {}

    def read(self) -> str:
        return self.text

    def write(self, text: str) -> None:
        self.text, self.kinds = text, {}

    def html(self) -> str:
        return ""

    def save(self) -> Mapping[str, bytes]:
        return self.kinds or {"text": self.text.encode()}

    def restore(self, kinds: Mapping[str, bytes]) -> None:
        self.text, self.kinds = kinds.get("text", b"").decode(), kinds

    def files(self) -> tuple[Path, ...]:
        return tuple(Path(path.decode()) for path in self.kinds.get("files", b"").split(b"\n") if path)

    def put_files(self, paths: Sequence[Path]) -> None:
        self.restore({"files": "\n".join(map(str, paths)).encode()})


class Hands:
    """A person who does the next of `moves` each time the agent has looked, and time that passes by looking."""

    def __init__(self, *moves: Callable[[], object], agrees: bool = True) -> None:
        self.moves = list(moves)
        self.heard: list[str] = []
        self.now_s = 0.0
        self.consent = agrees
        self.person = Person(self.agrees, self.heard.append, self.ready)
        self.attached: list[tuple[Path, bytes]] = []
        self.clipboard: Clipboard | None = None
        self.pace = Pace(lambda: self.now_s, self.pause)

    async def agrees(self, job: Leased, files: Sequence[SharedFile]) -> bool:
        return self.consent

    async def ready(self, question: str) -> bool:
        assert self.clipboard is not None
        self.heard.append(question)
        self.attached = [(path, path.read_bytes()) for path in self.clipboard.files()]
        return bool(self.attached)

    async def pause(self, seconds: float) -> None:
        self.now_s += 1
        if self.moves:
            self.moves.pop(0)()


class Table:
    """A hub with room `plan`: `alice` asks, `window` answers."""

    def __init__(self, alice: Caller, window: Caller, folder: Path) -> None:
        self.alice = alice
        self.window = window
        self.folder = folder
        self.jobs = LeasedJobs(window, Outbox(folder))

    async def ask(self, text: str = "2+2?", *files: str) -> Leased:
        await self.alice.call(
            PostMessage(room="plan", text=text, to=("window",), kind="question", attachments=tuple(files))
        )
        job = await self.jobs.next()
        assert job is not None
        return job

    async def carry(self, job: Leased, clipboard: Clipboard, hands: Hands) -> Ending:
        hands.clipboard = clipboard
        files = Attachments(self.window, self.folder / "files")
        return await Assistant(self.jobs, clipboard, hands.person, hands.pace, 60, files).work(job, tag=TAG)

    async def said(self) -> list[tuple[str, str | None]]:
        page = await self.alice.call(ListMessages(room="plan"))
        return [(m.text, m.reply_to) for m in page.items if m.sender == "window"]


@pytest.fixture
async def table(tmp_path: Path) -> Any:
    async with running_hub(tmp_path) as hub:
        alice, window = await hub.agent("alice"), await hub.agent("window", kind="desktop")
        await alice.call(JoinRoom(room="plan", create=True))
        await window.call(JoinRoom(room="plan"))
        yield Table(alice, window, tmp_path / "outbox")


@pytest.fixture(params=["memory", pytest.param("x11", marks=pytest.mark.display)])
def clipboard(request: pytest.FixtureRequest) -> Any:
    return Memory() if request.param == "memory" else request.getfixturevalue("x11")


def marked(text: str) -> str:
    return f"⟦{TAG}⟧\n{text}\n⟦/{TAG}⟧"


@pytest.mark.parametrize("text", HARD, ids=["emoji", "code", "10,000 characters"])
async def test_question_and_answer_pass_through_the_clipboard_unchanged(
    table: Table, clipboard: Clipboard, text: str
) -> None:
    job = await table.ask(text)
    pasted: list[str] = []
    hands = Hands(lambda: pasted.append(clipboard.read()), lambda: clipboard.write(marked(text)))
    assert await table.carry(job, clipboard, hands) is Ending.ANSWERED
    assert pasted[0].startswith(text + "\n\n---\n")
    assert await table.said() == [(text, job.job)]
    assert await table.jobs.next() is None


async def test_clipboard_text_without_this_jobs_tag_never_leaves_the_process(
    table: Table, clipboard: Clipboard
) -> None:
    job = await table.ask()
    others = [
        "my password",
        "⟦00000000⟧\nother job\n⟦/00000000⟧",
        f"⟦{TAG}⟧\nhalf",
        "secret\n" + marked("4") + "\nsecret",
    ]
    hands = Hands(*[lambda text=text: clipboard.write(text) for text in others])
    assert await table.carry(job, clipboard, hands) is Ending.ANSWERED
    assert await table.said() == [("4", job.job)]
    assert sum("not its end" in text for text in hands.heard) == 1


async def test_what_another_program_copied_meanwhile_stays_on_the_clipboard(table: Table) -> None:
    clipboard = Memory()
    hands = Hands(lambda: clipboard.write("from elsewhere"))
    job = await table.ask()
    assert await table.carry(job, clipboard, hands) is Ending.FAILED
    assert clipboard.text == "from elsewhere"


async def test_without_an_answer_the_asker_is_told_and_the_clipboard_is_as_before(
    table: Table, clipboard: Clipboard
) -> None:
    job = await table.ask()
    hands = Hands()
    assert await table.carry(job, clipboard, hands) is Ending.FAILED
    assert await table.said() == [("No answer was copied back from this window in time.", job.job)]
    assert clipboard.read() == "mine"


async def test_a_person_who_declines_has_an_untouched_clipboard(table: Table) -> None:
    clipboard, hands = Memory(), Hands(agrees=False)
    job = await table.ask()
    assert await table.carry(job, clipboard, hands) is Ending.DECLINED
    assert clipboard.text == "mine"
    assert await table.said() == [("Nobody at this window agreed to pass this on.", job.job)]


async def test_an_answer_given_before_a_crash_is_not_given_twice(table: Table) -> None:
    job = await table.ask()
    await table.jobs.finish(job, "answered", "4")
    await table.jobs.finish(job, "answered", "another answer")
    assert await table.said() == [("4", job.job)]


async def test_a_picture_that_was_on_the_clipboard_comes_back(table: Table) -> None:
    job = await table.ask()
    clipboard = Memory()
    clipboard.restore({"png": b"\x89PNG"})
    assert await table.carry(job, clipboard, Hands()) is Ending.FAILED
    assert clipboard.kinds == {"png": b"\x89PNG"}


async def test_what_an_earlier_attempt_sent_is_not_offered_for_sending_again(table: Table) -> None:
    job = await table.ask()
    await table.jobs.submit(job)
    await table.jobs.release(job)
    again = await table.jobs.next()
    assert again is not None
    clipboard = Memory()
    offered: list[str] = []
    hands = Hands(lambda: offered.append(clipboard.read()), lambda: clipboard.write(marked("4")))
    assert await table.carry(again, clipboard, hands) is Ending.ANSWERED
    assert offered == ["mine"]


async def test_files_of_a_question_are_on_the_clipboard_before_the_prompt(table: Table, clipboard: Clipboard) -> None:
    await table.alice.call(ShareFile(room="plan", name="notes ü.txt", content="naïve 🦀"))
    job = await table.ask("see the file", "notes ü.txt")
    hands = Hands(lambda: clipboard.write(marked("seen")))
    assert await table.carry(job, clipboard, hands) is Ending.ANSWERED
    [(path, data)] = hands.attached
    assert (path.name, data.decode(), path.exists()) == ("notes ü.txt", "naïve 🦀", False)
    declining = await table.ask("see the file", "notes ü.txt")
    nobody = Hands()
    nobody.person = Person(nobody.agrees, nobody.heard.append, lambda question: answered(False))
    clipboard.write("mine")
    assert await table.carry(declining, clipboard, nobody) is Ending.DECLINED
    assert clipboard.read() == "mine"


async def answered(value: bool) -> bool:
    return value


def test_help_works_without_a_display_and_without_pyautogui_and_use_says_what_is_missing(tmp_path: Path) -> None:
    for name in ("pyautogui", "pyperclip", "mss", "markdownify"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not installed')")
    env = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    env["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{ROOT}"
    for command in ([], ["auto"]):
        done = subprocess.run(
            [sys.executable, "-m", "mcp_bridge", "desktop", *command, "--help"], env=env, capture_output=True, text=True
        )
        assert (done.returncode, "Usage:" in done.stdout) == (0, True), done.stderr
    auto = [sys.executable, "-m", "mcp_bridge", "desktop", "auto", "--window", "a=generic"]
    done = subprocess.run(auto, env=env, capture_output=True, text=True)
    assert (done.returncode, "no display" in done.stderr) == (1, True), done.stderr
    done = subprocess.run(auto, env={**env, "WAYLAND_DISPLAY": "wayland-0"}, capture_output=True, text=True)
    assert (done.returncode, "desktop assist" in done.stderr) == (1, True), done.stderr
    code = "from desktop_agent.clipboard import *\ntry: SystemClipboard().read()\nexcept NoClipboard as e: print(e)"
    said = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert "pip install" in said.stdout, said.stderr


@pytest.mark.display
@pytest.mark.timeout(300)
def test_the_command_carries_a_message_from_the_room_to_the_clipboard_and_back(
    home: Path, x11: SystemClipboard
) -> None:
    bridge(home, "rooms", "join", "plan", "--create")
    made = json.loads(bridge(home, "agents", "register", "window", "--kind", "desktop", "--json"))
    env = {**os.environ, "BRIDGE_HOME": str(home), "BRIDGE_TOKEN": made["token"], "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mcp_bridge", "desktop", "assist", "--once", "--room", "plan"]
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdin is not None
            stdin = process.stdin
            eventually_sync(lambda: "window" in bridge(home, "rooms", "show", "plan"), within_s=60)
            sent = json.loads(bridge(home, "send", "plan", "2+2? 🦀", "--to", "window", "--kind", "question", "--json"))

            def agreed() -> str:
                """The prompt, once the person's yes came after the question."""
                stdin.write("y\n")
                stdin.flush()
                return text if (text := x11.read()).startswith("2+2? 🦀") else ""

            pasted = eventually_sync(agreed, within_s=60)
            tag = pasted.split("⟦")[1].split("⟧")[0]
            x11.write(f"⟦{tag}⟧\n4 ✓\n⟦/{tag}⟧")
            assert process.wait(60) == 0
        finally:
            process.kill()
    page = json.loads(bridge(home, "poll", "--json"))
    assert [(m["from"], m["text"], m["reply_to"]) for m in page["messages"] if m["kind"] != "notice"] == [
        ("window", "4 ✓", sent["id"])
    ]


def test_the_command_refuses_to_answer_as_the_person(home: Path) -> None:
    assert "--kind desktop" in bridge(home, "desktop", "assist", "--once", code=2)
