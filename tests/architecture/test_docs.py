"""The reference says what the code is; links lead somewhere; the README's words are commands that exist."""

from __future__ import annotations

import re
from pathlib import Path

from mcp_bridge.cli import COMMANDS
from mcp_bridge.commands.call import operation_rows
from mcp_bridge.reference import FOLDER, pages

ROOT = Path(__file__).parents[2]
DOCS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def test_the_generated_reference_is_current() -> None:
    stale = [name for name, text in pages().items() if (FOLDER / name).read_text("utf-8") != text]
    assert stale == [], "run: make docs"


def test_every_link_in_the_docs_leads_to_a_file() -> None:
    dead = []
    for page in DOCS:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                dead.append(f"{page.relative_to(ROOT)} -> {target}")
    assert dead == []


def test_every_command_the_docs_show_exists() -> None:
    wrong = []
    for page in DOCS:
        for name in re.findall(r"^\s*(?:\$ )?mcp-bridge ([a-z]+)", page.read_text("utf-8"), re.MULTILINE):
            if name not in {*COMMANDS, "mcp"}:
                wrong.append(f"{page.name}: mcp-bridge {name}")
    assert wrong == []


def test_every_operation_has_its_place_in_the_reference() -> None:
    headings = set(re.findall(r"^## (.+)$", (FOLDER / "operations.md").read_text("utf-8"), re.MULTILINE))
    assert {row[0] for row in operation_rows()} == headings


def test_no_page_names_a_machine() -> None:
    for page in DOCS:
        text = page.read_text("utf-8")
        assert "/work/" not in text
        assert "/root/" not in text
