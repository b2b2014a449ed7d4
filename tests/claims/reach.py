"""Promises of setup and push."""

from __future__ import annotations

from typing import Final

from tests.claims.claim import Claim, Mutant

SETUP: Final = "tests/setup/test_setup.py"
SOCKET: Final = "tests/push/test_socket.py"
TRANSCRIPT: Final = "tests/push/test_transcript.py"
CUT_OFF: Final = "tests/push/test_cut_off.py"
ONE_WAY: Final = "tests/push/test_one_way.py"
FLIGHTS: Final = "tests/push/test_flights.py"
HOOKS: Final = "tests/push/test_hooks.py"
LISTENERS: Final = "tests/push/test_listeners.py"
RUNGS: Final = "tests/clients/test_rungs.py"
CLAUDE: Final = "tests/clients/test_claude_code.py"
NAMES: Final = "tests/mcp/test_identity.py"
CODEX: Final = "tests/clients/test_codex.py"
QUEUE: Final = "tests/push/test_codex.py"
GEMINI: Final = "tests/clients/test_gemini.py"
DOCTOR: Final = "tests/doctor/test_clients.py"
INSTALLED: Final = "tests/doctor/test_installed.py"
MACHINE: Final = "tests/doctor/test_machine.py"
CONFIG: Final = "tests/clients/test_configuration.py"

