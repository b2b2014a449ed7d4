"""Auto against real windows on a real X display: pyautogui, pyperclip, xclip, Tk, openbox and Chromium."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from desktop_agent.attachments import Attachments, Litter
from desktop_agent.clipboard import SystemClipboard
from desktop_agent.control import Pace, Rate, Stopped, Switch, Watch
from desktop_agent.driver import Driver
from desktop_agent.flavors import Kinds
from desktop_agent.jobs import LeasedJobs, Outbox
from desktop_agent.journal import FileJournal
from desktop_agent.loop import Ending, Limits, Worker
from desktop_agent.profile import dump
from desktop_agent.window import Desktop, Point
from hub.core.caller import Caller
from hub.features.files.contract import ShareFile
from hub.features.jobs.contract import Leased
from hub.features.messages.contract import GetAnswers, PostMessage
from hub.kernel.files.contract import SharedFile
from hub.kernel.rooms.contract import JoinRoom
from tests.commands.test_commands import bridge
from tests.desktop_agent.chats import Chat, chromium_chat, tk_chat, window_manager
from tests.faults.world import World
from tests.mcp.test_relay import ROOT
from tests.support.hubs import running_hub
from tests.support.waiting import eventually, eventually_sync

pytestmark = [pytest.mark.anyio, pytest.mark.display, pytest.mark.timeout(300)]
CODE = "Here:\n\n```python\ndef f(x):\n    return x + 1\n\n\nprint(f(1))\n```\n\nDone."
LONG = "\n\n".join(f"Line {n} of an answer longer than the window." for n in range(120))
ROUNDS: dict[str, dict[str, Any]] = {
    "emoji": {"text": "naïve 🦀 👩‍👩‍👧 漢字 ✓"},
    "code": {"text": CODE},
    "10,000 characters": {"text": "0123456789" * 1000},
    "a pause": {"text": "before and after a pause of three seconds", "pause_s": 3},
    "longer than the window": {"text": LONG},
}


class Bench:
    """Room `plan` and a worker for one real window."""

    def __init__(self, alice: Caller, window: Caller, desktop: Desktop, clipboard: SystemClipboard, home: Path) -> None:
        self.alice = alice
        self.window = window
        self.desktop = desktop
        self.clipboard = clipboard
        self.switch = Switch()
        self.journal = FileJournal(home / "journal.jsonl", "window")
        self.home = home

    def worker(self, chat: Chat, **limits: float) -> Worker:
        pace = Pace(time.monotonic, asyncio.sleep)
        watch = Watch(self.desktop, self.switch, pace, quiet_s=0.2)

        async def agrees(job: Leased, files: Sequence[SharedFile]) -> bool:
            return True

        async def attests(question: str) -> bool:
            return False

        litter = Litter(self.home / "attached")
        return Worker(
            jobs=LeasedJobs(self.window, Outbox(self.home / "outbox")),
            driver=Driver(self.desktop, self.clipboard, chat.profile, watch, pace, self.journal, litter),
            journal=self.journal,
            pace=pace,
            rate=Rate(per_hour=10_000, gap_s=0),
            hands=asyncio.Lock(),
            agrees=agrees,
            attests=attests,
            attachments=Attachments(self.window, self.home / "files"),
            secret="secret",
            limits=Limits(**{"send_s": 60, "answer_s": 90, **limits}),
        )

    async def ask(self, worker: Worker, plan: dict[str, Any], files: Sequence[str] = ()) -> Leased:
        text = f"Please:\n\tdo 🦀 it\nSAY:{json.dumps(plan, ensure_ascii=False)}"
        asked = PostMessage(room="plan", text=text, kind="question", to=("window",), attachments=tuple(files))
        await self.alice.call(asked)
        job = await worker.jobs.next()
        assert job is not None
        assert job.question.text == text
        return job

    async def answers(self, job: Leased) -> list[str]:
        page = await self.alice.call(GetAnswers(room="plan", question=job.job))
        return [message.text for message in page.items]


@pytest.fixture
async def bench(tmp_path: Path, desktop: Desktop, x11: SystemClipboard) -> Any:
    desktop.move(Point(1100, 700))
    async with running_hub(tmp_path / "hub") as hub:
        alice, window = await hub.agent("alice"), await hub.agent("window", kind="desktop")
        await alice.call(JoinRoom(room="plan", create=True))
        await window.call(JoinRoom(room="plan"))
        yield Bench(alice, window, desktop, x11, tmp_path)


def picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 30, 60)).save(out, "PNG")
    return out.getvalue()


# on the clipboard before each job, in turn: text, a picture, formatted text
MINE: list[Callable[[], Kinds]] = [
    lambda: {"UTF8_STRING": "mine 🦀".encode()},
    lambda: {"image/png": picture()},
    lambda: {"text/html": b"<b>mine</b>", "UTF8_STRING": b"mine"},
]


async def rounds(bench: Bench, chat: Chat, times: int) -> None:
    """Each kind of answer, with each kind of contents on the clipboard in turn."""
    worker = bench.worker(chat)
    for number in range(times):
        name, plan = list(ROUNDS.items())[number % len(ROUNDS)]
        mine = MINE[number % len(MINE)]()
        bench.clipboard.restore(mine)
        job = await bench.ask(worker, plan)
        assert await worker.work(job) is Ending.ANSWERED, (name, (bench.home / "journal.jsonl").read_text()[-2000:])
        assert await bench.answers(job) == [plan["text"]], name
        assert len(chat.sent) == number + 1
        assert chat.sent[-1].replace("\n\n", "\n").startswith(job.question.text), name
        assert bench.clipboard.save() == mine, name
        assert bench.desktop.pointer() == Point(1100, 700), (bench.home / "journal.jsonl").read_text()[-3000:]


@pytest.mark.parametrize("managed", [False, True], ids=["no window manager", "openbox"])
async def test_every_kind_of_answer_comes_back_from_a_tk_window(bench: Bench, managed: bool) -> None:
    with window_manager(managed), tk_chat(bench.desktop) as chat:
        await rounds(bench, chat, 5)


async def test_every_kind_of_answer_comes_back_from_a_chromium_window(bench: Bench, tmp_path: Path) -> None:
    with window_manager(True), chromium_chat(bench.desktop, tmp_path / "profile") as chat:
        await rounds(bench, chat, 5)


async def files_sent(bench: Bench, chat: Chat) -> None:
    """A question with a picture and a text file goes through the window with both, and the clipboard comes back."""
    mine = MINE[2]()
    bench.clipboard.restore(mine)
    shared = {"a photo ü.png": picture(), "notes.txt": "naïve 🦀\n".encode() * 20_000}
    for name, data in shared.items():
        content = base64.b64encode(data).decode()
        await bench.alice.call(ShareFile(room="plan", name=name, content_base64=content))
    worker = bench.worker(chat)
    job = await bench.ask(worker, {"text": "seen"}, [*shared])
    assert await worker.work(job) is Ending.ANSWERED, (bench.home / "journal.jsonl").read_text()[-2000:]
    assert chat.files == [[[name, hashlib.sha256(data).hexdigest()] for name, data in shared.items()]]
    assert await bench.answers(job) == ["seen"]
    assert (bench.clipboard.save(), (bench.home / "files").exists()) == (mine, False)


@pytest.mark.parametrize("kind", ["tk", "chromium"])
async def test_files_of_a_question_are_pasted_into_the_window_and_sent_with_it(
    bench: Bench, tmp_path: Path, kind: str
) -> None:
    with ExitStack() as stack:
        stack.enter_context(window_manager(kind != "tk"))
        made = chromium_chat(bench.desktop, tmp_path / "profile") if kind == "chromium" else tk_chat(bench.desktop)
        await files_sent(bench, stack.enter_context(made))


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["tk", "tk openbox", "chromium"])
async def test_twenty_round_trips_are_all_right(bench: Bench, tmp_path: Path, kind: str) -> None:
    with ExitStack() as stack:
        stack.enter_context(window_manager(kind != "tk"))
        made = chromium_chat(bench.desktop, tmp_path / "profile") if kind == "chromium" else tk_chat(bench.desktop)
        await rounds(bench, stack.enter_context(made), 20)


async def test_moving_the_mouse_while_it_types_sends_nothing_until_the_person_rests(bench: Bench) -> None:
    with tk_chat(bench.desktop) as chat:
        worker = bench.worker(chat)
        job = await bench.ask(worker, {"text": "4"})
        moved = await disturbed(bench, worker, job, lambda: bench.desktop.move(Point(900, 500)))
        assert "the mouse was moved" in moved
        assert len(chat.sent) == 1


async def test_another_window_that_takes_the_focus_gets_no_key_and_nothing_is_sent(bench: Bench) -> None:
    with tk_chat(bench.desktop) as chat, tk_chat(bench.desktop, "Mail") as mail:
        other = next(window for window in bench.desktop.windows() if window.title == "Mail")
        worker = bench.worker(chat)
        job = await bench.ask(worker, {"text": "4"})
        stolen = await disturbed(bench, worker, job, lambda: bench.desktop.activate(other))
        assert "lost the focus" in stolen
        assert (len(chat.sent), mail.sent) == (1, [])


async def test_a_key_that_the_person_presses_sends_nothing_until_they_rest(bench: Bench) -> None:
    import pyautogui

    with tk_chat(bench.desktop) as chat:
        worker = bench.worker(chat)
        job = await bench.ask(worker, {"text": "4"})
        write, done = bench.clipboard.write, list[bool]()

        def written(text: str) -> None:
            write(text)
            if text.startswith("Please") and not done:
                done.append(True)
                eventually_sync(lambda: (bench.desktop.idle_s() or 0) > 0.05, what="a moment after our own last key")
                pyautogui.press("shift")

        bench.clipboard.write = written  # type: ignore[method-assign]
        assert await worker.work(job) is Ending.ANSWERED
        assert "a key was pressed" in (bench.home / "journal.jsonl").read_text("utf-8")
        assert len(chat.sent) == 1


async def test_a_clipboard_that_another_program_changes_before_the_paste_is_not_pasted_and_stays(bench: Bench) -> None:
    def copy() -> None:
        subprocess.run(["xclip", "-selection", "clipboard", "-i"], input=b"their secret", check=True)
        eventually_sync(lambda: bench.clipboard.read() == "their secret")

    with tk_chat(bench.desktop) as chat:
        worker = bench.worker(chat)
        job = await bench.ask(worker, {"text": "4"})
        changed = await disturbed(bench, worker, job, copy, key="a", nth=2)
        assert "another program changed the clipboard" in changed
        assert len(chat.sent) == 1
        assert "secret" not in chat.sent[0]
        assert bench.clipboard.read() == "their secret"


async def test_a_window_that_copies_nothing_leads_to_unknown_and_no_second_prompt(bench: Bench) -> None:
    with tk_chat(bench.desktop, "Chat", "--no-copy") as chat:
        worker = bench.worker(chat, answer_s=6)
        job = await bench.ask(worker, {"text": "4"})
        assert await worker.work(job) is Ending.UNKNOWN
        assert "no complete answer was seen" in (await bench.answers(job))[0]
        assert (len(chat.sent), await worker.jobs.next(), bench.clipboard.read()) == (1, None, "mine")


async def disturbed(
    bench: Bench, worker: Worker, job: Leased, disturb: Callable[[], None], *, key: str = "v", nth: int = 1
) -> str:
    """Work on a job while somebody comes in right after a key (pasting, the first time); what the log says of it."""
    press, seen = bench.desktop.press, list[str]()

    def pressed(*keys: str) -> None:
        press(*keys)
        seen.append(keys[-1])
        if keys[-1] == key and seen.count(key) == nth:
            disturb()

    bench.desktop.press = pressed  # type: ignore[method-assign]
    try:
        assert await worker.work(job) is Ending.ANSWERED
    finally:
        bench.desktop.press = press  # type: ignore[method-assign]
    assert await bench.answers(job) == ["4"]
    return (bench.home / "journal.jsonl").read_text("utf-8")


async def test_a_window_closed_while_it_answers_leads_to_unknown_and_no_second_prompt(bench: Bench) -> None:
    with tk_chat(bench.desktop) as chat:
        worker = bench.worker(chat, answer_s=4)
        job = await bench.ask(worker, {"text": "never", "never": True})
        work = asyncio.create_task(worker.work(job))
        await eventually(lambda: chat.sent, within_s=20)
        chat.process.kill()
        assert await work is Ending.UNKNOWN
    with tk_chat(bench.desktop) as chat:
        assert await worker.jobs.next() is None
        assert chat.sent == []


async def test_the_corner_of_the_screen_stops_it_with_nothing_sent(bench: Bench) -> None:
    with tk_chat(bench.desktop) as chat:
        worker = bench.worker(chat)
        job = await bench.ask(worker, {"text": "4"})
        bench.desktop.move(Point(0, 0))
        with pytest.raises(Stopped):
            await worker.work(job)
        assert chat.sent == []


def test_the_command_carries_questions_by_itself_and_survives_a_killed_hub(desktop: Desktop, tmp_path: Path) -> None:
    world = World(tmp_path / "home")
    world.home.mkdir()
    world.start()
    with tk_chat(desktop) as chat:
        desktop.move(Point(1100, 700))
        bridge(world.home, "rooms", "join", "plan", "--create")
        own = world.home / "desktop" / "profiles"
        own.mkdir(parents=True)
        (own / "tk.toml").write_text(dump(chat.profile), "utf-8")
        env = {**os.environ, "BRIDGE_HOME": str(world.home), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "mcp_bridge", "desktop", "auto", "--window", "helper=tk", "--room", "plan"]
        with subprocess.Popen([*command, "--no-confirm"], env=env, stdout=subprocess.PIPE, text=True) as process:
            try:
                eventually_sync(lambda: "helper" in bridge(world.home, "rooms", "show", "plan"), within_s=30)
                ask = f"hello\nSAY:{json.dumps({'text': 'late 🦀', 'pause_s': 4})}"
                bridge(world.home, "send", "plan", ask, "--to", "helper", "--kind", "question")
                eventually_sync(lambda: chat.sent, within_s=30)
                world.end()
                eventually_sync(
                    lambda: list((world.home / "desktop" / "outbox" / "helper").glob("*.json")), within_s=40
                )
                world.start()
                found = eventually_sync(lambda: said_by(world.home, "helper"), within_s=60)
                assert found == ["late 🦀"]
                assert len(chat.sent) == 1
            finally:
                process.kill()
    world.end(signal.SIGTERM)


def said_by(home: Path, name: str) -> list[str]:
    page = json.loads(bridge(home, "call", "messages.list", json.dumps({"room": "plan"})))
    return [message["text"] for message in page["items"] if message["from"] == name]
