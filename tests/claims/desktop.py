"""Promises of the desktop agent."""

from __future__ import annotations

from typing import Final

from tests.claims.claim import Claim, Mutant

ASSIST: Final = "tests/desktop_agent/test_assist.py"

CLAIMS: Final = [
    Claim(
        "desktop-private",
        "Of what a person copies, only text between the marks of the job at hand is ever sent.",
        (
            f"{ASSIST}::test_clipboard_text_without_this_jobs_tag_never_leaves_the_process",
            "tests/desktop_agent/test_tag.py::test_the_prompt_itself_is_never_taken_for_an_answer",
        ),
        Mutant(
            "desktop_agent/tag.py",
            "⟦{re.escape(tag)}⟧(.*?)⟦/{re.escape(tag)}⟧",
            "⟦[0-9a-f]+⟧(.*?)⟦/[0-9a-f]+⟧",
            f"{ASSIST}::test_clipboard_text_without_this_jobs_tag_never_leaves_the_process",
        ),
    ),
    Claim(
        "desktop-once",
        "A message carried into a window is answered once, also when the agent was stopped in between.",
        (f"{ASSIST}::test_an_answer_given_before_a_crash_is_not_given_twice",),
        Mutant(
            "desktop_agent/jobs.py",
            ', key=f"desktop/{job.message.id}"',
            "",
            f"{ASSIST}::test_an_answer_given_before_a_crash_is_not_given_twice",
        ),
    ),
]
