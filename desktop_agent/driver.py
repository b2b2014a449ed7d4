"""The verified sequence: put a prompt into a window's text box, send it, and read the marked answer back.

Each step looks before it acts. Whatever is not as expected ends the sequence before Enter, with nothing sent.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from desktop_agent.attachments import Litter
from desktop_agent.clipboard import Clipboard, Guard, guarded
from desktop_agent.control import Halt, Pace, Stopped, Watch
from desktop_agent.detect import Stillness
from desktop_agent.journal import Journal
from desktop_agent.markdown import markdown
from desktop_agent.profile import Profile, Spot
from desktop_agent.tag import answer
from desktop_agent.window import OWN_TITLE, Desktop, Hitch, NoWindow, Point, Refused, Window, find

_LOOK_S: Final = 0.25
_STEP_S: Final = 0.03
_ACTIVE_WITHIN_S: Final = 3.0
_COPY_WITHIN_S: Final = 0.6
_LONG_COPY_WITHIN_S: Final = 3.0
_PASTE_SETTLES_S: Final = (0.25, 0.75, 2.0)
_QUIET_S: Final = 1.0
_AS_IT_IS_S: Final = 1.5  # long enough to see every picture of a caret or spinner
_FILE_SHOWN_WITHIN_S: Final = 10.0
_UPLOAD_WITHIN_S: Final = 120.0
_FIRST_RETRY_S: Final = 3.0
_LAST_RETRY_S: Final = 30.0


class Driver:
    """One chat window. Only one driver may act at a time; the caller keeps that order."""

    def __init__(
        self,
        desktop: Desktop,
        clipboard: Clipboard,
        profile: Profile,
        watch: Watch,
        pace: Pace,
        journal: Journal,
        litter: Litter,
    ) -> None:
        self._desktop = desktop
        self._clipboard = clipboard
        self._profile = profile
        self._watch = watch
        self._pace = pace
        self._journal = journal
        self._left_behind = ""
        self._attached: tuple[str, int | str] | None = None
        self.litter = litter

    async def send(self, prompt: str, submit: Callable[[], Awaitable[None]], files: tuple[Path, ...] = ()) -> None:
        """Attach the files, type the prompt, check it, call `submit`, press the send key. Returns only when pressed.

        Raises Halt, Stopped, NoWindow, Refused, or what `submit` raised: then it was not pressed.
        """
        if files and self._profile.files == "none":
            raise Refused("its profile says that this window takes no files")
        await self._watch.clear()
        window, before = find(self._desktop, self._profile.title), self._place()
        there = self._attached == (prompt, window.id)
        if self.litter.names() and not there:
            raise Refused(f"files of an earlier question ({self.litter.names()}) may still be attached in the window")
        with guarded(self._clipboard, self._journal.note) as guard:
            await self._focus(window, self._profile.input)
            if files and not there:
                await self._attach(window, prompt, files, guard)
            await self._fill(window, prompt, guard)
            self._watch.check(window)
            await submit()
            self._watch.check(window)
            self._press(self._profile.send)
            self._left_behind, self._attached = "", None
            self.litter.clear()
        self._journal.note("typed", text=prompt, **({"files": _names(files)} if files else {}))
        self._return(window, before)

    async def read(self, tag: str) -> str | None:
        """The complete answer with this tag that the window shows now; None when there is none."""
        await self._watch.clear()
        window, before = find(self._desktop, self._profile.title), self._place()
        with guarded(self._clipboard, self._journal.note) as guard:
            await self._focus(window, self._profile.transcript)
            plain = await self._copy_all(window, guard, _LONG_COPY_WITHIN_S)
            found = answer(markdown(self._clipboard.html()), tag) if plain else None
            found = found or answer(plain, tag)
        self._return(window, before)
        if found is not None:
            self._journal.note("read", text=found)
        return found

    async def wait(self, tag: str, give_up_s: float, act: Callable[[], Awaitable[str | None]]) -> str | None:
        """The answer once it is complete; None after `give_up_s`. `act` reads once, in its turn among all windows.

        Pixels only say when looking is worth it: something new appeared, and then nothing new for a second. Where
        pixels say nothing (a video over the window, a picture that is not allowed), it is looked at now and then.
        """
        now_s, still = self._pace.now_s(), Stillness()
        until_s, next_s, retry_s, news = now_s + give_up_s, now_s + _LAST_RETRY_S, _FIRST_RETRY_S, True
        while (now_s := self._pace.now_s()) < until_s:
            await self._pace.pause(_LOOK_S)
            fresh = self._look(still)
            news, quiet = news or fresh, still.quiet_s(now_s) >= _QUIET_S
            if not (news and quiet) and now_s < next_s:
                continue
            found = await self._tried(act)
            if found is not None:
                return found
            self._look(still)  # our own selection is nothing new
            retry_s = _FIRST_RETRY_S if news else min(retry_s * 2, _LAST_RETRY_S)
            news, next_s = False, self._pace.now_s() + (retry_s if quiet else _LAST_RETRY_S)
        return None

    async def _tried(self, act: Callable[[], Awaitable[str | None]]) -> str | None:
        try:
            return await act()
        except Hitch as error:
            self._journal.note("waiting", why=str(error))
            return None

    def steps(self, prompt: str, files: Sequence[str] = ()) -> list[str]:
        """What `send` would do now, step by step, without doing any of it."""
        window, profile = find(self._desktop, self._profile.title), self._profile
        at, there = profile.input.point(window.box), profile.transcript.point(window.box)
        return [
            f"bring window {window.title!r} ({window.box.width}×{window.box.height}) to the front",
            f"click its text box at {at.x},{at.y}",
            f"check that the box is empty: {profile.select_all}, {profile.copy_keys}",
            *[f"paste the files {', '.join(files)} and see the window show them: {profile.paste}"][: len(files)],
            f"paste {len(prompt)} characters: {profile.paste}",
            f"copy them back and compare: {profile.select_all}, {profile.copy_keys}",
            "tell the hub that the prompt is about to be sent",
            f"check once more that the window has the focus, then press {profile.send}",
            f"when it is still: click {there.x},{there.y}, {profile.select_all}, {profile.copy_keys}, take the marked answer",
            "give back the clipboard",
        ]

    async def _focus(self, window: Window, spot: Spot) -> None:
        """Bring the window to the front, click the spot, and see that the keyboard is there."""
        self._watch.check()
        self._desktop.activate(window)
        self._watch.acted()
        until_s = self._pace.now_s() + _ACTIVE_WITHIN_S
        while not self._desktop.is_active(window):
            if self._pace.now_s() > until_s:
                raise Halt(f"the window {window.title!r} does not come to the front")
            await self._pace.pause(_STEP_S)
        self._watch.check(window)
        window = find(self._desktop, self._profile.title)  # it may have been somewhere else, or minimised
        at = spot.point(window.box)
        if any(one.title == OWN_TITLE and one.box.contains(at) for one in self._desktop.windows()):
            raise Halt("the desktop agent's own small window covers the place to click; move it aside")
        self._desktop.click(at)
        self._watch.acted(at)
        self._watch.check(window)

    async def _attach(self, window: Window, prompt: str, files: tuple[Path, ...], guard: Guard) -> None:
        """Paste the files into the empty box and see the window show something for it. Raises Refused when it does not.

        What is attached cannot be copied back, so this looks at the picture: something that was never there before
        (a caret or spinner was), while the box has no text. A window that pastes the names as text takes no files.
        """
        await self._emptied(window, prompt, guard)
        still = Stillness()
        until_s = self._pace.now_s() + _AS_IT_IS_S
        while self._pace.now_s() < until_s:
            self._look(still)
            await self._pace.pause(_STEP_S)
        self._clipboard.put_files(guard.note_files(files))
        self._watch.check(window)
        if self._clipboard.files() != files:
            raise Halt("another program changed the clipboard")
        self.litter.put(files)
        self._press_checked(window, self._profile.paste)
        shown = await self._shown(window, still)
        self._attached = (prompt, window.id) if shown else None  # from here on a new try need not paste them again
        if (await self._copy_all(window, guard, _COPY_WITHIN_S)).strip():
            self._press_checked(window, self._profile.select_all)
            self._press_checked(window, self._profile.erase)
            self._attached = None
            self.litter.clear()
            raise Refused('this window pastes the names of files as text; write files = "none" into its profile')
        if not shown:
            raise Refused(f"the window showed nothing for the pasted files ({_names(files)})")

    async def _emptied(self, window: Window, prompt: str, guard: Guard) -> None:
        """Take what we left in the box ourselves out of it. Raises Halt for anything else."""
        there = await self._copy_all(window, guard, _COPY_WITHIN_S)
        if not there.strip():
            return
        if not same(there, prompt) and not same(there, self._left_behind):
            raise Halt("the text box is not empty: there is a draft, or the profile's input point is elsewhere")
        self._press_checked(window, self._profile.select_all)
        self._press_checked(window, self._profile.erase)

    async def _shown(self, window: Window, still: Stillness) -> bool:
        """Whether something new appears; returns when it has been still for as long as an upload takes."""
        began_s, shown = self._pace.now_s(), False
        while (now_s := self._pace.now_s()) < began_s + (_UPLOAD_WITHIN_S if shown else _FILE_SHOWN_WITHIN_S):
            await self._pace.pause(_STEP_S)
            self._watch.check(window)
            shown = self._look(still) or shown
            if shown and still.quiet_s(now_s) >= max(_QUIET_S, self._profile.upload_s):
                break
        return shown

    async def _fill(self, window: Window, prompt: str, guard: Guard) -> None:
        """Put the prompt into the empty box and read it back. Raises Halt when the box was or is something else."""
        there = await self._copy_all(window, guard, _COPY_WITHIN_S)
        if same(there, prompt):
            return
        if there.strip() and not same(there, self._left_behind):
            raise Halt("the text box is not empty: there is a draft, or the profile's input point is elsewhere")
        self._left_behind = prompt
        for settle_s in _PASTE_SETTLES_S:
            self._clipboard.write(guard.note(prompt))
            self._press_checked(window, self._profile.select_all)
            if not same(self._clipboard.read(), prompt):
                raise Halt("another program changed the clipboard")
            self._press_checked(window, self._profile.paste)
            await self._pace.pause(
                settle_s
            )  # a busy browser fetches the clipboard late: our marker must not be there yet
            there = await self._copy_all(window, guard, _LONG_COPY_WITHIN_S)
            if same(there, prompt):
                return
        self._press_checked(window, self._profile.select_all)
        self._press_checked(window, self._profile.erase)
        raise Halt(f"the text box holds {_difference(there, prompt)}; it was emptied")

    async def _copy_all(self, window: Window, guard: Guard, within_s: float) -> str:
        """Everything in the focused part of the window as text; empty when nothing could be copied in time."""
        marker = guard.note(f"desktop-agent {secrets.token_hex(8)}")
        self._clipboard.write(marker)
        self._press_checked(window, self._profile.select_all)
        self._press_checked(window, self._profile.copy_keys)
        until_s = self._pace.now_s() + within_s
        while (copied := self._clipboard.read()) == marker:
            if self._pace.now_s() > until_s:
                return ""
            await self._pace.pause(_STEP_S)
        return guard.note(copied)

    def _press_checked(self, window: Window, keys: str) -> None:
        self._watch.check(window)
        self._press(keys)

    def _press(self, keys: str) -> None:
        self._desktop.press(*[self._desktop.modifier if key == "mod" else key for key in keys.split("+")])
        self._watch.acted()

    def _look(self, still: Stillness) -> bool:
        """Whether the window shows something new; a window that is away shows nothing."""
        try:
            return still.look(self._desktop.picture(find(self._desktop, self._profile.title).box), self._pace.now_s())
        except NoWindow:
            return False

    def _place(self) -> tuple[Window | None, Point]:
        """Where the person is: the window they type into, and their pointer."""
        return self._desktop.front(), self._desktop.pointer()

    def _return(self, window: Window, place: tuple[Window | None, Point]) -> None:
        """Give focus and pointer back; not when the person took them meanwhile."""
        front, pointer = place
        try:
            self._watch.check(window)
        except (Halt, Stopped) as error:
            self._journal.note("pointer and focus stay", why=str(error))
            return
        self._desktop.move(pointer)
        self._watch.acted(pointer)
        if front is not None and front.id != window.id:
            self._desktop.activate(front)
        self._watch.acted()


def _names(files: tuple[Path, ...]) -> str:
    return ", ".join(path.name for path in files)


def same(copied: str, pasted: str) -> bool:
    """Whether a text box gave back what was pasted. Editors change blank lines, spaces at line ends and hard spaces."""
    return _plain(copied) == _plain(pasted)


def _difference(copied: str, pasted: str) -> str:
    """Where a text box differs from what was pasted, without its text."""
    pairs = zip(_plain(copied), _plain(pasted), strict=False)
    line = next((n for n, (one, other) in enumerate(pairs, 1) if one != other), 0)
    where = f", first in line {line}" if line else ""
    return f"{len(copied)} characters where {len(pasted)} were pasted{where}"


def _plain(text: str) -> list[str]:
    lines = text.replace("\r\n", "\n").replace("\xa0", " ").split("\n")
    return [line.rstrip() for line in lines if line.strip()]
