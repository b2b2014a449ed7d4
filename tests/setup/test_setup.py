"""Setting clients up changes one entry and nothing else; taking it out leaves what was there."""

from __future__ import annotations

import json
import re
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import mcp_bridge
from mcp_bridge.commands.setup import carry_out, change_for, setup
from mcp_bridge.push.ladder import SWITCHES
from mcp_bridge.setup import edit
from mcp_bridge.setup.clients import CLIENTS, CannotSetUp, Place, Target
from mcp_bridge.setup.edit import CannotEdit
from mcp_bridge.setup.files import Ledger, Writes, decode
from mcp_bridge.setup.hooks import HooksTarget, for_gemini, is_ours

COMMAND = ["/opt/bin/mcp-bridge", "mcp"]
URL = "https://hub.example"
JSONC = """// my servers
{
    "theme": "dark", /* keep */
    "%s": {
        // the first
        "other": {"command": "x", "args": ["//not a comment", "}"]}, // after
        "last": {"command": "y"},
    },
    "unknown": [1, 2.50, {"deep": null}],
}
"""
PLAIN = '{\n\t"a": 1,\n\t"%s": {\n\t\t"other": {"command": "é"}\n\t}\n}\n'
FIXTURES: dict[str, bytes | None] = {
    "absent": None,
    "empty": b"",
    "empty object": b"{}",
    "comments and trailing commas": JSONC.encode(),
    "tabs": PLAIN.encode(),
    "no end of line": PLAIN.strip().encode(),
    "BOM": b"\xef\xbb\xbf" + PLAIN.encode(),
    "CRLF": PLAIN.replace("\n", "\r\n").encode(),
    "UTF-16": ("\ufeff" + PLAIN).encode("utf-16-le"),
    "no section": b'{"numStartups": 12, "big": 12345678901234567890.10}\n',
}
TOML: dict[str, bytes | None] = {
    "absent": None,
    "empty": b"",
    "other servers": b'# mine\nmodel = "x" # keep\n\n[mcp_servers.other]\ncommand = "y"\n\n[tui]\nnotifications = true\n',
    "CRLF, BOM, no end of line": b'\xef\xbb\xbfmodel = "x"\r\n[mcp_servers.other]\r\ncommand = "y"',
}


def place(folder: Path, platform: str = "linux") -> Place:
    return Place(folder, {"PATH": ""}, platform, folder / "proj")


def cases() -> list[Any]:
    found = []
    for client in CLIENTS.values():
        for scope in client.scopes:
            fixtures = TOML if client.name == "codex" else FIXTURES
            transports = [None] if client.name == "claude-desktop" else [None, URL]
            found += [
                pytest.param(
                    client.name, scope, name, url, id=f"{client.name}-{scope}-{name}-{'http' if url else 'stdio'}"
                )
                for name in fixtures
                for url in transports
            ]
    return found


def outermost(target: Target) -> str:
    return target.section if isinstance(target.section, str) else target.section[0]


def prepare(folder: Path, client: str, scope: Any, fixture: str, url: str | None = None) -> tuple[Target, bytes | None]:
    target = CLIENTS[client].targets(place(folder), scope, COMMAND, url)[0]
    data = (TOML if target.toml else FIXTURES)[fixture]
    if data is not None:
        if b"%" in data or "UTF-16" in fixture:
            encoding = "utf-16-le" if fixture == "UTF-16" else "utf-8"
            data = data.decode(encoding).replace("%s", outermost(target)).encode(encoding)
        target.path.parent.mkdir(parents=True, exist_ok=True)
        target.path.write_bytes(data)
    return target, data


def do(target: Writes, folder: Path, *, remove: bool = False) -> None:
    ledger = Ledger(folder / "bridge")
    change = change_for(target, ledger, remove=remove)
    if change.needed:
        carry_out(change, target.path, ledger, remove=remove)


@pytest.mark.parametrize(("client", "scope", "fixture", "url"), cases())
def test_setup_and_remove_leave_the_file_as_it_was(
    tmp_path: Path, client: str, scope: str, fixture: str, url: str | None
) -> None:
    target, before = prepare(tmp_path, client, scope, fixture, url)
    do(target, tmp_path)
    put = target.path.read_bytes()
    do(target, tmp_path)
    assert target.path.read_bytes() == put, "a second setup changes nothing"
    do(target, tmp_path, remove=True)
    after = target.path.read_bytes() if target.path.exists() else None
    assert after == before


