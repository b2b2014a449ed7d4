"""Promises of the work queues."""

from __future__ import annotations

from typing import Final

from tests.claims.claim import Claim, Mutant

QUEUES: Final = "tests/features/queues/test_queues.py"
HISTORY: Final = "tests/features/queues/test_history.py::test_every_history_agrees_with_the_model"
PUSHED: Final = (
    "tests/features/queues/test_history.py::test_no_history_of_a_push_queue_loses_a_task_or_overloads_a_worker"
)
FORGOTTEN: Final = (
    "tests/features/queues/test_pull.py::test_finished_tasks_are_forgotten_after_their_days_and_open_ones_are_not"
)
LATE: Final = f"{QUEUES}::test_a_dead_workers_task_goes_on_elsewhere_and_its_late_answer_is_refused"
CLOCK: Final = f"{QUEUES}::test_within_a_second_the_clock_returns_lapsed_tasks_and_wakes_who_waits"
IN_LINE: Final = f"{QUEUES}::test_of_many_waiting_claims_each_task_wakes_one_and_none_is_left_waiting"
HUNG_UP: Final = "tests/server/test_waiting.py::test_a_worker_that_hung_up_while_it_waited_is_handed_nothing"
OVERTAKEN: Final = f"{QUEUES}::test_a_bulk_task_is_overtaken_only_by_tasks_at_most_600_s_younger"
DEAD: Final = f"{QUEUES}::test_a_task_out_of_attempts_is_a_dead_letter_until_it_is_redriven"
KILLS: Final = "tests/faults/test_kill_queues.py::test_kills_lose_no_task_and_accept_no_result_twice"
EARLY: Final = """\
        for job in jobs:
            job.answer()
            job.ended = _nobody
        self._commits.put(lambda: (time.sleep(0.1), commit())[1])
"""
HUBS: Final = "tests/storage/test_hub_on_postgres.py::test_two_hubs_share_a_queue_and_each_task_is_done_once"
GROWTH: Final = "tests/features/queues/test_growth.py::test_a_hundred_thousand_other_tasks_cost_a_claim_no_step_more"

PULL: Final = "tests/features/queues/test_pull.py"
REPEATS: Final = "tests/features/queues/test_repeats.py"
PUSH: Final = "tests/features/queues/test_push.py"
STRATEGIES: Final = "tests/features/queues/test_strategies.py"
KILLED: Final = (
    "tests/acceptance/test_load_balanced_queries.py"
    "::test_two_of_five_workers_die_and_every_query_has_exactly_one_accepted_result"
)
FANOUT: Final = "tests/features/queues/test_fanout.py"
GROUPS: Final = (
    "tests/features/queues/test_pull.py::test_tasks_of_a_group_run_one_at_a_time_in_order_and_others_pass_them"
)
FAILOVER: Final = f"{PUSH}::test_a_dead_workers_task_runs_elsewhere_within_its_lease_and_a_second"
WOKEN: Final = f"{PUSH}::test_an_assignment_wakes_the_claim_of_its_worker_and_nobody_elses"
TOLD: Final = f"{PUSH}::test_a_model_that_waits_for_mail_is_told_once_that_tasks_are_its_own"
BREAKER: Final = f"{PUSH}::test_a_breaker_opens_after_three_failures_probes_once_and_closes"
WEIGHTED: Final = f"{STRATEGIES}::test_weighted_shares_are_within_five_percent_over_ten_thousand_assignments"

