"""`mcp-bridge hooks`: make one, call it as GitHub does, see what the room got, end it."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.commands.test_commands import bridge, home  # noqa: F401 (a fixture)
from tests.features.hooks.test_hooks import ISSUE, payload
from tests.support.signing import signed


def _call(address: str, secret: str, delivery: str) -> dict[str, object]:
    body = json.dumps(payload("closed")).encode()
    request = urllib.request.Request(address, body, signed(secret, body, "issues", delivery))
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, object] = json.load(answer)
    return found


def test_a_hook_made_from_a_terminal_takes_signed_calls_until_it_is_removed(home: Path) -> None:  # noqa: F811
    bridge(home, "rooms", "new", "build")
    card = json.loads(bridge(home, "board", "add", "build", "Login", "--link", ISSUE, "--json"))["id"]
    assert "no hooks" in bridge(home, "hooks", "list", "build")
    shown = bridge(home, "hooks", "create", "build", "--move", "closed=review")
    found = re.fullmatch(r"(h\S+)\naddress: (http://\S+)\nsecret:  (\S+)  \(shown this once\)\n", shown)
    assert found is not None, shown
    hook, address, secret = found.groups()
    listed = bridge(home, "hooks", "list", "build")
    assert hook in listed
    assert secret not in listed + bridge(home, "hooks", "list", "build", "--json")

    assert _call(address, secret, "d-1")["moved"] == [card]
    assert json.loads(bridge(home, "board", "card", "build", card, "--json"))["column"] == "review"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        _call(address, "guessed", "d-2")

    assert "removed" in bridge(home, "hooks", "remove", "build", hook)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        _call(address, secret, "d-3")
    assert "[hook-not-found]" in bridge(home, "hooks", "remove", "build", hook, code=1)


def test_wrong_moves_say_what_is_valid(home: Path) -> None:  # noqa: F811
    bridge(home, "rooms", "new", "build")
    wrong = bridge(home, "hooks", "create", "build", "--move", "burned=done", code=1)
    assert "reopened" in wrong
    assert "Traceback" not in wrong
    made = json.loads(bridge(home, "hooks", "create", "build", "--source", "standard", "--json"))
    assert made["secret"].startswith("whsec_")
