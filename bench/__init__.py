"""Benchmarks: each figure of ours beside a bare yardstick that was measured in the same run."""
