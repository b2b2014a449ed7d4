"""Promises of batches and compressed bodies."""

from __future__ import annotations

from typing import Final

from tests.claims.claim import Claim, Mutant

BATCH: Final = "tests/server/test_batch.py"
ITEMS: Final = f"{BATCH}::test_a_batch_keeps_the_order_of_each_room_and_answers_each_item"
ONE: Final = f"{BATCH}::test_a_batch_of_one_room_is_one_transaction"
PARTS: Final = f"{BATCH}::test_repeating_a_batch_tries_only_what_was_refused_however_often"
AGAIN: Final = f"{BATCH}::test_a_repeated_batch_changes_nothing_and_gives_the_same"
BOMB: Final = f"{BATCH}::test_a_bomb_is_refused_before_it_unfolds"
TOGETHER: Final = (
    "tests/storage/test_conformance.py::test_bodies_together_are_one_transaction_and_each_is_kept_or_undone_by_itself"
)

INTAKE: Final = "tests/server/test_intake.py"
IN_ORDER: Final = f"{INTAKE}::test_what_one_socket_sends_is_done_in_that_order_and_all_of_it_answered"

COALESCE: Final = "tests/server/test_coalesce.py"
LOOKS: Final = f"{COALESCE}::test_what_looks_like_a_frame_inside_a_frame_is_not_one"

CLAIMS: Final = [
    Claim(
        "batch-items",
        "A batch answers each item; one that is refused leaves the others, and each room keeps its order.",
        (ITEMS, TOGETHER),
        Mutant(
            "hub/storage/sqlite.py",
            "            if self.usable():\n                self.undo()\n",
            "",
            TOGETHER,
        ),
    ),
    Claim(
        "batch-transaction",
        "The items of one room or queue are one transaction.",
        (ONE, TOGETHER),
        Mutant("hub/server/batch.py", "        if not first:\n", "        if first:\n", ONE),
    ),
    Claim(
        "batch-repeat",
        "A repeated batch changes nothing and gives the same results.",
        (AGAIN, PARTS),
        Mutant("hub/log/batch.py", "    if not added:\n", "    if added:\n", AGAIN),
    ),
    Claim(
        "batch-refused",
        "What a batch was refused is tried again when the batch is repeated; what it stored is not stored twice.",
        (PARTS,),
        Mutant("hub/log/batch.py", "in {**before, **added}.items()", "in added.items()", PARTS),
    ),
    Claim(
        "compressed-bomb",
        "A compressed body is refused as soon as it unpacks to more than a body may be.",
        (BOMB, f"{BATCH}::test_broken_unknown_and_doubled_codings_are_refused"),
        Mutant("hub/server/encoding.py", "inflate.decompress(raw, most)", "inflate.decompress(raw)", BOMB),
    ),
    Claim(
        "socket-frames",
        "The texts of a WebSocket arrive whole and in order, however its stream is cut into pieces.",
        (f"{COALESCE}::test_texts_arrive_whole_and_in_order_however_the_stream_is_cut", LOOKS),
        Mutant(
            "hub/server/coalesce.py", "                self._left -= step\n", "                self._left = 0\n", LOOKS
        ),
    ),
    Claim(
        "socket-order",
        "What one WebSocket sends is begun in that order, however much of it at once, and all of it is answered.",
        (
            IN_ORDER,
            f"{INTAKE}::test_a_write_that_fails_unexpectedly_is_answered_and_its_key_is_free_again",
            f"{INTAKE}::test_what_a_refusal_leaves_is_kept_before_it_is_answered",
            f"{INTAKE}::test_the_same_key_twice_at_once_is_done_once",
        ),
        Mutant(
            "hub/server/websocket.py",
            "if not self._to_start and self._begin_now(",
            "if self._begin_now(",
            IN_ORDER,
        ),
    ),
]
