"""The newest of many ids."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mcp_bridge import recent
from mcp_bridge.recent import Recent


@given(st.lists(st.lists(st.integers(0, 12).map(str), max_size=8), max_size=12))
def test_what_came_last_is_kept_however_often_and_in_whatever_portions_it_came(portions: list[list[str]]) -> None:
    kept, before = Recent(), recent.KEPT
    recent.KEPT = 5  # type: ignore[misc]
    try:
        for portion in portions:
            kept.add(portion)
    finally:
        recent.KEPT = before  # type: ignore[misc]
    newest = list(dict.fromkeys(reversed([one for portion in portions for one in portion])))[:5]
    assert list(kept) == newest[::-1]
    assert len(kept) == len(newest)
    assert all(one in kept for one in newest)
    for one in newest:
        kept.discard(one)
    assert not kept
