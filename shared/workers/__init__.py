"""A bounded pool of worker processes, for work that is slow or reads what strangers wrote."""

from __future__ import annotations

from shared.workers.pool import Busy, JobFailed, TooSlow, WorkerDied, Workers, WorkerTrouble

__all__ = ["Busy", "JobFailed", "TooSlow", "WorkerDied", "WorkerTrouble", "Workers"]
