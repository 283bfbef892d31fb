"""What is staged at the provider, and what the agent's side makes of it; how a message went, and commands by hand."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.sandbox.console.scene import Scene

pytestmark = pytest.mark.browser
GONE_OUT = re.compile("sent|delivered")


def state(message: Locator) -> Locator:
    return message.locator(".state")


# ------------------------------------------------------------------------------------------------------ scenarios


def test_a_closed_window_leaves_templates(tab: Page) -> None:
    scene = Scene(tab, "Vera Lind", "WhatsApp")
    scene.begin()
    standing = scene.agent.root.get_by_role("group", name="What the conversation takes")
    expect(standing).to_contain_text(re.compile(r"Window open for 23:59:\d\d"))
    scene.stage("Close the window")
    expect(scene.tool("Scenarios")).to_contain_text(re.compile(r"Time there is \d+ hours ahead of ours"))
    scene.agent.write("Are you still there?")
    expect(state(scene.agent.message("Are you still there?"))).to_contain_text("failed")
    expect(scene.agent.input).to_be_disabled()
    expect(scene.agent.root.locator(".reason")).to_contain_text("Send a template, or wait for the contact.")
    expect(standing).to_contain_text("Window closed")
    standing.get_by_role("button", name="Template").click()
    expect(tab.get_by_role("button", name="spring_sale")).to_be_disabled()  # Meta has paused it
    tab.get_by_role("button", name="order_shipped").click()
    tab.get_by_label("Parameter 1").fill("Vera")
    tab.get_by_label("Parameter 2").fill("A-17")
    tab.get_by_role("button", name="Send", exact=True).click()
    sent = scene.agent.message("Hello Vera, your order A-17 is on its way.")
    expect(state(sent)).to_contain_text(GONE_OUT)
    expect(scene.customer.message("order_shipped")).to_be_visible()
    scene.customer.write("Here I am")
    expect(scene.agent.input).to_be_enabled()


def test_what_was_refused_is_sent_again(scene: Scene) -> None:
    scene.begin()
    scene.stage("Refuse the next message")
    expect(scene.tool("Scenarios").get_by_role("list", name="Planned")).to_contain_text("error · sendMessage · once")
    scene.agent.write("On its way")
    refused = scene.agent.message("On its way")
    expect(state(refused)).to_contain_text("failed")
    expect(refused.locator(".problem")).not_to_be_empty()
    refused.get_by_role("button", name="Send again").click()
    expect(state(scene.agent.message("On its way"))).to_contain_text(GONE_OUT)
    expect(scene.customer.root.locator("li.message", has_text="On its way")).to_have_count(1)
    expect(scene.tool("Scenarios").get_by_role("list", name="Planned")).to_be_empty()


def test_what_is_throttled_goes_out_later(tab: Page) -> None:
    scene = Scene(tab, "Wim Faber", "WhatsApp")
    scene.begin()
    scene.stage("Throttle the next message")
    scene.agent.write("Patience")
    expect(state(scene.agent.message("Patience"))).to_contain_text(GONE_OUT)
    scene.agent.do(scene.agent.message("Patience"), "The way it went")
    steps = tab.get_by_role("list", name="Steps")
    expect(steps.locator(".call").nth(0)).to_contain_text("send → 4")
    expect(steps.locator(".call").nth(1)).to_contain_text("send → 200")


def test_a_lost_answer_leaves_doubt_that_a_person_can_end(scene: Scene) -> None:
    scene.begin()
    scene.stage("Lose the next answer")
    scene.agent.write("Did you get it?")
    doubtful = scene.agent.message("Did you get it?")
    expect(state(doubtful)).to_contain_text("uncertain")
    doubtful.get_by_role("button", name="Send again, although it may have arrived").click()
    expect(state(doubtful)).to_contain_text(GONE_OUT)
    expect(scene.customer.root.locator("li.message", has_text="Did you get it?")).to_have_count(2)


def test_silence_lasts_until_it_is_ended(tab: Page) -> None:
    scene = Scene(tab, "Xenia Popova", "TikTok")
    scene.stage("Go silent")
    planned = scene.tool("Scenarios").get_by_role("list", name="Planned")
    expect(planned).to_contain_text("hang · send · until it is ended")
    tab.get_by_role("button", name="End all of it").click()
    expect(planned).to_be_empty()


def test_a_day_passes_at_one_provider(tab: Page) -> None:
    scene = Scene(tab, "Yann Roux", "Email")
    scene.stage("Skip 24 hours")
    expect(scene.tool("Scenarios")).to_contain_text("Time there is 24 hours ahead of ours.")


def test_a_revoked_token_makes_messages_wait_for_a_new_one(scene: Scene) -> None:
    scene.begin()
    scene.stage("Revoke the token")
    scene.agent.write("Can you hear me?")
    waiting = scene.agent.message("Can you hear me?")
    expect(state(waiting)).to_contain_text("deferred")
    trouble = scene.page.get_by_role("region", name="Telegram").get_by_role("status")
    expect(trouble).to_contain_text("reauth required")
    scene.page.get_by_role("button", name="Connect the account again").click()
    expect(state(waiting)).to_contain_text(GONE_OUT)
    expect(scene.customer.message("Can you hear me?")).to_be_visible()
    expect(trouble).to_have_count(0)


def test_an_unpaid_account_waits_for_the_money(tab: Page) -> None:
    scene = Scene(tab, "Zoe Adler", "WhatsApp")
    scene.begin()
    scene.stage("Block payment")
    scene.agent.write("Your invoice")
    waiting = scene.agent.message("Your invoice")
    expect(state(waiting)).to_contain_text("deferred")
    expect(tab.get_by_role("region", name="WhatsApp").get_by_role("status")).to_contain_text("billing blocked")
    tab.get_by_role("button", name="End all of it").click()
    tab.get_by_role("button", name="Connect the account again").click()
    expect(state(waiting)).to_contain_text(GONE_OUT)


def test_a_webhook_that_comes_twice_is_heard_once(scene: Scene) -> None:
    scene.begin()
    scene.stage("Deliver twice")
    scene.customer.write("Only once")
    scene.tool("Records")
    scene.only_this_conversation()
    expect(scene.record("raw", "raw")).to_have_count(3)
    expect(scene.agent.root.locator("li.message", has_text="Only once")).to_have_count(1)
    expect(scene.record("inbound", "message.received")).to_have_count(2)


def test_a_late_webhook_is_heard_in_the_end(scene: Scene) -> None:
    scene.begin()
    scene.stage("Deliver late")
    scene.customer.write("Better late")
    expect(scene.tool("Scenarios").get_by_role("list", name="Planned")).to_be_empty()
    expect(scene.customer.message("Better late")).to_be_visible()
    assert scene.agent.root.get_by_text("Better late").count() == 0
    expect(scene.agent.message("Better late")).to_be_visible()


# ------------------------------------------------------------------------------------------- phones and composer


@pytest.mark.parametrize(
    ("channel", "shared"),
    [
        ("Telegram", {"Sticker": "☀️", "Voice message": "", "Location": "59.437", "Contact": "Grace Hopper"}),
        ("WhatsApp", {"Sticker": "Sticker", "Voice message": "", "Location": "Town hall", "Contact": "Grace Hopper"}),
        ("TikTok", {"Sticker": "Sticker", "Post": ""}),
    ],
)
def test_a_phone_sends_what_it_has(tab: Page, channel: str, shared: dict[str, str]) -> None:
    scene = Scene(tab, f"Ingrid of {channel}", channel)
    for number, (kind, text) in enumerate(shared.items(), 1):
        tab.get_by_role("button", name="Location, sticker and more").click()
        tab.get_by_role("group", name="Send from the phone").get_by_role("button", name=kind).click()
        if kind in ("Location", "Contact"):
            tab.get_by_role("button", name="Send", exact=True).click()
        expect(scene.agent.root.locator("li.message")).to_have_count(number)
        expect(scene.agent.root.locator("li.message").last).to_contain_text(text)
    if "Voice message" in shared:
        expect(scene.agent.root.locator("audio")).to_have_count(1)


def test_the_quota_is_counted_down(tab: Page) -> None:
    scene = Scene(tab, "Amir Haddad", "TikTok")
    scene.begin()
    expect(scene.agent.root).to_contain_text("0 of 10 messages used")
    scene.agent.write("Welcome")
    expect(scene.agent.root).to_contain_text("1 of 10 messages used")
    expect(scene.agent.root.get_by_role("meter")).to_have_js_property("value", 1)


def test_what_was_partly_sent_says_so(scene: Scene, tmp_path: Path) -> None:
    picture = tmp_path / "sun.png"
    Image.new("RGB", (40, 30), (250, 210, 80)).save(picture)
    scene.begin()
    scene.stage("Refuse the next message")  # the text, which is too long for a caption
    scene.agent.write("word " * 300, picture)
    message = scene.agent.message("word word")
    expect(state(message)).to_contain_text("partly sent")
    expect(message).to_contain_text("1 of 2 parts have arrived")
    expect(message.get_by_role("button", name="Send all of it again")).to_be_visible()


def test_what_the_provider_does_not_tell_is_said(scene: Scene) -> None:
    scene.begin("Forget it")
    scene.customer.do(scene.customer.message("Forget it"), "Delete")
    expect(scene.customer.message("Deleted")).to_contain_text("Telegram does not tell a bot: the agent still has it.")
    expect(scene.agent.message("Forget it")).to_be_visible()


def test_addresses_are_links_and_nothing_else_is(scene: Scene) -> None:
    scene.begin("See (https://shop.example/a?b=1). Not javascript:alert(1) or http://[bad")
    for side in (scene.agent, scene.customer):
        links = side.message("See (").locator("a")
        expect(links).to_have_count(1)
        expect(links).to_have_attribute("href", "https://shop.example/a?b=1")
        expect(links).to_have_attribute("rel", "noreferrer noopener")


def test_the_newest_message_stays_in_sight_unless_one_reads_further_up(scene: Scene) -> None:
    scene.begin("\n".join(f"Line {number}" for number in range(60)))
    log = scene.agent.root.get_by_role("log")
    at_end = "e => e.scrollHeight - e.scrollTop - e.clientHeight < 2"
    newest = scene.agent.root.locator(".newest")
    assert log.evaluate(at_end)
    log.evaluate("e => { e.scrollTop = 0 }")
    expect(newest).to_have_text("Newest")
    scene.customer.write("And one more thing")
    expect(newest).to_have_text("1 new")
    assert log.evaluate("e => e.scrollTop") == 0
    newest.click()
    expect(newest).to_be_hidden()
    scene.customer.write("And another")
    expect(scene.agent.message("And another")).to_be_in_viewport()


# ------------------------------------------------------------------------------------------ the way, and commands


def test_a_message_shows_the_way_it_went(tab: Page) -> None:
    scene = Scene(tab, "Bea Novak", "WhatsApp")
    scene.begin("Where is it?")
    scene.agent.write("At the door")
    expect(state(scene.agent.message("At the door"))).to_contain_text("delivered")
    scene.agent.do(scene.agent.message("At the door"), "The way it went")
    steps = tab.get_by_role("list", name="Steps").get_by_role("listitem")
    expect(steps).to_have_count(9)
    told = steps.locator(".what").all_inner_texts()
    assert told[:2] == ["command", "call"]
    # Meta may report before the connector has told of the step before.
    assert sorted(told[2:]) == ["raw", "raw", "status", "status", "status", "webhook", "webhook"]
    expect(steps.locator("b").nth(1)).to_have_text("send → 200")
    expect(steps.filter(has_text="delivered")).to_have_count(1)
    expect(steps.nth(1).locator("time")).to_have_text(re.compile(r"\d\d:\d\d:\d\d\.\d{3}"))
    steps.nth(1).get_by_role("button").click()
    expect(steps.nth(1).locator("pre")).to_contain_text('"body": "At the door"')
    scene.agent.do(scene.agent.message("Where is it?"), "The way it went")
    expect(steps.locator(".what")).to_have_text(["webhook", "raw", "event"])


def copied(tab: Page, step: Locator, tool: str) -> str:
    step.get_by_role("button", name=f"Copy as {tool}").click()
    expect(tab.get_by_text("Copied.").last).to_be_visible()
    return str(tab.evaluate("navigator.clipboard.readText()"))


def test_each_step_can_be_done_elsewhere(scene: Scene) -> None:
    """What is copied runs: the curl asks preflight, the Python reads the record back."""
    tab = scene.page
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    scene.begin()
    scene.agent.write('It\'s "here" & now — $HOME `id` \\n')
    sent = scene.agent.message("It's")
    expect(state(sent)).to_contain_text(GONE_OUT)
    scene.agent.do(sent, "The way it went")
    steps = tab.get_by_role("list", name="Steps").get_by_role("listitem")
    command, last = steps.filter(has_text="message.send"), steps.filter(has_text="status").last
    command.get_by_role("button").first.click()
    last.get_by_role("button").first.click()
    curl = shlex.split(copied(tab, command, "curl"))
    asked = subprocess.run(curl, capture_output=True, text=True, timeout=10, check=True)
    assert json.loads(asked.stdout)["accepted"] is True
    assert json.loads(curl[-1])["data"]["content"]["text"] == 'It\'s "here" & now — $HOME `id` \\n'
    kcat = shlex.split(copied(tab, command, "kcat"))
    assert json.loads(kcat[2])["content"] == json.loads(curl[-1])["data"]["content"]
    assert "channels.telegram.outbound" in kcat and "ce_type=channels.message.send.v1" in kcat
    written = copied(tab, command, "Python")
    compile(written, "copied", "exec")
    reading = [sys.executable, "-c", copied(tab, last, "Python")]
    read = subprocess.run(reading, capture_output=True, text=True, timeout=20, check=True)
    assert "channels.message.status.v1" in read.stdout and '"state":"sent"' in read.stdout


def test_a_command_by_hand_is_judged_before_it_is_sent(scene: Scene) -> None:
    scene.begin()
    panel = scene.tool("Command")
    verdict, text = panel.get_by_role("status"), panel.get_by_role("textbox", name="Command as JSON")
    expect(verdict).to_have_text("It would be carried out: 1 message, 1 call.")
    command = json.loads(text.input_value())
    text.fill("{")
    expect(verdict).to_have_text("This is no JSON object.")
    expect(panel.get_by_role("button", name="Send to Kafka")).to_be_disabled()
    text.fill(json.dumps({**command, "content": {"kind": "template", "name": "x", "language": "en"}}))
    expect(verdict).to_contain_text("It would be refused:")
    text.fill(json.dumps({**command, "content": {"kind": "text", "text": "By hand"}}))
    expect(verdict).to_contain_text("It would be carried out")
    panel.get_by_role("button", name="Send to Kafka").click()
    expect(scene.customer.message("By hand")).to_be_visible()
    scene.agent.do(scene.agent.message("By hand"), "The way it went")
    step = scene.page.get_by_role("list", name="Steps").get_by_role("listitem").first
    step.get_by_role("button").first.click()
    step.get_by_role("button", name="Edit as a command").click()
    assert "command_id" not in text.input_value() and "By hand" in text.input_value()
