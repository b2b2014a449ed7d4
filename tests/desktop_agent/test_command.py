"""`mcp-bridge desktop auto` as a person starts it: a real hub, real windows, real keys, and what the terminal says."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from desktop_agent.clipboard import SystemClipboard
from desktop_agent.profile import dump
from desktop_agent.window import OWN_TITLE, Desktop, Point, Window
from hub.client import SyncHubClient
from hub.client.client import locate
from hub.features.files.contract import ShareFile
from hub.features.jobs.contract import GetJob
from hub.features.messages.contract import GetAnswers, PostMessage
from hub.kernel.rooms.contract import JoinRoom, ListMembers
from tests.desktop_agent.chats import TK, tk_chat
from tests.faults.world import World
from tests.mcp.test_relay import ROOT
from tests.support.waiting import eventually_sync

pytestmark = [pytest.mark.display, pytest.mark.timeout(300)]
REST = Point(1100, 860)


class Room:
    """Room `plan` of a hub in a process of its own, seen by the person who asks."""

    def __init__(self, home: Path, hub: SyncHubClient) -> None:
        self.home = home
        self.hub = hub
        hub.call(JoinRoom(room="plan", create=True))

    def profile(self, name: str, title: str) -> None:
        own = self.home / "desktop" / "profiles"
        own.mkdir(parents=True, exist_ok=True)
        (own / f"{name}.toml").write_text(dump(TK.model_copy(update={"title": title})), "utf-8")

    @contextmanager
    def auto(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> Iterator[Auto]:
        """The command, running; ended with the body at the latest."""
        env = {**os.environ, "BRIDGE_HOME": str(self.home), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "mcp_bridge", "desktop", "auto", "--room", "plan", *arguments]
        with subprocess.Popen(
            command, env=env, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                yield Auto(process)
            finally:
                process.kill()

    def joined(self, *names: str) -> None:
        """Wait until these agents are in the room and online."""

        def online() -> bool:
            members = self.hub.call(ListMembers(room="plan")).items
            return set(names) <= {one.agent for one in members if one.presence == "online"}

        eventually_sync(online, within_s=60, what=f"{names} online")

    def ask(self, agent: str, files: Sequence[str] = (), **plan: object) -> str:
        text = f"{agent}, please\nSAY:{json.dumps(plan, ensure_ascii=False)}"
        asked = PostMessage(room="plan", text=text, kind="question", to=(agent,), attachments=tuple(files))
        return self.hub.call(asked).id

    def answers(self, question: str) -> list[str]:
        return [message.text for message in self.hub.call(GetAnswers(room="plan", question=question)).items]

    def answer(self, question: str) -> str:
        return eventually_sync(lambda: self.answers(question), within_s=60, what="an answer")[0]  # type: ignore[no-any-return]

    def journal(self) -> list[dict[str, str]]:
        lines = (self.home / "desktop" / "journal.jsonl").read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines]


class Auto:
    """The running command and what it said so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        assert process.stdout is not None
        threading.Thread(target=self.follow, args=[process.stdout], daemon=True).start()

    def follow(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.said.append(line)

    def heard(self, text: str) -> bool:
        return any(text in line for line in self.said)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, screen: str) -> Iterator[Room]:
    world = World(tmp_path_factory.mktemp("hub"))
    world.start()
    try:
        url, token = locate(world.home)
        with SyncHubClient(url, token) as hub:
            yield Room(world.home, hub)
    finally:
        world.end(signal.SIGTERM)


def test_a_dry_run_shows_each_step_and_does_none(room: Room, desktop: Desktop, x11: SystemClipboard) -> None:
    desktop.move(REST)
    room.profile("tk", "Chat")
    room.hub.call(ShareFile(room="plan", name="notes.txt", content="x"))
    with room.auto("--window", "dry=tk", "--once", "--no-confirm") as first:
        room.joined("dry")
        first.process.send_signal(signal.SIGINT)
        assert first.process.wait(30) == 130
    question = room.ask("dry", ["notes.txt"], text="4")
    with tk_chat(desktop) as chat, room.auto("--window", "dry=tk", "--dry-run") as auto:
        assert auto.process.wait(60) == 0, auto.said
        text = "".join(auto.said)
        for step in ("front", "click its text box at", "notes.txt", "paste", "compare", "tell the hub", "press enter"):
            assert step in text, text
        assert (chat.sent, desktop.pointer(), x11.read()) == ([], REST, "mine")
        window = next(one for one in desktop.windows() if one.title == "Chat")
        assert not desktop.is_active(window), "the focus stayed where it was"
    job = room.hub.call(GetJob(room="plan", job=question, agent="dry"))
    assert (job.state, room.answers(question)) == ("queued", [])
    assert not (room.home / "desktop" / "journal.jsonl").exists(), "nothing was typed or read"


