"""Reports of mail systems: what became of a mail of ours, by RFC 3464, or by what the text of a bounce says."""

from __future__ import annotations

from services.email.receive.mime import Structure
from services.email.receive.parsed import Automatic, Report


def reports_of(structure: Structure, text: str) -> tuple[Automatic | None, tuple[Report, ...]]:
    return None, ()
