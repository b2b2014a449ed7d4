"""Promises of the discussion aids."""

from __future__ import annotations

from typing import Final

from tests.claims.claim import Claim, Mutant

TALK: Final = "tests/features/discussion/test_discussion.py"
REGISTER: Final = f"{TALK}::test_a_vote_with_an_outcome_stands_in_the_register_with_voters_and_links"
UPGRADED: Final = (
    "tests/features/discussion/test_upgrade.py::test_votes_from_before_the_register_get_their_lines_by_themselves"
)

CLAIMS: Final = [
    Claim(
        "discussion-remarks",
        "Critiques, arguments and alternatives are linked to what they are on, and its author hears of them.",
        (f"{TALK}::test_remarks_are_linked_to_what_they_are_on_and_told_to_its_author",),
    ),
    Claim(
        "discussion-register",
        "Every vote with an outcome stands in the register with when, who voted and what it names.",
        (REGISTER, f"{TALK}::test_the_export_holds_decisions_and_what_was_said_as_text", UPGRADED),
        Mutant("hub/features/voting/contract.py", "self.proposal, self.links)", "self.proposal, ())", REGISTER),
    ),
]
