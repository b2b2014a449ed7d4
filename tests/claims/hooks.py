"""Promises of inbound hooks."""

from __future__ import annotations

from typing import Final

from tests.claims.claim import Claim, Mutant

HOOKS: Final = "tests/features/hooks/test_hooks.py"
AGAIN: Final = f"{HOOKS}::test_a_recorded_call_does_nothing_again_even_under_a_new_id"
SECRET: Final = f"{HOOKS}::test_the_secret_is_shown_once_and_stands_in_no_log"

CLAIMS: Final = [
    Claim(
        "hook-signed",
        "Only calls signed with the hook's secret reach a room; a wrong signature and an unknown hook look the same.",
        (
            f"{HOOKS}::test_a_wrong_signature_and_a_missing_hook_look_the_same",
            f"{HOOKS}::test_standard_webhooks_are_taken_within_five_minutes_and_once",
            SECRET,
            "tests/commands/test_hooks.py::test_a_hook_made_from_a_terminal_takes_signed_calls_until_it_is_removed",
        ),
    ),
    Claim(
        "hook-once",
        "A recorded call does nothing again, even under a new delivery id.",
        (AGAIN,),
        Mutant(
            "hub/features/hooks/rules.py",
            '(right, *filter(None, (headers.get("x-github-delivery", "")[:100],)))',
            '(headers.get("x-github-delivery", "")[:100],)',
            AGAIN,
        ),
    ),
    Claim(
        "hook-cards",
        "Cards that link to an issue or pull request go where the hook says when it is reviewed, merged, closed.",
        (f"{HOOKS}::test_linked_cards_go_where_the_hook_says",),
    ),
]