@pytest.mark.parametrize(("client", "scope", "fixture", "url"), cases())
def test_when_somebody_wrote_since_only_our_entry_goes(
    tmp_path: Path, client: str, scope: str, fixture: str, url: str | None
) -> None:
    target, _ = prepare(tmp_path, client, scope, fixture, url)
    do(target, tmp_path)
    encoding = "utf-16-le" if fixture == "UTF-16" else "utf-8"
    mine = "# newer words\r\n" if target.toml else "// newer words\r\n"
    newer = target.path.read_bytes() + mine.encode(encoding)
    if target.toml and not newer.endswith(b"\n" + mine.encode()):
        newer = target.path.read_bytes() + b"\n" + mine.encode()
    target.path.write_bytes(newer)
    do(target, tmp_path, remove=True)
    text = target.path.read_bytes().decode(encoding)
    assert mine in text
    assert "mcp-bridge" not in text
    assert URL not in text
    if target.toml:
        assert set(tomllib.loads(text.removeprefix("\ufeff")).get("mcp_servers", {})) <= {"other"}
    else:
        assert edit.json_get(text, target.section, "bridge") is None
        if '"other"' in newer.decode(encoding):
            assert edit.json_get(text, outermost(target), "other") is not None


APPROVED = """
[mcp_servers.bridge.tools.send]
approval_mode = "approve"

# mine
[mcp_servers.bridge_of_another]
command = "y"
"""


def test_what_codex_remembers_of_our_tools_stays_with_the_entry_and_goes_with_it(tmp_path: Path) -> None:
    target, _ = prepare(tmp_path, "codex", "user", "other servers")
    do(target, tmp_path)
    target.path.write_text(target.path.read_text() + APPROVED)
    changed = Target(target.path, target.section, {**target.entry, "command": "/new/mcp-bridge"}, toml=True)
    do(changed, tmp_path)
    servers = tomllib.loads(target.path.read_text())["mcp_servers"]
    assert servers["bridge"]["command"] == "/new/mcp-bridge"
    assert servers["bridge"]["tools"] == {"send": {"approval_mode": "approve"}}
    do(changed, tmp_path, remove=True)
    text = target.path.read_text()
    assert set(tomllib.loads(text)["mcp_servers"]) == {"other", "bridge_of_another"}
    assert "# mine" in text


@pytest.mark.parametrize(
    "table",
    [
        '[mcp_servers.bridge]\ncommand = "x"\nargs = [\n  "a",\n  ["b"],\n]\n',
        '[ mcp_servers . \'bridge\' ] # ours\ncommand = """\n[not a table]\n"""\n',
        '[mcp_servers."bridge"]\ncommand = "x"\n[mcp_servers.bridge.env]\nA = "b"\n',
    ],
)
def test_a_table_however_written_goes_whole_and_nothing_else(table: str) -> None:
    before, after = '# one\n[mcp_servers.a]\ncommand = "a"\n\n', "\n# two\n[tui]\nx = [\n  1,\n]\n"
    assert edit.toml_remove(before + table + after, "mcp_servers", "bridge") == before + after


@pytest.mark.parametrize(
    "text", ['mcp_servers = { bridge = { command = "x" } }\n', 'mcp_servers.bridge.command = "x"\n']
)
def test_an_entry_that_is_no_table_of_its_own_is_left_for_a_person(text: str) -> None:
    with pytest.raises(CannotEdit, match="by hand"):
        edit.toml_remove(text, "mcp_servers", "bridge")
    with pytest.raises(CannotEdit):
        edit.toml_set(text, "mcp_servers", "bridge", {"command": "y"})


def test_the_entry_is_put_beside_what_is_there(tmp_path: Path) -> None:
    target, _ = prepare(tmp_path, "claude-code", "user", "comments and trailing commas")
    do(target, tmp_path)
    text = target.path.read_text()
    assert json.loads(edit.json_get(text, "mcpServers", "bridge") or "") == {
        "type": "stdio",
        "command": COMMAND[0],
        "args": ["mcp"],
    }
    for kept in ("// my servers", "/* keep */", "// the first", "// after", "2.50", '"last": {"command": "y"},'):
        assert kept in text