CLAIMS: Final = [
    Claim(
        "P7",
        "A task has at most one unexpired lease; a stale token has no effect.",
        (LATE, HISTORY, f"{QUEUES}::test_no_task_is_lost_or_held_twice_in_any_history"),
        Mutant("hub/features/queues/rules.py", 'lease.token == token != "" and lease.agent == agent and ', "", HISTORY),
    ),
    Claim(
        "P8",
        "A failed task is tried again until its attempts run out; then it is a dead letter, and can be redriven.",
        (DEAD,),
        Mutant("hub/features/queues/tasks.py", "or self.attempt >= max_attempts", "or False", DEAD),
    ),
    Claim(
        "P8-time",
        "A lease that ran out is ready again within a second, without anybody asking; dead letters keep each reason.",
        (
            CLOCK,
            f"{QUEUES}::test_the_clock_buries_what_is_over_with_the_reason_of_each_attempt",
        ),
        Mutant(
            "hub/features/queues/workers.py",
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
    Claim(
        "P7-growth",
        "A claim costs the same beside 100,000 tasks that are leased, delayed, blocked, expiring or done as beside ten.",
        (GROWTH, "tests/features/queues/test_growth.py::test_ready_tasks_come_out_of_their_index_without_sorting"),
        Mutant(
            "hub/features/queues/schema.py",
            "create index lease_until_of on lease (log, until) where until > 0;\n",
            "",
            GROWTH,
        ),
    ),
    Claim(
        "P7-groups",
        "Tasks of a group run one at a time in the order they came; a failed one holds its group.",
        (GROUPS, HISTORY),
        Mutant("hub/features/queues/tasks.py", "and seq < :seq limit 1", "and seq < 0 limit 1", GROUPS),
    ),
    Claim(
        "P7-next",
        "An acknowledgement that takes the next task goes by the rules of a claim, and takes nothing when it is refused.",
        (f"{PULL}::test_a_worker_finishes_a_task_and_gets_the_next_in_one_call", HISTORY),
        Mutant(
            "hub/features/queues/handlers.py",
            "most = 0 if queue.paused else min(most, room)",
            "most = min(most, 10)",
            f"{PULL}::test_a_worker_finishes_a_task_and_gets_the_next_in_one_call",
        ),
    ),
    Claim(
        "P3-queues",
        "A repeated call of a task's life is answered as the first was, whatever has happened to the task since.",
        (
            f"{REPEATS}::test_each_call_in_a_tasks_life_is_repeated_as_it_was",
            f"{REPEATS}::test_what_is_kept_for_a_repeat_has_no_second_copy_of_the_body",
        ),
        Mutant(
            "hub/features/queues/handlers.py",
            '            "lease_token": was.token,\n',
            "",
            f"{REPEATS}::test_each_call_in_a_tasks_life_is_repeated_as_it_was",
        ),
    ),
    Claim(
        "P7-push",
        "A push queue assigns each task to one worker; what it does not start in time, or drops, goes to another.",
        (
            FAILOVER,
            f"{PUSH}::test_an_assignment_that_is_not_started_moves_on_with_its_reason",
            f"{PUSH}::test_a_task_is_assigned_at_once_and_only_its_worker_can_claim_it",
        ),
        Mutant("hub/features/queues/workers.py", "if worker.agent != last]", "if worker.agent == last]", FAILOVER),
    ),
    Claim(
        "P7-told",
        "A worker is told of its assignment: its waiting claim wakes, and an agent with a model gets a notice.",
        (WOKEN, TOLD, f"{PUSH}::test_a_model_is_told_of_what_its_own_finish_brings_and_not_of_what_its_claim_does"),
        Mutant("hub/features/queues/leases.py", "    tx.wake(-agent)\n", "", WOKEN),
    ),
    Claim(
        "P7-breaker",
        "Three failures in a row take a worker out; one probe decides whether it comes back.",
        (BREAKER, f"{STRATEGIES}::test_three_failures_open_a_breaker_and_one_probe_decides"),
        Mutant(
            "hub/features/queues/strategies.py",
            '(state == "half_open" and load == 0)',
            '(state == "half_open")',
            BREAKER,
        ),
    ),
    Claim(
        "P7-shares",
        "`weighted` keeps shares within 5 % of the weights; `least_loaded` loads never differ by more than one.",
        (
            WEIGHTED,
            f"{STRATEGIES}::test_least_loaded_loads_never_differ_by_more_than_one",
            f"{STRATEGIES}::test_with_fastest_a_slow_workers_share_falls_within_twenty_assignments",
            f"{STRATEGIES}::test_sticky_keys_move_only_from_whoever_left_or_to_whoever_came",
        ),
        Mutant(
            "hub/features/queues/strategies.py",
            "return 1 / worker.weight if",
            "return 1 / (worker.weight + 1) if",
            WEIGHTED,
        ),
    ),
    Claim(
        "P7-map",
        "Of 100 queries over five workers, two of which are killed, each has exactly one accepted result.",
        (
            KILLED,
            f"{FANOUT}::test_a_list_becomes_outcomes_with_bounded_concurrency_and_partial_failure",
        ),
    ),
    Claim(
        "P7-capacity",
        "No worker of a push queue ever has more tasks than its capacity, and no history loses a task.",
        (PUSHED,),
        Mutant(
            "hub/features/queues/workers.py",
            "[after if worker.agent == after.agent else",
            "[worker if worker.agent == after.agent else",
            PUSHED,
        ),
    ),
    Claim(
        "P1-tasks",
        "kill -9 of the hub under load loses no task and accepts no result twice.",
        (KILLS,),
        Mutant("hub/storage/sqlite.py", "        self._commits.put(commit)\n", EARLY, KILLS),
    ),
    Claim(
        "P7-hubs",
        "Several hubs over one PostgreSQL share a queue: a task wakes a worker wherever it waits, and is done once.",
        (HUBS,),
        Mutant("hub/storage/postgres.py", "            self._tell(growth)\n", "", HUBS),
    ),
    Claim(
        "P10-tasks",
        "A finished task is forgotten after its queue's `keep_days`, its body and result in the log too.",
        (FORGOTTEN,),
        Mutant("hub/features/queues/chores.py", "for seq in (one[0], one[1])]", "for seq in (one[1],)]", FORGOTTEN),
    ),
]
