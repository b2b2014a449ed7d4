"""Promises of the work queues."""

from __future__ import annotations

from typing import Final

from tests.claims.claim import Claim, Mutant

QUEUES: Final = "tests/features/queues/test_queues.py"
LATE: Final = f"{QUEUES}::test_a_dead_workers_task_goes_on_elsewhere_and_its_late_answer_is_refused"
CLOCK: Final = f"{QUEUES}::test_within_a_second_the_clock_returns_lapsed_tasks_and_wakes_who_waits"
IN_LINE: Final = f"{QUEUES}::test_of_many_waiting_claims_each_task_wakes_one_and_none_is_left_waiting"
HUNG_UP: Final = "tests/server/test_waiting.py::test_a_worker_that_hung_up_while_it_waited_is_handed_nothing"
OVERTAKEN: Final = f"{QUEUES}::test_a_bulk_task_is_overtaken_only_by_tasks_at_most_600_s_younger"

CLAIMS: Final = [
    Claim(
        "P7",
        "A task has at most one unexpired lease; a stale token has no effect.",
        (LATE, f"{QUEUES}::test_no_task_is_lost_or_held_twice_in_any_history"),
        Mutant("hub/features/queues/rules.py", 'lease.token == token != "" and lease.agent == agent and ', "", LATE),
    ),
    Claim(
        "P8",
        "A failed task is tried again until its attempts run out; then it is a dead letter, and can be redriven.",
        (f"{QUEUES}::test_a_task_out_of_attempts_is_a_dead_letter_until_it_is_redriven",),
    ),
    Claim(
        "P8-time",
        "A lease that ran out is ready again within a second, without anybody asking; dead letters keep each reason.",
        (
            CLOCK,
            f"{QUEUES}::test_the_clock_buries_what_is_over_with_the_reason_of_each_attempt",
        ),
        Mutant(
            "hub/features/queues/handlers.py",
            "    if rows:\n        tx.grew(",
            "    if not rows:\n        tx.grew(",
            CLOCK,
        ),
    ),
    Claim(
        "P7-wait",
        "Waiting claims stand in line: a task wakes one of them, and none is left waiting while tasks are ready.",
        (IN_LINE, HUNG_UP),
        Mutant("hub/server/dispatch.py", "self._lines.setdefault(place, asyncio.Lock())", "asyncio.Lock()", IN_LINE),
    ),
    Claim(
        "P9-tasks",
        "A task is overtaken only by tasks enqueued less than its slack later.",
        (OVERTAKEN,),
        Mutant("hub/features/queues/rules.py", '"bulk": 600_000', '"bulk": 6_000_000', OVERTAKEN),
    ),
]
