"""Runs the TikTok service."""

from __future__ import annotations

from services.tiktok.channel import build
from services.tiktok.settings import Settings
from shared.runtime.process.main import run

if __name__ == "__main__":
    raise SystemExit(run(build, Settings))
