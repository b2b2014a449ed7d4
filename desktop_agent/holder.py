"""Holds several kinds of data on the X11 clipboard at once. xclip holds one; formatted text has at least two.

`python -m desktop_agent.holder` reads {"text/html": "base64", …} and returns when it owns the clipboard; a copy of it
stays behind to answer (ICCCM section 2, large data in parts by INCR) and ends when somebody else copies.
"""

from __future__ import annotations

import json
import os
import select
import sys
from base64 import b64decode
from typing import Any, Final

from desktop_agent.backends.x11 import connected

_PART_BYTES: Final = 128 * 1024  # python3-xlib has no BIG-REQUESTS, so one request carries at most 256 KiB
_AFTER_LOSS_S: Final = 5.0  # how long a transfer that has begun may go on without a sign of the other side
_TYPES: Final = {"TEXT": "UTF8_STRING"}


class Holder:
    """The owner of the clipboard, until it is taken."""

    def __init__(self, kinds: dict[str, bytes]) -> None:
        from Xlib import X

        self._x = X
        self._display = connected()
        self._display.set_error_handler(lambda *problem: None)  # who asks may be gone before the answer
        self._window = self._display.screen().root.create_window(0, 0, 1, 1, 0, X.CopyFromParent)
        self._window.change_attributes(event_mask=X.PropertyChangeMask)
        self._kinds = {self._atom(name): data for name, data in kinds.items()}
        self._types = {self._atom(name): self._atom(_TYPES.get(name, name)) for name in kinds}
        self._under_way: dict[tuple[int, int], tuple[int, memoryview]] = {}
        self._since = 0

    def own(self) -> bool:
        """Take the clipboard; whether it worked."""
        self._since = self._now()
        self._window.set_selection_owner(self._atom("CLIPBOARD"), self._since)
        owner = self._display.get_selection_owner(self._atom("CLIPBOARD"))
        return bool(owner != self._x.NONE and owner.id == self._window.id)

    def serve(self) -> None:
        """Answer until somebody else owns the clipboard and all transfers are through."""
        lost = False
        while not lost or (self._under_way and self._comes_something()):
            event = self._display.next_event()
            if event.type == self._x.SelectionClear:
                lost = True
            elif event.type == self._x.SelectionRequest:
                self._answer(event)
            elif event.type == self._x.PropertyNotify and event.state == self._x.PropertyDelete:
                self._go_on(event.window, event.atom)
            self._display.flush()

    def _answer(self, asked: Any) -> None:
        from Xlib.protocol import event

        into = asked.property or asked.target  # old programs name no property
        given = self._put(asked.requestor, into, asked.target)
        told = event.SelectionNotify(
            time=asked.time,
            requestor=asked.requestor,
            selection=asked.selection,
            target=asked.target,
            property=into if given else self._x.NONE,
        )
        asked.requestor.send_event(told)

    def _put(self, requestor: Any, into: int, target: int) -> bool:
        if target == self._atom("TARGETS"):
            names = [target, self._atom("TIMESTAMP"), *self._kinds]
            requestor.change_property(into, self._atom("ATOM"), 32, names)
        elif target == self._atom("TIMESTAMP"):
            requestor.change_property(into, self._atom("INTEGER"), 32, [self._since])
        elif target not in self._kinds:
            return False
        elif len(data := self._kinds[target]) <= _PART_BYTES:
            requestor.change_property(into, self._types[target], 8, data)
        else:
            self._under_way[requestor.id, into] = (self._types[target], memoryview(data))
            requestor.change_attributes(event_mask=self._x.PropertyChangeMask)
            requestor.change_property(into, self._atom("INCR"), 32, [len(data)])
        return True

    def _go_on(self, requestor: Any, into: int) -> None:
        """The next part, as the last one was taken; an empty part ends the transfer."""
        if (requestor.id, into) not in self._under_way:
            return
        kind, rest = self._under_way.pop((requestor.id, into))
        if rest:
            self._under_way[requestor.id, into] = (kind, rest[_PART_BYTES:])
        requestor.change_property(into, kind, 8, rest[:_PART_BYTES].tobytes())

    def _comes_something(self) -> bool:
        if self._display.pending_events():
            return True
        return bool(select.select([self._display.fileno()], [], [], _AFTER_LOSS_S)[0])

    def _now(self) -> int:
        """The server's time, which comes with a change of a property."""
        self._window.change_property(self._atom("WM_NAME"), self._atom("STRING"), 8, b"")
        self._display.flush()
        while (event := self._display.next_event()).type != self._x.PropertyNotify:
            pass
        return int(event.time)

    def _atom(self, name: str) -> int:
        return int(self._display.intern_atom(name))


def main() -> int:
    """Exit code 0 when the clipboard is ours."""
    holder = Holder({name: b64decode(data) for name, data in json.load(sys.stdin).items()})
    if not holder.own():
        return 1
    if os.fork():
        return 0
    os.setsid()  # the terminal's Ctrl-C ends the agent and not what it left on the clipboard
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    holder.serve()
    return 0


if __name__ == "__main__":
    sys.stdout.flush()
    os._exit(main())
