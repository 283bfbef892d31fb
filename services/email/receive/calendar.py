"""Calendar invitations (RFC 5545) as people read them; the file goes with the mail."""

from __future__ import annotations

import re
from datetime import datetime

_FOLD = re.compile(r"\n[ \t]")
_LINE = re.compile(r"([A-Z-]{1,40})((?:;[^:;\"]{0,200}(?:\"[^\"]{0,200}\")?){0,10}):(.*)")
_ESCAPE = re.compile(r"\\([\\;,nN])")
_ZONE = re.compile(r"TZID=\"?([^;:\"]{1,80})", re.I)
_METHODS = {"REQUEST": "Invitation", "CANCEL": "Cancelled", "REPLY": "Answer to an invitation", "COUNTER": "Proposal"}
_LONGEST = 64 * 1024  # characters that are looked at
_LONGEST_VALUE = 2000
_SHOWN = ("SUMMARY", "DTSTART", "DTEND", "LOCATION", "ORGANIZER", "DESCRIPTION")


def summary(text: str) -> str:
    """The first event of a calendar in a few lines."""
    facts: dict[str, str] = {}
    inside = ""
    for line in _FOLD.sub("", text[:_LONGEST]).split("\n")[:2000]:
        found = _LINE.match(line.strip())
        if found is None:
            continue
        name, parameters, value = found[1], found[2], found[3].strip()
        if name == "BEGIN":
            inside = value
        elif name == "METHOD":
            facts.setdefault(name, value.upper())
        elif inside in ("VEVENT", "VTODO") and name in _SHOWN:
            facts.setdefault(name, _shown(name, parameters, value))
        if name == "END" and value in ("VEVENT", "VTODO"):
            break
    title = f"{_METHODS.get(facts.get('METHOD', ''), 'Event')}: {facts.get('SUMMARY', '')}".rstrip(": ")
    when = " – ".join(facts[name] for name in ("DTSTART", "DTEND") if facts.get(name))
    lines = [title, when, facts.get("LOCATION", ""), facts.get("ORGANIZER", ""), facts.get("DESCRIPTION", "")]
    return "\n".join(line for line in lines if line)


def _shown(name: str, parameters: str, value: str) -> str:
    if name == "ORGANIZER":
        common = re.search(r"CN=\"?([^;:\"]{1,200})", parameters, re.I)
        return common[1] if common else re.sub(r"^mailto:", "", value, flags=re.I)[:_LONGEST_VALUE]
    if name in ("DTSTART", "DTEND"):
        zone = _ZONE.search(parameters)
        return _moment(value) + (f" {zone[1]}" if zone else " UTC" if value.endswith("Z") else "")
    return _ESCAPE.sub(lambda e: "\n" if e[1] in "nN" else e[1], value[:_LONGEST_VALUE])


def _moment(value: str) -> str:
    for form, shown in (("%Y%m%dT%H%M%S", "%Y-%m-%d %H:%M"), ("%Y%m%d", "%Y-%m-%d")):
        try:
            return datetime.strptime(value.rstrip("Z"), form).strftime(shown)
        except ValueError:
            continue
    return value[:40]
