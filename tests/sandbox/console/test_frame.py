"""What holds for the whole page: accessible in every state, usable on a phone, readable when something is wrong."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped] # has no types
from playwright.sync_api import BrowserContext, Page, expect

from tests.sandbox.console.browser import DESKTOP, PHONE
from tests.sandbox.console.running import Sandbox
from tests.sandbox.console.scene import Scene

pytestmark = pytest.mark.browser
# A mail's html stands in a frame without any permission: axe cannot get in, and what is in there is not ours.
RULES = {"resultTypes": ["violations"], "iframes": False}


def violations(page: Page, within: str) -> list[tuple[str, list[Any]]]:
    """What axe finds in a part of the page (CSS) as it stands: rules, and the elements that break them."""
    found = Axe().run(page, context=within, options=RULES).response["violations"]
    return [(one["id"], [(node["html"], node["failureSummary"]) for node in one["nodes"]]) for one in found]


def in_both_themes(page: Page, within: str = "body") -> None:
    """No violation in light nor in dark."""
    themes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for theme in themes:
        page.emulate_media(color_scheme=theme)
        assert violations(page, within) == [], theme


def full(page: Page) -> Scene:
    """A conversation that shows most of what there is."""
    scene = Scene(page, "Olga Ahlström", "WhatsApp")
    scene.only_this_conversation()  # axe looks at every row
    scene.begin("Look at https://shop.example/jackets")
    page.get_by_role("button", name="Location, sticker and more").click()
    page.get_by_role("button", name="Voice message").click()
    scene.stage("Refuse the next message")
    scene.agent.write("Not this one")
    expect(scene.agent.message("Not this one").get_by_role("button", name="Send again")).to_be_visible()
    page.get_by_role("button", name="Add buttons").click()
    page.get_by_label("Buttons: titles").fill("Yes | No")
    scene.agent.write("Shall we?")
    expect(scene.customer.message("Shall we?")).to_be_visible()
    scene.customer.do(scene.customer.message("Shall we?"), "React")
    scene.customer.message("Shall we?").get_by_role("button", name="React with 👍").click()
    expect(scene.agent.message("Shall we?").locator(".reaction")).to_be_visible()
    scene.agent.do(scene.agent.message("Shall we?"), "The way it went")
    page.get_by_role("list", name="Steps").get_by_role("listitem").first.get_by_role("button").first.click()
    return scene


@pytest.fixture(scope="module")
def set_up(shared_tab: tuple[Page, list[str]]) -> Scene:
    return full(shared_tab[0])


def test_every_tool_is_accessible_beside_a_full_conversation(tab: Page, set_up: Scene) -> None:
    tab.set_viewport_size(DESKTOP)
    for tool in ("Message", "Command", "Scenarios"):
        set_up.tool(tool)
        in_both_themes(tab, "#tools")
    set_up.tool("Records").locator(".record button").last.click()
    in_both_themes(tab)


def test_dialogs_and_an_empty_conversation_are_accessible(tab: Page, set_up: Scene) -> None:
    set_up.agent.root.get_by_role("button", name="Template").click()
    in_both_themes(tab, "dialog")
    tab.get_by_role("button", name="order_shipped").click()
    in_both_themes(tab, "dialog")
    tab.keyboard.press("Escape")
    expect(tab.get_by_role("dialog")).to_have_count(0)
    Scene(tab, "Nobody Yet", "TikTok")
    in_both_themes(tab, ".layout")


def test_a_phone_shows_one_view_at_a_time(tab: Page, set_up: Scene) -> None:
    tab.set_viewport_size(PHONE)
    views = tab.get_by_role("navigation", name="Views")
    regions = {
        "People": tab.get_by_role("navigation", name="Conversations"),
        "Customer": set_up.customer.root,
        "Agent": set_up.agent.root,
        "Tools": tab.get_by_role("region", name="Tools"),
    }
    views.get_by_role("button", name="People").click()
    tab.get_by_role("button", name="Olga Ahlström").click()
    expect(regions["Customer"]).to_be_visible()  # who was picked is who one plays
    for name, region in regions.items():
        views.get_by_role("button", name=name).click()
        for other in regions.values():
            expect(other).to_be_visible(visible=other is region)
        assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        in_both_themes(tab, "main")
    tab.set_viewport_size(DESKTOP)


def test_long_names_push_nothing_aside(tab: Page) -> None:
    name = "Wolfeschlegelsteinhausenbergerdorff" * 3
    scene = Scene(tab, name)
    scene.begin("x" * 400)
    for size in (PHONE, DESKTOP):
        tab.set_viewport_size(size)
        assert tab.evaluate("document.documentElement.scrollWidth") <= size["width"]
    sideways = "e => e.scrollWidth > e.clientWidth"
    assert not scene.agent.root.get_by_role("log").evaluate(sideways)
    assert not tab.get_by_role("navigation", name="Conversations").evaluate(sideways)


def test_a_console_that_cannot_start_says_why(browser: BrowserContext, sandbox: Sandbox) -> None:
    page = browser.new_page()
    page.route("**/api/world", lambda route: route.abort())
    page.goto(sandbox.url)
    expect(page.locator("main").get_by_role("alert")).to_contain_text(
        "The sandbox does not answer. Is it still running?"
    )
    in_both_themes(page)
    page.unroute("**/api/world")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    page.close()
