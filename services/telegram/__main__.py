"""The Telegram service: `python -m services.telegram`."""

from __future__ import annotations

from services.telegram.channel import build
from services.telegram.settings import Settings
from shared.runtime.process.main import run

if __name__ == "__main__":
    raise SystemExit(run(build, Settings))
