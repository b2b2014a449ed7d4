"""The queue of a Codex session, against what the real client wrote and answered (0.169.0)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mcp_bridge.push import codex
from mcp_bridge.push.codex import CodexSession, Rollout
from mcp_bridge.push.ladder import WAKING, switched_off
from mcp_bridge.push.pusher import Pusher
from mcp_bridge.push.ways import PushFailed

RECORDED = Path(__file__).parent / "fixtures" / "codex-rollout.jsonl"
LINES = RECORDED.read_text("utf-8").splitlines(keepends=True)
THREAD = "01a215ff-f978-7e81-ad58-0708ce248d55"
MARKER = "0748228299ec"
META = {
    "callId": "call_1_0",
    "threadId": THREAD,
    "sessionId": THREAD,
    "x-codex-turn-metadata": {"session_id": THREAD, "turn_trigger": "user", "codex_version": "0.169.0"},
}
SERVER = """#!{python}
import json, os, sys
said = open({log!r}, "a")
said.write(json.dumps({{"argv": sys.argv[1:], "token": os.environ.get("BRIDGE_TOKEN"), "home": os.environ["CODEX_HOME"]}}) + "\\n")
for line in sys.stdin:
    said.write(line)
    said.flush()
    frame = json.loads(line)
    if frame["method"] == "initialize":
        print(json.dumps({{"id": frame["id"], "result": {{"userAgent": "mcp_bridge/0.169.0"}}}}), flush=True)
        print(json.dumps({{"method": "thread/started", "params": {{}}}}), flush=True)
    if frame["method"] == "thread/queue/add":
        print(json.dumps({{"id": frame["id"], **json.loads({answer!r})}}), flush=True)
"""


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Session:
    """A session directory with a rollout that grows, and an app server that answers as recorded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.time = Time()
        self.file = folder / "sessions" / "2026" / "11" / "26" / f"rollout-2026-11-26T03-57-06-{THREAD}.jsonl"
        self.file.parent.mkdir(parents=True)
        self.codex = CodexSession(folder, str(folder / "codex"))
        self.rollout = Rollout(self.codex.rollout, self.time)
        self.answers('{"result": {"queuedSubmission": {"id": "q1"}}}')

    def answers(self, answer: str) -> None:
        program = self.folder / "codex"
        program.write_text(SERVER.format(python=sys.executable, log=str(self.log), answer=answer))
        program.chmod(0o755)

    def write(self, start: int, end: int) -> None:
        with self.file.open("a") as file:
            file.writelines(LINES[start:end])

    def said(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


def test_the_way_is_there_from_the_first_tool_call_on(session: Session) -> None:
    before, news, after = session.codex.works, session.codex.notice(META), session.codex.works
    assert (before, news, after) == (False, True, True)
    assert not session.codex.notice(META), "it is news once"


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {**META, "threadId": "../../etc/passwd"},
        {**META, "threadId": 7},
        {**META, "x-codex-turn-metadata": {"turn_trigger": "exec"}},
    ],
)
def test_a_session_that_ends_with_its_turn_or_has_no_name_offers_none(
    session: Session, meta: dict[str, object]
) -> None:
    assert not session.codex.notice(meta)
    assert not session.codex.works


def test_a_text_goes_over_stdin_into_the_sessions_queue(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_TOKEN", "secret")
    session.codex.notice(META)
    session.codex.push("two\nlines", MARKER)
    start, *frames = session.said()
    assert start == {"argv": ["app-server"], "token": None, "home": str(session.folder)}
    assert [frame["method"] for frame in frames] == ["initialize", "initialized", "thread/queue/add"]
    assert frames[-1]["params"] == {
        "threadId": THREAD,
        "clientUserMessageId": f"bridge-{MARKER}",
        "input": [{"type": "text", "text": "two\nlines"}],
    }


def test_a_codex_that_does_not_know_the_queue_is_asked_once(session: Session) -> None:
    session.answers('{"id": null, "error": {"code": -32600, "message": "unknown variant `thread/queue/add`"}}')
    session.codex.notice(META)
    with pytest.raises(PushFailed, match="unknown variant"):
        session.codex.push("x")
    assert not session.codex.works


@pytest.mark.parametrize("program", ["#!/bin/sh\nexit 3\n", "#!/bin/sh\necho not json\n"])
def test_a_program_that_fails_leaves_it_to_the_next_rung(session: Session, program: str) -> None:
    (session.folder / "codex").write_text(program)
    session.codex.notice(META)
    with pytest.raises(PushFailed):
        session.codex.push("x")
    assert session.codex.works, "it may work the next time"


def test_a_server_that_hangs_is_given_up(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codex, "LIMIT_S", 0.2)
    (session.folder / "codex").write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    session.codex.notice(META)
    with pytest.raises(PushFailed):
        session.codex.push("x")


def test_a_missing_program_offers_no_way(session: Session) -> None:
    session.codex.program = ""
    session.codex.notice(META)
    assert not session.codex.works


def test_the_recorded_session_is_busy_in_its_turns_only(session: Session) -> None:
    assert not session.rollout.busy, "nothing is known of a session without a name"
    session.codex.notice(META)
    seen = []
    for place in range(len(LINES)):
        session.write(place, place + 1)
        seen.append(session.rollout.busy)
    assert seen == [False, *[True] * 5, False, *[True] * 3, False]


def test_the_models_answer_after_the_text_is_the_proof(session: Session) -> None:
    session.codex.notice(META)
    session.rollout.expect(MARKER)
    stages = []
    for place in range(len(LINES)):
        session.write(place, place + 1)
        stages.append(session.rollout.look()[MARKER])
    assert stages == [*["queued"] * 8, "placed", "answered", "answered"]


def test_a_text_that_an_idle_session_never_took_is_given_back(session: Session) -> None:
    session.codex.notice(META)
    session.write(0, 7)
    session.rollout.expect(MARKER)
    assert session.rollout.look() == {MARKER: "queued"}
    session.time.now = codex.TAKEN_S + 1
    assert session.rollout.look() == {MARKER: None}


def test_a_text_waits_for_the_end_of_a_turn_however_long_it_takes(session: Session) -> None:
    session.codex.notice(META)
    session.write(0, 4)
    session.rollout.expect(MARKER)
    session.time.now = 10 * codex.TAKEN_S
    assert session.rollout.look() == {MARKER: "queued"}


@pytest.fixture
def pusher(session: Session) -> Callable[[], bool]:
    """Pushes one waiting message through the queue when asked to."""
    page = {"messages": [{"id": "m1", "from": "ada", "room": "proj", "text": "hi"}], "waking": ["m1"], "cursor": "c"}
    made = Pusher(
        {"queue": session.codex},
        lambda _path: page,
        lambda: False,
        lambda _text: None,
        transcript=session.rollout,
        hold=lambda: session.rollout.busy,
    )
    return made.once


def test_a_busy_session_is_not_queued_for(session: Session, pusher: Callable[[], bool]) -> None:
    session.codex.notice(META)
    session.write(0, 4)
    assert not pusher()
    session.write(4, 7)
    assert pusher(), "its turn is over"
    assert not pusher(), "it has it"


def test_the_rung_wakes_and_can_be_switched_off() -> None:
    assert "queue" in WAKING
    assert "queue" in switched_off({"BRIDGE_PUSH_QUEUE": "0"})
