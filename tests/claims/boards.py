"""Promises of boards, roles, briefings and templates."""

from __future__ import annotations

from typing import Final

from tests.claims.claim import Claim, Mutant

KANBAN: Final = "tests/features/kanban/test_kanban.py"
PARALLEL: Final = "tests/features/kanban/test_parallel.py"
STALE: Final = f"{KANBAN}::test_a_change_from_a_stale_version_is_refused_with_the_card_as_it_is"
MOVERS: Final = f"{PARALLEL}::test_parallel_movers_lose_nothing_and_overfill_nothing"
HISTORIES: Final = f"{PARALLEL}::test_a_board_is_the_fold_of_its_events_after_any_history"
FULL: Final = f"{KANBAN}::test_a_full_column_takes_no_more_by_any_way"
CYCLES: Final = f"{KANBAN}::test_cards_that_would_wait_for_each_other_are_refused"
ROOMS: Final = "tests/kernel/test_rooms.py"
NEXT: Final = f"{KANBAN}::test_next_is_the_most_urgent_card_that_fits_my_role"

CLAIMS: Final = [
    Claim(
        "P14",
        "A card changes only from the version its changer saw; a stale change gets the card as it is.",
        (STALE, HISTORIES),
        Mutant(
            "hub/features/kanban/handlers.py",
            '    if row["version"] == request.version:\n',
            '    if row["version"] >= request.version:\n',
            STALE,
        ),
    ),
    Claim(
        "P14-parallel",
        "A board is the fold of its events, however many move cards at once, on SQLite and PostgreSQL.",
        (MOVERS, HISTORIES),
        Mutant(  # state is loaded before the room's lock is held
            "hub/storage/postgres.py",
            'order by id for update", list(locks)',
            'order by id", list(locks)',
            MOVERS,
        ),
    ),
    Claim(
        "P14-fresh",
        "What a change is decided on is read under the room's lock, never kept from before.",
        (HISTORIES,),
        Mutant(
            "hub/features/kanban/project.py",
            '    row = tx.row(_CARD + " and seq = :seq", log=log, seq=card_seq(log, card))\n',
            '    row = tx.memo(("card", log, card), lambda: tx.row(_CARD + " and seq = :seq", log=log,'
            " seq=card_seq(log, card)))\n",
            HISTORIES,
        ),
    ),
    Claim(
        "P14-claim",
        "Of many who claim one card exactly one gets it.",
        (f"{PARALLEL}::test_of_many_who_claim_one_card_at_once_exactly_one_gets_it",),
        Mutant(
            "hub/features/kanban/handlers.py",
            '    if row["assignee"] not in (None, call.agent):\n',
            "    if row is None:\n",
            f"{PARALLEL}::test_of_many_who_claim_one_card_at_once_exactly_one_gets_it",
        ),
    ),
    Claim(
        "board-surfaces",
        "A board works the same through plain HTTP, the Python client, the MCP tool and the command line.",
        ("tests/surfaces/test_board.py::test_two_work_a_board_off",),
    ),
    Claim(
        "wip",
        "No column ever holds more cards than its limit, by whatever way they come.",
        (FULL, MOVERS, HISTORIES),
        Mutant("hub/features/kanban/rules.py", "len(cards) >= column.wip", "len(cards) > column.wip", FULL),
    ),
    Claim(
        "card-cycles",
        "Cards never wait for each other in a circle.",
        (CYCLES, "tests/features/kanban/test_rules.py::test_a_cycle_is_found_exactly_when_there_is_one"),
        Mutant("hub/features/kanban/rules.py", "            if blocker == start:\n", "            if False:\n", CYCLES),
    ),
    Claim(
        "card-next",
        "`next` is the most urgent unassigned, unblocked card that fits my role.",
        (
            NEXT,
            "tests/features/kanban/test_rules.py::test_what_comes_next_fits_the_role_and_nothing_fitting_is_more_urgent",
        ),
        Mutant(
            "hub/features/kanban/rules.py",
            "if card.role is None or card.role in roles]",
            "if roles is not None]",
            NEXT,
        ),
    ),
    Claim(
        "board-documents",
        "A board written as JSON or Markdown reads back the same.",
        (
            "tests/features/kanban/test_documents.py::test_a_written_board_reads_back_the_same",
            "tests/features/kanban/test_documents.py::test_a_board_moves_to_another_room",
        ),
        Mutant(
            "hub/features/kanban/documents.py",
            '"done": listed[1] in "xX"',
            '"done": False',
            "tests/features/kanban/test_documents.py::test_a_board_moves_to_another_room",
        ),
    ),
    Claim(
        "briefing",
        "The briefing of `join` takes less than 2,000 tokens however long, full or strange the room is.",
        (
            "tests/mcp/test_briefing.py::test_a_briefing_takes_less_than_2000_tokens_however_full_the_room_is",
            "tests/mcp/test_briefing.py::test_a_cut_text_fits_and_is_a_beginning",
        ),
        Mutant(
            "mcp_bridge/briefing.py",
            "    if size(text) - 2 <= most:\n",
            "    if len(text) <= most:\n",
            "tests/mcp/test_briefing.py::test_a_cut_text_fits_and_is_a_beginning",
        ),
    ),
    Claim(
        "templates",
        "A room made from a template has its channels, board, first cards and working agreement at once.",
        (f"{ROOMS}::test_a_template_furnishes_a_room_at_once",),
        Mutant(
            "hub/kernel/rooms/handlers.py",
            "        for furnish in FURNISHERS:\n",
            "        for furnish in FURNISHERS[:0]:\n",
            f"{ROOMS}::test_a_template_furnishes_a_room_at_once",
        ),
    ),
    Claim(
        "capabilities",
        "Everyone says what they can do; `to=@capability` and the board's `next` find them by it.",
        (
            f"{ROOMS}::test_capabilities_are_ones_own_and_mail_finds_them",
            "tests/surfaces/test_roles.py::test_roles_from_a_template_get_their_cards_and_everybody_sees_who_can_what",
        ),
        Mutant(
            "hub/kernel/messages/post.py",
            "(member.role, *member.capabilities)",
            "(member.role,)",
            f"{ROOMS}::test_capabilities_are_ones_own_and_mail_finds_them",
        ),
    ),
    Claim(
        "agreement",
        "A room's working agreement is shown to newcomers, set by owners only, and everybody hears when it changes.",
        (
            f"{ROOMS}::test_a_change_of_the_working_agreement_is_told_to_everybody",
            "tests/mcp/test_briefing.py::test_a_newcomer_learns_who_is_there_what_is_open_and_how_to_work",
        ),
    ),
    Claim(
        "prompts",
        "Every tool call that a prompt asks for exists with those arguments.",
        ("tests/mcp/test_prompts.py::test_every_call_a_prompt_names_is_one_a_tool_takes",),
    ),
    Claim(
        "five-agents",
        "Five agents with roles, each a real MCP process, debate, vote, plan, reserve, share and build a program that works.",
        ("tests/acceptance/test_collaborative_development.py::test_five_agents_with_roles_build_a_program_that_works",),
    ),
]
