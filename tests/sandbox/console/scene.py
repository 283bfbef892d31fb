"""The console as a person uses it: its two sides, its tools, and a conversation of one's own."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Locator, Page


class Side:
    """Customer or agent, as a person uses them."""

    def __init__(self, page: Page, name: str) -> None:
        self._page = page
        self._name = name
        self.root = page.get_by_role("region", name=name, exact=True)
        self.input = page.get_by_role("textbox", name=f"{name}: message")

    def message(self, text: str | re.Pattern[str]) -> Locator:
        """The last message with this text."""
        return self.root.locator("li.message").filter(has_text=text).last

    def write(self, text: str, *files: Path) -> None:
        if files:
            self._page.get_by_label(f"{self._name}: files").set_input_files(list(files))
        self.input.fill(text)
        self.input.press("Enter")

    def do(self, message: Locator, action: str) -> None:
        """Use a message's toolbar."""
        message.hover()
        message.get_by_role("toolbar").get_by_role("button", name=action, exact=True).click()


class Scene:
    """A new customer's conversation, so that no test sees what another one said."""

    def __init__(self, page: Page, name: str, channel: str = "Telegram") -> None:
        self.page = page
        page.get_by_role("button", name=f"Add a customer to {channel}").click()
        page.get_by_role("textbox", name="Name").fill(name)
        page.keyboard.press("Enter")
        self.customer, self.agent = Side(page, "Customer"), Side(page, "Agent")
        for side in (self.customer, self.agent):
            side.root.get_by_role("heading", name=name).wait_for()
        self.customer.root.get_by_text(f"in {channel} ·").wait_for()  # who was there before may have the same name

    def begin(self, text: str = "Hello") -> None:
        """The customer writes first, and the agent sees it."""
        self.customer.write(text)
        self.agent.message(text).wait_for()

    def record(self, topic: str, kind: str) -> Locator:
        """Rows of the record list."""
        row = self.page.locator(".record").filter(has=self.page.locator(f".topic.{topic}"))
        return row.filter(has_text=kind)

    def only_this_conversation(self) -> None:
        self.page.get_by_label("only this conversation").check()

    def tool(self, name: str) -> Locator:
        """Open a tool of the right column; its panel."""
        self.page.get_by_role("tab", name=name, exact=True).click()
        return self.page.get_by_role("tabpanel", name=name, exact=True)

    def stage(self, scenario: str) -> None:
        """Let something happen at the provider."""
        self.tool("Scenarios").get_by_role("button", name=scenario, exact=True).click()
