"""Promises of files."""

from __future__ import annotations

from typing import Final

from tests.claims.claim import Claim, Mutant

FILES: Final = "tests/features/files/test_files.py"
BYTES: Final = "tests/server/test_files.py"
CUT: Final = f"{BYTES}::test_an_upload_cut_at_any_chunk_leaves_nothing"
QUOTA: Final = f"{FILES}::test_the_room_never_holds_more_than_its_quota_however_many_share_at_once"
FOREIGN: Final = f"{FILES}::test_who_is_not_in_the_room_learns_nothing_of_its_files"
ONCE: Final = f"{FILES}::test_the_same_bytes_in_two_rooms_are_kept_once_and_neither_room_can_tell"
TRANSFER: Final = "tests/client/test_transfer.py"
BROKEN: Final = f"{TRANSFER}::test_a_download_that_breaks_off_goes_on_where_it_stopped"
COMMANDS: Final = "tests/commands/test_files_command.py"
CHOSEN: Final = f"{FILES}::test_bytes_shared_again_after_the_collector_chose_them_stay"
LOCAL: Final = "tests/mcp/test_local_files.py"
SWAPPED: Final = f"{LOCAL}::test_a_folder_swapped_for_a_link_during_the_walk_is_noticed"
EXCHANGE: Final = "tests/features/runs/test_exchange.py"
READS: Final = f"{EXCHANGE}::test_a_run_reads_files_of_the_room_and_leaves_new_versions_of_others"
PICTURES: Final = "tests/features/files/test_thumbnails.py"
BOMBS: Final = f"{PICTURES}::test_bombs_and_broken_images_are_refused_and_the_hub_goes_on"
RESTORED: Final = "tests/storage/test_maintenance.py::test_files_come_back_with_a_backup_and_an_undone_restore"
UPLOADS: Final = "tests/faults/test_uploads.py"
TWO_HUBS: Final = (
    "tests/storage/test_hub_on_postgres.py::test_two_hubs_share_their_files_and_collect_them_without_taking_any"
)
RUNS: Final = f"{BYTES}::test_no_file_is_served_as_something_a_browser_runs"
RACE: Final = f"{FILES}::test_collecting_never_takes_bytes_that_are_being_shared"

HOME: Final = "tests/features/files/test_home.py::test_two_databases_in_one_directory_do_not_collect_each_others_files"