def test_a_backup_is_kept_and_an_older_one_never_restored_over_newer_content(tmp_path: Path) -> None:
    target, before = prepare(tmp_path, "cursor", "user", "tabs")
    do(target, tmp_path)
    kept = [p.read_bytes() for p in (tmp_path / "bridge" / "backups").glob("mcp.json.*")]
    assert kept == [before]
    target.path.write_text(target.path.read_text().replace('"a": 1', '"a": 2'))
    do(target, tmp_path, remove=True)
    assert target.path.read_bytes() == (before or b"").replace(b'"a": 1', b'"a": 2')


@pytest.mark.parametrize("broken", [b'{"a": ', b"[1]", b'{"mcpServers": 3}', b'{"a" 1}', b"\xff\xfe\x00", b'{"a":1} x'])
def test_a_file_that_is_not_valid_is_refused_and_left_alone(tmp_path: Path, broken: bytes) -> None:
    target = CLIENTS["cursor"].targets(place(tmp_path), "user", COMMAND)[0]
    target.path.parent.mkdir()
    target.path.write_bytes(broken)
    with pytest.raises(CannotEdit):
        do(target, tmp_path)
    assert target.path.read_bytes() == broken


def test_project_files_name_no_path_of_this_machine_and_no_secret(tmp_path: Path) -> None:
    for client in CLIENTS.values():
        if "project" in client.scopes:
            target = client.targets(place(tmp_path), "project", COMMAND)[0]
            assert target.entry["command"] == "mcp-bridge"
            assert "env" not in target.entry
            assert str(tmp_path) not in json.dumps(dict(target.entry))


def test_claude_desktop_which_passes_nothing_on_is_told_where_the_data_is() -> None:
    def entry(**environment: str) -> dict[str, Any]:
        here = Place(Path("/home/ada"), environment, "darwin", Path("/home/ada/proj"))
        return dict(CLIENTS["claude-desktop"].targets(here, "user", COMMAND)[0].entry)

    assert entry(BRIDGE_HOME="/data", BRIDGE_TOKEN="secret")["env"] == {"BRIDGE_HOME": "/data"}
    assert "env" not in entry()


def test_the_data_directory_that_setup_makes_is_for_its_user_only(tmp_path: Path) -> None:
    target, _ = prepare(tmp_path, "cursor", "user", "tabs")
    do(target, tmp_path)
    assert (tmp_path / "bridge").stat().st_mode & 0o777 == 0o700


def test_codex_is_told_to_pass_on_every_variable_that_the_relay_reads() -> None:
    entry = CLIENTS["codex"].targets(place(Path("/home/ada")), "user", COMMAND)[0].entry
    source = Path(mcp_bridge.__file__).parent
    files = [source / name for name in ("relay.py", "identity.py", "local_files.py", "push/inbox_socket.py")]
    read = {word for file in files for word in re.findall(r'"(BRIDGE_[A-Z_]+)"', file.read_text("utf-8"))}
    assert read | set(SWITCHES.values()) <= set(entry["env_vars"])
    assert "BRIDGE_HOME" in read


def test_over_http_the_token_is_only_referred_to() -> None:
    shown = {}
    for client in CLIENTS.values():
        if client.name != "claude-desktop":
            target = client.targets(place(Path("/home/ada")), client.scopes[0], COMMAND, URL)[0]
            shown[client.name] = json.dumps(dict(target.entry))
            assert f"{URL}/mcp" in shown[client.name]
            assert "BRIDGE_TOKEN" in shown[client.name]
    assert set(shown) == set(CLIENTS) - {"claude-desktop"}
    with pytest.raises(CannotSetUp, match="BRIDGE_URL"):
        CLIENTS["claude-desktop"].targets(place(Path("/home/ada")), "user", COMMAND, URL)


def test_local_scope_stands_under_the_project_in_the_users_own_file(tmp_path: Path) -> None:
    target = CLIENTS["claude-code"].targets(place(tmp_path), "local", COMMAND)[0]
    target.path.write_text(json.dumps({"projects": {"/other": {"mcpServers": {"x": {}}}}}))
    do(target, tmp_path)
    made = json.loads(target.path.read_text())["projects"]
    assert made[str(tmp_path / "proj")]["mcpServers"]["bridge"]["command"] == COMMAND[0]
    assert made["/other"] == {"mcpServers": {"x": {}}}


