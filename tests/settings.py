"""Writes `docs/settings.md`: every setting of every service. `make docs` runs it, a test keeps it fresh."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

from pydantic_settings import BaseSettings

from shared.runtime.settings import COMMON
from shared.runtime.tools.settings import Group, settings_of

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "settings.md"
_HEAD = """# Settings

Written by `make docs` from the classes of settings; do not edit it by hand. Each is an environment variable. A list or
an object is JSON. `python -m services.<channel> settings` prints the same; a value that cannot be used is said by the
name of its variable (`setting_invalid` in the log), before anything starts, and the service ends with status 2.
"""


def channels() -> Iterator[tuple[str, Group]]:
    """Each channel's own group of settings."""
    for path in sorted((ROOT / "services").glob("*/settings.py")):
        found = importlib.import_module(f"services.{path.parent.name}.settings").Settings
        assert issubclass(found, BaseSettings)
        yield path.parent.name, found


def _table(*groups: Group) -> str:
    rows = ["| variable | takes | default | meaning |", "|---|---|---|---|"]
    for setting in settings_of(groups):
        default = f"`{setting.default}`" if setting.default else ""
        rows.append(f"| `{setting.variable}` | {setting.takes} | {default} | {setting.meaning} |")
    return "\n".join(rows)


def document() -> str:
    sections = [_HEAD, "## Of every service\n", _table(*COMMON)]
    for name, group in channels():
        sections += [f"\n## Of {name}\n", _table(group)]
    return "\n".join(sections) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
