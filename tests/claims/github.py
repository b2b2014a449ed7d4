"""Promises of opening issues and pull requests at GitHub."""

from __future__ import annotations

from typing import Final

from tests.claims.claim import Claim, Mutant

GITHUB: Final = "tests/features/github/test_github.py"
RULES: Final = "tests/features/github/test_rules.py"
CRASH: Final = f"{GITHUB}::test_a_hub_that_stops_while_github_answers_finds_it_when_it_is_back"
LOST: Final = f"{GITHUB}::test_an_answer_that_got_lost_is_looked_up_and_nothing_is_sent_twice"
ALLOWED: Final = f"{GITHUB}::test_only_what_an_owner_allowed_can_be_reached"
HARMLESS: Final = f"{RULES}::test_peers_text_mentions_refers_and_hides_nothing"
LINKED: Final = f"{GITHUB}::test_an_issue_quotes_what_it_is_about_and_is_linked_to_all_of_it"
NOWHERE: Final = f"{GITHUB}::test_the_token_stands_nowhere"
CHANGED: Final = f"{GITHUB}::test_what_changed_before_it_is_sent_counts"

CLAIMS: Final = [
    Claim(
        "github-once",
        "Nothing is opened twice: not when the hub dies while GitHub answers, not by two hubs, not by asking again.",
        (
            CRASH,
            "tests/features/github/test_parallel.py::test_two_hubs_send_everything_once",
            f"{GITHUB}::test_the_same_wish_again_opens_nothing_unless_it_is_meant",
            f"{GITHUB}::test_data_from_a_backup_finds_what_was_sent_since",
        ),
        Mutant(
            "hub/features/github/worker.py",
            "tx.run(\"update github_call set step = :look where step = 'send'\", look=LOOK_THEN_SEND)",
            "pass",
            f"{GITHUB}::test_data_from_a_backup_finds_what_was_sent_since",
        ),
    ),
    Claim(
        "github-lost",
        "A lost answer is looked up; what cannot be known is said, and only a person's retry sends again, after a look.",
        (
            LOST,
            f"{GITHUB}::test_what_cannot_be_known_is_said_and_a_person_decides",
            f"{GITHUB}::test_a_retry_finds_what_turned_up_late_and_sends_nothing",
            f"{RULES}::test_what_may_have_happened_is_never_called_a_failure",
        ),
        Mutant(
            "hub/features/github/worker.py",
            '_put_off(tx, row, "look", 0, now_ms + int(rules.pause_s(0) * 1000), outcome.reason)',
            '_put_off(tx, row, "send", 0, now_ms + int(rules.pause_s(0) * 1000), outcome.reason)',
            LOST,
        ),
    ),
    Claim(
        "github-allowed",
        "A room reaches only repositories that an owner with the scope webhook:admin allowed.",
        (ALLOWED, f"{GITHUB}::test_an_owner_without_the_scope_allows_nothing", CHANGED),
        Mutant(
            "hub/features/github/rules.py",
            "        if one.casefold() == named.casefold():  # GitHub's names know no case\n            return one\n",
            "        if one:\n            return named\n",
            ALLOWED,
        ),
    ),
    Claim(
        "github-harmless",
        "What peers wrote mentions nobody at GitHub, refers to no issue, closes none and hides nothing.",
        (HARMLESS, f"{RULES}::test_only_invisible_characters_are_added"),
        Mutant("hub/features/github/rules.py", "[sd]?|fix(?:e[sd])?|resolve", "[sd]?|resolve", HARMLESS),
    ),
    Claim(
        "github-linked",
        "The address of what was opened stands on its cards, decisions and under its messages; hooks then move the cards.",
        (
            LINKED,
            f"{GITHUB}::test_a_pull_request_goes_to_the_default_branch_and_its_card_to_review",
            f"{GITHUB}::test_what_github_says_of_an_issue_goes_to_the_thread_it_came_from",
            "tests/surfaces/test_github.py::test_a_card_becomes_an_issue_and_a_branch_a_pull_request",
        ),
        Mutant("hub/features/github/contract.py", "Attached(self.about, self.url)", "None", LINKED),
    ),
    Claim(
        "github-token",
        "The token comes from the settings only and stands in no log, event, error or file.",
        (NOWHERE,),
        Mutant(
            "hub/settings.py", 'github_token: str = field(default="", repr=False)', 'github_token: str = ""', NOWHERE
        ),
    ),
    Claim(
        "github-refusals",
        "What GitHub refuses or limits is said with what to do, is never sent again by itself, and limits are waited for.",
        (
            f"{GITHUB}::test_what_github_refuses_is_said_with_what_to_do",
            f"{GITHUB}::test_a_rate_limit_is_waited_for",
            f"{GITHUB}::test_a_github_that_cannot_be_reached_is_tried_again_and_then_given_up",
        ),
        Mutant(
            "hub/features/github/worker.py",
            '            _put_off(tx, row, "send", tries, now_ms + int(wait_s * 1000), outcome.reason)',
            '            _put_off(tx, row, "send", tries, now_ms, outcome.reason)',
            f"{GITHUB}::test_a_rate_limit_is_waited_for",
        ),
    ),
]
