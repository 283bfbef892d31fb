"""Runs the email service."""

from __future__ import annotations

from services.email.channel import build
from services.email.settings import Settings
from shared.runtime.process.main import run

if __name__ == "__main__":
    raise SystemExit(run(build, Settings))
