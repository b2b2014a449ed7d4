"""Which engine runs which language here: the strongest that passed its self-test just now.

A program being installed proves nothing, so engines are chosen by test. There is no unsandboxed engine to fall back to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hub.sandbox.engine import Engine, Language, OnOutput, RunResult, RunSpec, SandboxUnavailable
from hub.sandbox.lite import Lite
from hub.sandbox.seatbelt import Seatbelt
from hub.sandbox.supervisor import Supervised

OFF: Final = "off"
_AUTO: Final = ("bwrap", "lite")  # seatbelt only by name, until it was tried on a Mac
_SWITCHED_OFF: Final = "the setting 'sandbox' is 'off'; set it to 'auto'"


@dataclass(frozen=True, slots=True)
class Examined:
    """One engine, and what its self-test found: the languages it runs, or why it cannot be used and the fix.

    `enforcement` says what keeps the memory limit, `note` how it could be kept better here.
    """

    engine: str
    languages: tuple[Language, ...]
    refusal: str = ""
    enforcement: str = ""
    note: str = ""


def engines_for(setting: str) -> tuple[Engine, ...]:
    """Engines to examine, the strongest first; `setting` is auto, off, or one engine's name."""
    known: tuple[Engine, ...] = (Supervised(), Seatbelt(), Lite())
    return tuple(engine for engine in known if setting == engine.name or (setting == "auto" and engine.name in _AUTO))


class Engines:
    """The engines of one hub. `examine` first."""

    def __init__(self, candidates: Sequence[Engine]) -> None:
        self._candidates = candidates
        self._chosen: dict[Language, Engine] = {}
        self.examined: tuple[Examined, ...] = ()

    async def examine(self) -> tuple[Examined, ...]:
        """Test every engine, and choose."""
        self.examined = tuple([await _examine(engine) for engine in self._candidates])
        self._chosen = {}
        for engine, found in zip(self._candidates, self.examined, strict=True):
            for language in found.languages:
                self._chosen.setdefault(language, engine)
        return self.examined

    @property
    def languages(self) -> dict[str, str]:
        """Language to the name of its engine."""
        return {language: engine.name for language, engine in self._chosen.items()}

    @property
    def refusal(self) -> str:
        """Why engines cannot be used, with the fixes; empty when all can."""
        if not self._candidates:
            return _SWITCHED_OFF
        return "; ".join(f"{found.engine}: {found.refusal}" for found in self.examined if found.refusal)

    @property
    def limits(self) -> str:
        """What keeps the limits of each engine that is used, and how they could be kept better."""
        return "; ".join(
            f"{found.engine} keeps memory by {found.enforcement}" + (f" ({found.note})" if found.note else "")
            for found in self.examined
            if found.engine in self.languages.values()
        )

    async def run(self, spec: RunSpec, on_output: OnOutput, stop: asyncio.Event) -> RunResult:
        """Run with the language's engine. Raises SandboxUnavailable."""
        engine = self._chosen.get(spec.language)
        if engine is None:
            raise SandboxUnavailable(f"no engine here runs {spec.language}; {self.refusal}")
        return await engine.run(spec, on_output, stop)

    def close(self) -> None:
        for engine in self._candidates:
            engine.close()


async def _examine(engine: Engine) -> Examined:
    try:
        languages = await engine.self_test()
        return Examined(engine.name, languages, "", engine.enforcement, engine.note)
    except SandboxUnavailable as error:
        return Examined(engine.name, (), str(error))
    except OSError as error:
        return Examined(
            engine.name, (), f"the self-test could not start ({error}); look at limits of processes and files"
        )