CLAIMS: Final = [
    Claim(
        "P15",
        "A file is whole and on disk before the room hears of it; what broke off, was wrong or too much leaves nothing.",
        (
            CUT,
            f"{BYTES}::test_an_endless_body_is_stopped_at_the_limit",
            f"{BYTES}::test_a_body_that_stands_still_is_given_up",
            f"{BYTES}::test_a_wrong_upload_is_refused_by_name_and_leaves_nothing",
        ),
        Mutant(
            "hub/server/files.py",
            'raise Malformed("the connection ended before the body did; nothing was stored")',
            "pass",
            CUT,
        ),
    ),
    Claim(
        "P15-access",
        "Only members of a room reach its files, by content, id, name or attachment.",
        (FOREIGN, f"{BYTES}::test_bytes_need_a_token_a_scope_and_membership"),
        Mutant("hub/kernel/files/project.py", " if log == entered.log else None", "", FOREIGN),
    ),
    Claim(
        "P15-names",
        "Names never become paths, and no file is served as something a browser runs.",
        (f"{FILES}::test_a_name_is_one_visible_segment_and_the_refusal_says_which", RUNS),
        Mutant("hub/core/media.py", "get(ending, TEXT)", 'get(ending, "text/html")', RUNS),
    ),
    Claim(
        "P15-once",
        "Equal bytes are kept once; the answers tell nobody that another room has them.",
        (ONCE, f"{FILES}::test_uploads_of_the_same_new_bytes_at_once_keep_one_copy"),
        Mutant("hub/kernel/files/receive.py", "blobs.remove(blob.place)", "pass", ONCE),
    ),
    Claim(
        "P15-quota",
        "The files of a room never exceed its quota, however many are shared at once.",
        (QUOTA, f"{BYTES}::test_a_full_room_refuses_before_and_after_the_bytes"),
        Mutant("hub/kernel/files/share.py", "    check_quota(tx, room, blob.size_bytes, blob.room_bytes)\n", "", QUOTA),
    ),
    Claim(
        "P15-gone",
        "Bytes that no file needs are removed, never those of a file that is being shared.",
        (RACE, CHOSEN, f"{FILES}::test_files_go_with_the_events_that_retention_lets_go", TWO_HUBS),
        Mutant(
            "hub/kernel/files/collect.py",
            " and not exists (select 1 from file where file.sha256 = blob.sha256) returning place",
            " returning place",
            CHOSEN,
        ),
    ),
    Claim(
        "P15-surfaces",
        "Files are handed over the same way in-process, over HTTP, by the client, by MCP and from the command line.",
        (
            "tests/surfaces/test_files.py::test_one_hands_files_over_and_another_gets_exactly_them",
            "tests/surfaces/test_files.py::test_what_does_not_fit_or_has_a_wrong_name_is_refused_with_the_reason",
        ),
    ),
    Claim(
        "P15-client",
        "The client repeats an upload without sharing twice, goes on with a broken download and notices damage.",
        (
            f"{TRANSFER}::test_an_upload_whose_answer_is_lost_shares_once",
            BROKEN,
            f"{TRANSFER}::test_bytes_damaged_on_the_way_are_noticed",
        ),
        Mutant(
            "hub/client/transfer.py",
            "if self.size_bytes:\n            headers |=",
            "if False:\n            headers |=",
            BROKEN,
        ),
    ),
    Claim(
        "P15-terminal",
        "`files get` writes a whole file or nothing, never over one that is there, never under a name with a meaning.",
        (
            f"{COMMANDS}::test_a_file_goes_up_and_comes_down_and_nothing_is_written_over",
            f"{COMMANDS}::test_a_download_that_fails_or_loses_the_race_leaves_what_was_there",
            f"{COMMANDS}::test_a_name_that_means_something_to_the_system_is_not_written_unasked",
        ),
    ),
    Claim(
        "P15-crash",
        "After kill -9 during uploads every file has its bytes, acknowledged ones are there, and garbage is collected.",
        (
            f"{UPLOADS}::test_a_kill_during_uploads_leaves_no_file_without_bytes_and_no_bytes_without_file",
            "tests/faults/test_upload_kills.py::test_a_kill_at_some_durable_calls_leaves_every_file_whole",
            "tests/faults/test_upload_kills.py::test_a_kill_at_every_durable_call_leaves_every_file_whole",
        ),
    ),
    Claim(
        "P15-home",
        "Two databases given one directory of files do not collect each other's: the second refuses files and says what to set.",
        (HOME, "tests/features/files/test_home.py::test_one_hub_may_start_again_and_move_to_an_empty_directory"),
        Mutant("hub/kernel/files/home.py", 'found.startswith(f"{own}-")', "True", HOME),
    ),
    Claim(
        "P15-memory",
        "Uploads and downloads pass by in pieces: neither many small nor a few large files stay in memory.",
        (
            f"{UPLOADS}::test_many_small_uploads_keep_memory_flat",
            f"{UPLOADS}::test_a_gibibyte_of_small_uploads_keeps_memory_flat",
            f"{UPLOADS}::test_large_files_going_both_ways_stay_out_of_memory",
        ),
    ),
    Claim(
        "P15-local",
        "By path an agent shares only ordinary files below declared folders; no link is followed on the way.",
        (
            f"{LOCAL}::test_everything_else_is_refused_with_the_reason",
            SWAPPED,
            f"{LOCAL}::test_an_agent_shares_a_file_of_its_project_by_path",
        ),
        Mutant("mcp_bridge/local_files.py", "_OPEN | os.O_DIRECTORY | _NO_FOLLOW", "_OPEN | os.O_DIRECTORY", SWAPPED),
    ),
    Claim(
        "P15-runs",
        "A run sees the files of its room that it names, read-only, and what it leaves becomes versions of the room's files.",
        (
            READS,
            f"{EXCHANGE}::test_what_cannot_be_kept_is_said_and_leaves_nothing",
            f"{EXCHANGE}::test_a_run_sees_only_files_of_its_own_room_that_are_still_there",
            "tests/acceptance/test_csv_to_plot.py::test_one_shares_a_table_the_other_plots_it_and_the_plot_opens",
        ),
        Mutant("hub/features/runs/exchange.py", "blob=blob, actor=requester", "blob=blob", READS),
    ),
    Claim(
        "P15-pictures",
        "Small pictures are drawn anew by a child with little memory and time; bombs and broken images are refused.",
        (
            f"{PICTURES}::test_an_image_has_a_small_picture_drawn_anew",
            BOMBS,
            f"{PICTURES}::test_the_drawing_child_has_no_memory_to_waste_and_writes_no_file",
            f"{PICTURES}::test_a_stranger_sees_no_small_picture",
        ),
        Mutant("hub/features/files/draw.py", "if image.width * image.height > MOST_PIXELS:", "if False:", BOMBS),
    ),
    Claim(
        "P15-page",
        "On the live page a dropped file is shared, shown with a small picture, and saved again; its name stays text.",
        ("tests/dashboard/test_page.py::test_a_dropped_file_is_shared_shown_small_and_saved_again",),
    ),
    Claim(
        "P15-backup",
        "A backup holds the files of its rooms; restoring it, and undoing that, brings them back.",
        (RESTORED, "tests/storage/test_maintenance.py::test_a_backup_without_files_leaves_those_that_are_there"),
        Mutant("hub/storage/maintenance.py", "    back_up_files(target, blobs or home / BLOBS)\n", "", RESTORED),
    ),
]
