"""The parts every other part of the simulator shares, in one object."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

import orjson

from sandbox.simulators.common import Clock
from sandbox.simulators.feed import Feed
from sandbox.simulators.whatsapp.behaviour import Behaviour, GraphFaults
from sandbox.simulators.whatsapp.errors import Json
from sandbox.simulators.whatsapp.media import MediaStore
from sandbox.simulators.whatsapp.spec import RequestSpec, Violation
from sandbox.simulators.whatsapp.templates import Templates
from sandbox.simulators.whatsapp.webhooks import Webhooks
from sandbox.simulators.whatsapp.world import World

VIOLATIONS_MAX = 1_000
CALLS_MAX = 10_000
BODY_KEPT = 4_096


@dataclass(slots=True)
class Call:
    """One Graph request and how it was answered; `status` 0 when no answer went out."""

    at: float
    name: str
    method: str
    path: str
    status: int
    code: int | None
    body: bytes

    def view(self) -> Json:
        """As the control interface shows it: `arguments` are the body's, as text where it is no JSON or was cut."""
        return {
            "at": self.at, "call": self.name, "arguments": self._arguments(), "status": self.status,
            "code": self.code, "method": self.method, "path": self.path,
        }  # fmt: skip

    def _arguments(self) -> object:
        try:
            return orjson.loads(self.body) if self.body else {}
        except orjson.JSONDecodeError:
            return self.body.decode(errors="replace")


@dataclass(slots=True)
class Core:
    """Clock, behaviour, faults, world, stores, webhooks, change feed, and the bounded records of what was asked."""

    clock: Clock
    behaviour: Behaviour
    faults: GraphFaults
    world: World
    templates: Templates
    media: MediaStore
    webhooks: Webhooks
    feed: Feed
    random: random.Random
    spec: RequestSpec
    base_url: str = ""
    calls: deque[Call] = field(default_factory=lambda: deque(maxlen=CALLS_MAX))
    violations: deque[Violation] = field(default_factory=lambda: deque(maxlen=VIOLATIONS_MAX))

    def happens(self, share: float) -> bool:
        """Whether something that happens to `share` of the cases happens now."""
        return share > 0 and self.random.random() < share
