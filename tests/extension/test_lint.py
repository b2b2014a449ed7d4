"""Mozilla's add-on linter (the one inside `web-ext lint`) over the extension: nothing but what the checklist explains."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EXTENSION = ROOT / "extension"
CHECKLIST = (ROOT / "docs" / "reference" / "extension-store.md").read_text("utf-8")

# What the linter says because it speaks for Firefox, where this extension is not offered: code, file.
FIREFOX_ONLY = {
    ("ADDON_ID_REQUIRED", "manifest.json"),
    ("BACKGROUND_SERVICE_WORKER_NOFALLBACK", "manifest.json"),
    ("MANIFEST_PERMISSIONS", "manifest.json"),  # sidePanel
    ("MISSING_DATA_COLLECTION_PERMISSIONS", "manifest.json"),
    ("RUNTIME_ONMESSAGEEXTERNAL", "worker/main.js"),
    ("UNSUPPORTED_API", "ui/popup.js"),  # sidePanel.open
}


def lint(folder: Path) -> list[dict[str, Any]]:
    """Everything the linter says about an unpacked extension."""
    linter = HERE / "node_modules" / ".bin" / "addons-linter"
    assert linter.exists(), "run .ci/install, or `npm ci` in tests/extension"
    command = [str(linter), "--output", "json", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    said = json.loads(done.stdout)
    return [*said["errors"], *said["warnings"], *said["notices"]]


def codes(said: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(one["code"], one["file"]) for one in said}


def test_the_linter_finds_nothing_but_what_the_checklist_explains() -> None:
    said = lint(EXTENSION)
    assert codes(said) == FIREFOX_ONLY, json.dumps(said, indent=1)[:4000]
    assert [code for code, _ in FIREFOX_ONLY if f"`{code}`" not in CHECKLIST] == []
    unknown = [m["message"] for m in said if m["code"] == "MANIFEST_PERMISSIONS"]
    assert ["sidePanel" in message for message in unknown] == [True], unknown


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """The extension with the faults that a store refuses."""
    copy = Path(shutil.copytree(EXTENSION, tmp_path / "extension"))
    worker = copy / "worker" / "files.js"
    worker.write_text(worker.read_text("utf-8") + "\nexport const run = (code) => eval(code);\n", "utf-8")
    pair = copy / "ui" / "pair.js"
    pair.write_text(pair.read_text("utf-8") + "\ndocument.body.innerHTML = `<b>${location.hash}</b>`;\n", "utf-8")
    page = copy / "ui" / "pair.html"
    remote = '<script src="https://cdn.example/x.js"></script></head>'
    page.write_text(page.read_text("utf-8").replace("</head>", remote), "utf-8")
    return copy


def test_the_linter_sees_what_a_store_would_refuse(faulty: Path) -> None:
    """The control: the same run over a copy with three faults names each of them."""
    more = codes(lint(faulty)) - FIREFOX_ONLY
    assert {file for _, file in more} == {"worker/files.js", "ui/pair.js", "ui/pair.html"}, more
