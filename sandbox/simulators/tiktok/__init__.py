"""Simulates TikTok Business Messaging: its HTTP API, its signed webhooks, and the people using it.

In a test: `sim = TikTokSimulator(); await sim.start(); tokens = sim.add_account("-0aAcme", "acme")`, then
`await sim.people.writes("-0aAcme", "lena")`. As a process: `python -m sandbox.simulators.tiktok --port 8083`.
"""

from .options import Options
from .server import TikTokSimulator

__all__ = ["Options", "TikTokSimulator"]
