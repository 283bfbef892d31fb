"""The WhatsApp service: `python -m services.whatsapp`."""

from __future__ import annotations

from shared.runtime.main import run

from services.whatsapp.channel import build
from services.whatsapp.settings import Settings

if __name__ == "__main__":
    raise SystemExit(run(build, Settings))
