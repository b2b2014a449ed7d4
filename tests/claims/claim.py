"""A promise of README or docs, with the tests that show it and the mutant that must turn one of them red."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """A seeded fault: `old` becomes `new` in `file`; `test` must then fail."""

    file: str
    old: str
    new: str
    test: str


@dataclass(frozen=True, slots=True)
class Claim:
    """`tests` are pytest node ids without parameters. `deferred` says why there is no test yet."""

    id: str
    text: str
    tests: tuple[str, ...] = ()
    mutant: Mutant | None = None
    deferred: str = ""
