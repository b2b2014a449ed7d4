"""From what somebody types to a full-text query that cannot be malformed. Pure."""

from __future__ import annotations

import re
from typing import Final

from hub.core.errors import Invalid

_PART: Final = re.compile(r'(-?)"([^"]*)"|(\S+)')


def fts_query(text: str) -> str:
    """An FTS5 query in which every word and phrase is quoted, so no input is a syntax error.

    Raises Invalid when there is no word to look for.
    """
    wanted: list[str] = []
    unwanted: list[str] = []
    for match in _PART.finditer(text.replace("\0", " ")):
        minus, phrase, word = match[1], match[2], match[3]
        if word is not None:
            minus, phrase = ("-", word[1:]) if word.startswith("-") and len(word) > 1 else ("", word)
        term = _quoted(phrase, prefix=word is not None and phrase.endswith("*"))
        if term:
            (unwanted if minus else wanted).append(term)
    if not wanted:
        raise Invalid('the query has no word to look for; type words, "exact phrases", prefix*, -without')
    query = " AND ".join(wanted)
    return query if not unwanted else f"({query}) NOT ({' OR '.join(unwanted)})"


def _quoted(phrase: str, *, prefix: bool) -> str:
    if not any(c.isalnum() for c in phrase):
        return ""
    quoted = '"' + phrase.rstrip("*").replace('"', '""') + '"'
    return quoted + " *" if prefix else quoted
