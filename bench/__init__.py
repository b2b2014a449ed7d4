"""Benchmarks: ratios against references measured in the same run. `make bench` runs them all."""
