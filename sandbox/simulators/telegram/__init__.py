"""A Telegram that runs here: the Bot API over HTTP, and the people who write to the bots."""

from __future__ import annotations

from sandbox.simulators.telegram.simulator import TelegramSimulator
from sandbox.simulators.telegram.world import Limits

__all__ = ["Limits", "TelegramSimulator"]
