"""Promises of content-based routing."""

from __future__ import annotations

from typing import Final

from tests.claims.claim import Claim, Mutant

ROUTING: Final = "tests/features/routing/test_routing.py"
DRY: Final = f"{ROUTING}::test_a_dry_run_tells_exactly_what_happens_live"
ONCE: Final = f"{ROUTING}::test_a_copy_arrives_once_names_its_sender_and_a_move_leaves_a_blank"
CIRCLE: Final = f"{ROUTING}::test_a_circle_of_rules_is_refused_with_the_way_it_takes"
BOMB: Final = f"{ROUTING}::test_a_pattern_that_could_explode_is_refused_with_the_reason"
DENIED: Final = f"{ROUTING}::test_a_refused_message_is_not_kept_and_its_rule_counts_it"
FORGED: Final = f"{ROUTING}::test_a_sender_cannot_pretend_that_a_message_was_routed_already"
WINDOW: Final = f"{ROUTING}::test_the_same_text_passes_again_only_after_the_window"
POLICIES: Final = "hub/features/routing/policies.py"

CLAIMS: Final = [
    Claim(
        "routing-dry",
        "A dry run of rules over history tells exactly what they do to the same messages live.",
        (DRY,),
        Mutant(POLICIES, "        priority=verdict.priority,", "        priority=draft.priority,", DRY),
    ),
    Claim(
        "routing-deny",
        "A message that a rule refuses is not kept, and the rule counts it.",
        (DENIED, FORGED),
        Mutant(
            POLICIES, "return leaves(count, RoutingDenied(", "return leaves(lambda tx: None, RoutingDenied(", DENIED
        ),
    ),
    Claim(
        "routing-once",
        "A copy arrives exactly once; a move leaves a blank behind.",
        (ONCE, f"{ROUTING}::test_what_cannot_be_delivered_is_counted_with_its_reason"),
        Mutant("hub/features/routing/worker.py", "if isinstance(action, c.Move):", "if action is None:", ONCE),
    ),
    Claim(
        "routing-loop",
        "Rules that would send messages in a circle are refused with the way they take.",
        (CIRCLE, f"{ROUTING}::test_copies_between_channels_of_one_room_end"),
        Mutant("hub/features/routing/rules.py", "if path[-1] == start:", "if not path:", CIRCLE),
    ),
    Claim(
        "routing-linear",
        "Patterns of rules run in linear time; what could explode is refused with the reason.",
        (BOMB, f"{ROUTING}::test_classic_bombs_run_in_linear_time"),
        Mutant(
            "hub/features/routing/patterns.py",
            "made: Searches = re2.compile(",
            "made: Searches = re.compile(pattern) or re2.compile(",
            BOMB,
        ),
    ),
    Claim(
        "routing-window",
        "With `deduplicate` the same text or key passes again only after its window.",
        (WINDOW,),
        Mutant(POLICIES, "call.now_ms < row[0]", "call.now_ms > row[0]", WINDOW),
    ),
]
