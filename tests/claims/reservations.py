"""Promises of reservations."""

from __future__ import annotations

from typing import Final

from tests.claims.claim import Claim, Mutant

GLOBS: Final = "tests/features/reservations/test_globs.py"
HELD: Final = "tests/features/reservations/test_reservations.py"
PARALLEL: Final = "tests/features/reservations/test_parallel.py"
GUARD: Final = "tests/commands/test_guard.py"
EXACT: Final = f"{GLOBS}::test_two_patterns_overlap_exactly_when_some_path_matches_both"
NEVER: Final = f"{PARALLEL}::test_no_two_agents_ever_hold_what_conflicts"
EXITED: Final = f"{HELD}::test_it_ends_a_minute_after_the_holders_client_did_unless_it_is_back"
BACK: Final = f"{GUARD}::test_a_hook_that_was_there_runs_first_and_comes_back"

CLAIMS: Final = [
    Claim(
        "reserve-exact",
        "Two path patterns conflict exactly when some path matches both.",
        (EXACT, f"{GLOBS}::test_two_names_overlap_exactly_when_some_name_matches_both"),
        Mutant(
            "hub/features/reservations/globs.py", "[(i, j + 1), (i + 1, j)] if more_b", "[(i + 1, j)] if more_b", EXACT
        ),
    ),
    Claim(
        "reserve-never-two",
        "No two agents ever hold conflicting reservations, however many ask at the same moment at however many hubs.",
        (NEVER, f"{PARALLEL}::test_no_two_agents_ever_hold_what_conflicts_at_two_hubs"),
        Mutant(
            "hub/features/reservations/rules.py",
            '"exclusive" in (mode, held.mode)',
            '"exclusive" == mode == held.mode',
            NEVER,
        ),
    ),
    Claim(
        "reserve-conflict",
        "A refused reservation names every holder, since when, and whether anybody is there to ask.",
        (f"{HELD}::test_a_conflict_names_the_holder_since_when_and_reserves_nothing",),
    ),
    Claim(
        "reserve-ends",
        "A reservation ends when its holder leaves, when its time runs out, or 60 s after the holder's client ended.",
        (
            EXITED,
            f"{HELD}::test_it_runs_out_unless_it_is_renewed",
            f"{HELD}::test_who_leaves_or_is_removed_holds_nothing",
        ),
        Mutant(
            "hub/features/reservations/rules.py", "exited_at_ms + GRACE_MS <= now_ms", "exited_at_ms > now_ms", EXITED
        ),
    ),
    Claim(
        "reserve-guard",
        "The commit guard refuses files that others hold, records an override, and never loses an existing hook.",
        (f"{GUARD}::test_a_commit_on_what_another_agent_holds_is_refused_until_it_is_overridden", BACK),
        Mutant("mcp_bridge/guard.py", "        aside.replace(hook)\n", "        hook.unlink()\n", BACK),
    ),
]
