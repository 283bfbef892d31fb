"""The console in a browser, over the real broker, the real Telegram service and the simulated Telegram."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from sandbox.channels import channel_names, describe
from tests.sandbox.console.scene import Scene

pytestmark = pytest.mark.browser
every_channel = pytest.mark.parametrize(
    "channel", [describe(name, {}).title for name in channel_names()], ids=channel_names()
)

# Mail is written out of sight, and its raw form lies in the blob store: the record on `raw` only refers to it.
chat_channels = pytest.mark.parametrize(
    "channel",
    [describe(name, {}).title for name in channel_names() if not describe(name, {}).subjects],
    ids=[name for name in channel_names() if not describe(name, {}).subjects],
)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "sun.png"
    Image.new("RGB", (320, 200), (250, 210, 80)).save(path)
    return path


@every_channel
def test_both_sides_talk_and_the_records_show_it(tab: Page, channel: str) -> None:
    scene = Scene(tab, "Tove Lund", channel)
    expect(scene.agent.input).to_be_disabled()
    scene.customer.write("Is the blue jacket still there?")
    expect(scene.agent.message("Is the blue jacket still there?")).to_be_visible()
    scene.agent.write("Yes, two of them.")
    expect(scene.agent.message("Yes, two of them.").locator(".state")).to_have_text(re.compile("sent|delivered"))
    expect(scene.customer.message("Yes, two of them.")).to_be_visible()
    scene.only_this_conversation()
    shown = [("inbound", "message.received"), ("outbound", "message.send"), ("statuses", "message.status")]
    if channel != "Email":
        shown.append(("raw", channel.lower()))
    for topic, kind in shown:
        expect(scene.record(topic, kind).first).to_be_visible()


@chat_channels
def test_the_agent_is_seen_typing_until_the_answer_comes(tab: Page, channel: str) -> None:
    scene = Scene(tab, "Tomas Ek", channel)
    scene.customer.write("Hello")
    expect(scene.agent.message("Hello")).to_be_visible()
    typing = scene.customer.root.locator(".typing")
    expect(typing).to_be_hidden()
    scene.agent.input.press_sequentially("Good mor")
    expect(typing).to_be_visible()
    scene.agent.input.press_sequentially("ning\n")
    expect(scene.customer.message("Good morning")).to_be_visible()
    expect(typing).to_be_hidden()


def test_mail_has_a_subject_html_and_a_folded_quotation(tab: Page) -> None:
    scene = Scene(tab, "Maja Roth", "Email")
    tab.get_by_role("textbox", name="Customer: subject").fill("My jacket")
    scene.customer.write("Is it blue?")
    asked = scene.agent.message("Is it blue?")
    expect(asked.locator(".subject")).to_have_text("My jacket")
    tab.get_by_role("button", name="Agent: write html, too").click()
    tab.get_by_role("textbox", name="Agent: html").fill("<p>It is <b>blue</b></p>")
    scene.agent.write("It is blue")
    got = scene.customer.message("It is blue")
    expect(got.locator(".subject")).to_have_text("Re: My jacket")
    got.get_by_text("HTML").click()
    expect(got.frame_locator("iframe").locator("b")).to_have_text("blue")
    scene.customer.do(got, "Reply")
    scene.customer.write("Wonderful")
    answer = scene.agent.message("Wonderful")
    expect(answer.locator(".subject")).to_have_text("Re: My jacket")
    expect(answer.locator("details", has_text="Quoted")).to_be_visible()


@every_channel
def test_pictures_travel_both_ways(tab: Page, channel: str, picture: Path) -> None:
    scene = Scene(tab, "Siri Holm", channel)
    scene.customer.write("", picture)
    shown = scene.agent.root.locator("li.message.left img")
    expect(shown).to_have_js_property("naturalWidth", 320)
    scene.agent.write("", picture)
    expect(scene.agent.root.locator("li.message.right .state")).to_have_text(re.compile("sent|delivered"))
    received = scene.customer.root.locator("li.message.left")
    expect(received.locator("img, .file")).to_be_visible()


def test_replies_point_at_their_message_on_both_sides(scene: Scene) -> None:
    scene.customer.write("Which size?")
    scene.agent.do(scene.agent.message("Which size?"), "Reply")
    scene.agent.write("Medium")
    expect(scene.customer.message("Medium").locator(".quote")).to_have_text("Which size?")
    expect(scene.agent.message("Medium").locator(".quote")).to_have_text("Which size?")
    scene.customer.do(scene.customer.message("Medium"), "Reply")
    scene.customer.write("Thank you")
    expect(scene.agent.message("Thank you").locator(".quote")).to_have_text("Medium")


def test_files_arrive_on_the_other_side(scene: Scene, picture: Path, tmp_path: Path) -> None:
    scene.customer.write("Like this one", picture)
    shown = scene.agent.message("Like this one").locator("img")
    expect(shown).to_have_js_property("naturalWidth", 320)
    manual = tmp_path / "Übersicht März.pdf"
    manual.write_bytes(b"%PDF-1.7 a manual")
    scene.agent.write("And the manual", manual)
    link = scene.customer.message("And the manual").locator("a.file")
    expect(link).to_contain_text("Übersicht März.pdf")
    with scene.page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename == "Übersicht März.pdf"
    assert download.value.path().read_bytes() == b"%PDF-1.7 a manual"


def test_edits_and_reactions_reach_the_other_side(scene: Scene) -> None:
    scene.customer.write("Two pleese")
    expect(scene.agent.message("Two pleese")).to_be_visible()
    scene.customer.do(scene.customer.message("Two pleese"), "Edit")
    scene.customer.write("Two please")
    expect(scene.agent.message("Two please").locator("footer")).to_contain_text("edited")
    scene.agent.do(scene.agent.message("Two please"), "React")
    scene.agent.message("Two please").get_by_role("button", name="React with 👍").click()
    expect(scene.customer.message("Two please").locator(".reaction")).to_have_text("👍")
    scene.agent.write("On thier way")
    expect(scene.customer.message("On thier way")).to_be_visible()
    scene.agent.do(scene.agent.message("On thier way"), "Edit")
    scene.agent.write("On their way")
    expect(scene.customer.message("On their way")).to_be_visible()
    scene.agent.do(scene.agent.message("On their way"), "Delete")
    expect(scene.customer.message("Deleted")).to_be_visible()


def test_a_button_is_pressed_and_answers(scene: Scene) -> None:
    scene.customer.write("Can I order?")
    expect(scene.agent.message("Can I order?")).to_be_visible()
    scene.page.get_by_role("button", name="Add buttons").click()
    scene.page.get_by_label("Buttons: titles").fill("Yes, ship it | No")
    scene.agent.write("Shall we ship it?")
    scene.customer.root.get_by_role("button", name="Yes, ship it").click()
    expect(scene.record("inbound", "postback.received").first).to_be_visible()
    expect(scene.agent.root.locator("li.message.left").last).to_contain_text("Yes, ship it")


def test_a_blocked_business_reads_why_nothing_can_be_written(scene: Scene) -> None:
    scene.begin("Leave me alone")
    scene.page.get_by_role("button", name="Block the business").click()
    expect(scene.agent.root).to_contain_text("The contact blocked us")
    expect(scene.customer.input).to_be_disabled()
    expect(scene.agent.root.locator(".reason")).to_contain_text("has blocked this account")
    expect(scene.agent.input).to_be_disabled()
    scene.page.get_by_role("button", name="Unblock the business").click()
    expect(scene.agent.root).to_contain_text("can be reached again")
    expect(scene.agent.input).to_be_enabled()


def test_a_deep_link_tells_where_the_customer_comes_from(scene: Scene) -> None:
    scene.page.get_by_role("button", name="Start, with a deep link").click()
    scene.page.get_by_role("textbox", name="Payload of the deep link").fill("summer-sale")
    scene.page.keyboard.press("Enter")
    expect(scene.agent.root).to_contain_text("summer-sale")


def test_what_a_customer_writes_is_never_markup(scene: Scene) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    scene.customer.write(evil)
    expect(scene.agent.message("onerror").locator(".text")).to_have_text(evil)
    expect(scene.customer.message("onerror").locator(".text")).to_have_text(evil)
    scene.record("inbound", "message.received").last.locator("button").click()
    expect(scene.page.locator(".detail pre")).to_contain_text("onerror")
    assert scene.page.locator("img[src=x]").count() == 0
    assert "owned" not in scene.page.title()


def test_a_name_is_never_markup(tab: Page) -> None:
    scene = Scene(tab, "<b onmouseover=alert(1)>Eve</b>")
    scene.customer.write("Hi")
    expect(scene.agent.message("Hi").locator(".author")).to_have_text("<b onmouseover=alert(1)>Eve</b>")
    assert tab.locator("b[onmouseover]").count() == 0


def test_an_html_file_is_downloaded_and_not_run(scene: Scene, tmp_path: Path) -> None:
    trap = tmp_path / "trap.html"
    trap.write_text("<!doctype html><script>document.title='owned'</script>")
    scene.customer.write("Open me", trap)
    link = scene.agent.message("Open me").locator("a.file")
    answer = scene.page.request.get(f"{scene.page.url.rstrip('/')}{link.get_attribute('href')}")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["content-security-policy"]


def test_records_are_filtered_by_topic_and_words_and_open_on_click(page: Page) -> None:
    scene = Scene(page, "Noa Sand")
    scene.customer.write("Needle in the haystack")
    expect(scene.agent.message("Needle")).to_be_visible()
    scene.page.get_by_role("searchbox", name="Find records").fill("needle in the")
    rows = scene.page.locator(".record")
    expect(scene.record("inbound", "message.received")).to_have_count(1)
    scene.page.get_by_role("group", name="Topics").get_by_role("button", name="inbound").click()
    expect(scene.record("inbound", "message.received")).to_have_count(0)
    expect(scene.record("raw", "raw")).to_have_count(1)
    rows.first.get_by_role("button").click()
    expect(rows.first.locator("pre")).to_contain_text('"Needle in the haystack"')
    expect(rows.first.locator("dl")).to_contain_text("channels.telegram.raw")


def test_a_page_opened_later_shows_what_was_said(scene: Scene) -> None:
    scene.customer.write("Still there after a reload")
    expect(scene.agent.message("Still there")).to_be_visible()
    name = scene.page.get_by_role("heading", level=2).filter(has_text="A Page Opened Later").first.inner_text()
    scene.page.reload()
    scene.page.get_by_role("button", name=name).click()
    expect(scene.agent.message("Still there after a reload")).to_be_visible()
    expect(scene.customer.message("Still there after a reload")).to_be_visible()


def test_the_keyboard_is_enough(scene: Scene) -> None:
    page = scene.page
    page.keyboard.press("Alt+2")
    page.keyboard.type("By keyboard\n")
    expect(scene.agent.message("By keyboard")).to_be_visible()
    page.keyboard.press("Alt+3")
    page.keyboard.type("Answered\n")
    expect(scene.customer.message("Answered")).to_be_visible()
    page.keyboard.press("Alt+1")
    before = page.locator(".thread[aria-current=true] .title").inner_text()
    page.keyboard.press("ArrowUp")
    expect(page.locator(".thread[aria-current=true] .title")).not_to_have_text(before)
    expect(page.locator(".thread[aria-current=true]")).to_be_focused()


def test_controls_have_names(tab: Page) -> None:
    """Whatever can be pressed or filled in says what it is to a screen reader."""
    nameless = tab.evaluate(
        """() => [...document.querySelectorAll("button, input, textarea, a")]
        .filter((e) => !(e.textContent.trim() || e.getAttribute("aria-label") || e.labels?.length))
        .map((e) => e.outerHTML)"""
    )
    assert nameless == []


def test_the_inbox_merges_statuses_monotonically(tab: Page) -> None:
    """Late, early and repeated statuses of two parts; run on the page's own module."""
    states = tab.evaluate(
        """async () => {
        const { Inbox } = await import("/static/inbox.js");
        const inbox = new Inbox("channels");
        let n = 0;
        const record = (name, type, value) =>
          inbox.apply({ n: ++n, at: n, topic: `channels.telegram.${name}`, type: `channels.${type}.v1`, key: "c",
                        headers: {}, value: { conversation_id: "telegram:a:1", account_id: "a", ...value } });
        record("outbound", "message.send", { command_id: "x", content: { kind: "text", text: "Hi" } });
        const seen = [];
        const status = (state, index) => {
          const conversation = record("statuses", "message.status", { command_id: "x", state, part: { index, of: 2 } });
          seen.push(conversation.messages.get("x").state);
        };
        status("read", 0); status("sent", 1); status("delivered", 0); status("delivered", 1); status("read", 1);
        status("failed", 1); status("sent", 1);
        return seen;
      }"""
    )
    assert states == ["read", "sent", "sent", "delivered", "read", "read", "read"]
