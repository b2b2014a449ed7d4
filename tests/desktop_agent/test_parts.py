"""Profiles, calibration, stillness, Markdown, limits and the doctor's findings."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desktop_agent.backends import reason_against
from desktop_agent.calibrate import calibrate
from desktop_agent.check import clipboard_finding, desktop_findings, look, mac_permissions, tool_findings
from desktop_agent.clipboard import SystemClipboard
from desktop_agent.control import Rate
from desktop_agent.detect import Stillness
from desktop_agent.driver import same
from desktop_agent.journal import FileJournal
from desktop_agent.markdown import markdown
from desktop_agent.profile import Profile, ProfileError, Spot, dump, load, names, parse
from desktop_agent.window import Box, Hitch, Picture, Point
from tests.commands.test_commands import bridge, home
from tests.support.fake_desktop import CHAT, INPUT, FakeClipboard, FakeDesktop

__all__ = ["home"]


def test_the_profiles_that_come_along_are_valid_and_found_by_name(tmp_path: Path) -> None:
    assert names(tmp_path) == ["chatgpt-desktop", "claude-desktop", "generic"]
    assert [load(name, tmp_path).name for name in names(tmp_path)] == names(tmp_path)


def test_ones_own_profile_wins_and_a_mistyped_name_is_told_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "generic.toml").write_text('title = "Mine"\ninput = {x=0.5, y=0.9}\ntranscript = {x=0, y=0}\n')
    assert load("generic", tmp_path).title == "Mine"
    with pytest.raises(ProfileError, match="'claude-desktop'"):
        load("claude-dekstop", tmp_path)
    with pytest.raises(ProfileError, match="no profile"):
        load("../generic", tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title = ", "not valid TOML"),
        ('title = "("\ninput = {x=0.5, y=0.9}\ntranscript = {x=0, y=0}', "title"),
        ('title = "a"\ninput = {x=0.5}\ntranscript = {x=0, y=0}', "bottom_px"),
        ('title = "a"\ninput = {x=2, y=0}\ntranscript = {x=0, y=0}', "input.x"),
        ('title = "a"\ncolour = "b"\ninput = {x=0, y=0}\ntranscript = {x=0, y=0}', "colour"),
    ],
)
def test_a_wrong_profile_says_which_file_and_field(text: str, said: str) -> None:
    with pytest.raises(ProfileError, match=f"here.toml.*{said}"):
        parse("here", text, "here.toml")


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
    st.floats(0, 1),
    st.one_of(st.floats(0, 1), st.integers(1, 500)),
)
def test_a_profile_survives_its_file(title: str, x: float, height: float | int) -> None:
    import re

    spot = Spot(x=x, bottom_px=height) if isinstance(height, int) else Spot(x=x, y=height)
    made = Profile(name="p", title=re.escape(title), input=spot, transcript=spot)
    assert parse("p", dump(made), "p.toml") == made


@given(st.floats(0, 1), st.integers(1, 2000), st.integers(1, 3000), st.integers(1, 3000))
def test_a_spot_is_always_inside_the_window(x: float, up: int, width: int, height: int) -> None:
    box = Box(-50, 20, width, height)
    assert box.contains(Spot(x=x, bottom_px=up).point(box))
    assert box.contains(Spot(x=x, y=x).point(box))


def test_pointing_at_a_window_makes_a_profile_that_clicks_there() -> None:
    desktop = FakeDesktop()
    places = [Point(300, 670), Point(140, 280)]
    made = calibrate(desktop, "chat", lambda text: desktop.move(places.pop(0)))
    assert INPUT.contains(made.input.point(CHAT.box))
    assert abs(made.input.point(CHAT.box).x - 300) <= 1
    assert made.transcript.point(CHAT.box) == Point(140, 280) or abs(made.transcript.point(CHAT.box).y - 280) <= 1
    places = [Point(300, 670), Point(700, 280)]
    with pytest.raises(Hitch, match="two windows"):
        calibrate(desktop, "chat", lambda text: desktop.move(places.pop(0)))
    with pytest.raises(Hitch, match="no window"):
        calibrate(desktop, "chat", lambda text: desktop.move(Point(5, 5)))


def frame(*blocks: int) -> Picture:
    """One row of 32×32 blocks, each of one grey."""
    return Picture(32 * len(blocks), 32, bytes(b for _ in range(32) for b in blocks for _ in range(96)))


def test_a_spinner_is_still_and_growing_text_is_not() -> None:
    still = Stillness()
    spinner = [frame(0, turn % 4) for turn in range(4)]
    assert [still.look(picture, n) for n, picture in enumerate(spinner)] == [True] * 4
    assert not any(still.look(random.Random(n).choice(spinner), 10 + n) for n in range(20))
    assert still.quiet_s(33) == 30
    assert still.look(frame(9, 0), 34)
    assert still.quiet_s(34) == 0


def test_a_window_that_is_not_on_the_screen_is_still() -> None:
    assert not Stillness().look(Picture(0, 0, b""), 1)


HTML = """<html><body><h2>Title</h2><p>Some <b>bold</b> and <i>italic</i> a_b*c <a href="https://e.org">link</a></p>
<ul><li>one<ul><li>deep</li></ul></li><li>two</li></ul>
<pre><code class="hljs language-python">def f():
    return "x"