def test_every_build_of_claude_desktop_is_found(tmp_path: Path) -> None:
    def files(platform: str) -> list[str]:
        targets = CLIENTS["claude-desktop"].targets(place(tmp_path, platform), "user", COMMAND)
        return [t.path.relative_to(tmp_path).as_posix() for t in targets]

    name = "Claude/claude_desktop_config.json"
    assert files("linux") == [f".config/{name}"]
    assert files("darwin") == [f"Library/Application Support/{name}"]
    assert files("win32") == [f"AppData/Roaming/{name}"]
    (tmp_path / "AppData/Local/Packages/Claude_abc").mkdir(parents=True)
    assert files("win32") == [f"AppData/Local/Packages/Claude_abc/LocalCache/Roaming/{name}"]


def test_vs_code_has_a_file_of_the_user_on_every_system(tmp_path: Path) -> None:
    def file(platform: str) -> str:
        path = CLIENTS["vscode"].targets(place(tmp_path, platform), "user", COMMAND)[0].path
        return path.relative_to(tmp_path).as_posix()

    assert file("linux") == ".config/Code/User/mcp.json"
    assert file("darwin") == "Library/Application Support/Code/User/mcp.json"
    assert file("win32") == "AppData/Roaming/Code/User/mcp.json"


def test_a_scope_that_a_client_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotSetUp, match="user"):
        CLIENTS["claude-desktop"].targets(place(tmp_path), "project", COMMAND)


def test_a_dry_run_shows_the_change_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mcp_bridge.cli import cli

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("BRIDGE_HOME", str(tmp_path / "bridge"))
    shown = CliRunner().invoke(cli, ["setup", "cursor", "--dry-run"])
    assert shown.exit_code == 0, shown.output
    assert '+    "bridge": {' in shown.output
    assert not (tmp_path / ".cursor").exists()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(max_size=6), VALUES, max_size=4),
    st.dictionaries(st.text(max_size=6).filter(lambda k: k != "bridge"), VALUES, max_size=3),
    st.sampled_from([None, 2, "\t"]),
)
def test_any_json_keeps_its_values(others: dict[str, Any], servers: dict[str, Any], indent: Any) -> None:
    whole = {**others, "mcpServers": servers}
    text = json.dumps(whole, indent=indent)
    put = edit.json_set(text, "mcpServers", "bridge", {"command": "x"})
    assert json.loads(put) == {**whole, "mcpServers": {**servers, "bridge": {"command": "x"}}}
    assert json.loads(edit.json_remove(put, "mcpServers", "bridge")) == whole


SPACES = st.sampled_from(["", " ", "\n", "\t", "\r\n", " // said, by {somebody}\n", '/* "a": [1, */'])


@st.composite
def jsonc(draw: st.DrawFn, depth: int = 0) -> str:
    """JSON with comments, odd white space and trailing commas."""
    if depth == 3 or (depth and draw(st.booleans())):
        return json.dumps(draw(VALUES), ensure_ascii=draw(st.booleans()))
    keys = draw(st.lists(st.sampled_from(["a", "mcpServers", "é", "x y", "ſ"]), unique=True, max_size=4))
    gap = [draw(SPACES) for _ in range(6)]
    parts = [f"{gap[0]}{json.dumps(k)}{gap[1]}:{gap[2]}{draw(jsonc(depth + 1))}{gap[3]}" for k in keys]
    trailing: bool = draw(st.booleans())
    comma = "," if keys and trailing else ""
    return "{" + ",".join(parts) + comma + gap[4] + "}" + (gap[5] if depth == 0 else "")


@settings(deadline=None)  # each example writes files to the disk
@given(jsonc(), st.sampled_from(["", "\ufeff"]), st.sampled_from(["utf-8", "utf-16-le", "utf-16-be"]), st.booleans())
def test_any_commented_file_in_any_encoding_comes_back_byte_for_byte(
    text: str, mark: str, encoding: str, deep: bool
) -> None:
    section = ("a", "x y", "mcpServers") if deep else "mcpServers"
    before = ((mark if encoding == "utf-8" else "\ufeff") + text).encode(encoding, "surrogatepass")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        target = Target(folder / "servers.json", section, {"command": "x"})
        target.path.write_bytes(before)
        try:
            do(target, folder)
        except CannotEdit:
            assert target.path.read_bytes() == before
            return
        put = target.path.read_bytes()
        assert edit.json_get(decode(put)[0], section, "bridge") is not None
        do(target, folder, remove=True)
        assert target.path.read_bytes() == before


