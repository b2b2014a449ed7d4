"""What Gemini CLI 0.61.0 wrote down of a session: how far what a hook brought got."""

from __future__ import annotations

from pathlib import Path

from mcp_bridge.push.gemini import Chat

LINES = (Path(__file__).parent / "fixtures" / "gemini-chat.jsonl").read_text("utf-8").splitlines(keepends=True)
WITH_PROMPT, AFTER_TOOL = "1111aaaa1111", "2222bbbb2222"


def stages(tmp_path: Path, marker: str, lines: list[str]) -> list[str | None]:
    """How far the text with this marker is known to have got after each line."""
    path = tmp_path / "chat.jsonl"
    path.write_text("")
    chat = Chat()
    chat.follow(path)
    chat.expect(marker, asked=True)
    seen: list[str | None] = []
    for line in lines:
        with path.open("a") as file:
            file.write(line)
        seen.append(chat.look()[marker])
    return seen


def test_the_models_next_answer_is_the_proof_of_what_came_with_a_prompt(tmp_path: Path) -> None:
    assert stages(tmp_path, WITH_PROMPT, LINES) == [*[None] * 2, *["placed"] * 2, *["answered"] * 11]


def test_an_answer_that_is_written_again_with_its_tools_proves_nothing_of_what_they_brought(tmp_path: Path) -> None:
    assert stages(tmp_path, AFTER_TOOL, LINES) == [*[None] * 7, *["placed"] * 2, *["answered"] * 6]
    again = [LINES[6], LINES[7], LINES[6], LINES[8]]
    assert stages(tmp_path, AFTER_TOOL, [*LINES[:6], *again])[-1] == "placed"


def test_an_error_and_what_is_no_line_prove_nothing(tmp_path: Path) -> None:
    lines = [*LINES[:3], '{"id":"x","type":"error","content":"quota"}\n', "[]\n", "no json\n"]
    assert stages(tmp_path, WITH_PROMPT, lines)[-1] == "placed"


def test_until_a_hook_tells_where_the_file_is_nothing_is_readable(tmp_path: Path) -> None:
    assert not Chat().readable