f()
</code></pre><table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>
<button>Copy</button><script>evil()</script><img src="https://track.er/x.png"></body></html>"""


def test_copied_html_becomes_markdown_with_code_tables_and_lists() -> None:
    assert markdown(HTML) == (
        "## Title\n\nSome **bold** and *italic* a_b*c [link](https://e.org)\n\n- one\n  - deep\n- two\n\n"
        '```python\ndef f():\n    return "x"\n\n\nf()\n```\n\n| a | b |\n| --- | --- |\n| 1 | 2 |'
    )


def test_blank_lines_and_hard_spaces_do_not_count_but_words_do() -> None:
    assert same("a\n\n\xa0b  \r\nc", "a\n b\nc")
    assert not same("a\nb", "a b")
    assert not same("  a", "a")
    assert not same("", "a")


def test_no_more_prompts_an_hour_than_allowed_and_a_gap_between_two() -> None:
    rate = Rate(per_hour=2, gap_s=5)
    assert rate.wait_s(0) == 0
    rate.count(0)
    assert rate.wait_s(1) == 4
    rate.count(100)
    assert rate.wait_s(200) == 3400
    assert rate.wait_s(3600) == 0


def test_the_log_is_for_its_owner_and_begins_again_when_it_is_large(tmp_path: Path) -> None:
    told: list[str] = []
    journal = FileJournal(tmp_path / "d" / "journal.jsonl", "a", told.append)
    journal.note("typed", text="secret")
    assert told == ["typed"], "the text itself is not shown on the terminal"
    file = tmp_path / "d" / "journal.jsonl"
    assert (file.stat().st_mode & 0o777, '"text": "secret"' in file.read_text()) == (0o600, True)
    with file.open("a") as out:
        out.write("x" * 2**21)
    journal.note("read", text="later")
    assert file.read_text().count("\n") == 1
    assert (tmp_path / "d" / "journal.jsonl.1").exists()


def test_the_doctor_leaves_the_clipboard_as_it_was() -> None:
    desktop = FakeDesktop()
    assert [one.fine for one in desktop_findings(desktop)] == [True, True, True]
    finding = clipboard_finding(FakeClipboard(desktop))
    assert (finding.fine, desktop.read()) == (True, "mine")


def test_the_doctor_says_why_a_desktop_cannot_be_used_and_what_works_there() -> None:
    wayland = look("linux", {"WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":0"})
    found = next(one for one in wayland if one.name == "desktop")
    assert (found.fine, "assist" in found.fix, "Wayland" in found.found) == (False, True, True)
    assert wayland[-1].name == "clipboard", "assist works there, so its clipboard is looked at"
    assert "no display" in look("linux", {})[-1].found
    assert reason_against("darwin", {}) == reason_against("win32", {}) == ""


@pytest.mark.parametrize(
    ("platform", "env", "fix"),
    [
        ("linux", {"DISPLAY": ":0"}, "apt install xclip"),
        ("linux", {"WAYLAND_DISPLAY": "w"}, "apt install wl-clipboard"),
        ("win32", {}, "correct PATH"),
        ("darwin", {}, "correct PATH"),
    ],
)
def test_the_doctor_names_missing_programs_and_libraries_with_their_fix(
    platform: str, env: dict[str, str], fix: str
) -> None:
    everything = tool_findings(platform, env, lambda name: name, lambda name: name)
    assert all(one.fine for one in everything)
    nothing = tool_findings(platform, env, lambda name: None, lambda name: None)
    assert [(one.name, one.fine, one.optional) for one in nothing] == [
        ("programs", False, False),
        ("libraries", False, False),
        ("small window", False, True),
    ]
    assert fix in nothing[0].fix
    assert "multi-agent-bridge[desktop]" in nothing[1].fix


class Permissions:
    """What macOS answers about this program."""

    def __init__(self, presses: bool, sees: bool) -> None:
        self.AXIsProcessTrusted = lambda: presses
        self.CGPreflightScreenCaptureAccess = lambda: sees


def test_the_doctor_asks_macos_for_both_permissions() -> None:
    assert all(one.fine for one in mac_permissions(Permissions(True, True)))
    accessibility, screen = mac_permissions(Permissions(False, False))
    assert (accessibility.fine, accessibility.optional, "Accessibility" in accessibility.fix) == (False, False, True)
    assert (screen.fine, screen.optional, "Screen Recording" in screen.fix) == (False, True, True)


def test_the_doctor_notices_a_black_screen_and_unknown_idle_time() -> None:
    desktop = FakeDesktop()
    desktop.texts["transcript"] = ""
    desktop.idle_s = lambda: None  # type: ignore[method-assign]
    findings = {one.name: one for one in desktop_findings(desktop)}
    assert (findings["screen"].fine, findings["screen"].optional) == (False, True)
    assert (findings["idle time"].fine, "libxss1" in findings["idle time"].fix) == (False, True)


@pytest.mark.display
def test_without_xclip_the_doctor_says_to_install_it(x11: SystemClipboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    findings = {one.name: one for one in look()}
    assert findings["desktop"].fine
    assert {name for name, one in findings.items() if not one.fine} == {"programs", "screen", "clipboard"}
    assert "xclip" in findings["programs"].fix
    assert "xclip" in findings["clipboard"].fix


@pytest.mark.display
def test_the_doctor_command_finds_this_desktop_well(x11: SystemClipboard, home: Path) -> None:
    said = json.loads(bridge(home, "doctor", "--desktop", "--json"))
    found = {check["name"]: check["fine"] for check in said}
    wanted = ["programs", "libraries", "small window", "desktop", "screen", "idle time", "clipboard"]
    assert {name: found.get(name) for name in wanted} == dict.fromkeys(wanted, True) | {"screen": False}, said
    assert x11.read() == "mine"
