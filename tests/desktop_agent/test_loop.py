"""A window's whole work against a real hub in-process, over a desktop in memory: every fault at every step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from desktop_agent.attachments import Attachments, Litter
from desktop_agent.control import Pace, Rate, Stopped, Switch, Watch
from desktop_agent.driver import Driver
from desktop_agent.jobs import LeasedJobs, Outbox
from desktop_agent.loop import Ending, Limits, Worker
from desktop_agent.profile import Profile, Spot
from desktop_agent.window import Box, Point, Window
from hub.core.caller import Caller
from hub.core.errors import HubUnreachable
from hub.core.operation import Request
from hub.features.files.contract import DeleteFile, ShareFile
from hub.features.jobs.contract import FinishJob, GetJob, Leased, SubmitJob
from hub.features.messages.contract import GetAnswers, PostMessage
from hub.kernel.files.contract import SharedFile
from hub.kernel.rooms.contract import JoinRoom
from tests.support.fake_desktop import CHAT, OTHER, FakeClipboard, FakeDesktop
from tests.support.hubs import running_hub

pytestmark = pytest.mark.anyio
PROFILE = Profile(name="chat", title="Chat", input=Spot(x=0.5, bottom_px=30), transcript=Spot(x=0.1, y=0.3))
HARD = ["naïve 🦀 👩‍👩‍👧 漢字", "def f():\n    return 1\n\n\n\tprint('x')", "0123456789" * 1000]


def answering(text: str) -> Callable[[str], str]:
    """A chat that answers any prompt with this text between the prompt's marks."""
    return lambda prompt: f"Sure.\n⟦{tag_in(prompt)}⟧\n{text}\n⟦/{tag_in(prompt)}⟧\nfooter"


def tag_in(prompt: str) -> str:
    return prompt.split("⟦")[1].split("⟧")[0]


class Away:
    """A caller whose hub answers only while `here`, except for one kind of request."""

    def __init__(self, inner: Caller) -> None:
        self.inner = inner
        self.lost: type[Request[Any]] | None = None

    async def call(self, request: Any, *, key: str | None = None) -> Any:
        if self.lost is not None and isinstance(request, self.lost):
            raise HubUnreachable("the hub is away")
        return await self.inner.call(request, key=key)


