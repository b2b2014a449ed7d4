"""The queue benchmark works with every peer. How fast is no matter here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import uvloop

from bench.__main__ import GATES, page
from bench.queues import Missing, hub_next, hub_pairs, nats_binary, nats_pairs, nats_version, redis_pairs
from bench.scenarios import ALL, Hub
from bench.servers import hub


@pytest.mark.parametrize(
    "peer",
    [redis_pairs, partial(redis_pairs, count=10), partial(redis_pairs, together=True), nats_pairs],
)
def test_a_peer_hands_its_backlog_to_the_workers(peer: Callable[[float, int], float]) -> None:
    assert peer(0.2, 200) > 0


def test_a_nats_server_that_syncs_each_write_hands_its_backlog_to_the_workers() -> None:
    if nats_version(nats_binary(durable=False)) < (2, 10):
        with pytest.raises(Missing, match=r"2\.10"):
            nats_pairs(0.2, 200, durable=True)
    else:
        assert nats_pairs(0.2, 200, durable=True) > 0


@pytest.mark.parametrize("workers", [hub_pairs, partial(hub_pairs, count=10), hub_next])
def test_the_hub_hands_its_backlog_to_the_workers(workers: Hub) -> None:
    with hub() as subject:
        assert uvloop.run(workers(subject, 0.3, 200)) > 0


def test_measuring_some_rows_keeps_the_others_on_the_page() -> None:
    def result(name: str, figure: float) -> dict[str, object]:
        return {
            "scenario": name,
            "unit": "x/s",
            "subject": figure,
            "reference": 1,
            "ratio": figure,
            "ratio_min": 0,
            "ratio_max": 9,
            "detail": "",
        }

    first = page({"date": "1"}, [result("send-http-16", 5), result("claim-ack-redis", 6)])
    again = page({"date": "2"}, [result("claim-ack-redis", 7)], first)
    rows = [line.split("|")[2].strip() for line in again.splitlines() if line.startswith("| ") and "x/s" in line]
    assert rows == ["5 x/s", "7 x/s"]
    assert "Last run: date 1." in again
    assert "Last run of claim-ack-redis: date 2." in again
    third = page({"date": "2"}, [result("send-http-64", 8)], again)
    assert "Last run of claim-ack-redis, send-http-64: date 2." in third, "those of the same day and machine together"
    fourth = page({"date": "3"}, [result("claim-ack-redis", 9)], third)
    assert "Last run of send-http-64: date 2." in fourth
    assert fourth.count("Last run of claim-ack-redis") == 1


def test_every_scenario_has_its_row() -> None:
    assert set(ALL) == set(GATES)
