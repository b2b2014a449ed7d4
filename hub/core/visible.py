"""Text from peers with everything hidden made visible: one rule for models, terminals and pushed digests.

Standard library only, because the relay imports it. Not about markup: who shows text in HTML escapes it besides.

What cannot be seen can carry instructions that only a model reads, or change what a person sees. Yet the same
characters build emoji and words in many scripts, so context decides: a joiner between two emoji stays, a joiner in
the middle of Latin text becomes `\\u200d`. The sequences that stay are those of Unicode: emoji (UTS #51), joiners after
a virama or inside a cursive word (RFC 5892, appendix A), ideographic variants, the three flags made of tag characters.
"""

from __future__ import annotations

import re
from typing import Final

_PICTURE: Final = (
    "[©®‼⁉™ℹ↔-↙↩↪⌚⌛⌨⏏⏩-⏳⏸-⏺Ⓜ▪▫▶◀◻-◾☀-➿⤴⤵⬅-⬇⬛⬜⭐⭕〰〽㊗㊙"
    "\U0001f000-\U0001f1e5\U0001f200-\U0001f3fa\U0001f400-\U0001faff]"
)
_ONE: Final = f"{_PICTURE}(?:\ufe0f|[\U0001f3fb-\U0001f3ff])?"
_FLAGS: Final = "|".join(
    "\U0001f3f4" + "".join(chr(0xE0000 + ord(c)) for c in region) + "\U000e007f"
    for region in ("gbeng", "gbsct", "gbwls")
)
_VIRAMA: Final = "\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d4d\u0dca\u0f84\u1039\u103a\u17d2"
_CURSIVE: Final = (
    "\u0620-\u06dc\u06de-\u06ff\u0710-\u074f\u0750-\u07ff\u0840-\u088f\u0892-\u08e1\u08e3-\u0dff\u0f00-\u109f"
    "\u1780-\u17b3\u17b6-\u17ff\u1807\u1820-\u18aa\ua840-\ua873\ufb50-\ufdcf\ufdf0-\ufdff\ufe70-\ufefc"
)
_KEPT: Final = "|".join(
    (
        _FLAGS,
        f"{_PICTURE}\ufe0e",
        f"{_ONE}(?:\u200d{_ONE})*",
        "[0-9#*]\ufe0f\u20e3",
        "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff][\ufe00-\ufe02\U000e0100-\U000e010f]",
        f"(?<=[{_VIRAMA}])[\u200c\u200d]",
        f"(?<=[{_CURSIVE}])[\u200c\u200d](?=[{_CURSIVE}])",
        "(?<=[\u1820-\u18aa])[\u180b-\u180f]",
    )
)
# Controls but tab and newline; Unicode's default-ignorable characters; bidi, line and paragraph separators; annotation
# marks; surrogates, private use, noncharacters.
_HIDDEN: Final = (
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\uf8ff\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    + "".join(f"{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}" for plane in range(1, 15))
    + "\U000f0000-\U0010ffff]"
)
_ANY_HIDDEN: Final = re.compile(_HIDDEN)
_KEPT_OR_HIDDEN: Final = re.compile(f"{_KEPT}|(?P<hidden>{_HIDDEN})")


def visible(text: str) -> str:
    """The text with every hidden character as an escape such as `\\u202e`; lines end in a newline. Idempotent."""
    text = text.replace("\r\n", "\n")
    if _ANY_HIDDEN.search(text) is None:
        return text
    return _KEPT_OR_HIDDEN.sub(_shown, text)


def _shown(found: re.Match[str]) -> str:
    if found["hidden"] is None:
        return found[0]
    code = ord(found[0])
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
