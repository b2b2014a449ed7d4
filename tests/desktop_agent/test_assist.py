"""Assist, against a real hub in-process, a scripted person and a clipboard: remembered, or the real X11 one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from desktop_agent.assist import Outcome, Pace, Person, assist
from desktop_agent.clipboard import Clipboard, SystemClipboard
from desktop_agent.jobs import Job, RoomJobs
from hub.core.caller import Caller
from hub.features.messages.contract import ListMessages, PostDirect, PostMessage
from hub.kernel.inbox.contract import PollInbox
from hub.kernel.rooms.contract import JoinRoom
from tests.commands.test_commands import bridge, home
from tests.mcp.test_relay import ROOT
from tests.support.hubs import TestHub, running_hub
from tests.support.waiting import eventually_sync

TAG = "ab12cd34"
__all__ = ["home"]
pytestmark = pytest.mark.anyio
HARD = ["naïve 🦀 👩‍👩‍👧 漢字", "def f():\n    return 1\n\n\tprint('x')", "0123456789" * 1000]


class Memory:
    """A clipboard in memory."""

    def __init__(self) -> None:
        self.text = "mine"

    def read(self) -> str:
        return self.text

    def write(self, text: str) -> None:
        self.text = text


class Hands:
    """A person who does the next of `moves` each time the agent has looked, and time that passes by looking."""

    def __init__(self, *moves: Callable[[], object], agrees: bool = True) -> None:
        self.moves = list(moves)
        self.heard: list[str] = []
        self.now_s = 0.0
        self.person = Person(lambda _: agrees, self.heard.append)
        self.pace = Pace(60, self.pause, lambda: self.now_s)

    async def pause(self) -> None:
        self.now_s += 1
        if self.moves:
            self.moves.pop(0)()


class Table:
    """A hub with room `plan`: `alice` asks, `window` answers."""

    def __init__(self, alice: Caller, window: Caller) -> None:
        self.alice = alice
        self.window = window
        self.jobs = RoomJobs(window, "window")

    async def ask(self, text: str = "2+2?", **more: Any) -> Job:
        await self.alice.call(PostMessage(room="plan", text=text, **{"to": ("window",), **more}))
        return await self.job()

    async def job(self) -> Job:
        job = await self.jobs.next(0)
        assert job is not None
        return job

    async def said(self) -> list[tuple[str, str | None]]:
        page = await self.alice.call(ListMessages(room="plan"))
        return [(m.text, m.reply_to) for m in page.items if m.sender == "window"]


@pytest.fixture
async def table(tmp_path: Path) -> Any:
    async with running_hub(tmp_path) as hub:
        yield await seated(hub)


async def seated(hub: TestHub) -> Table:
    alice, window = await hub.agent("alice"), await hub.agent("window", kind="desktop")
    await alice.call(JoinRoom(room="plan", create=True))
    await window.call(JoinRoom(room="plan"))
    return Table(alice, window)


@pytest.fixture(params=["memory", pytest.param("x11", marks=pytest.mark.display)])
def clipboard(request: pytest.FixtureRequest) -> Iterator[Clipboard]:
    if request.param == "memory":
        yield Memory()
    else:
        yield request.getfixturevalue("x11")


@pytest.fixture
def x11(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Clipboard]:
    """The real clipboard of an X server of its own, by pyperclip and xclip."""
    assert shutil.which("Xvfb"), "Xvfb is missing: run .ci/install"
    out, into = os.pipe()
    with subprocess.Popen(
        ["Xvfb", "-displayfd", str(into), "-nolisten", "tcp"], pass_fds=[into], stderr=subprocess.DEVNULL
    ) as server:
        os.close(into)
        with os.fdopen(out) as number:
            monkeypatch.setenv("DISPLAY", f":{number.readline().strip()}")
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        import pyperclip

        pyperclip.set_clipboard("xclip")
        clipboard = SystemClipboard()
        clipboard.write("mine")
        yield clipboard
        server.terminate()


def marked(text: str) -> str:
    return f"⟦{TAG}⟧\n{text}\n⟦/{TAG}⟧"


@pytest.mark.parametrize("text", HARD, ids=["emoji", "code", "10,000 characters"])
async def test_question_and_answer_pass_through_the_clipboard_unchanged(
    table: Table, clipboard: Clipboard, text: str
) -> None:
    job = await table.ask(text)
    pasted: list[str] = []
    hands = Hands(lambda: pasted.append(clipboard.read()), lambda: clipboard.write(marked(text)))
    assert await assist(job, table.jobs, clipboard, hands.person, hands.pace, tag=TAG) is Outcome.ANSWERED
    assert pasted[0].startswith(text + "\n\n---\n")
    assert await table.said() == [(text, job.message.id)]
    assert await table.jobs.next(0) is None


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
    assert await assist(job, table.jobs, clipboard, hands.person, hands.pace, tag=TAG) is Outcome.ANSWERED
    assert await table.said() == [("4", job.message.id)]
    assert sum("not its end" in text for text in hands.heard) == 1


async def test_what_another_program_copied_meanwhile_stays_on_the_clipboard(table: Table) -> None:
    clipboard = Memory()
    hands = Hands(lambda: clipboard.write("from elsewhere"))
    job = await table.ask()
    assert await assist(job, table.jobs, clipboard, hands.person, hands.pace, tag=TAG) is Outcome.NO_ANSWER
    assert clipboard.text == "from elsewhere"


async def test_without_an_answer_the_asker_is_told_and_the_clipboard_is_as_before(
    table: Table, clipboard: Clipboard
) -> None:
    job = await table.ask()
    hands = Hands()
    assert await assist(job, table.jobs, clipboard, hands.person, hands.pace, tag=TAG) is Outcome.NO_ANSWER
    assert await table.said() == [("No answer was copied back from this window in time.", job.message.id)]
    assert clipboard.read() == "mine"


async def test_a_person_who_declines_has_an_untouched_clipboard(table: Table) -> None:
    clipboard, hands = Memory(), Hands(agrees=False)
    job = await table.ask()
    assert await assist(job, table.jobs, clipboard, hands.person, hands.pace, tag=TAG) is Outcome.DECLINED
    assert clipboard.text == "mine"
    assert await table.said() == [("The person at this window declined to pass this on.", job.message.id)]


async def test_an_answer_given_before_a_crash_is_not_given_twice(table: Table) -> None:
    job = await table.ask()
    await table.jobs.settle(job, "4", answered=True)
    await table.jobs.settle(job, "another answer", answered=True)
    assert await table.said() == [("4", job.message.id)]


async def test_a_job_that_was_not_settled_is_offered_again(table: Table) -> None:
    job = await table.ask()
    assert (await table.job()).message.id == job.message.id


async def test_only_what_is_addressed_to_the_agent_becomes_a_job(table: Table) -> None:
    await table.alice.call(PostMessage(room="plan", text="to everyone"))
    await table.alice.call(PostMessage(room="plan", text="thanks", to=("window",), intent="ack"))
    await table.alice.call(PostDirect(agent="window", text="just you"))
    job = await table.job()
    assert job.message.text == "just you"
    await table.jobs.settle(job, "yes", answered=True)
    inbox = await table.alice.call(PollInbox())
    assert [(m.text, m.reply_to) for m in inbox.messages if m.room.startswith("@")] == [("yes", job.message.id)]


def test_help_works_without_a_display_and_use_says_what_is_missing() -> None:
    env = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        [sys.executable, "-m", "mcp_bridge", "desktop", "assist", "--help"], env=env, capture_output=True, text=True
    )
    assert (done.returncode, "BRIDGE_TOKEN" in done.stdout) == (0, True), done.stderr
    code = "from desktop_agent.clipboard import *\ntry: SystemClipboard().read()\nexcept NoClipboard as e: print(e)"
    said = subprocess.run([sys.executable, "-c", code], env={**env, "PATH": "/nowhere"}, capture_output=True, text=True)
    assert "desktop session" in said.stdout, said.stderr


@pytest.mark.display
def test_the_command_carries_a_message_from_the_room_to_the_clipboard_and_back(home: Path, x11: Clipboard) -> None:
    bridge(home, "rooms", "join", "plan", "--create")
    made = json.loads(bridge(home, "agents", "register", "window", "--kind", "desktop", "--json"))
    env = {**os.environ, "BRIDGE_HOME": str(home), "BRIDGE_TOKEN": made["token"], "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mcp_bridge", "desktop", "assist", "--once", "--room", "plan"]
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdin is not None
            process.stdin.write("y\n")
            process.stdin.flush()
            eventually_sync(lambda: "window" in bridge(home, "rooms", "show", "plan"))
            sent = json.loads(bridge(home, "send", "plan", "2+2? 🦀", "--to", "window", "--json"))
            pasted = eventually_sync(lambda: (text := x11.read()).startswith("2+2? 🦀") and text, within_s=20)
            tag = pasted.split("⟦")[1].split("⟧")[0]
            x11.write(f"⟦{tag}⟧\n4 ✓\n⟦/{tag}⟧")
            assert process.wait(20) == 0
        finally:
            process.kill()
    page = json.loads(bridge(home, "poll", "--json"))
    assert [(m["from"], m["text"], m["reply_to"]) for m in page["messages"] if m["kind"] != "notice"] == [
        ("window", "4 ✓", sent["id"])
    ]


def test_the_command_refuses_to_answer_as_the_person(home: Path) -> None:
    assert "--kind desktop" in bridge(home, "desktop", "assist", "--once", code=2)
