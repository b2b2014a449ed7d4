"""The store's rules, where a program can check them: permissions, policy, no code from elsewhere, the same package twice."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
EXTENSION = ROOT / "extension"
MANIFEST: dict[str, Any] = json.loads((EXTENSION / "manifest.json").read_text("utf-8"))
CHECKLIST = (ROOT / "docs" / "reference" / "extension-store.md").read_text("utf-8")
SCRIPTS = sorted(EXTENSION.rglob("*.js"))
PAGES = sorted((EXTENSION / "ui").glob("*.html"))


def test_it_asks_for_nothing_beyond_what_the_checklist_explains() -> None:
    asked = [*MANIFEST["permissions"], *MANIFEST["host_permissions"], *MANIFEST["optional_host_permissions"]]
    assert [name for name in asked if f"`{name}`" not in CHECKLIST] == []
    assert sorted(MANIFEST["permissions"]) == [
        "activeTab", "alarms", "contextMenus", "scripting", "sidePanel", "storage", "webRequest",
    ]  # fmt: skip
    assert MANIFEST["host_permissions"] == ["https://claude.ai/*", "http://127.0.0.1/*", "http://localhost/*"]
    assert [script["matches"] for script in MANIFEST["content_scripts"]] == [["https://claude.ai/*"]]
    assert "web_accessible_resources" not in MANIFEST


def test_its_pages_run_only_its_own_scripts() -> None:
    policy = MANIFEST["content_security_policy"]["extension_pages"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    for page in PAGES:
        html = page.read_text("utf-8")
        assert re.findall(r"<script(?![^>]*src=\"[a-z]+\.js\")", html) == [], page.name
        assert re.findall(r"\son[a-z]+=|style=|https?://(?!127\.0\.0\.1)", html) == [], page.name
        assert '<html lang="en">' in html


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_no_script_brings_code_from_elsewhere_or_writes_html(script: Path) -> None:
    code = script.read_text("utf-8")
    assert code.startswith("// @ts-check") or script.name == "types.js"
    for forbidden in (
        r"\beval\(",
        r"new Function",
        r"\.innerHTML",
        r"insertAdjacentHTML",
        r"import\(\s*[^\"')]",
        r"from \"http",
    ):
        assert not re.search(forbidden, code), f"{script.name}: {forbidden}"


def test_everything_the_manifest_and_the_pages_name_is_there() -> None:
    named = [
        MANIFEST["background"]["service_worker"],
        MANIFEST["action"]["default_popup"],
        MANIFEST["options_ui"]["page"],
    ]
    named += [
        *MANIFEST["icons"].values(),
        *MANIFEST["content_scripts"][0]["js"],
        MANIFEST["side_panel"]["default_path"],
    ]
    for page in PAGES:
        named += [f"ui/{name}" for name in re.findall(r'(?:src|href)="([^"#]+)"', page.read_text("utf-8"))]
    assert [name for name in named if not (EXTENSION / name).is_file()] == []


def test_the_name_and_description_fit_the_store() -> None:
    assert len(MANIFEST["name"]) <= 75
    assert len(MANIFEST["description"]) <= 132
    assert re.fullmatch(r"\d+(\.\d+){1,3}", MANIFEST["version"])


def test_packing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    once, again = packed(tmp_path / "a"), packed(tmp_path / "b")
    assert [path.read_bytes() for path in once] == [path.read_bytes() for path in again]


def test_the_package_keeps_the_id_that_hubs_know_and_only_the_stores_leaves_it_out(tmp_path: Path) -> None:
    """Another id would be another origin: the hub would refuse it, and its page would not find it."""
    people, store = packed(tmp_path)
    files = {p.relative_to(EXTENSION).as_posix() for p in EXTENSION.rglob("*") if p.is_file()}
    for made, manifest in (
        (people, MANIFEST),
        (store, {name: value for name, value in MANIFEST.items() if name != "key"}),
    ):
        with zipfile.ZipFile(made) as archive:
            assert files - set(archive.namelist()) == {"pack.py", "tsconfig.json"}
            assert json.loads(archive.read("manifest.json")) == manifest


def packed(folder: Path) -> list[Path]:
    command = [sys.executable, str(EXTENSION / "pack.py"), str(folder)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    return [Path(line) for line in said.splitlines()]