class Notes:
    """A journal in memory."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, what: str, **more: str) -> None:
        self.lines.append(" ".join([what, *more.values()]))


class Table:
    """Room `plan` where `alice` asks, and agent `window` with its desktop."""

    def __init__(self, alice: Caller, window: Caller, folder: Path) -> None:
        self.alice = alice
        self.hub = Away(window)
        self.desktop = FakeDesktop()
        self.switch = Switch()
        self.notes = Notes()
        self.agrees = True
        self.attested: list[str] = []
        self.attests = False
        self.folder = folder
        self.profile = PROFILE
        self.litter = Litter(folder / "attached")
        self.worker = self.restarted()

    def restarted(self) -> Worker:
        """A worker as a new process has it: it remembers nothing but what is on disk and at the hub."""
        desktop, pace = self.desktop, self.desktop.pace
        watch = Watch(desktop, self.switch, pace)
        driver = Driver(desktop, FakeClipboard(desktop), self.profile, watch, pace, self.notes, self.litter)

        async def agrees(job: Leased, files: Sequence[SharedFile]) -> bool:
            return self.agrees

        async def attests(question: str) -> bool:
            self.attested.append(question)
            return self.attests

        self.worker = Worker(
            jobs=LeasedJobs(self.hub, Outbox(self.folder), note=self.notes.note),
            driver=driver,
            journal=self.notes,
            pace=Pace(desktop.pace.now_s, self.pause),
            rate=Rate(per_hour=1000, gap_s=0),
            hands=asyncio.Lock(),
            agrees=agrees,
            attests=attests,
            attachments=Attachments(self.hub, self.folder / "files"),
            secret="secret",
            limits=Limits(send_s=120, answer_s=120),
        )
        return self.worker

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(0)
        await self.desktop.pause(seconds)

    async def ask(self, text: str = "2+2?", *files: str) -> Leased:
        asked = PostMessage(room="plan", text=text, kind="question", to=("window",), attachments=files)
        posted = await self.alice.call(asked)
        job = await self.claim()
        assert job.job == posted.id
        return job

    async def claim(self) -> Leased:
        job = await self.worker.jobs.next()
        assert job is not None
        return job

    async def answers(self, job: Leased) -> list[tuple[str, str]]:
        page = await self.alice.call(GetAnswers(room="plan", question=job.job))
        return [(m.metadata["job"]["outcome"], m.text) for m in page.items]

    async def state(self, job: Leased) -> str:
        return (await self.alice.call(GetJob(room="plan", job=job.job, agent="window"))).state


@pytest.fixture
async def table(tmp_path: Path) -> Any:
    async with running_hub(tmp_path / "hub") as hub:
        alice, window = await hub.agent("alice"), await hub.agent("window", kind="desktop")
        await alice.call(JoinRoom(room="plan", create=True))
        await window.call(JoinRoom(room="plan"))
        yield Table(alice, window, tmp_path / "outbox")


@pytest.mark.parametrize("text", HARD, ids=["emoji", "code", "10,000 characters"])
async def test_a_question_goes_through_the_window_and_its_answer_comes_back(table: Table, text: str) -> None:
    job = await table.ask(text)
    table.desktop.reply = answering(text)
    assert await table.worker.work(job) is Ending.ANSWERED
    assert [p.split("\n\n---\n")[0] for p in table.desktop.sent] == [text]
    assert await table.answers(job) == [("answered", text)]
    assert (table.desktop.read(), table.desktop.front(), table.desktop.at) == ("mine", OTHER, Point(640, 400))


FAULTS: dict[str, Callable[[Table], None]] = {
    "focus theft": lambda t: setattr(t.desktop, "focus", OTHER),
    "mouse movement": lambda t: t.desktop.person_moves(),
    "a key": lambda t: t.desktop.person_types("x"),
    "pause": lambda t: setattr(t.switch, "paused", True),
    "window closed": lambda t: t.desktop.open.remove(CHAT) if CHAT in t.desktop.open else None,
    "clipboard changed": lambda t: setattr(t.desktop, "clip", ("text", "from elsewhere")),
}


@pytest.mark.parametrize("files", [(), ("notes.txt",)], ids=["text", "a file"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_whatever_a_person_does_at_any_step_nothing_wrong_is_ever_sent(
    table: Table, fault: str, files: tuple[str, ...]
) -> None:
    desktop = table.desktop
    desktop.reply = answering("4")
    table.attests = True
    await share(table)
    probe = await table.ask("2+2?", *files)
    assert await table.worker.work(probe) is Ending.ANSWERED
    for step in range(1, desktop.calls, 3 if files else 1):
        healed = repaired(table)
        desktop.calls, desktop.attached = 0, []  # attests: the person took them out
        desktop.after = at_call(table, step, FAULTS[fault], healed)
        job = await table.ask("2+2?", *files)
        sent_before = len(desktop.sent)
        ending = await table.worker.work(job)
        desktop.after = lambda call: None
        healed()
        sent = desktop.sent[sent_before:]
        expected = "2+2?\n\n---\n"
        assert all(text.startswith(expected) and text.endswith("after it.") for text in sent), (step, sent)
        assert len(sent) <= 1, f"sent twice when it happened at call {step}"
        assert all(with_it == list(files) for with_it in desktop.sent_files[sent_before:]), (step, desktop.sent_files)
        assert desktop.texts["mail"] == "", f"typed into another window at call {step}"
        outcome, said = (await table.answers(job))[0]
        assert "from elsewhere" not in said, "what another program copied left this machine"
        assert outcome == ending.value
        assert (outcome == "answered") <= (len(sent) == 1), (step, outcome)
        assert outcome != "failed" or not sent, f"said that nothing was sent, but it was (call {step})"


def at_call(table: Table, step: int, fault: Callable[[Table], None], heal: Callable[[], None]) -> Callable[[str], None]:
    """Do it after call number `step`; put the desktop in order again 40 calls later."""

    def after(call: str) -> None:
        if table.desktop.calls == step:
            fault(table)
        if table.desktop.calls == step + 40:
            heal()

    return after


def repaired(table: Table) -> Callable[[], None]:
    def heal() -> None:
        table.switch.paused = False
        table.desktop.texts["input"] = "" if "x" in table.desktop.texts["input"][-1:] else table.desktop.texts["input"]
        if CHAT not in table.desktop.open:
            table.desktop.open.insert(0, CHAT)

    return heal


async def test_the_corner_stops_everything_and_the_job_stays_open(table: Table) -> None:
    job = await table.ask()

    def corner(call: str) -> None:
        if call == "ctrl+v":
            table.desktop.at = Point(0, 0)

    table.desktop.after = corner
    with pytest.raises(Stopped):
        await table.worker.work(job)
    assert table.desktop.sent == []
    assert await table.state(job) == "queued"


async def test_stopping_between_the_record_and_enter_tells_that_nothing_was_sent(table: Table) -> None:
    job = await table.ask()
    inner = table.hub.call

    async def call(request: Any, *, key: str | None = None) -> Any:
        done = await inner(request, key=key)
        if isinstance(request, SubmitJob):
            table.switch.stopped = True
        return done

    table.hub.call = call  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        await table.worker.work(job)
    assert table.desktop.sent == []
    assert [outcome for outcome, _ in await table.answers(job)] == ["failed"]


async def test_submitted_is_at_the_hub_before_enter(table: Table) -> None:
    job = await table.ask()
    order: list[str] = []
    inner = table.hub.call

    async def call(request: Any, *, key: str | None = None) -> Any:
        done = await inner(request, key=key)
        order.append(type(request).__name__)
        return done

    def reply(prompt: str) -> str:
        order.append("enter")
        return answering("4")(prompt)

    table.hub.call = call  # type: ignore[method-assign]
    table.desktop.reply = reply
    await table.worker.work(job)
    assert order == ["SubmitJob", "enter", "FinishJob"]


async def test_without_the_record_enter_is_never_pressed(table: Table) -> None:
    job = await table.ask()
    table.hub.lost = SubmitJob
    assert await table.worker.work(job) is Ending.FAILED
    assert table.desktop.sent == []
    assert [outcome for outcome, _ in await table.answers(job)] == ["failed"]


async def test_a_later_process_never_types_again_but_finds_the_answer(table: Table) -> None:
    job = await table.ask()
    await table.worker.driver.send(prompt_of(table, job), lambda: table.worker.jobs.submit(job))
    await table.worker.jobs.release(job)
    table.restarted()
    again = await table.claim()
    assert again.submitted
    table.desktop.texts["transcript"] += answering("late")(table.desktop.sent[0])
    assert await table.worker.work(again) is Ending.ANSWERED
    assert len(table.desktop.sent) == 1
    assert await table.answers(job) == [("answered", "late")]


async def test_a_later_process_that_finds_no_answer_says_unknown(table: Table) -> None:
    job = await table.ask()
    await table.worker.jobs.submit(job)
    await table.worker.jobs.release(job)
    table.restarted()
    assert await table.worker.work(await table.claim()) is Ending.UNKNOWN
    assert table.desktop.sent == []
    assert [outcome for outcome, _ in await table.answers(job)] == ["unknown"]


def prompt_of(table: Table, job: Leased) -> str:
    from desktop_agent.tag import prompt, tag_of

    return prompt(job.question.text, tag_of(table.worker.secret, job.job))


async def test_an_answer_read_while_the_hub_is_away_goes_out_when_it_is_back_once(table: Table) -> None:
    job = await table.ask()
    table.desktop.reply = answering("4")
    table.hub.lost = FinishJob
    assert await table.worker.work(job) is Ending.ANSWERED
    assert await table.answers(job) == []
    table.hub.lost = None
    table.restarted()
    assert await table.worker.jobs.next() is None
    assert await table.answers(job) == [("answered", "4")]
    assert list(table.folder.glob("*.json")) == []


async def test_a_job_that_somebody_else_answered_is_dropped_and_nothing_sent(table: Table) -> None:
    job = await table.ask()
    await table.hub.inner.call(PostMessage(room="plan", text="by hand", kind="answer", reply_to=job.job))
    assert await table.worker.work(job) is Ending.LOST
    assert table.desktop.sent == []


async def test_prompts_beyond_the_hourly_limit_wait_until_the_hour_is_over(table: Table) -> None:
    table.desktop.reply = answering("4")
    table.worker.rate = Rate(per_hour=2, gap_s=60)
    at_s: list[float] = []
    for _ in range(3):
        assert await table.worker.work(await table.ask()) is Ending.ANSWERED
        at_s.append(table.desktop.now)
    assert at_s[1] - at_s[0] >= 60
    assert at_s[2] - at_s[0] >= 3600
    assert len(table.desktop.sent) == 3


async def test_the_agents_own_window_over_the_box_gets_no_click(table: Table) -> None:
    job = await table.ask()
    table.desktop.open.append(Window(9, "Desktop agent", Box(250, 600, 440, 200)))
    table.desktop.calls = 0
    assert await table.worker.work(job) is Ending.FAILED
    assert (table.desktop.sent, table.desktop.at) == ([], Point(640, 400))
    assert "move it aside" in (await table.answers(job))[0][1]


async def test_a_draft_in_the_box_is_never_touched(table: Table) -> None:
    job = await table.ask()
    table.desktop.texts["input"] = "the person's unfinished thought"
    assert await table.worker.work(job) is Ending.FAILED
    assert table.desktop.texts["input"] == "the person's unfinished thought"
    assert table.desktop.sent == []
    assert "draft" in (await table.answers(job))[0][1]
    assert table.desktop.read() == "mine"


async def test_a_box_that_changes_what_is_pasted_is_emptied_and_nothing_sent(table: Table) -> None:
    job = await table.ask()
    table.desktop.eats = lambda text: text.replace("?", "")
    assert await table.worker.work(job) is Ending.FAILED
    assert (table.desktop.sent, table.desktop.texts["input"]) == ([], "")


async def test_a_window_that_copies_nothing_leads_to_unknown_and_never_to_a_wrong_answer(table: Table) -> None:
    job = await table.ask()
    await table.worker.driver.send(prompt_of(table, job), lambda: table.worker.jobs.submit(job))
    table.desktop.clip = ("text", answering("stale secret")(table.desktop.sent[0]).replace("⟦", "<"))
    table.desktop.refuses_to_copy = True
    await table.worker.jobs.release(job)
    assert await table.worker.work(await table.claim()) is Ending.UNKNOWN
    assert "secret" not in (await table.answers(job))[0][1]


async def test_the_person_who_declines_has_an_untouched_desktop(table: Table) -> None:
    job = await table.ask()
    table.agrees = False
    assert await table.worker.work(job) is Ending.DECLINED
    assert (table.desktop.calls, table.desktop.read()) == (0, "mine")


async def test_a_picture_on_the_clipboard_comes_back(table: Table) -> None:
    job = await table.ask()
    table.desktop.clip = ("image", "89504e47")
    table.desktop.reply = answering("4")
    assert await table.worker.work(job) is Ending.ANSWERED
    assert table.desktop.clip == ("image", "89504e47")


async def test_html_of_the_answer_becomes_markdown(table: Table) -> None:
    job = await table.ask()
    table.desktop.reply = answering("plain")
    tag = tag_in(prompt_of(table, job))
    table.desktop.html = (
        f"<p>⟦{tag}⟧</p><p>use <b>this</b>:</p><pre><code class='language-python'>f(x)\n</code></pre><p>⟦/{tag}⟧</p>"
    )
    assert await table.worker.work(job) is Ending.ANSWERED
    assert await table.answers(job) == [("answered", "use **this**:\n\n```python\nf(x)\n```")]


async def test_two_windows_with_the_same_title_are_refused(table: Table) -> None:
    job = await table.ask()
    table.desktop.open.append(CHAT)
    assert await table.worker.work(job) is Ending.FAILED
    assert table.desktop.sent == []


async def test_a_dry_run_names_every_step_and_does_none(table: Table) -> None:
    job = await table.ask()
    steps = table.worker.driver.steps(prompt_of(table, job))
    assert any("299,670" in step for step in steps)
    assert "press enter" in steps[6]
    assert table.desktop.calls == 0


async def share(table: Table, name: str = "notes.txt", content: str = "naïve 🦀") -> None:
    await table.alice.call(ShareFile(room="plan", name=name, content=content))


async def test_a_file_goes_with_its_question_and_the_clipboard_comes_back(table: Table) -> None:
    await share(table)
    job = await table.ask("what is this?", "notes.txt")
    table.desktop.reply = answering("a note")
    assert await table.worker.work(job) is Ending.ANSWERED
    assert table.desktop.sent_files == [["notes.txt"]]
    assert (table.desktop.read(), table.litter.names()) == ("mine", "")
    assert any("typed" in line and "notes.txt" in line for line in table.notes.lines)


async def test_a_window_that_pastes_names_as_text_gets_no_prompt_and_an_empty_box(table: Table) -> None:
    await share(table)
    table.desktop.takes_files = "as text"
    job = await table.ask("what is this?", "notes.txt")
    assert await table.worker.work(job) is Ending.FAILED
    assert 'files = "none"' in (await table.answers(job))[0][1]
    assert (table.desktop.sent, table.desktop.texts["input"], table.desktop.read()) == ([], "", "mine")
    table.desktop.reply = answering("4")
    assert await table.worker.work(await table.ask()) is Ending.ANSWERED, "the window is clean"


async def test_after_files_that_may_still_be_attached_nothing_is_sent_until_the_person_says_they_are_out(
    table: Table,
) -> None:
    await share(table)
    table.desktop.takes_files = "not at all"
    table.desktop.reply = answering("4")
    assert await table.worker.work(await table.ask("what is this?", "notes.txt")) is Ending.FAILED
    table.restarted()
    job = await table.ask()
    assert await table.worker.work(job) is Ending.FAILED
    assert "notes.txt" in (await table.answers(job))[0][1]
    assert (len(table.attested), table.desktop.sent) == (1, [])
    table.attests = True
    assert await table.worker.work(await table.ask()) is Ending.ANSWERED
    assert await table.worker.work(await table.ask()) is Ending.ANSWERED
    assert len(table.attested) == 2, "asked once, not again"


async def test_a_file_is_attached_once_although_the_first_try_was_disturbed(table: Table) -> None:
    await share(table)
    job = await table.ask("what is this?", "notes.txt")
    table.desktop.reply = answering("a note")

    def disturb(call: str) -> None:
        if call == "write" and table.desktop.attached:
            table.desktop.after = lambda call: None
            table.desktop.person_moves()

    table.desktop.after = disturb
    assert await table.worker.work(job) is Ending.ANSWERED
    assert any("the mouse was moved" in line for line in table.notes.lines)
    assert table.desktop.sent_files == [["notes.txt"]]


async def test_a_profile_without_files_refuses_them_before_anything_is_touched(table: Table) -> None:
    await share(table)
    table.profile = PROFILE.model_copy(update={"files": "none"})
    job = await table.ask("what is this?", "notes.txt")
    assert await table.restarted().work(job) is Ending.FAILED
    assert "takes no files" in (await table.answers(job))[0][1]
    assert (table.desktop.read(), table.desktop.focus, table.desktop.at) == ("mine", OTHER, Point(640, 400))


async def test_a_question_whose_file_is_gone_is_told_so(table: Table) -> None:
    await share(table)
    job = await table.ask("what is this?", "notes.txt")
    await table.alice.call(DeleteFile(room="plan", file="notes.txt"))
    assert await table.worker.work(job) is Ending.FAILED
    assert "cannot be had" in (await table.answers(job))[0][1]
    assert table.desktop.sent == []


async def test_a_dry_run_names_the_files_and_pastes_none(table: Table) -> None:
    steps = table.worker.driver.steps("prompt", ["notes.txt"])
    assert [step for step in steps if "notes.txt" in step] == [
        "paste the files notes.txt and see the window show them: ctrl+v".replace("ctrl", "mod")
    ]
    assert table.desktop.calls == 0