@settings(deadline=None)
@given(jsonc(), jsonc())
def test_what_somebody_wrote_in_between_stays_and_ours_goes(text: str, newer: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        target = Target(folder / "servers.json", "mcpServers", {"command": "x"})
        target.path.write_text(text, "utf-8", newline="")
        try:
            do(target, folder)
            theirs = target.put(newer)  # they wrote another file and kept our entry
        except CannotEdit:
            return
        assume(theirs != target.path.read_bytes().decode())
        target.path.write_text(theirs, "utf-8", newline="")
        do(target, folder, remove=True)
        left = target.path.read_bytes().decode()
        assert edit.json_get(left, "mcpServers", "bridge") is None
        for kept in re.findall(r"said, by|/\*", newer):
            assert kept in left


def test_a_rung_that_is_left_out_is_neither_in_the_entry_nor_in_the_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "BRIDGE_HOME", "CLAUDE_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    market = tmp_path / "market"

    def run(*arguments: str) -> None:
        done = CliRunner().invoke(setup, arguments)
        assert done.exit_code == 0, done.output

    run("claude-code", "--without", "socket")
    entry = json.loads((tmp_path / ".claude.json").read_text())["mcpServers"]["bridge"]
    assert entry["args"][-2:] == ["--without", "socket"]
    run("--plugin", str(market))
    assert {path.name for path in market.rglob("*.json")} >= {"hooks.json", "monitors.json"}
    run("--plugin", str(market), "--without", "monitor", "--without", "rewake", "--without", "hook")
    assert not {path.name for path in market.rglob("*.json")} & {"hooks.json", "monitors.json"}
    server = json.loads((market / "bridge" / ".mcp.json").read_text())["mcpServers"]["bridge"]
    assert server["args"][-6:] == ["--without", "monitor", "--without", "rewake", "--without", "hook"]


# --- hooks in files -------------------------------------------------------------------------------------------------

OTHERS = """{
  "hooks": {
    // mine
    "PostToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "check"}]}], /* first */
    "AfterTool": [
      {"hooks": [{"name": "mine", "type": "command", "command": "x listen hook"}]},
    ],
    "Stop": []
  },
  "theme": "dark"
}
"""
HOOK_FILES = {**FIXTURES, "other hooks": OTHERS.encode(), "other hooks, CRLF": OTHERS.replace("\n", "\r\n").encode()}


def hooks_target(folder: Path, client: str, *, wanted: bool = True) -> HooksTarget:
    found = CLIENTS[client].hooks(place(folder), "user", COMMAND, wanted=wanted)
    assert found is not None
    return found


@pytest.mark.parametrize("client", ["codex", "gemini"])
@pytest.mark.parametrize("fixture", HOOK_FILES)
def test_hooks_come_and_go_and_leave_the_file_as_it_was(tmp_path: Path, client: str, fixture: str) -> None:
    target = hooks_target(tmp_path, client)
    before = HOOK_FILES[fixture]
    before = before.replace(b"%s", b"other") if before and b"%" in before else before
    if before is not None:
        target.path.parent.mkdir(parents=True)
        target.path.write_bytes(before)
    do(target, tmp_path)
    put = target.path.read_bytes()
    assert target.in_place()
    found = json.loads(edit._plain(decode(put)[0].lstrip("\ufeff")))["hooks"]
    assert all(sum(map(is_ours, found[event])) == 1 for event in target.groups)
    assert all(is_ours(found[event][-1]) for event in target.groups), "where the trust of other hooks does not move"
    do(target, tmp_path)
    assert target.path.read_bytes() == put, "a second setup changes nothing"
    do(target, tmp_path, remove=True)
    assert (target.path.read_bytes() if target.path.exists() else None) == before


@pytest.mark.parametrize("client", ["codex", "gemini"])
def test_when_somebody_wrote_since_only_our_hooks_go(tmp_path: Path, client: str) -> None:
    target = hooks_target(tmp_path, client)
    target.path.parent.mkdir(parents=True)
    target.path.write_text(OTHERS)
    do(target, tmp_path)
    newer = target.path.read_text().replace('"dark"', '"light"')
    target.path.write_text(newer)
    do(target, tmp_path, remove=True)
    left = target.path.read_text()
    wanted = json.loads(edit._plain(OTHERS.replace('"dark"', '"light"')))
    found = json.loads(edit._plain(left))
    assert {event: groups for event, groups in found["hooks"].items() if groups} == {
        event: groups for event, groups in wanted["hooks"].items() if groups
    }
    assert found["theme"] == "light"
    assert "// mine" in left
    assert "/* first */" in left


def test_a_hook_that_changed_replaces_ours(tmp_path: Path) -> None:
    old, new = (
        hooks_target(tmp_path, "gemini"),
        for_gemini(tmp_path / "s.json", ["/new/mcp-bridge", "mcp"], wanted=True),
    )
    text = new.put(old.put(OTHERS))
    assert text.count("/new/mcp-bridge listen hook") == 3
    assert COMMAND[0] not in text


@pytest.mark.parametrize("broken", ['{"hooks": []}', '{"hooks": {"Stop": {}}}', "{"])
def test_hooks_of_another_shape_are_left_for_a_person(tmp_path: Path, broken: str) -> None:
    target = hooks_target(tmp_path, "codex")
    target.path.parent.mkdir(parents=True)
    target.path.write_text(broken)
    with pytest.raises(CannotEdit):
        do(target, tmp_path)
    assert target.path.read_text() == broken


ITEMS = st.lists(VALUES, max_size=4)


@given(ITEMS, ITEMS, st.sampled_from([None, 2, "\t"]))
def test_any_array_keeps_its_items(before: list[Any], other: list[Any], indent: Any) -> None:
    mine = {"ours": True}
    assume(mine not in before)
    whole = {"hooks": {"A": before, "B": other}, "x": 1}
    text = json.dumps(whole, indent=indent)
    put = edit.json_item_set(text, ("hooks", "A"), mine, lambda item: item == mine)
    assert json.loads(put) == {"hooks": {"A": [*before, mine], "B": other}, "x": 1}
    left = json.loads(edit.json_item_remove(put, ("hooks", "A"), lambda item: item == mine))
    kept = {"A": before, "B": other} if before else {"B": other}
    assert left == {"hooks": kept, "x": 1}


def run_setup(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    for name in ("HOME", "BRIDGE_HOME"):
        monkeypatch.setenv(name, str(folder))
    monkeypatch.delenv("CODEX_HOME", raising=False)
    done = CliRunner().invoke(setup, arguments)
    assert done.exit_code == 0, done.output
    return done.output


def test_codex_gets_hooks_when_asked_for_keeps_them_and_loses_them_when_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_bridge.commands.setup.version_of", lambda _client: "")
    file = tmp_path / ".codex" / "hooks.json"
    run_setup(tmp_path, monkeypatch, "codex")
    assert not file.exists(), "Codex would ask its user about them"
    assert "session_hook" in run_setup(tmp_path, monkeypatch, "codex", "--with", "hook", "--dry-run")
    assert not file.exists()
    run_setup(tmp_path, monkeypatch, "codex", "--with", "hook")
    run_setup(tmp_path, monkeypatch, "codex")
    assert set(json.loads(file.read_text())["hooks"]) == {"SessionStart", "UserPromptSubmit", "PostToolUse", "Stop"}
    run_setup(tmp_path, monkeypatch, "codex", "--without", "hook")
    assert not file.exists()
    run_setup(tmp_path, monkeypatch, "codex", "--with", "hook")
    run_setup(tmp_path, monkeypatch, "codex", "--remove")
    assert not file.exists()


@pytest.mark.parametrize("version", ["0.168.9", "0.20.0-alpha.1"])
def test_an_older_codex_gets_no_hooks_that_it_might_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr("mcp_bridge.commands.setup.version_of", lambda _client: version)
    run_setup(tmp_path, monkeypatch, "codex", "--with", "hook")
    assert not (tmp_path / ".codex" / "hooks.json").exists()


def test_gemini_has_hooks_beside_its_server_and_none_over_http_or_in_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / ".gemini" / "settings.json"
    run_setup(tmp_path, monkeypatch, "gemini")
    assert set(json.loads(file.read_text())) == {"mcpServers", "hooks"}
    run_setup(tmp_path, monkeypatch, "gemini", "--url", URL)
    assert set(json.loads(file.read_text())) == {"mcpServers"}
    run_setup(tmp_path, monkeypatch, "gemini", "--remove")
    assert not file.exists()
    run_setup(tmp_path, monkeypatch, "gemini", "--scope", "project")
    assert set(json.loads(file.read_text())) == {"mcpServers"}
    assert CLIENTS["gemini"].hooks(place(tmp_path, "win32"), "user", COMMAND, wanted=True).groups == {}  # type: ignore[union-attr]
