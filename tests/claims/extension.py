"""Promises of Claude in browser tabs."""

from __future__ import annotations

from typing import Final

from tests.claims.claim import Claim, Mutant

TROUBLE: Final = "tests/extension/test_trouble.py"
TRIP: Final = "tests/extension/test_round_trip.py"
PAGES: Final = "tests/extension/test_pages.py"
EXACT: Final = "tests/extension/test_exact.py"
JOBS: Final = "tests/features/jobs/test_jobs.py"
UNIT: Final = "tests/extension/test_types.py::test_the_unit_tests_pass"
ASSIST: Final = f"{TRIP}::test_assist_puts_the_prompt_in_and_never_presses_send"
MANGLED: Final = f"{TROUBLE}::test_a_box_that_changes_the_prompt_gets_it_never_sent"
LATER: Final = f"{JOBS}::test_a_later_attempt_knows_that_the_prompt_was_submitted"
SEEN: Final = f"{JOBS}::test_whoever_asked_sees_what_the_job_waits_for_and_the_answer_growing"
FOLLOWED: Final = f"{JOBS}::test_members_who_follow_the_room_see_the_answer_grow_and_the_log_does_not"
BROWSERS: Final = "tests/features/browsers/test_browsers.py"
ORIGIN: Final = f"{BROWSERS}::test_the_origin_the_hub_lets_in_is_the_extensions_own"

SHORTCUTS: Final = f"{EXACT}::test_a_text_that_ends_in_a_mark_of_markdown_arrives_exactly"
HIDDEN: Final = "tests/extension/test_hidden.py"
NETWORK: Final = "tests/extension/test_network.py"
AGAIN: Final = "tests/extension/test_again.py"
WAYS: Final = "tests/extension/test_ways.py"
LINT: Final = "tests/extension/test_lint.py"