def test_two_windows_are_two_agents_that_work_at_the_same_time(
    room: Room, desktop: Desktop, x11: SystemClipboard
) -> None:
    desktop.move(REST)
    room.profile("left", "Left")
    room.profile("right", "Right")
    windows = ["--window", "lefty=left", "--window", "righty=right"]
    with tk_chat(desktop, "Left") as left, tk_chat(desktop, "Right") as right:
        with room.auto(*windows, "--no-confirm", "--no-indicator", "--once") as auto:
            room.joined("lefty", "righty")
            first = room.ask("lefty", text="from the left 🦀", pause_s=9)
            second = room.ask("righty", text="from the right", pause_s=9)
            eventually_sync(lambda: left.sent and right.sent, within_s=60, what="both prompts sent")
            assert room.answers(first) == room.answers(second) == [], "both are under way at once"
            assert (room.answer(first), room.answer(second)) == ("from the left 🦀", "from the right")
            assert auto.process.wait(30) == 0, auto.said
        assert [len(chat.sent) for chat in (left, right)] == [1, 1]
        assert left.sent[0].startswith("lefty, please")
        assert right.sent[0].startswith("righty, please")
    for agent, chat, answer in (("lefty", left, "from the left 🦀"), ("righty", right, "from the right")):
        mine = [
            (line["what"], line["text"].strip()) for line in room.journal() if line["agent"] == agent and "text" in line
        ]
        assert mine == [("typed", chat.sent[0].strip()), ("read", answer)], "the log has all that was typed and read"
    eventually_sync(lambda: x11.read() == "mine", what="the clipboard is back")


def test_a_prompt_goes_out_when_the_person_says_so_in_the_small_window(
    room: Room, desktop: Desktop, x11: SystemClipboard
) -> None:
    desktop.move(REST)
    room.profile("tk", "Chat")
    with tk_chat(desktop) as chat, room.auto("--window", "careful=tk") as auto:
        room.joined("careful")
        declined = room.ask("careful", text="not this")
        press(desktop, 125)
        assert room.answer(declined) == "Nobody at this window agreed to pass this on."
        assert chat.sent == []
        question = room.ask("careful", text="4")
        press(desktop, 40)
        assert (room.answer(question), len(chat.sent)) == ("4", 1), auto.said
        assert auto.heard("careful: typed")
        indicator = panel(desktop)
        assert indicator is not None
        desktop.click(Point(indicator.box.left + 130, indicator.box.top + 52))
        assert auto.process.wait(30) == 0
        assert auto.heard("stopped by the person")


def test_where_nobody_can_be_asked_nothing_is_typed(room: Room, desktop: Desktop) -> None:
    desktop.move(REST)
    room.profile("tk", "Chat")
    with tk_chat(desktop) as chat, room.auto("--window", "alone=tk", "--no-indicator", "--once") as auto:
        room.joined("alone")
        question = room.ask("alone", text="4")
        assert room.answer(question) == "Nobody at this window agreed to pass this on."
        assert auto.process.wait(30) == 0
        assert auto.heard("nobody can be asked here")
        assert chat.sent == []


def test_pointing_at_a_window_makes_a_profile_that_works(room: Room, desktop: Desktop, x11: SystemClipboard) -> None:
    ours, theirs = pty.openpty()  # the command waits for Enter on a terminal only
    env = {**os.environ, "BRIDGE_HOME": str(room.home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mcp_bridge", "desktop", "calibrate", "pointed"]
    with tk_chat(desktop) as chat:
        box = next(window for window in desktop.windows() if window.title == "Chat").box
        with subprocess.Popen(command, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            try:
                for at in (TK.input.point(box), TK.transcript.point(box)):
                    said_on(ours, "press Enter here")
                    eventually_sync(lambda: reads_keys(ours), within_s=30, what="the command waits for a key")
                    desktop.move(at)
                    os.write(ours, b"\n")
                said_on(ours, "--dry-run")
                assert process.wait(30) == 0
            finally:
                process.kill()
                os.close(ours)
        desktop.move(REST)
        with room.auto("--window", "pointed=pointed", "--no-confirm", "--no-indicator", "--once"):
            room.joined("pointed")
            assert room.answer(room.ask("pointed", text="4")) == "4"
        assert len(chat.sent) == 1


def reads_keys(terminal: int) -> bool:
    """Whether the other side reads single keys now; what was typed before it began is thrown away."""
    return not termios.tcgetattr(terminal)[3] & termios.ICANON


def said_on(terminal: int, text: str) -> None:
    """Read the terminal until it shows this."""
    seen = ""
    while text not in seen:
        assert select.select([terminal], [], [], 60)[0], f"no {text!r} in {seen!r}"
        seen += os.read(terminal, 4096).decode("utf-8", "replace")


def panel(desktop: Desktop) -> Window | None:
    return next((window for window in desktop.windows() if window.title == OWN_TITLE), None)


def press(desktop: Desktop, right: int) -> None:
    """Press a button of the question in the small window, as soon as it works; then leave the mouse."""

    def asked() -> Window | None:
        window = panel(desktop)
        return window if window is not None and window.box.height > 200 else None

    eventually_sync(asked, within_s=30, what="the question")

    def gone() -> bool:
        window = asked()
        if window is not None:
            desktop.click(Point(window.box.left + right, window.box.top + window.box.height - 22))
        return window is None

    eventually_sync(gone, within_s=20, what="the answer was taken")
    desktop.move(REST)
