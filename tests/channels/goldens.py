"""Golden files: a payload in, events out; a command in, calls out. One folder per channel, one file pair per case.

`tests/channels/<channel>/inbound/<case>.json` is a provider payload (`.txt` for bytes that are no JSON,
`.eml` for a mail), `<case>.events.json` what comes of it, `<case>.settings.json` the settings of its account where it
has any of its own, else `default.settings.json`; `outbound/<case>.json` is a command, `<case>.calls.json` its provider
calls or its refusal. `GOLDENS=update` in the environment writes the expectations anew: read the difference before you
commit it.
"""

from __future__ import annotations

import importlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shared.channel import Channel, RecognisesSecrets
from shared.runtime.tools import offline
from shared.runtime.tools.payloads import payloads_of

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
RECEIVED_AT = datetime(2026, 11, 22, 10, 0, 0, 412000, tzinfo=UTC)
_BESIDE = (".events.json", ".calls.json", ".settings.json")
UPDATE = os.environ.get("GOLDENS") == "update"


def channel_names() -> list[str]:
    """Every folder of `services/` that is a channel."""
    return sorted(p.parent.name for p in (ROOT / "services").glob("*/capabilities.py"))


def channel(name: str) -> Channel:
    """The channel as a service builds it, with its default settings."""
    built: Channel = importlib.import_module(f"services.{name}.channel").build()
    return built


def secrets(name: str) -> Sequence[re.Pattern[str]]:
    """What the channel says that its secrets look like."""
    built = channel(name)
    return built.secrets if isinstance(built, RecognisesSecrets) else ()


def cases(name: str, direction: str) -> Iterator[Path]:
    folder = HERE / name / direction
    for path in sorted(folder.glob("*")):
        if path.suffix in (".json", ".txt", ".eml") and not path.name.endswith(_BESIDE):
            yield path


def events_of(name: str, path: Path) -> list[dict[str, Any]]:
    """What the command line prints for an inbound case, with a fixed time of receipt."""
    given = path.with_name(path.stem + ".settings.json")
    given = given if given.exists() else path.with_name("default.settings.json")
    settings = json.loads(given.read_bytes()) if given.exists() else None
    built = channel(name)
    return [
        entry
        for payload in payloads_of(built, path.name, path.read_bytes())
        for entry in offline.normalise(
            built, payload, account_id=f"{name}_1", settings=settings, received_at=RECEIVED_AT
        )
    ]


def calls_of(name: str, path: Path) -> list[dict[str, Any]]:
    """What the command line prints for an outbound case."""
    return offline.plan(channel(name), json.loads(path.read_bytes()))


def expected(path: Path, suffix: str, actual: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The golden of a case; written first when updating."""
    golden = path.with_name(path.stem + suffix)
    if UPDATE:
        golden.write_text(json.dumps(actual, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    loaded: list[dict[str, Any]] = json.loads(golden.read_text())
    return loaded


def as_json(value: Any) -> Any:
    """The value after a trip through JSON, so that tuples and enums compare as they are published."""
    return json.loads(json.dumps(value, default=str))