CLAIMS: Final = [
    Claim(
        "reach-session",
        "A message to a live Claude Code session is in its next request to the model: idle, mid-turn and in -p.",
        (
            f"{CLAUDE}::test_an_idle_session_takes_a_turn_for_every_message_to_it",
            f"{CLAUDE}::test_a_busy_session_gets_messages_in_the_middle_of_its_turn",
            f"{CLAUDE}::test_a_session_that_only_prints_gets_messages_while_it_works",
            f"{CLAUDE}::test_a_message_to_nobody_does_not_wake_but_is_in_the_next_poll",
        ),
    ),
    Claim(
        "reach-codex",
        "The real Codex, set up by one command, joins, sends and polls; a message to it is in its next request.",
        (
            f"{CODEX}::test_codex_joins_sends_and_polls_and_a_message_to_it_is_in_its_next_request",
            f"{CODEX}::test_what_codex_did_not_poll_rides_on_its_next_result_and_is_not_seen_without_proof",
            f"{CODEX}::test_setup_and_remove_leave_codex_with_its_own_configuration",
            f"{SETUP}::test_codex_is_told_to_pass_on_every_variable_that_the_relay_reads",
        ),
        Mutant(
            "mcp_bridge/setup/clients.py",
            '    "BRIDGE_HOME",\n',
            "",
            f"{SETUP}::test_codex_is_told_to_pass_on_every_variable_that_the_relay_reads",
        ),
    ),
    Claim(
        "reach-codex-queue",
        "An idle interactive Codex takes a turn for a message to it; what a poll brought in its turn does not come again.",
        (
            f"{CODEX}::test_an_idle_interactive_codex_takes_a_turn_for_a_message_and_only_then_it_is_seen",
            f"{CODEX}::test_a_busy_codex_is_not_queued_for_what_a_poll_in_its_turn_brings",
            f"{QUEUE}::test_the_recorded_session_is_busy_in_its_turns_only",
            f"{QUEUE}::test_the_models_answer_after_the_text_is_the_proof",
            f"{QUEUE}::test_a_text_that_an_idle_session_never_took_is_given_back",
            f"{QUEUE}::test_a_text_goes_over_stdin_into_the_sessions_queue",
            f"{QUEUE}::test_a_text_that_a_turn_overtook_on_its_way_into_the_queue_is_taken_back_for_poll",
            f"{CODEX}::test_a_text_in_the_queue_of_a_busy_codex_can_be_taken_back_and_never_comes",
            f"{QUEUE}::test_what_poll_showed_while_the_text_was_being_queued_comes_once_if_it_can_be_taken_back",
        ),
        Mutant(
            "mcp_bridge/push/codex.py",
            "self._turn = kind == BEGINS",
            "self._turn = False",
            f"{QUEUE}::test_a_busy_session_is_not_queued_for",
        ),
    ),
    Claim(
        "reach-hooks-codex",
        "With hooks that its user trusts, a running turn of Codex has a message in its next request, whatever tool it calls.",
        (
            f"{CODEX}::test_a_message_is_in_the_next_request_of_a_running_turn_though_codex_calls_no_tool_of_ours",
            f"{CODEX}::test_what_came_while_the_last_answer_was_made_keeps_the_turn_going_once",
            f"{CODEX}::test_in_a_turn_of_an_interactive_codex_a_hook_brings_it_and_the_queue_does_not_repeat_it",
            f"{CODEX}::test_hooks_that_the_user_did_not_trust_or_left_out_bring_nothing",
            f"{CODEX}::test_doctor_tells_whether_the_user_trusts_our_hooks",
            f"{QUEUE}::test_in_a_turn_a_hook_gets_what_the_queue_would_bring_later",
            f"{QUEUE}::test_a_hook_of_a_subagent_is_not_the_sessions",
            f"{SETUP}::test_hooks_come_and_go_and_leave_the_file_as_it_was",
        ),
        Mutant(
            "mcp_bridge/push/pusher.py",
            "return self.offers() - WAKING if self._hold() else self.offers()",
            "return self.offers()",
            f"{QUEUE}::test_in_a_turn_a_hook_gets_what_the_queue_would_bring_later",
        ),
    ),
    Claim(
        "reach-hooks-gemini",
        "A running turn of Gemini CLI has a message in its next request, whatever tool it calls; an answer after it proves it.",
        (
            f"{GEMINI}::test_a_message_is_in_the_next_request_of_a_running_turn_though_gemini_calls_no_tool_of_ours",
            f"{GEMINI}::test_what_came_while_the_last_answer_was_made_keeps_the_turn_going_once",
            f"{GEMINI}::test_what_waited_comes_with_a_prompt_and_is_not_seen_when_the_model_does_not_answer",
            f"{GEMINI}::test_hooks_that_were_left_out_bring_nothing",
            "tests/push/test_gemini.py::test_an_answer_that_is_written_again_with_its_tools_proves_nothing_of_what_they_brought",
            f"{SETUP}::test_when_somebody_wrote_since_only_our_hooks_go",
        ),
        Mutant(
            "mcp_bridge/push/gemini.py",
            ' and (answer := str(line.get("id", ""))) != self._answer:\n            self._answer = answer',
            ":",
            "tests/push/test_gemini.py::test_an_answer_that_is_written_again_with_its_tools_proves_nothing_of_what_they_brought",
        ),
    ),
    Claim(
        "reach-gemini",
        "The real Gemini CLI, set up by one command, joins, sends and polls; a message to it is in its next request.",
        (
            f"{GEMINI}::test_gemini_joins_sends_and_polls_and_a_message_to_it_is_in_its_next_request",
            f"{GEMINI}::test_setup_and_remove_leave_gemini_with_its_own_settings",
        ),
    ),
    Claim(
        "reach-allowance",
        "A long row of pushes stays within what the client takes, so none is dropped unseen.",
        (f"{SOCKET}::test_a_long_row_of_pushes_stays_within_what_the_client_takes",),
        Mutant(
            "mcp_bridge/push/allowance.py",
            "(1 - self._credit) * REFILL_S",
            "0",
            f"{SOCKET}::test_a_long_row_of_pushes_stays_within_what_the_client_takes",
        ),
    ),
    Claim(
        "reach-rungs",
        "Each way into a session brings messages by itself, each once, and none is seen while the model is cut off.",
        (
            f"{RUNGS}::test_a_rung_that_wakes_brings_messages_to_an_idle_and_to_a_busy_session",
            f"{RUNGS}::test_hooks_bring_messages_with_a_prompt_after_a_tool_and_before_a_turn_ends",
            f"{RUNGS}::test_the_result_of_any_of_our_tools_brings_what_waits",
            f"{RUNGS}::test_a_session_that_only_prints_gets_messages_by_hooks_and_ends",
            f"{HOOKS}::test_where_a_better_way_works_hooks_leave_what_wakes_to_it",
            f"{LISTENERS}::test_one_waits_for_a_session_and_none_beside_a_monitor",
        ),
        Mutant(
            "mcp_bridge/push/hooks.py",
            "self._stops > MOST_STOPS",
            "False",
            f"{HOOKS}::test_a_turn_is_not_kept_open_for_ever",
        ),
    ),
    Claim(
        "reach-switches",
        "Every way into a session can be switched off; channels are off unless asked for.",
        (
            "tests/push/test_ladder.py::test_every_rung_can_be_switched_off_and_is_then_never_chosen",
            "tests/push/test_ladder.py::test_channels_are_off_unless_asked_for",
            f"{HOOKS}::test_channels_are_offered_over_the_older_protocol_and_only_when_asked_for",
            f"{SETUP}::test_a_rung_that_is_left_out_is_neither_in_the_entry_nor_in_the_plugin",
        ),
        Mutant(
            "mcp_bridge/push/ladder.py",
            'environment.get(name, "") == "0"',
            "False",
            "tests/push/test_ladder.py::test_every_rung_can_be_switched_off_and_is_then_never_chosen",
        ),
    ),
    Claim(
        "reach-listeners",
        "Only who can read the user's own file may take a session's messages on loopback.",
        (f"{LISTENERS}::test_only_who_can_read_the_users_file_may_listen",),
        Mutant(
            "mcp_bridge/push/listeners.py",
            'hmac.compare_digest(str(hello.get("secret", "")).encode(), self._secret.encode())',
            "True",
            f"{LISTENERS}::test_only_who_can_read_the_users_file_may_listen",
        ),
    ),
    Claim(
        "reach-minute",
        "From setup to the text in the other session's request takes under a minute, by the steps that the docs show.",
        ("tests/clients/test_transcript.py::test_the_steps_in_the_docs_bring_the_text_to_the_model_in_under_a_minute",),
    ),
    Claim(
        "reach-crashes",
        "A live session gets every message over many hub crashes, none twice in one request (`make faults`).",
        (
            f"{CLAUDE}::test_an_idle_session_loses_nothing_over_many_hub_crashes",
            f"{CLAUDE}::test_a_busy_session_loses_nothing_over_many_hub_crashes",
            f"{CLAUDE}::test_a_session_that_only_prints_loses_nothing_over_many_hub_crashes",
        ),
    ),
    Claim(
        "reach-proof",
        "A message that was only written into a session is never reported as seen; an answer of the model after it is proof.",
        (
            f"{SOCKET}::test_what_only_went_into_the_socket_is_never_reported_as_seen",
            f"{CLAUDE}::test_a_push_is_seen_when_the_model_answered_and_never_before",
            f"{RUNGS}::test_what_a_result_brought_is_not_seen_while_the_model_is_cut_off",
            f"{CUT_OFF}::test_what_only_went_into_a_channel_is_never_reported_as_seen",
            f"{CUT_OFF}::test_a_digest_on_a_result_is_seen_once_the_model_answers_and_not_by_calls_of_the_same_answer",
            f"{CUT_OFF}::test_what_a_poll_showed_is_seen_once_the_model_answers_and_not_by_calls_of_the_same_answer",
            f"{TRANSCRIPT}::test_only_an_answer_after_the_text_proves_that_the_model_has_it",
            f"{TRANSCRIPT}::test_an_error_of_the_model_api_is_no_proof",
            f"{TRANSCRIPT}::test_later_blocks_of_an_answer_that_was_under_way_are_no_proof",
        ),
        Mutant(
            "mcp_bridge/push/transcript.py",
            'if line.get("isApiErrorMessage") or',
            "if",
            f"{TRANSCRIPT}::test_an_error_of_the_model_api_is_no_proof",
        ),
    ),
    Claim(
        "reach-again",
        "A push that the client drops comes again, by the next rung or the same one, once only; none is lost.",
        (
            f"{FLIGHTS}::test_a_dropped_push_comes_again_by_the_next_rung_and_once_only",
            f"{FLIGHTS}::test_a_later_proof_never_acknowledges_what_the_client_dropped_before",
            f"{FLIGHTS}::test_whatever_the_client_does_nothing_comes_twice_and_nothing_is_lost",
            f"{FLIGHTS}::test_what_the_client_dropped_while_more_was_read_is_not_passed_over",
        ),
        Mutant(
            "mcp_bridge/push/pusher.py",
            "            if message not in push.elsewhere:",
            "            if message in push.elsewhere:",
            f"{FLIGHTS}::test_a_dropped_push_comes_again_by_the_next_rung_and_once_only",
        ),
    ),
    Claim(
        "reach-overlap",
        "However calls and pushes overlap, also over a hub crash, a message is shown to a session once.",
        (
            f"{ONE_WAY}::test_what_an_open_call_is_about_to_show_is_not_pushed_meanwhile",
            f"{ONE_WAY}::test_what_was_read_for_a_push_and_then_shown_by_a_call_is_not_pushed",
            f"{ONE_WAY}::test_what_is_on_its_way_into_the_session_is_in_no_poll",
            f"{ONE_WAY}::test_a_waiting_task_brings_nothing_that_is_on_its_way_and_goes_on_waiting",
            f"{ONE_WAY}::test_a_task_that_its_client_forgot_for_a_while_does_not_show_what_was_pushed_meanwhile",
            f"{FLIGHTS}::test_a_call_that_begins_while_a_push_is_written_leaves_it_out",
            f"{FLIGHTS}::test_what_the_model_has_is_in_no_poll_even_before_the_hub_knows",
            f"{CLAUDE}::test_what_came_while_the_model_thought_is_not_shown_again_by_a_call_that_waits",
        ),
        Mutant(
            "mcp_bridge/push/pusher.py",
            "            self._untold.update(messages)\n",
            "",
            f"{FLIGHTS}::test_what_the_model_has_is_in_no_poll_even_before_the_hub_knows",
        ),
    ),
    Claim(
        "reach-cleared",
        "A Claude Code session that its user clears gets each message once, and its receipt.",
        (
            f"{TRANSCRIPT}::test_a_session_that_was_cleared_goes_on_in_the_file_that_has_its_text",
            f"{TRANSCRIPT}::test_what_had_no_answer_when_the_session_was_cleared_is_not_proved_by_the_next_answer",
            f"{TRANSCRIPT}::test_another_session_of_the_project_proves_nothing",
            f"{CLAUDE}::test_a_cleared_session_gets_each_message_once_and_its_receipt",
        ),
        Mutant(
            "mcp_bridge/push/transcript.py",
            'stage if stage == "answered" else None',
            "stage",
            f"{TRANSCRIPT}::test_what_had_no_answer_when_the_session_was_cleared_is_not_proved_by_the_next_answer",
        ),
    ),
    Claim(
        "reach-once",
        "One way per message: what an open call brings, or a push brought, is not pushed again.",
        (f"{SOCKET}::test_a_message_goes_one_way_only",),
        Mutant(
            "mcp_bridge/push/pusher.py",
            "            self._after = made.reached\n",
            "            self._known = Recent()\n",
            f"{SOCKET}::test_a_message_goes_one_way_only",
        ),
    ),
    Claim(
        "reach-behind",
        "A session with any number of unread messages is told what concerns it, and each message is pushed once.",
        (
            f"{SOCKET}::test_every_message_is_pushed_once_though_the_model_acknowledges_none",
            f"{SOCKET}::test_what_concerns_a_session_far_behind_is_pushed_and_cannot_acknowledge_what_was_passed_over",
            "tests/kernel/test_inbox.py::test_a_reader_far_behind_is_woken_by_what_concerns_it_and_reads_on_in_order",
        ),
        Mutant(
            "mcp_bridge/push/pusher.py",
            "            after, whole = page",
            "            return None\n            after, whole = page",
            f"{SOCKET}::test_what_concerns_a_session_far_behind_is_pushed_and_cannot_acknowledge_what_was_passed_over",
        ),
    ),
    Claim(
        "text-visible",
        "No hidden character in a peer's text reaches a model or a terminal unseen; emoji and words stay as they are.",
        (
            "tests/kernel/test_visible.py::test_a_hidden_character_between_plain_ones_is_shown",
            "tests/kernel/test_visible.py::test_a_visible_character_carries_at_most_one_hidden_one",
            "tests/kernel/test_visible.py::test_emoji_and_words_of_many_scripts_stay",
            "tests/push/test_ladder.py::test_no_line_of_a_text_can_pass_for_another_message",
        ),
        Mutant(
            "hub/core/visible.py",
            "\\U000e0000-\\U000e0fff",
            "\\U000e0000-\\U000e00ff",
            "tests/kernel/test_visible.py::test_a_hidden_character_between_plain_ones_is_shown",
        ),
    ),
    Claim(
        "reach-token",
        "The session's socket token never leaves the process.",
        (f"{SOCKET}::test_taking_the_socket_leaves_no_token_for_children",),
        Mutant(
            "mcp_bridge/push/inbox_socket.py",
            'environment.pop(TOKEN, "")',
            'environment.get(TOKEN, "")',
            f"{SOCKET}::test_taking_the_socket_leaves_no_token_for_children",
        ),
    ),
    Claim(
        "reach-name",
        "A session keeps its name over restart and resume; two sessions in one project have two; a left room stays left.",
        (
            f"{NAMES}::test_a_restarted_session_is_the_same_agent_whatever_order_they_come_back_in",
            f"{NAMES}::test_a_session_that_says_only_later_which_it_is_gets_its_seat_back",
            f"{NAMES}::test_a_seat_that_somebody_sits_on_is_not_taken_away",
            "tests/mcp/test_relay.py::test_a_resumed_codex_session_is_the_agent_it_was",
            f"{NAMES}::test_two_sessions_in_one_project_have_two_memorable_names",
            f"{NAMES}::test_a_room_that_was_left_is_not_joined_again_until_the_agent_enters_it",
        ),
        Mutant(
            "mcp_bridge/identity.py",
            'self._read(file).get("session") == session',
            "False",
            f"{NAMES}::test_a_restarted_session_is_the_same_agent_whatever_order_they_come_back_in",
        ),
    ),
    Claim(
        "setup-plugin",
        "Claude Code accepts and installs the plugin, a session with it is reached, and the bundle's server answers.",
        (
            f"{CONFIG}::test_claude_code_accepts_and_installs_the_plugin",
            f"{CONFIG}::test_the_bundle_is_valid_and_its_server_answers",
            f"{CLAUDE}::test_a_session_with_the_plugin_instead_of_setup_is_reached_too",
        ),
    ),
    Claim(
        "setup-token",
        "No token is ever written into a client's configuration.",
        (f"{SETUP}::test_over_http_the_token_is_only_referred_to",),
        Mutant(
            "mcp_bridge/setup/clients.py",
            '"bearer_token_env_var": TOKEN_VARIABLE',
            '"bearer_token_env_var": "secret"',
            f"{SETUP}::test_over_http_the_token_is_only_referred_to",
        ),
    ),
    Claim(
        "setup-exact",
        "Setting up and removing leaves a configuration file byte for byte as it was, whatever comments and encoding.",
        (
            f"{SETUP}::test_setup_and_remove_leave_the_file_as_it_was",
            f"{SETUP}::test_any_commented_file_in_any_encoding_comes_back_byte_for_byte",
        ),
        Mutant(
            "mcp_bridge/setup/files.py",
            "return Change(path, current, old)",
            "return edited(path, remove)",
            f"{SETUP}::test_setup_and_remove_leave_the_file_as_it_was",
        ),
    ),
    Claim(
        "setup-newer",
        "An old backup is never restored over newer content; only our entry goes.",
        (
            f"{SETUP}::test_when_somebody_wrote_since_only_our_entry_goes",
            f"{SETUP}::test_a_backup_is_kept_and_an_older_one_never_restored_over_newer_content",
        ),
        Mutant(
            "mcp_bridge/setup/files.py",
            'entry["after"] == digest(current):',
            "entry:",
            f"{SETUP}::test_a_backup_is_kept_and_an_older_one_never_restored_over_newer_content",
        ),
    ),
    Claim(
        "doctor-clients",
        "Doctor starts each client's server from the client's own file, as that client does, and a message arrives.",
        (
            f"{DOCTOR}::test_a_client_that_is_set_up_gets_a_message_and_leaves_no_ghost",
            f"{DOCTOR}::test_over_http_its_own_token_brings_a_message",
            f"{DOCTOR}::test_a_client_whose_entry_does_not_pass_the_hub_on_is_told_so",
            f"{INSTALLED}::test_codex_gives_its_server_only_what_the_entry_lists",
            f"{INSTALLED}::test_claude_desktop_gives_its_server_only_what_stands_in_the_entry",
            f"{INSTALLED}::test_gemini_holds_back_what_looks_like_a_secret",
        ),
        Mutant(
            "mcp_bridge/doctor/installed.py",
            "if name in environment}",
            "if name in environment} or dict(environment)",
            f"{INSTALLED}::test_claude_desktop_gives_its_server_only_what_stands_in_the_entry",
        ),
    ),
    Claim(
        "doctor-broken",
        "A broken configuration is named with its file and its fix: gone command, failing command, foreign server, bad "
        "file, missing or refused token, silent address.",
        (
            f"{DOCTOR}::test_a_command_that_is_gone_is_named",
            f"{DOCTOR}::test_a_command_that_fails_is_quoted",
            f"{DOCTOR}::test_another_server_under_our_name_is_told_apart",
            f"{DOCTOR}::test_a_file_that_is_not_valid_is_named",
            f"{DOCTOR}::test_over_http_a_token_that_is_not_set_is_named",
            f"{DOCTOR}::test_over_http_a_token_that_is_not_valid_is_named",
            f"{DOCTOR}::test_over_http_an_address_where_nobody_answers_is_named",
        ),
    ),
    Claim(
        "doctor-machine",
        "Doctor finds a damaged or newer database, a log that grew, a port that is taken; each with its fix.",
        (
            f"{MACHINE}::test_a_damaged_database_is_found_and_a_restore_advised",
            f"{MACHINE}::test_a_schema_of_a_newer_version_is_found",
            f"{MACHINE}::test_a_write_ahead_log_that_grew_is_found",
            f"{MACHINE}::test_a_port_taken_by_another_program_is_found",
        ),
        Mutant(
            "mcp_bridge/doctor/machine.py",
            "pragma quick_check(3)",
            "select 'ok'",
            f"{MACHINE}::test_a_damaged_database_is_found_and_a_restore_advised",
        ),
    ),
    Claim(
        "reach-labelled",
        "Docs and doctor say for every client how mail reaches it, and what no real client has shown.",
        (f"{MACHINE}::test_what_no_real_client_has_shown_is_labelled_in_the_docs_too",),
    ),
]
