"""What the client writes down decides what counts as seen. The lines are as Claude Code 2.1.332 wrote them, shortened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_bridge.push.transcript import Transcript, of_claude_code

MARKER = "3f2a9c41d07e"
PEER = (
    f"Another Claude session sent a message:\n[bridge] id m1-2 from ada\n--- {MARKER}\nThis came from another session."
)


def user(text: Any) -> dict[str, Any]:
    return {"type": "user", "isSidechain": False, "message": {"role": "user", "content": text}}


def attached(**attachment: Any) -> dict[str, Any]:
    return {"type": "attachment", "isSidechain": False, "attachment": attachment}


def answer(number: int, **more: Any) -> dict[str, Any]:
    message = {"id": f"msg_{number}", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "fine"}]}
    return {"type": "assistant", "isSidechain": False, "message": message, **more}


QUEUED = {"type": "queue-operation", "operation": "enqueue", "content": f"[bridge] {MARKER}"}
IDLE = user(PEER)
MIDTURN = attached(type="queued_command", prompt=f"[bridge] {MARKER}", commandMode="prompt")
HOOK = attached(type="hook_additional_context", content=[f"[bridge] {MARKER}"], hookEvent="UserPromptSubmit")
RESULT = user([{"type": "tool_result", "tool_use_id": "t1", "content": f"[bridge] {MARKER}"}])
RAN = attached(type="hook_success", stdout=f"[bridge] {MARKER}", hookEvent="PostToolUse")
PLACES = {"idle": IDLE, "mid-turn": MIDTURN, "hook": HOOK, "result": RESULT}


class Written:
    """A transcript that grows."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "s.jsonl"
        self.path.write_text("")
        self.transcript = Transcript(lambda: self.path)

    def stage(self, *lines: dict[str, Any]) -> str | None:
        with self.path.open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
        return self.transcript.look()[MARKER]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    made = Written(tmp_path)
    made.transcript.expect(MARKER)
    return made


@pytest.mark.parametrize("place", PLACES)
def test_only_an_answer_after_the_text_proves_that_the_model_has_it(written: Written, place: str) -> None:
    assert written.stage(answer(1)) is None
    assert written.stage(QUEUED) == "queued"
    assert written.stage(answer(2)) == "queued", "an answer to what was asked before"
    assert written.stage(PLACES[place]) == "placed"
    assert written.stage(user("[Request interrupted by user]")) == "placed"
    assert written.stage(answer(3)) == "answered"


def test_an_error_of_the_model_api_is_no_proof(written: Written) -> None:
    assert written.stage(IDLE, answer(1, isApiErrorMessage=True)) == "placed"
    made_up = answer(2)
    made_up["message"]["model"] = "<synthetic>"
    assert written.stage(made_up) == "placed"
    assert written.stage(answer(3)) == "answered"


def test_later_blocks_of_an_answer_that_was_under_way_are_no_proof(written: Written) -> None:
    assert written.stage(answer(1), MIDTURN, answer(1)) == "placed"
    assert written.stage(answer(2)) == "answered"


def test_an_answer_under_way_is_known_though_reading_begins_after_it(tmp_path: Path) -> None:
    written = Written(tmp_path)
    with written.path.open("w") as file:
        file.write(json.dumps(user("x" * 300_000)) + "\n" + json.dumps(answer(1)) + "\n")
    written.transcript.expect(MARKER)
    assert written.stage(MIDTURN, answer(1)) == "placed"


def test_what_a_hook_printed_is_not_yet_in_the_conversation(written: Written) -> None:
    assert written.stage(RAN, answer(1)) is None


def test_a_subagents_conversation_is_not_the_sessions(written: Written) -> None:
    assert written.stage({**IDLE, "isSidechain": True}) is None
    assert written.stage(IDLE, {**answer(1), "isSidechain": True}) == "placed"


def beside(written: Written, *lines: dict[str, Any]) -> Path:
    path = written.path.with_name("t.jsonl")
    with path.open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    return path


def test_a_session_that_was_cleared_goes_on_in_the_file_that_has_its_text(written: Written) -> None:
    beside(written, user("/clear"), answer(1), QUEUED)
    assert written.stage() == "queued"
    beside(written, IDLE, answer(2))
    assert written.stage() == "answered"


def test_what_had_no_answer_when_the_session_was_cleared_is_not_proved_by_the_next_answer(written: Written) -> None:
    assert written.stage(IDLE) == "placed"
    written.transcript.expect("77c0ffee0000")
    beside(written, user("id m1-3 from ada\n--- 77c0ffee0000"), answer(2))
    assert written.stage() is None
    assert written.transcript.look()["77c0ffee0000"] == "answered"


def test_another_session_of_the_project_proves_nothing(tmp_path: Path) -> None:
    written = Written(tmp_path)
    beside(written, IDLE)
    written.transcript.expect(MARKER)
    beside(written, user("about something else"), answer(1), {**IDLE, "isSidechain": True}, answer(2))
    assert written.stage() is None
    assert written.stage(IDLE, answer(3)) == "answered", "the session itself goes on where it was"


def test_without_a_transcript_nothing_is_proved(tmp_path: Path) -> None:
    transcript = Transcript(lambda: None)
    transcript.expect(MARKER)
    assert not transcript.readable
    assert transcript.look() == {MARKER: None}


@settings(deadline=None)
@given(st.lists(st.sampled_from([QUEUED, IDLE, MIDTURN, HOOK, RAN, answer(1), answer(2)]), max_size=8), st.data())
def test_however_the_bytes_come_the_stage_is_the_same(lines: list[dict[str, Any]], data: st.DataObject) -> None:
    raw = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    cut = data.draw(st.integers(0, len(raw)))
    found = []
    for parts in ([raw], [raw[:cut], raw[cut:]]):
        with NamedFile() as path:
            transcript = Transcript(lambda path=path: path)  # type: ignore[misc]
            transcript.expect(MARKER)
            for part in parts:
                with path.open("ab") as file:
                    file.write(part)
                transcript.look()
            found.append(transcript.look()[MARKER])
    assert found[0] == found[1]


class NamedFile:
    def __enter__(self) -> Path:
        import tempfile

        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name) / "s.jsonl"
        path.write_bytes(b"")
        return path

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


def test_the_transcript_of_a_session_is_found_by_its_id_only(tmp_path: Path) -> None:
    folder = tmp_path / ".claude" / "projects" / "-home-ada-parser"
    folder.mkdir(parents=True)
    (folder / "abc-1.jsonl").write_text("")
    assert of_claude_code(tmp_path, "", "abc-1") == folder / "abc-1.jsonl"
    assert of_claude_code(tmp_path, "", "abc-2") is None
    assert of_claude_code(tmp_path, "", "") is None
    assert of_claude_code(tmp_path, "", "../abc-1") is None
