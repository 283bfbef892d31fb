"""Headless Chromium, the system's own, for tests and screenshots."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import BrowserContext, ViewportSize, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DESKTOP: ViewportSize = {"width": 1500, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 800}
_FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@contextmanager
def browsing(home: Path) -> Iterator[BrowserContext]:
    """A browser that keeps everything of its own in `home`. Meanwhile the process can run no event loop."""
    # Besides its profile it keeps a configuration and a cache in the home directory.
    own = {"HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"), "XDG_CACHE_HOME": str(home / ".cache")}
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            home / "profile", executable_path=CHROMIUM, args=_FLAGS, env={**os.environ, **own}, viewport=DESKTOP
        )
        yield context
        context.close()
