"""What every way into a session that wakes it looks like to the pusher."""

from __future__ import annotations

from typing import Protocol


class PushFailed(Exception):
    """This way did not take it; the next rung has to."""


class Way(Protocol):
    """One rung that can wake a session. That a push returned proves nothing about the model."""

    @property
    def works(self) -> bool:
        """Whether it is there now."""

    @property
    def most_chars(self) -> int:
        """How long a text it takes whole."""

    def push(self, text: str, marker: str = "") -> None:
        """Bring a text in; `marker` stands in it. Raises PushFailed."""

    def forget(self, marker: str) -> None:
        """That text goes another way now: what of it was not handed over yet must not be."""
