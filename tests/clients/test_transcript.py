"""The steps that the docs show, played as they stand there, with the real client."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.transcript import LIMIT_S, PAGE, TEXT, Play, steps

pytestmark = [pytest.mark.client, pytest.mark.timeout(200)]


def test_the_steps_in_the_docs_bring_the_text_to_the_model_in_under_a_minute(tmp_path: Path) -> None:
    assert ["claude"] in steps()
    play = Play(tmp_path)
    try:
        took_s = play.run()
    finally:
        play.close()
    assert took_s < LIMIT_S
    assert TEXT in play.text()
    assert play.text() == PAGE.read_text("utf-8"), "python -m tests.clients.transcript writes the page anew"
