"""Counters and latencies of operations, for /metrics and for percentiles in /v1/admin/stats."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.metrics_core import HistogramMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

_BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
_LABELS: Final = [*(str(float(bound)) for bound in _BOUNDS), "+Inf"]
_SAMPLES: Final = 2048
_PENDING: Final = 4096


class _Samples(Collector):
    """Latencies and sizes as Prometheus shows them. An observation here costs a fifth of the library's own."""

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = defaultdict(lambda: [0] * (len(_BOUNDS) + 1))
        self._seconds: dict[str, float] = defaultdict(float)
        self._answers = 0
        self._answer_bytes = 0

    def took(self, operation: str, samples: Sequence[float]) -> None:
        counts = self._counts[operation]
        for seconds in samples:
            counts[bisect_left(_BOUNDS, seconds)] += 1
        self._seconds[operation] += sum(samples)

    def sized(self, sizes: Sequence[int]) -> None:
        self._answers += len(sizes)
        self._answer_bytes += sum(sizes)

    def collect(self) -> Iterable[Metric]:
        took = HistogramMetricFamily("bridge_operation_seconds", "Time to answer.", labels=["operation"])
        for operation, counts in self._counts.items():
            buckets = list(zip(_LABELS, map(float, accumulate(counts)), strict=True))
            took.add_metric([operation], buckets, self._seconds[operation])
        yield took
        yield SummaryMetricFamily("bridge_response_bytes", "Size of answers.", self._answers, self._answer_bytes)


class Measures:
    """What one hub process counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._operations = Counter(
            "bridge_operations", "Operations answered.", ["operation", "outcome"], registry=self.registry
        )
        self._samples = _Samples()
        self.registry.register(self._samples)
        self.sockets = Gauge("bridge_connections", "Open connections.", ["kind"], registry=self.registry)
        self._recent: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_SAMPLES))
        self._pending: list[tuple[str, float]] = []
        self._answer_sizes: list[int] = []

    def done(self, operation: str, seconds: float) -> None:
        """An operation was answered. Cheap: samples are worked into the metrics when somebody looks."""
        self._pending.append((operation, seconds))
        if len(self._pending) > _PENDING:
            self.settle()

    def settle(self) -> None:
        """Work pending samples into counters and histograms."""
        pending, self._pending = self._pending, []
        sizes, self._answer_sizes = self._answer_sizes, []
        self._samples.sized(sizes)
        by_operation: dict[str, list[float]] = defaultdict(list)
        for operation, seconds in pending:
            by_operation[operation].append(seconds)
        for operation, samples in by_operation.items():
            self._operations.labels(operation, "ok").inc(len(samples))
            self._samples.took(operation, samples)
            self._recent[operation].extend(samples[-_SAMPLES:])

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        self.settle()
        return generate_latest(self.registry)

    def failed(self, operation: str, code: str) -> None:
        self._operations.labels(operation, code).inc()

    def answered(self, size_bytes: int) -> None:
        self._answer_sizes.append(size_bytes)

    def percentiles(self) -> dict[str, dict[str, float]]:
        """P50, P90, P95, P99 in milliseconds over the last 2,048 calls of each operation."""
        self.settle()
        made = {}
        for operation, samples in self._recent.items():
            ordered = sorted(samples)
            if ordered:
                made[operation] = {
                    f"p{q}_ms": round(ordered[min(len(ordered) - 1, len(ordered) * q // 100)] * 1000, 3)
                    for q in (50, 90, 95, 99)
                } | {"count": len(ordered)}
        return made
