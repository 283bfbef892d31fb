"""Fixtures: one running sandbox per session, and a page of its console in headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.sandbox.console.browser import CHROMIUM, browsing
from tests.sandbox.console.running import Sandbox
from tests.sandbox.console.scene import Scene

PATIENCE_MS = 15_000
expect.set_options(timeout=PATIENCE_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without Chromium the tests that need it are left out."""
    here = str(Path(__file__).parent)
    for item in items:
        if str(item.path).startswith(here) and item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skipif(CHROMIUM is None, reason="no Chromium"))


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    running = Sandbox(directory=tmp_path_factory.mktemp("sandbox"))
    try:
        running.wait_ready()
        yield running
        assert running.end() == 0, running.output
    finally:
        if running.process.poll() is None:
            running.process.kill()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """Of one module only: while it is open, no test of this process can run an event loop."""
    with browsing(tmp_path_factory.mktemp("home")) as context:
        context.set_default_timeout(PATIENCE_MS)
        yield context


def opened(sandbox: Sandbox, browser: BrowserContext, problems: list[str]) -> Page:
    """The console in a tab of its own; script errors and refused resources are added to `problems`."""
    page = browser.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.goto(sandbox.url)
    page.get_by_text("live", exact=True).wait_for()
    return page


@pytest.fixture
def page(sandbox: Sandbox, browser: BrowserContext) -> Iterator[Page]:
    """The console, just opened; a script error or a refused resource on the page fails the test."""
    problems: list[str] = []
    page = opened(sandbox, browser, problems)
    yield page
    page.close()
    assert problems == []


@pytest.fixture(scope="module")
def shared_tab(sandbox: Sandbox, browser: BrowserContext) -> tuple[Page, list[str]]:
    problems: list[str] = []
    return opened(sandbox, browser, problems), problems


@pytest.fixture
def tab(shared_tab: tuple[Page, list[str]]) -> Iterator[Page]:
    """The console in a tab that the module's tests share: for those that leave its filters, size and theme alone."""
    page, problems = shared_tab
    yield page
    found = problems.copy()
    problems.clear()
    assert found == []


@pytest.fixture
def scene(tab: Page, request: pytest.FixtureRequest) -> Scene:
    """A customer on Telegram who is called as the test is."""
    return Scene(tab, request.node.name.removeprefix("test_").replace("_", " ").title())
