"""Promises of the desktop agent."""

from __future__ import annotations

from typing import Final

from tests.claims.claim import Claim, Mutant

ASSIST: Final = "tests/desktop_agent/test_assist.py"
LOOP: Final = "tests/desktop_agent/test_loop.py"
ATTACHMENTS: Final = "tests/desktop_agent/test_attachments.py"
CLIPBOARD: Final = "tests/desktop_agent/test_clipboard.py"
COMMAND: Final = "tests/desktop_agent/test_command.py"
AUTO: Final = "tests/desktop_agent/test_auto.py"

CLAIMS: Final = [
    Claim(
        "desktop-private",
        "Of what a person copies, only text between the marks of the job at hand is ever sent.",
        (
            f"{ASSIST}::test_clipboard_text_without_this_jobs_tag_never_leaves_the_process",
            f"{LOOP}::test_a_window_that_copies_nothing_leads_to_unknown_and_never_to_a_wrong_answer",
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
        "A prompt is recorded as sent before it is sent; a later attempt only looks for the answer or says unknown.",
        (
            f"{LOOP}::test_submitted_is_at_the_hub_before_enter",
            f"{LOOP}::test_without_the_record_enter_is_never_pressed",
            f"{LOOP}::test_a_later_process_never_types_again_but_finds_the_answer",
            f"{LOOP}::test_a_later_process_that_finds_no_answer_says_unknown",
            f"{AUTO}::test_the_command_carries_questions_by_itself_and_survives_a_killed_hub",
        ),
        Mutant(
            "desktop_agent/loop.py",
            "if not job.submitted and",
            "if True and",
            f"{LOOP}::test_a_later_process_never_types_again_but_finds_the_answer",
        ),
    ),
    Claim(
        "desktop-right",
        "Whatever a person does between any two steps, nothing but the whole prompt is sent, and only to its window.",
        (
            f"{LOOP}::test_whatever_a_person_does_at_any_step_nothing_wrong_is_ever_sent",
            f"{AUTO}::test_another_window_that_takes_the_focus_gets_no_key_and_nothing_is_sent",
            f"{AUTO}::test_moving_the_mouse_while_it_types_sends_nothing_until_the_person_rests",
            f"{AUTO}::test_a_key_that_the_person_presses_sends_nothing_until_they_rest",
            f"{AUTO}::test_a_clipboard_that_another_program_changes_before_the_paste_is_not_pasted_and_stays",
        ),
        Mutant(
            "desktop_agent/driver.py",
            "            await submit()\n            self._watch.check(window)\n",
            "            await submit()\n",
            f"{LOOP}::test_stopping_between_the_record_and_enter_tells_that_nothing_was_sent",
        ),
    ),
    Claim(
        "desktop-draft",
        "A draft in a window's text box is never touched and never sent.",
        (f"{LOOP}::test_a_draft_in_the_box_is_never_touched",),
        Mutant(
            "desktop_agent/driver.py",
            "if there.strip() and not same(there, self._left_behind):",
            "if False:",
            f"{LOOP}::test_a_draft_in_the_box_is_never_touched",
        ),
    ),
    Claim(
        "desktop-clipboard",
        "Everything that was on the clipboard comes back after each job: text, formatted text, pictures, files.",
        (
            f"{CLIPBOARD}::test_everything_that_was_on_the_clipboard_comes_back_to_every_program_that_asks",
            f"{CLIPBOARD}::test_a_file_managers_files_come_back_and_files_can_be_put_there",
            f"{AUTO}::test_every_kind_of_answer_comes_back_from_a_tk_window",
            f"{AUTO}::test_every_kind_of_answer_comes_back_from_a_chromium_window",
            f"{LOOP}::test_a_picture_on_the_clipboard_comes_back",
        ),
        Mutant(
            "desktop_agent/clipboard.py",
            "        clipboard.restore(guard.kinds)",
            "        pass",
            f"{LOOP}::test_a_picture_on_the_clipboard_comes_back",
        ),
    ),
    Claim(
        "desktop-outbox",
        "An answer read while the hub is away is kept on disk and given once when it is back.",
        (f"{LOOP}::test_an_answer_read_while_the_hub_is_away_goes_out_when_it_is_back_once",),
        Mutant(
            "desktop_agent/jobs.py",
            "        await self.flush()\n        items",
            "        items",
            f"{LOOP}::test_an_answer_read_while_the_hub_is_away_goes_out_when_it_is_back_once",
        ),
    ),
    Claim(
        "desktop-files",
        "Files of a question reach the window with it, attached once, or the asker is told why nothing was sent.",
        (
            f"{AUTO}::test_files_of_a_question_are_pasted_into_the_window_and_sent_with_it",
            f"{LOOP}::test_a_file_is_attached_once_although_the_first_try_was_disturbed",
            f"{LOOP}::test_a_window_that_pastes_names_as_text_gets_no_prompt_and_an_empty_box",
            f"{LOOP}::test_after_files_that_may_still_be_attached_nothing_is_sent_until_the_person_says_they_are_out",
            f"{ATTACHMENTS}::test_files_arrive_whole_readable_by_their_owner_only_and_are_gone_after_the_job",
        ),
        Mutant(
            "desktop_agent/driver.py",
            "            if files and not there:",
            "            if files:",
            f"{LOOP}::test_a_file_is_attached_once_although_the_first_try_was_disturbed",
        ),
    ),
    Claim(
        "desktop-asked",
        "Unless told otherwise, nothing is typed before the person agreed, on the terminal or in the small window.",
        (
            f"{COMMAND}::test_a_prompt_goes_out_when_the_person_says_so_in_the_small_window",
            f"{COMMAND}::test_where_nobody_can_be_asked_nothing_is_typed",
            "tests/desktop_agent/test_asking.py::test_what_was_typed_before_a_question_was_shown_answers_nothing",
        ),
        Mutant(
            "desktop_agent/asking.py",
            "            while not self._lines.empty():",
            "            while False:",
            "tests/desktop_agent/test_asking.py::test_what_was_typed_before_a_question_was_shown_answers_nothing",
        ),
    ),
    Claim(
        "desktop-windows",
        "Several windows are several agents that work at the same time; a dry run shows each step and does none.",
        (
            f"{COMMAND}::test_two_windows_are_two_agents_that_work_at_the_same_time",
            f"{COMMAND}::test_a_dry_run_shows_each_step_and_does_none",
        ),
    ),
]
