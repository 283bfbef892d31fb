"""The one version number: of the changelog, the published documents, the packages and `--version`."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

_PROJECT = Path(__file__).parents[2] / "pyproject.toml"


@cache
def version() -> str:
    """`project.version` of pyproject.toml: `0.1.0`."""
    found: str = tomllib.loads(_PROJECT.read_text())["project"]["version"]
    return found
