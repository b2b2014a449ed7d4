"""An entry is read as its client reads it, and its server gets what that client would give it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_bridge.doctor.installed import Installed, NotSet, entries, expand
from mcp_bridge.setup import edit
from mcp_bridge.setup.clients import CLIENTS, Place
from mcp_bridge.setup.edit import CannotEdit

SHELL = {"PATH": "/bin", "BRIDGE_HOME": "/data", "BRIDGE_TOKEN": "secret", "EDITOR": "vi"}


def installed(client: str, **entry: Any) -> Installed:
    return Installed(CLIENTS[client], "user", Path("/x"), entry)


def test_codex_gives_its_server_only_what_the_entry_lists() -> None:
    found = installed("codex", command="c", env_vars=["BRIDGE_HOME", "BRIDGE_URL"], env={"A": "b"})
    assert found.passed_on(SHELL) == {"BRIDGE_HOME": "/data", "A": "b"}


def test_claude_desktop_gives_its_server_only_what_stands_in_the_entry() -> None:
    assert installed("claude-desktop", command="c", env={"BRIDGE_HOME": "/d"}).passed_on(SHELL) == {"BRIDGE_HOME": "/d"}


def test_gemini_holds_back_what_looks_like_a_secret() -> None:
    assert installed("gemini", command="c").passed_on(SHELL) == {k: v for k, v in SHELL.items() if k != "BRIDGE_TOKEN"}


def test_the_others_give_their_whole_environment() -> None:
    for client in ("claude-code", "cursor", "vscode"):
        assert installed(client, command="c", env={"X": "${EDITOR}"}).passed_on(SHELL) == {**SHELL, "X": "vi"}


@pytest.mark.parametrize("text", ["${BRIDGE_TOKEN}", "$BRIDGE_TOKEN", "${env:BRIDGE_TOKEN}", "${BRIDGE_TOKEN:-other}"])
def test_every_way_of_writing_a_variable_is_understood(text: str) -> None:
    assert expand(f"Bearer {text}", SHELL) == "Bearer secret"


def test_a_variable_that_is_not_set_is_named_and_a_default_is_used() -> None:
    with pytest.raises(NotSet, match="NOWHERE is not set"):
        expand("${NOWHERE}", SHELL)
    assert expand("${NOWHERE:-plan b}", SHELL) == "plan b"


def test_the_token_of_each_client_over_http_comes_from_the_environment(tmp_path: Path) -> None:
    place = Place(tmp_path, {}, "linux", tmp_path / "proj")
    for client in CLIENTS.values():
        if client.name != "claude-desktop":
            target = client.targets(place, client.scopes[0], ["c"], "https://hub.example")[0]
            found = Installed(client, client.scopes[0], target.path, target.entry)
            assert found.headers(SHELL) == {"Authorization": "Bearer secret"}
            assert found.url == "https://hub.example/mcp"
            with pytest.raises(NotSet, match="BRIDGE_TOKEN"):
                found.headers({})


def test_entries_of_every_scope_are_found_comments_or_not(tmp_path: Path) -> None:
    place = Place(tmp_path, {}, "linux", tmp_path / "proj")
    for scope in ("user", "project", "local"):
        target = CLIENTS["claude-code"].targets(place, scope, ["/opt/mcp-bridge", "mcp"])[0]
        target.path.parent.mkdir(exist_ok=True)
        text = target.path.read_text() if target.path.exists() else "// mine\n{}\n"
        target.path.write_text(target.put(text))
    assert [one.scope for one in entries(CLIENTS["claude-code"], place)] == ["user", "project", "local"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    place = Place(tmp_path, {}, "linux", tmp_path / "proj")
    (tmp_path / ".codex").mkdir()
    (tmp_path / ".codex" / "config.toml").write_text("[mcp_servers.bridge\n")
    with pytest.raises(CannotEdit, match=r"config\.toml: not valid TOML"):
        list(entries(CLIENTS["codex"], place))


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(max_size=5), PLAIN, max_size=3))
def test_a_commented_entry_has_the_values_of_the_plain_one(entry: dict[str, Any]) -> None:
    text = json.dumps({"mcpServers": {"bridge": entry}}, indent=1)
    commented = "".join(f"{line} // said, }}\n" if '"' not in line else f"{line}\n" for line in text.splitlines())
    commented = commented.replace("\n}", "/* a, ] */,\n}", 1) if entry else commented
    assert edit.value_of(commented, "mcpServers", "bridge", toml=False) == entry
