"""The WhatsApp service: `python -m services.whatsapp`."""

from __future__ import annotations

from services.whatsapp.channel import build
from services.whatsapp.settings import Settings
from shared.runtime.process.main import run

if __name__ == "__main__":
    raise SystemExit(run(build, Settings))
