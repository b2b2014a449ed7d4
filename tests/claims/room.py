"""Promises of the room."""

from __future__ import annotations

from typing import Final

from tests.claims.claim import Claim, Mutant

MESSAGES: Final = "tests/features/messages/test_messages.py"
HTTP: Final = "tests/server/test_http.py"
PUMP: Final = "tests/server/test_pump.py"
TIMERS: Final = "tests/server/test_timers.py"
RESUMING: Final = "tests/server/test_resuming.py"
ONCE: Final = f"{RESUMING}::test_however_often_a_reader_breaks_off_it_gets_each_event_exactly_once"
STREAMS: Final = "tests/server/test_streams.py"
ROOMS: Final = "tests/kernel/test_rooms.py"
REVOKING: Final = "tests/mcp/test_revoking.py"

CLAIMS: Final = [
    Claim(
        "P1",
        "An acknowledged write is on disk: nobody is answered before COMMIT returned with synchronous=FULL.",
        (
            "tests/storage/test_sqlite.py::test_nobody_is_answered_before_the_commit_returned",
            "tests/storage/test_sqlite.py::test_every_commit_waits_for_the_disk",
            "tests/faults/test_kill.py::test_a_hundred_kills_lose_no_acknowledged_message",
        ),
        Mutant(
            "hub/storage/sqlite.py",
            "        self._commits.put(commit)\n",
            "        self._finish(batch, None)\n        self._commits.put(commit)\n",
            "tests/storage/test_sqlite.py::test_nobody_is_answered_before_the_commit_returned",
        ),
    ),
    Claim(
        "P1-straight",
        "Nor is an HTTP request answered early that goes straight from the socket to the store.",
        ("tests/server/test_straight.py::test_nobody_is_answered_straight_before_the_commit_returned",),
        Mutant(
            "hub/server/dispatch.py",
            "        self._made = self._make(result)\n",
            "        self._give(self._make(result))\n",
            "tests/server/test_straight.py::test_nobody_is_answered_straight_before_the_commit_returned",
        ),
    ),
    Claim(
        "P1-power",
        "A power cut at any moment loses nothing acknowledged; nor does kill -9 at a durable system call.",
        (
            "tests/faults/test_power_cut.py::test_a_power_cut_loses_nothing_acknowledged",
            "tests/faults/test_kill_calls.py::test_a_kill_at_some_durable_calls_loses_nothing_acknowledged",
        ),
    ),
    Claim(
        "P1-full-disk",
        "A full disk refuses with 503 or 507, acknowledges nothing falsely, and writing goes on within 5 s of new space.",
        ("tests/faults/test_disk_full.py::test_a_full_disk_refuses_clearly_and_recovers_by_itself",),
    ),
    Claim(
        "P1-full",
        "The database waits for the disk at every commit.",
        ("tests/storage/test_sqlite.py::test_every_commit_waits_for_the_disk",),
        Mutant(
            "hub/storage/sqlite.py",
            'synchronous: str = "FULL"',
            'synchronous: str = "NORMAL"',
            "tests/storage/test_sqlite.py::test_every_commit_waits_for_the_disk",
        ),
    ),
    Claim(
        "P2",
        "Per room a gapless number 1, 2, 3 …, in the order sends returned.",
        ("tests/kernel/test_log.py::test_numbers_are_gapless_under_concurrent_writers",),
        Mutant(
            "hub/log/log.py",
            '    tx.remember(("stream", log), stream)\n    tx.defer(',
            '    tx.remember(("stream", log), Stream(log, stream.kind, stream.name, stream.epoch, stream.head + 1,'
            " stream.floor, at_ms))\n    tx.defer(",
            "tests/kernel/test_log.py::test_numbers_are_gapless_under_concurrent_writers",
        ),
    ),
    Claim(
        "P3",
        "The same key and body give the same result; another body is refused.",
        (
            f"{HTTP}::test_the_same_key_gives_the_same_result_and_another_body_is_refused",
            f"{HTTP}::test_many_racing_calls_with_one_key_store_one_message",
        ),
        Mutant(
            "hub/server/dispatch.py",
            "            if kept is not None:\n",
            "            if kept is not None and kept.log == -1:\n",
            f"{HTTP}::test_the_same_key_gives_the_same_result_and_another_body_is_refused",
        ),
    ),
    Claim(
        "P4",
        "Reading never consumes; only an acknowledgement moves the position, and only forward.",
        (f"{MESSAGES}::test_reading_never_consumes_and_only_an_acknowledgement_moves_the_position",),
        Mutant(
            "hub/kernel/inbox/positions.py",
            "    _move(tx, agent, log, acked=0, offered=seq)\n",
            "    _move(tx, agent, log, acked=seq, offered=seq)\n",
            "tests/kernel/test_inbox.py::test_what_was_handed_out_and_not_acknowledged_is_offered_again",
        ),
    ),
    Claim(
        "P4a",
        "A reader is shown each message once, whatever way it came.",
        ("tests/mcp/test_tools.py::test_two_agents_talk_ask_and_answer",),
        Mutant(
            "mcp_bridge/desk.py",
            "m.id not in self.reader.shown and m.id not in self.coming",
            "m.id not in self.coming",
            "tests/mcp/test_tools.py::test_two_agents_talk_ask_and_answer",
        ),
    ),
    Claim(
        "P5",
        "A reader behind trimmed or restored history gets an explicit gap.",
        (
            "tests/kernel/test_housekeeping.py::test_retention_trims_and_a_reader_behind_it_gets_a_gap",
            "tests/kernel/test_inbox.py::test_a_cursor_of_another_epoch_is_a_gap",
        ),
        Mutant(
            "hub/kernel/inbox/handlers.py",
            "    if mark.seq < stream.floor:\n",
            "    if mark.seq < 0:\n",
            "tests/kernel/test_housekeeping.py::test_retention_trims_and_a_reader_behind_it_gets_a_gap",
        ),
    ),
    Claim(
        "P6",
        "SSE and WebSocket deliver the same events as reading by page, once each, from any cursor.",
        (f"{STREAMS}::test_every_way_of_reading_gives_each_event_once_from_any_cursor",),
        Mutant(
            "hub/server/subscription.py",
            "        self.after += len(page.frames)\n",
            "        self.after += len(page.frames) + 1\n",
            f"{STREAMS}::test_batched_events_are_the_same_events",
        ),
    ),
    *(
        Claim(
            f"P6-resume-{way}",
            f"Breaking off anywhere and going on by {told}, while more comes, gives each event exactly once.",
            (ONCE,),
            Mutant(file, old, new, ONCE),
        )
        for way, told, file, old, new in (
            (
                "sse",
                "SSE with Last-Event-ID",
                "hub/server/sse.py",
                'request.headers.get("last-event-id") or ',
                "",
            ),
            (
                "websocket",
                "WebSocket, event by event or in batches",
                "hub/server/websocket.py",
                '            marks |= decode(_text(cursor) or "c")\n',
                "            _text(cursor)\n",
            ),
            (
                "page",
                "pages of a room",
                "hub/kernel/inbox/handlers.py",
                "    reached = found[-1].seq if found else after\n",
                "    reached = found[0].seq if found else after\n",
            ),
            (
                "inbox",
                "reading the inbox",
                "hub/kernel/inbox/handlers.py",
                "        after = decode(request.after) if request.after else None\n",
                "        after = None\n",
            ),
            (
                "poll",
                "polls that acknowledge, each answer lost once",
                "hub/kernel/inbox/positions.py",
                "        if mark.seq > before:\n",
                "        if mark.seq > before + 1:\n",
            ),
        )
    ),
    Claim(
        "P6-snapshot",
        "A room's state and the cursor that comes with it are of one moment.",
        (f"{RESUMING}::test_a_rooms_state_and_its_cursor_are_of_one_moment",),
        Mutant(
            "hub/log/log.py",
            "        return encode_mark(self.log, self.epoch, self.head)\n",
            "        return encode_mark(self.log, self.epoch, max(0, self.head - 1))\n",
            f"{RESUMING}::test_a_rooms_state_and_its_cursor_are_of_one_moment",
        ),
    ),
    Claim(
        "P6-at-once",
        "A reader at the head gets events without a task of its own waking, still each once and in order.",
        (
            f"{PUMP}::test_a_reader_at_the_head_gets_events_without_waking_its_task",
            f"{PUMP}::test_any_mix_of_rooms_and_full_sockets_gives_each_event_once_in_order",
            f"{PUMP}::test_the_cursor_written_last_resumes_after_everything_that_came",
            f"{PUMP}::test_signals_come_at_once_and_only_once",
            f"{STREAMS}::test_a_stream_of_server_sent_events_writes_at_once_what_its_task_would_write",
        ),
        Mutant(
            "hub/server/subscription.py",
            "        for followed, page in grown:\n            followed.read(page)\n",
            "        for followed, page in grown:\n            assert page\n",
            f"{PUMP}::test_any_mix_of_rooms_and_full_sockets_gives_each_event_once_in_order",
        ),
    ),
    Claim(
        "P6-turns",
        "However many readers a room has, commits and other connections have their turn between them.",
        (f"{PUMP}::test_many_readers_are_served_in_turns_so_that_others_get_theirs",),
        Mutant(
            "hub/log/tail.py",
            "        until = time.perf_counter() + _TURN_S\n",
            "        until = time.perf_counter() + 60\n",
            f"{PUMP}::test_many_readers_are_served_in_turns_so_that_others_get_theirs",
        ),
    ),
    Claim(
        "P6-stuck",
        "A reader that takes nothing for 10 s is given up (1013), and nothing is kept for it afterwards.",
        (
            f"{STREAMS}::test_a_reader_that_takes_nothing_is_given_up",
            "tests/server/test_coalesce.py::test_a_closed_connection_is_dropped_when_its_reader_takes_nothing",
        ),
        Mutant(
            "hub/server/coalesce.py",
            "            self.writable.set()\n",
            "            pass\n",
            f"{STREAMS}::test_a_reader_that_takes_nothing_is_given_up",
        ),
    ),
    Claim(
        "removed",
        "A removed member's open stream ends with its removal, in whatever burst it comes.",
        (f"{PUMP}::test_a_removed_member_gets_its_removal_and_nothing_after",),
        Mutant(
            "hub/server/subscription.py",
            "            if page is None or page.moves_members or len(page.frames) >= PAGE:\n",
            "            if page is None or len(page.frames) >= PAGE:\n",
            f"{PUMP}::test_a_removed_member_gets_its_removal_and_nothing_after",
        ),
    ),
    Claim(
        "P9",
        "Priority never reorders a log, a poll or a stream.",
        ("tests/kernel/test_inbox.py::test_priority_never_reorders_messages",),
        Mutant(
            "hub/kernel/inbox/entries.py",
            "        key=lambda entry: entry.seq,\n",
            '        key=lambda entry: (entry.priority != "critical", entry.seq),\n',
            "tests/kernel/test_inbox.py::test_priority_never_reorders_messages",
        ),
    ),
    Claim(
        "P10",
        "Redaction and expiry blank a text everywhere; the numbering stays.",
        (
            f"{MESSAGES}::test_an_edit_replaces_the_text_and_a_redaction_blanks_it_everywhere",
            "tests/kernel/test_housekeeping.py::test_an_expired_text_is_blanked_on_disk_with_its_edits",
        ),
        Mutant(
            "hub/features/messages/handlers.py",
            '    blank(tx, entered.log, [found.seq, *edits], "redacted")\n',
            '    blank(tx, entered.log, [found.seq], "redacted")\n',
            f"{MESSAGES}::test_an_edit_replaces_the_text_and_a_redaction_blanks_it_everywhere",
        ),
    ),
    Claim(
        "P10-files",
        "A redacted or expired text leaves every file of the hub: free pages, write-ahead log and search index too.",
        (
            "tests/kernel/test_housekeeping.py::test_a_redacted_text_is_soon_in_no_file_of_a_running_hub",
            "tests/storage/test_sqlite.py::test_a_blanked_text_is_in_none_of_the_stores_files",
        ),
        Mutant(
            "hub/storage/sqlite.py",
            '["secure_delete=on"]',
            '["secure_delete=off"]',
            "tests/storage/test_sqlite.py::test_a_blanked_text_is_in_none_of_the_stores_files",
        ),
    ),
    Claim(
        "admin-import",
        "One room comes back from a backup while everything else stays; derived rows can be made again from the log.",
        (
            "tests/storage/test_upkeep.py::test_a_room_comes_back_from_a_backup_and_the_others_stay",
            "tests/storage/test_upkeep.py::test_rows_that_are_wrong_are_made_again_from_the_log",
            "tests/commands/test_commands.py::test_a_backup_taken_under_load_restores_with_a_gap_for_readers",
        ),
    ),
    Claim(
        "P11",
        "Presence follows the client's process.",
        (
            "tests/mcp/test_relay.py::test_a_session_that_ends_leaves_no_ghost",
            "tests/kernel/test_presence.py::test_presence_fades",
        ),
        Mutant(
            "hub/server/attend.py",
            "            self._hub.dispatch.presence.gone(principal.agent)\n",
            "            pass\n",
            "tests/mcp/test_relay.py::test_a_session_that_ends_leaves_no_ghost",
        ),
    ),
    Claim(
        "P12",
        "Time comes from the hub and never goes back.",
        ("tests/server/test_clock.py::test_time_never_goes_back_whatever_the_system_clock_does",),
        Mutant(
            "hub/server/clock.py",
            "        self._now += elapsed + max(-most, min(most, off))\n",
            "        self._now += elapsed + off\n",
            "tests/server/test_clock.py::test_time_never_goes_back_whatever_the_system_clock_does",
        ),
    ),
    Claim(
        "P13",
        "The electorate and its weights are fixed at opening; an early close never differs from the full count.",
        (
            "tests/features/voting/test_rules.py::test_an_early_close_never_differs_from_the_full_count",
            "tests/features/voting/test_voting.py::test_weights_come_from_the_room_and_are_fixed_at_opening",
        ),
        Mutant(
            "hub/features/voting/rules.py",
            "        return approve > reject + open_weight or reject > approve + open_weight\n",
            "        return approve > reject or reject > approve + open_weight\n",
            "tests/features/voting/test_rules.py::test_an_early_close_never_differs_from_the_full_count",
        ),
    ),
    Claim(
        "P17",
        "The sender comes from the token; a re-registered name inherits nothing.",
        (
            f"{HTTP}::test_a_bad_body_is_refused_with_a_reason_and_stores_nothing",
            f"{ROOMS}::test_a_re_registered_name_inherits_nothing",
        ),
        Mutant(
            "hub/kernel/agents/project.py",
            '    tx.remember(("agent id", body.name), None)\n',
            "    pass\n",
            f"{ROOMS}::test_a_re_registered_name_inherits_nothing",
        ),
    ),
    Claim(
        "revoking",
        "Revoking a token ends what is open with it within 2 s: SSE, WebSocket, attendance, waiting calls, both MCP eras.",
        (
            f"{REVOKING}::test_revoking_a_token_ends_what_is_open_with_it",
            f"{REVOKING}::test_a_ticket_of_a_revoked_token_opens_nothing",
            f"{REVOKING}::test_other_tokens_of_the_agent_go_on",
        ),
        Mutant(
            "mcp_bridge/mount.py",
            "            task.cancel()\n\n\nasync def _end(",
            "            pass\n\n\nasync def _end(",
            f"{REVOKING}::test_revoking_a_token_ends_what_is_open_with_it",
        ),
    ),
    Claim(
        "revoking-busy",
        "A revoked token's stream ends also while its rooms are so busy that it never waits; nothing later is written.",
        (
            f"{REVOKING}::test_revoking_a_token_ends_what_is_open_with_it",
            f"{PUMP}::test_nothing_posted_after_a_token_ended_is_written",
        ),
        Mutant(
            "hub/server/pump.py",
            "        if self._allowance.due():\n",
            "        if False:\n",
            f"{PUMP}::test_nothing_posted_after_a_token_ended_is_written",
        ),
    ),
    Claim(
        "rests",
        "What time brings is done when it is due, also by a hub that slept because nothing happened.",
        (
            f"{TIMERS}::test_what_time_brings_is_done_when_it_is_due_though_the_clockwork_rested",
            f"{TIMERS}::test_a_resting_clockwork_is_woken_by_what_is_written",
        ),
        Mutant(
            "hub/server/timers.py",
            "        return changes is None or changes.count > self._changes\n",
            "        return changes is None\n",
            f"{TIMERS}::test_a_resting_clockwork_is_woken_by_what_is_written",
        ),
    ),
    Claim(
        "expired-busy",
        "An expired token's stream ends though events never pause.",
        (f"{PUMP}::test_an_expired_token_ends_its_stream_though_events_never_pause",),
        Mutant(
            "hub/server/pump.py",
            "                if self._expired:\n",
            "                if False and self._expired:\n",
            f"{PUMP}::test_an_expired_token_ends_its_stream_though_events_never_pause",
        ),
    ),
    Claim(
        "P18",
        "A receipt says seen only on proof; scripts stop at delivered.",
        (
            f"{MESSAGES}::test_receipts_go_from_queued_over_seen_to_answered",
            f"{MESSAGES}::test_a_script_stops_at_delivered",
        ),
        Mutant(
            "hub/kernel/inbox/receipts.py",
            '    if call.principal.kind not in MODEL_KINDS and call.principal.kind != "human":\n',
            '    if call.principal.kind == "nobody":\n',
            f"{MESSAGES}::test_a_script_stops_at_delivered",
        ),
    ),
    Claim(
        "access",
        "Access and weight are given by owners, never taken; private rooms look like missing ones.",
        (
            f"{ROOMS}::test_nobody_gives_themselves_access_or_weight",
            f"{HTTP}::test_a_missing_room_and_a_foreign_one_look_the_same",
        ),
        Mutant(
            "hub/kernel/rooms/handlers.py",
            '    if me.access != "owner" and (request.access',
            '    if me.access == "nobody" and (request.access',
            f"{ROOMS}::test_nobody_gives_themselves_access_or_weight",
        ),
    ),
    Claim(
        "loop-guard",
        "Agents that answer each other all night are paused; people lift the pause.",
        ("tests/kernel/test_guard.py::test_a_room_over_its_budget_pauses_agents_and_a_person_lifts_it",),
        Mutant(
            "hub/kernel/messages/guard.py",
            "    if state.count < budget:\n",
            "    if state.count < budget * 1000:\n",
            "tests/kernel/test_guard.py::test_a_room_over_its_budget_pauses_agents_and_a_person_lifts_it",
        ),
    ),
]
