"""A clock that tests move by hand: the runtime's modules read it instead of the machine's."""

from __future__ import annotations

import datetime as real
import importlib
import pkgutil
import time
from typing import Any

import pytest

import shared.runtime

_START = real.datetime(2026, 11, 22, 10, 0, tzinfo=real.UTC)


class Clock:
    """Wall clock and monotonic clock at once; starts on a Sunday morning."""

    def __init__(self) -> None:
        self.seconds = _START.timestamp()

    @property
    def now(self) -> real.datetime:
        return real.datetime.fromtimestamp(self.seconds, real.UTC)

    @property
    def ms(self) -> int:
        return round(self.seconds * 1000)

    def advance(self, seconds: float) -> None:
        self.seconds += seconds

    def read(self) -> float:
        return self.seconds

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Every module of the runtime that has taken a clock by name reads this one."""
        clock = self

        class Moment(real.datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return clock.now if tz is None else clock.now.astimezone(tz)

        taken = {real.datetime: Moment, time.time: self.read, time.monotonic: self.read}
        for found in pkgutil.walk_packages(shared.runtime.__path__, "shared.runtime."):
            module = importlib.import_module(found.name)
            for name in ("datetime", "time", "monotonic"):
                given = getattr(module, name, None)
                if given in (real.datetime, time.time, time.monotonic):
                    patch.setattr(module, name, taken[given])
