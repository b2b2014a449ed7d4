"""Text patterns in linear time (RE2) and paths into JSON."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final, Protocol

from hub.core.errors import Invalid

SEARCHED: Final = 64 * 1024
_MEMORY: Final = 1 << 20  # per expression; RE2 refuses what would need more
_STEP: Final = re.compile(r"\.([A-Za-z0-9_-]+)|\[([0-9]+)\]")
MISSING: Final = object()


class BadExpression(Invalid):
    code, title = "bad-expression", "Not a usable regular expression"


class Searches(Protocol):
    def search(self, text: str, /) -> object: ...


@lru_cache(maxsize=512)
def compiled(pattern: str) -> Searches:
    """The expression, compiled. Raises BadExpression: no backtracking, so no backreferences or look-around."""
    try:
        import re2
    except ImportError:
        raise BadExpression(
            "text patterns need the RE2 engine; on the hub's machine: pip install 'multi-agent-bridge[routing]'"
        ) from None
    options = re2.Options()
    options.max_mem, options.log_errors = _MEMORY, False
    try:
        made: Searches = re2.compile(pattern, options)
    except re2.error as error:
        why = error.args[0].decode(errors="replace") if error.args and isinstance(error.args[0], bytes) else str(error)
        raise BadExpression(
            f"the text pattern is not one RE2 takes ({why[:200]}): it has no backreferences, no look-around and no huge "
            "repetitions. See https://github.com/google/re2/wiki/Syntax"
        ) from None
    return made


def found(pattern: str, text: str) -> bool:
    """Whether the pattern occurs in the first 64 KiB of the text."""
    return compiled(pattern).search(text[:SEARCHED]) is not None


def at_path(value: Any, path: str) -> Any:
    """The value at `$.a.b[0]`, or MISSING."""
    for name, index in _STEP.findall(path):
        if name and isinstance(value, dict) and name in value:
            value = value[name]
        elif index and isinstance(value, list) and int(index) < len(value):
            value = value[int(index)]
        else:
            return MISSING
    return value
