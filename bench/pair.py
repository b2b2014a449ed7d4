"""One measurement against its reference, and how large a run is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.servers import Server


@dataclass
class Pair:
    """One round; the ratio is subject over reference."""

    subject: float
    reference: float
    unit: str
    detail: str = ""

    @property
    def ratio(self) -> float:
        return self.subject / self.reference if self.reference else 0.0


Run = Callable[[Server, Server], Pair]


class Size:
    """How long and how large: `quick` is for correctness, not for figures."""

    quick = False


def seconds() -> float:
    """How long a load runs."""
    return 0.4 if Size.quick else 2.0


def scaled(full: int, quick: int) -> int:
    """The size of a run."""
    return quick if Size.quick else full
