"""Every example in the README and the docs runs as it stands there."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.world import World

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(language: str) -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for number, text in enumerate(re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)):
            found.append((f"{page.relative_to(ROOT)}#{number}", text))
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("hub"))
    made.start()
    return made


def test_python_examples_run(world: World) -> None:
    env = {**os.environ, "BRIDGE_HOME": str(world.home), "PYTHONPATH": str(ROOT)}
    for name, code in blocks("python"):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=60)
        assert done.returncode == 0, f"{name}\n{done.stderr}"
    world.end(signal.SIGTERM)


def test_json_examples_are_json() -> None:
    assert blocks("json"), "the README shows a client configuration"
    for name, text in blocks("json"):
        assert json.loads(text), name


def test_the_readmes_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for page in [*PAGES, ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"^make ([a-z]+)", page.read_text("utf-8"), re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page.name}: make {target}"
