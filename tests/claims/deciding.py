"""Promises of deciding together."""

from __future__ import annotations

from typing import Final

from tests.claims.claim import Claim, Mutant

VOTING: Final = "tests/features/voting/test_voting.py"
RULES: Final = "tests/features/voting/test_rules.py"
PARALLEL: Final = "tests/features/voting/test_parallel.py"
FIXED: Final = "tests/features/voting/test_fixed.py"
LATE: Final = f"{VOTING}::test_a_ballot_after_the_deadline_is_refused_before_the_clock_has_counted"
ABLE: Final = f"{VOTING}::test_the_electorate_is_who_may_vote"
LIGHT: Final = f"{RULES}::test_ballots_without_weight_change_no_verdict"
TIES: Final = f"{RULES}::test_a_ranked_tie_goes_out_by_the_earlier_rounds_then_by_the_list"
MOVES: Final = f"{FIXED}::test_no_sequence_of_moves_by_others_changes_weights_access_or_electorate"
AT_ONCE: Final = f"{PARALLEL}::test_sixty_proposals_with_six_voters_at_two_hubs_all_close"
COMMITTING: Final = f"{PARALLEL}::test_a_deadline_counts_a_ballot_that_is_being_committed_at_another_hub"
REFUSED: Final = "tests/surfaces/test_refusals.py"
AFTER: Final = f"{REFUSED}::test_a_ballot_after_the_close_gets_the_outcome_and_its_arithmetic"

_LOCK: Final = """                        if locks:
                            await connection.fetch(
                                "select id from log where id = any($1::bigint[]) order by id for update", list(locks)
                            )
"""
_LOAD: Final = """                        tx = _Tx(connection)
                        result = await _drive(lambda tx=tx: _whole(body, tx))  # type: ignore[misc]
"""

CLAIMS: Final = [
    Claim(
        "P13-deadline",
        "No ballot counts after the deadline, however late the count is; a restart loses no deadline.",
        (LATE, f"{VOTING}::test_the_deadlines_of_several_rooms_are_kept_also_after_a_restart"),
        Mutant(
            "hub/features/voting/handlers.py", "loaded.deadline_ms <= call.now_ms:", "loaded.deadline_ms < 0:", LATE
        ),
    ),
    Claim(
        "P13-electorate",
        "The electorate is the members who may write and have a token with the scope vote.",
        (ABLE,),
        Mutant("hub/features/voting/handlers.py", '"vote", call.now_ms', '"room:read", call.now_ms', ABLE),
    ),
    Claim(
        "P13-fixed",
        "Nothing that non-owners do, leaving and coming back included, changes weights, access or an open electorate.",
        (MOVES, "tests/kernel/test_rooms.py::test_leaving_and_coming_back_changes_nothing_that_was_given"),
        Mutant("hub/kernel/rooms/handlers.py", ", weight=former.weight,", ",", MOVES),
    ),
    Claim(
        "P13-weight",
        "Ballots without weight decide nothing.",
        (LIGHT, f"{VOTING}::test_ballots_that_weigh_nothing_decide_nothing"),
        Mutant("hub/features/voting/rules.py", " or cast == 0:", " or not ballots:", LIGHT),
    ),
    Claim(
        "P13-ranked",
        "Instant run-off agrees with an independent implementation; ties follow the written rule.",
        (f"{RULES}::test_ranked_agrees_with_pyrankvote_where_there_is_no_tie", TIES),
        Mutant("hub/features/voting/rules.py", "for votes in reversed(rounds):", "for votes in rounds:", TIES),
    ),
    Claim(
        "P13-parallel",
        "However many vote at the same moment, through however many hubs, every ballot counts and every vote ends.",
        (AT_ONCE, f"{PARALLEL}::test_sixty_proposals_with_six_voters_at_once_all_close"),
        Mutant("hub/storage/postgres.py", _LOCK + _LOAD, _LOAD + _LOCK, AT_ONCE),
    ),
    Claim(
        "deciding-refusals",
        "Every wrong move of deciding and planning is refused with a code and with how things stand now.",
        (AFTER, f"{REFUSED}::test_a_ballot_from_outside_the_electorate_learns_who_is_in_it"),
        Mutant(
            "hub/features/voting/handlers.py",
            """decide again",
            proposal=there.model_dump(mode="json"),
""",
            """decide again",
""",
            AFTER,
        ),
    ),
    Claim(
        "P13-clock",
        "The clock counts every ballot that was accepted before the deadline, also at another hub.",
        (COMMITTING,),
        Mutant("hub/features/voting/chores.py", "    hold(tx, log)", "    assert log", COMMITTING),
    ),
]
