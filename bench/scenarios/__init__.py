"""The scenarios: each module measures one thing, `run(options)` gives its results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.channels import NAMES
from bench.stage import Stage


@dataclass(frozen=True, slots=True)
class Options:
    """How to measure. `quick` shows that everything works, in seconds; its figures say little."""

    quick: bool = False
    real_kafka: bool = False
    profiles: Path | None = None
    channels: tuple[str, ...] = NAMES

    @property
    def rounds(self) -> int:
        return 1 if self.quick else 3

    def size(self, full: int) -> int:
        """A number of records, a tenth of it when quick."""
        return full // 10 if self.quick else full

    def stage(self) -> Stage:
        return Stage(real_kafka=self.real_kafka, profiles=self.profiles)
