"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: how it is, and what to do when it is not well. `optional`: all else works without it."""

    name: str
    fine: bool
    found: str
    fix: str = ""
    optional: bool = False
