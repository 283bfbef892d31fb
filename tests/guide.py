"""Puts the sources of `docs/examples/` into `docs/build-an-inbox.md`, which shows them. `make docs` runs it."""

from __future__ import annotations

import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[1] / "docs" / "build-an-inbox.md"
_SHOWN = re.compile(r"(?P<head>\[(?P<file>examples/[^\]]+)\]\((?P=file)\)[^\n]*\n\n```\w+\n).*?(?=^```$)", re.S | re.M)


def shown() -> set[str]:
    """The files that the document shows, by their paths from `docs/`."""
    return {found["file"] for found in _SHOWN.finditer(DOCUMENT.read_text())}


def document() -> str:
    """The whole document, with the sources as they are now."""
    return _SHOWN.sub(lambda found: found["head"] + (DOCUMENT.parent / found["file"]).read_text(), DOCUMENT.read_text())


if __name__ == "__main__":
    DOCUMENT.write_text(document())