CLAIMS: Final = [
    Claim(
        "X-assist",
        "By default a person presses Send in a browser tab; the extension never does.",
        (ASSIST,),
        Mutant("extension/worker/tab.js", 'if (tab?.mode !== "auto") {', "if (false) {", ASSIST),
    ),
    Claim(
        "X-auto",
        "Nothing from a room, the hub's page or claude.ai can make a tab send by itself; a person does, by a confirmed switch.",
        (
            f"{TRIP}::test_no_message_makes_a_tab_send_by_itself",
            f"{PAGES}::test_sending_by_itself_takes_a_switch_and_a_confirmation",
        ),
    ),
    Claim(
        "X-exact",
        "A prompt is read back before it may be sent; a box that changes it gets it never sent. Answers come as exact Markdown.",
        (
            MANGLED,
            f"{EXACT}::test_six_nasty_texts_arrive_exactly",
            SHORTCUTS,
            f"{EXACT}::test_answers_come_back_as_the_markdown_they_were_written_in",
            f"{EXACT}::test_an_artifact_becomes_a_file_of_the_room",
            f"{EXACT}::test_the_files_of_a_question_go_with_its_prompt",
        ),
        Mutant("extension/content/editor.js", "if (holds(wanted)) return true;", "return true;", MANGLED),
    ),
    Claim(
        "X-once",
        "Each question to a tab gets one answer or one clear error, whatever dies meanwhile; never another question's answer.",
        (
            "tests/extension/test_row.py::test_twenty_prompts_in_a_row_with_random_faults",
            f"{TROUBLE}::test_a_worker_killed_in_mid_job_goes_on_where_it_was",
            f"{TROUBLE}::test_a_hub_restarted_in_mid_job_gets_the_answer",
            f"{TROUBLE}::test_an_extension_updated_in_mid_job_gets_the_answer",
            f"{TROUBLE}::test_closing_the_tab_answers_everybody_who_waits",
            f"{TROUBLE}::test_the_same_question_again_gets_its_own_answer_and_not_the_old_one",
        ),
    ),
    Claim(
        "X-ask",
        "One call of the tool `ask` puts a question to any free tab, or to one, and brings its answer.",
        (f"{WAYS}::test_one_call_of_the_ask_tool_puts_a_question_to_any_tab_and_brings_its_answer",),
    ),
    Claim(
        "X-files",
        "Artifacts and offered downloads become files of the room; attached and chosen files go with the prompt.",
        (
            f"{EXACT}::test_an_artifact_becomes_a_file_of_the_room",
            f"{EXACT}::test_a_file_that_claude_offers_to_download_becomes_a_file_of_the_room",
            f"{EXACT}::test_the_files_of_a_question_go_with_its_prompt",
            f"{PAGES}::test_files_chosen_in_the_popup_go_with_each_question_of_their_room",
        ),
    ),
    Claim(
        "X-selectors",
        "A moved part of the page is found by a spare or an own selector, or doctor names it.",
        (
            f"{WAYS}::test_a_moved_part_is_found_by_a_spare_selector_and_doctor_names_it",
            f"{WAYS}::test_own_selectors_find_what_the_list_does_not",
            f"{WAYS}::test_doctor_says_which_part_of_the_page_a_tab_does_not_find",
        ),
    ),
    Claim(
        "X-hidden",
        "A tab that nobody looks at works like one in front.",
        (
            f"{HIDDEN}::test_a_hidden_tab_takes_prompts_exactly_and_gives_whole_answers",
            f"{HIDDEN}::test_two_hidden_tabs_answer_at_once_and_wait_out_a_silent_pause",
        ),
    ),
    Claim(
        "X-awake",
        "The worker stays beyond the 30 s of an idle one, and comes back when it was ended, also where no tab would wake it.",
        (
            "tests/extension/test_awake.py::test_a_worker_with_nothing_to_do_stays_beyond_the_thirty_seconds_of_an_idle_one",
            "tests/extension/test_awake.py::test_a_worker_that_was_ended_comes_back_by_its_alarm_where_no_tab_would_wake_it",
            f"{TROUBLE}::test_a_worker_killed_in_mid_job_goes_on_where_it_was",
        ),
    ),
    Claim(
        "X-local",
        "Pages of claude.ai stay kept from this machine; only the extension's worker reaches the hub.",
        (
            f"{NETWORK}::test_a_page_of_claude_cannot_reach_the_hub_and_the_extension_can",
            f"{NETWORK}::test_not_even_the_extensions_own_script_in_the_page_reaches_the_hub",
        ),
    ),
    Claim(
        "X-lint",
        "A store's linter finds nothing in the extension but what the checklist explains.",
        (
            f"{LINT}::test_the_linter_finds_nothing_but_what_the_checklist_explains",
            f"{LINT}::test_the_linter_sees_what_a_store_would_refuse",
        ),
    ),
    Claim(
        "X-package",
        "The packed extension works as it is, with the id that hubs let in.",
        (
            "tests/extension/test_manifest.py::test_the_package_keeps_the_id_that_hubs_know_and_only_the_stores_leaves_it_out",
            f"{TRIP}::test_a_question_to_any_browser_comes_back_as_one_answer",
        ),
    ),
    Claim(
        "X-menu",
        "A selection or a page goes to the room from the context menu, and the button says so, or why not.",
        (
            f"{PAGES}::test_a_selection_and_a_page_go_to_the_room_from_the_context_menu",
            f"{PAGES}::test_what_could_not_be_sent_from_the_context_menu_is_said_on_the_button",
            "tests/extension/test_menu.py::test_a_click_in_the_context_menu_is_the_permission_to_read_that_page",
        ),
    ),
    Claim(
        "X-submitted",
        "A prompt that may have been sent is never sent again: its answer is looked for, or its outcome is unknown.",
        (LATER, f"{TROUBLE}::test_a_reload_in_mid_answer_never_sends_again_and_never_claims_to_be_complete"),
        Mutant(
            "hub/features/jobs/rules.py",
            '    if lease.submitted_at is not None:\n        return "submitted"\n',
            "",
            LATER,
        ),
    ),
    Claim(
        "X-again",
        "Another answer to a tab's newest question can be asked for, and an answer stopped, from the room and the popup.",
        (
            f"{AGAIN}::test_a_question_may_ask_for_another_answer_to_the_one_before",
            f"{AGAIN}::test_only_the_newest_question_of_a_tab_can_be_answered_again",
            f"{AGAIN}::test_where_a_person_sends_a_person_presses_retry_too",
            f"{AGAIN}::test_the_popup_asks_for_another_answer_in_the_room",
            f"{AGAIN}::test_whoever_asked_stops_the_answer_with_a_message",
            f"{AGAIN}::test_a_question_taken_back_in_mid_answer_stops_claude",
        ),
    ),
    Claim(
        "X-pending",
        "Who asked sees what a question waits for, and the answer as it grows.",
        (
            SEEN,
            FOLLOWED,
            f"{TROUBLE}::test_who_asked_sees_the_answer_grow",
            f"{PAGES}::test_the_side_panel_shows_an_answer_grow_until_it_is_there",
        ),
        Mutant("hub/features/jobs/handlers.py", "pending=request.pending or None", "pending=None", SEEN),
    ),
    Claim(
        "X-private",
        "What a person sends or drafts in a joined tab is never passed on, and never overwritten.",
        (
            f"{TROUBLE}::test_what_a_person_sends_instead_is_never_passed_on",
            f"{TROUBLE}::test_a_persons_draft_is_left_alone_until_the_box_is_empty",
        ),
    ),
    Claim(
        "X-pairing",
        "Only the standard hub's page, or the paired one, pairs with one click; any other page needs a person's word.",
        (UNIT, f"{PAGES}::test_the_hubs_page_pairs_with_one_click_and_another_page_only_by_a_persons_word"),
        Mutant("extension/worker/wire.js", ": origin === paired;", ": true;", UNIT),
    ),
    Claim(
        "X-limit",
        "Sending by itself keeps to the hourly limit.",
        (UNIT,),
        Mutant("extension/worker/wire.js", "recent.length < perHour", "recent.length <= perHour", UNIT),
    ),
    Claim(
        "X-origin",
        "The hub lets in one extension's origin, with a token.",
        (
            ORIGIN,
            f"{BROWSERS}::test_the_hub_lets_in_the_extensions_origin_with_a_token_and_no_other_extension",
        ),
        Mutant("hub/server/security.py", "jlobenjgedf", "alobenjgedf", ORIGIN),
    ),
]
