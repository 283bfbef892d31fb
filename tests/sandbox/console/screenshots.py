"""Takes the screenshots of the console that README and docs show, into `docs/images/`: `make screenshots`.

It starts a sandbox of its own; with an address (`ARGS=http://127.0.0.1:8000`) it uses the console that runs there.
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from tests.sandbox.console.browser import DESKTOP, PHONE, browsing
from tests.sandbox.console.running import ROOT, Sandbox
from tests.sandbox.console.scene import Scene

IMAGES = ROOT / "docs" / "images"
MOST_BYTES = 150_000
PATIENCE_MS = 60_000


@contextmanager
def _console() -> Iterator[str]:
    """Where a console is."""
    if len(sys.argv) > 1:
        yield sys.argv[1]
        return
    with tempfile.TemporaryDirectory() as directory:
        running = Sandbox(directory=Path(directory))
        try:
            running.wait_ready()
            yield running.url
        finally:
            running.end()


def _take(page: Page, name: str) -> None:
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")  # a message shows its toolbar to a pointer, and to the keyboard
    page.wait_for_timeout(300)  # for what fades
    path = IMAGES / f"{name}.webp"
    Image.open(io.BytesIO(page.screenshot())).save(path, quality=80, method=6)
    size = path.stat().st_size
    print(f"{path.relative_to(ROOT)}  {size // 1000} KB")
    if size > MOST_BYTES:
        raise SystemExit(f"{path.name} is larger than {MOST_BYTES // 1000} KB")


def _conversation(page: Page) -> Scene:
    scene = Scene(page, "Astrid Nyman", "WhatsApp")
    scene.begin("Hello! Is the blue jacket still there? https://shop.example/jackets/17")
    page.get_by_role("button", name="Add buttons").click()
    page.get_by_label("Buttons: titles").fill("Yes, please | No")
    scene.agent.write("Two of them. Shall we keep one for you?")
    scene.customer.root.get_by_role("button", name="Yes, please").click()
    scene.agent.message("Yes, please").wait_for()
    page.get_by_role("button", name="Location, sticker and more").click()
    page.get_by_role("button", name="Location", exact=True).click()
    page.get_by_role("button", name="Send", exact=True).click()
    scene.agent.message("Town hall").wait_for()
    page.get_by_role("button", name="Read everything").click()
    answer = scene.agent.root.locator("li.message.right").last
    answer.locator(".state", has_text="read").wait_for()
    scene.agent.do(answer, "The way it went")
    page.get_by_role("list", name="Steps").locator(".call").wait_for()
    return scene


def _closed_window(page: Page) -> None:
    scene = Scene(page, "Emil Dahl", "WhatsApp")
    scene.begin("When does it come?")
    scene.stage("Close the window")
    scene.agent.write("Tomorrow, between ten and twelve.")
    scene.agent.root.locator(".reason", has_text=re.compile("window is closed")).wait_for()


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with _console() as url, tempfile.TemporaryDirectory() as home, browsing(Path(home)) as browser:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.emulate_media(color_scheme="light")
        page.goto(url)
        page.get_by_text("live", exact=True).wait_for()
        _conversation(page)
        _take(page, "console")
        page.set_viewport_size(PHONE)
        page.get_by_role("navigation", name="Views").get_by_role("button", name="Agent").click()
        _take(page, "console-phone")
        page.set_viewport_size(DESKTOP)
        page.emulate_media(color_scheme="dark")
        _closed_window(page)
        _take(page, "console-scenarios")


if __name__ == "__main__":
    main()
