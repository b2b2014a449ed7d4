"""Promises of the MCP server and its relay."""

from __future__ import annotations

from typing import Final

from tests.claims.claim import Claim, Mutant

TOOLS: Final = "tests/mcp/test_tools.py"
WIRE: Final = "tests/mcp/test_wire.py"
CHANGES: Final = "tests/mcp/test_changes.py"

CONFORMANCE: Final = "tests/conformance/test_clients.py"

CLAIMS: Final = [
    Claim(
        "mcp-conformance",
        "The MCP project's own conformance suite passes for both revisions, and its TypeScript client and inspector work.",
        (
            f"{CONFORMANCE}::test_the_conformance_suite_passes_every_scenario_of_what_the_bridge_offers",
            f"{CONFORMANCE}::test_the_official_typescript_client_does_a_round_trip_over_http",
            f"{CONFORMANCE}::test_the_official_typescript_client_does_a_round_trip_over_stdio",
            f"{CONFORMANCE}::test_the_inspector_accepts_every_list_and_tools_strictly",
        ),
    ),
    Claim(
        "mcp-notifications",
        "Change notifications of a room reach its members only.",
        (
            f"{CHANGES}::test_an_outsider_hears_nothing_of_a_room_it_named",
            f"{CHANGES}::test_a_member_hears_that_its_room_and_inbox_changed",
        ),
        Mutant(
            "mcp_bridge/changes.py",
            "members = {member.agent for member in load_members(tx, topic)} & listening\n",
            "members = set(listening)\n",
            f"{CHANGES}::test_an_outsider_hears_nothing_of_a_room_it_named",
        ),
    ),
    Claim(
        "mcp-restart",
        "A session goes on over a hub crash: same room, nothing shown twice, nothing lost.",
        (
            f"{WIRE}::test_what_was_shown_before_the_hub_died_is_not_shown_again",
            f"{WIRE}::test_the_current_room_outlives_the_hub",
            f"{WIRE}::test_a_task_outlives_the_hub_that_started_it",
        ),
        Mutant(
            "mcp_bridge/desk.py",
            "        self.room = room if isinstance(room, str) else self.room\n",
            "",
            f"{WIRE}::test_the_current_room_outlives_the_hub",
        ),
    ),
    Claim(
        "mcp-text",
        "A peer's text can neither hide characters nor pass for another agent's message.",
        (
            f"{TOOLS}::test_a_text_cannot_pass_for_somebody_elses_message_or_hide_anything",
            f"{TOOLS}::test_peer_text_travels_in_an_envelope_with_a_marker_of_its_own",
        ),
        Mutant(
            "mcp_bridge/desk.py",
            'visible(message.text).replace("\\n", "\\n    ")',
            "visible(message.text)",
            f"{TOOLS}::test_a_text_cannot_pass_for_somebody_elses_message_or_hide_anything",
        ),
    ),
    Claim(
        "mcp-cancel",
        "A cancelled call is never answered, and what it would have shown is offered again.",
        (f"{WIRE}::test_a_cancelled_wait_is_never_answered_and_loses_nothing",),
        Mutant(
            "mcp_bridge/relay.py",
            "        self.stopped.set()\n",
            "        return\n",
            f"{WIRE}::test_a_cancelled_wait_is_never_answered_and_loses_nothing",
        ),
    ),
    Claim(
        "mcp-frames",
        "No frame ends the stdio server.",
        (f"{WIRE}::test_hostile_envelopes_get_one_error_each_and_the_relay_lives",),
        Mutant(
            "mcp_bridge/relay.py",
            "        elif (wrong := _malformed(frame)) is not None:\n",
            '        elif (wrong := _malformed({"method": ""})) is not None:\n',
            f"{WIRE}::test_hostile_envelopes_get_one_error_each_and_the_relay_lives",
        ),
    ),
    Claim(
        "mcp-tasks",
        "A waiting call becomes a task that completes with the message, while the session stays free.",
        (f"{WIRE}::test_a_wait_becomes_a_task_that_completes_with_the_message",),
    ),
    Claim(
        "mcp-one-hub",
        "Sessions that start at the same moment share one hub per data directory.",
        (f"{WIRE}::test_sessions_that_start_at_once_share_one_hub",),
    ),
]
