"""What is known against the packages of the lock, by OSV's advisories: `make check` runs it.

Where the advisories cannot be reached, it goes by what was found when they last could, says how old that is, and which
packages have changed since. With `--online` that is not enough: the workflow that publishes images runs it so.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
KEPT = ROOT / ".cache" / "audit.json"
_FOUND, _FAILED = 1, 2  # exit statuses of `uv audit`
_PREVIEW = "audit-command,json-output"


@dataclass(frozen=True, slots=True)
class Audit:
    """One answer of the advisories: when (ISO 8601, UTC), of which packages (`name==version`), and what is known."""

    at: str
    packages: list[str]
    known: list[list[str]]
    """Of each: the package, the advisory and what it says."""


class NotReached(Exception):
    """The advisories could not be asked; says why."""


def locked() -> list[str]:
    """Packages of the lock that come from an index, as `name==version`; some are there in several versions."""
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    return [f"{one['name']}=={one['version']}" for one in lock["package"] if "registry" in one["source"]]


def ask(service: str | None = None) -> Audit:
    """Ask the advisories, at OSV or at another address. Raises NotReached, CalledProcessError where uv cannot do it."""
    command = [str(ROOT / ".tools" / "bin" / "uv"), "audit", "--frozen"]
    command += ["--output-format", "json", "--preview-features", _PREVIEW]
    command += ["--service-url", service] if service else []
    environment = {**os.environ, "UV_HTTP_RETRIES": "0", "UV_HTTP_TIMEOUT": "10"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode == _FAILED and re.search("error sending request|HTTP status", done.stderr):
        raise NotReached(done.stderr.strip().rpartition("cause: ")[2])
    if done.returncode not in (0, _FOUND):
        raise subprocess.CalledProcessError(done.returncode, command, stderr=done.stderr)
    report = json.loads(done.stdout)
    known = [
        ["{name}=={version}".format(**one["dependency"]), one["id"], one.get("summary") or one.get("link") or ""]
        for one in report["vulnerabilities"]
    ]
    return Audit(datetime.now(UTC).isoformat(timespec="seconds"), locked(), known)


def judge(audit: Audit, packages: list[str], now: datetime) -> tuple[int, list[str]]:
    """The exit status, and what to say of these packages by this audit."""
    wrong = [f"{package}: {advisory} {words}" for package, advisory, words in audit.known if package in packages]
    since = sorted(set(packages) - set(audit.packages))
    days = (now - datetime.fromisoformat(audit.at)).days
    said = [f"audit of {audit.at}, {days} days ago: {len(wrong)} of {len(packages)} packages with a known weakness"]
    said += wrong
    if since:
        said.append(f"not looked up yet: {', '.join(since)}")
    return (1 if wrong else 0), said


def run(*, online: bool = False, service: str | None = None, kept: Path = KEPT) -> tuple[int, list[str]]:
    """Ask, or go by what was kept of the last time; the exit status, and what to say."""
    said = []
    try:
        audit = ask(service)
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(json.dumps(asdict(audit)))
    except NotReached as why:
        said.append(f"audit: advisories are not reached from here ({why})")
        if online:
            return 1, said
        if not kept.exists():
            return 0, [*said, "audit: nor were they before, so nothing is known of the packages"]
        audit = Audit(**json.loads(kept.read_text()))
    status, found = judge(audit, locked(), datetime.now(UTC))
    return status, said + found


def main() -> int:
    """Print what is known; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.audit", description=__doc__)
    parser.add_argument("--online", action="store_true", help="fail where the advisories cannot be reached")
    status, said = run(online=parser.parse_args().online)
    print("\n".join(said))
    return status


if __name__ == "__main__":
    sys.exit(main())
