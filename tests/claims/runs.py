"""Promises of the sandbox and of runs."""

from __future__ import annotations

from typing import Final

from tests.claims.claim import Claim, Mutant

ENGINES: Final = "tests/sandbox/test_engines.py"
MACHINE: Final = "tests/sandbox/test_machine.py"
HELD: Final = f"{MACHINE}::test_the_kernel_holds_memory_and_processes_where_watchdog_and_rlimits_are_out_of_action"
GROUPS: Final = "tests/sandbox/test_cgroup.py"
LEFT_ALONE: Final = f"{GROUPS}::test_a_group_that_systemd_keeps_for_itself_is_left_alone"
LITE: Final = "tests/sandbox/test_lite.py"
RULES: Final = "tests/features/runs/test_rules.py"
RUNS: Final = "tests/features/runs/test_runs.py"
AUDITED: Final = f"{RUNS}::test_who_ran_what_and_who_allowed_it_is_kept_where_no_owner_of_a_room_reaches_it"
SURFACES: Final = "tests/features/runs/test_surfaces.py"
FILTER: Final = f"{ENGINES}::test_the_filter_answers_each_call_as_written_on_every_architecture"
KILLED: Final = (
    f"{SURFACES}::test_a_killed_hub_leaves_no_process_and_its_next_start_reports_the_run_once_as_interrupted"
)
EXACT: Final = (
    f"{RULES}::test_200_requests_of_50_agents_in_25_rooms_start_wait_and_are_refused_exactly_as_the_limits_say"
)

CLAIMS: Final = [
    Claim(
        "sandbox-holds",
        "No probe gets out of a run, whether the hub is root's or an ordinary user's; a naive sandbox is caught.",
        (
            f"{ENGINES}::test_no_probe_escapes_from_a_run_started_by_this_user",
            f"{ENGINES}::test_no_probe_escapes_from_a_run_started_by_an_ordinary_user",
            f"{ENGINES}::test_a_naive_configuration_is_caught_by_the_same_probes_and_by_the_self_test",
            f"{ENGINES}::test_a_filter_that_refuses_nothing_is_caught_by_the_probes_and_by_the_self_test",
            FILTER,
        ),
        Mutant("hub/sandbox/seccomp.py", "_NEW_NAMESPACES: Final = 0x7E020080", "_NEW_NAMESPACES: Final = 0", FILTER),
    ),
    Claim(
        "sandbox-limits",
        "A run over a limit is killed, with the limit as the reason, and leaves nothing behind.",
        (
            f"{ENGINES}::test_a_bomb_ends_with_the_right_reason",
            f"{ENGINES}::test_processor_time_is_limited_for_all_processes_together",
            f"{RUNS}::test_a_run_over_a_limit_is_killed_and_says_which",
        ),
        Mutant(
            "hub/sandbox/bwrap.py",
            " or now.cpu_ms > (limits.cpu_s + 1) * 1000",
            "",
            f"{ENGINES}::test_processor_time_is_limited_for_all_processes_together",
        ),
    ),
    Claim(
        "sandbox-groups",
        "Where a control group can be had the kernel itself holds a run; where not, the run goes on and says so.",
        (
            HELD,
            f"{MACHINE}::test_roots_hub_gives_each_run_a_control_group",
            f"{MACHINE}::test_an_ordinary_users_hub_divides_the_group_it_was_given",
            f"{MACHINE}::test_a_killed_hub_leaves_nobody_in_its_groups_and_the_next_start_removes_them",
            f"{GROUPS}::test_a_run_that_cannot_have_its_group_goes_on_without_and_says_so",
            LEFT_ALONE,
        ),
        Mutant("hub/sandbox/cgroup.py", "if systemd.exists() and not delegated(own):", "if False:", LEFT_ALONE),
    ),
    Claim(
        "sandbox-refuses",
        "Where the sandbox does not hold, runs are refused with the reason and the fix; there is no unsandboxed mode.",
        (
            f"{ENGINES}::test_without_bubblewrap_the_engine_refuses_and_names_the_package",
            f"{ENGINES}::test_where_user_namespaces_are_forbidden_the_engine_refuses_and_says_what_to_allow",
            f"{RUNS}::test_without_a_sandbox_a_run_is_refused_with_the_reason",
        ),
        Mutant(
            "hub/features/runs/rules.py",
            "    if any(language in runner.languages for runner in runners):\n",
            "    if runners:\n",
            f"{RUNS}::test_without_a_sandbox_a_run_is_refused_with_the_reason",
        ),
    ),
    Claim(
        "sandbox-lite",
        "Without bubblewrap, code runs in interpreters that know nothing of the machine; one that does is refused.",
        (
            f"{LITE}::test_nothing_of_the_machine_is_there",
            f"{LITE}::test_the_self_test_refuses_an_interpreter_that_holds_nothing",
            f"{LITE}::test_a_killed_hub_takes_the_child_and_its_workers_along",
        ),
        Mutant(
            "hub/sandbox/lite.py",
            '        if held.stdout != b"held\\n":\n',
            "        if not held.stdout:\n",
            f"{LITE}::test_the_self_test_refuses_an_interpreter_that_holds_nothing",
        ),
    ),
    Claim(
        "runs-off",
        "Runs are off in a room until a person with the right switches them on.",
        (f"{RUNS}::test_runs_are_off_until_a_person_with_the_right_switches_them_on",),
        Mutant(
            "hub/features/runs/handlers.py",
            "    rules.must_be_on(entered.room.settings.runs, request.room)\n",
            "",
            f"{RUNS}::test_runs_are_off_until_a_person_with_the_right_switches_them_on",
        ),
    ),
    Claim(
        "runs-audit",
        "Who ran what and who allowed it is kept in the hub's own log, out of reach of a room's owners.",
        (AUDITED,),
        Mutant("hub/features/runs/handlers.py", "    append(tx, call, HUB, noted)\n", "", AUDITED),
    ),
    Claim(
        "runs-limits",
        "Limits per agent, room and hub are exact: what starts, waits and is refused follows from them alone.",
        (
            EXACT,
            f"{RULES}::test_no_limit_is_ever_passed_and_no_place_is_left_empty",
            f"{RUNS}::test_200_requests_at_once_start_wait_and_are_refused_exactly_as_the_limits_say",
        ),
        Mutant("hub/features/runs/rules.py", "    if waiting >= WAITING:\n", "    if waiting > WAITING:\n", EXACT),
    ),
    Claim(
        "runs-end",
        "Every run has exactly one final event; one whose hub was killed is interrupted, and no process of it is left.",
        (
            KILLED,
            f"{RUNS}::test_a_hub_that_stops_reports_its_runs_as_interrupted_and_lets_waiting_ones_run_later",
        ),
        Mutant(
            "hub/features/runs/worker.py",
            '            tx.run("delete from runner")\n',
            "            pass\n",
            KILLED,
        ),
    ),
]
