"""Parse modes, detected entities and cleaning of text."""

from __future__ import annotations

import pytest

from sandbox.simulators.telegram.errors import ApiError
from sandbox.simulators.telegram.text import MAX_CAPTION, MAX_TEXT, format_text


def spans(text: str, mode: str) -> tuple[str, list[tuple[str, str]]]:
    plain, entities = format_text(text, mode, None, MAX_TEXT)
    units = plain.encode("utf-16-le")
    return plain, [
        (e["type"], units[2 * e["offset"] : 2 * (e["offset"] + e["length"])].decode("utf-16-le")) for e in entities
    ]


@pytest.mark.parametrize(
    ("mode", "text", "plain", "entities"),
    [
        ("HTML", "😀 <b>bo<i>th</i></b> &lt;ok&gt;", "😀 both <ok>", [("bold", "both"), ("italic", "th")]),
        ("html", '<a href="https://a.at/?q=1&amp;r=2">link</a>', "link", [("text_link", "link")]),
        ("HTML", "<blockquote expandable>q</blockquote>", "q", [("expandable_blockquote", "q")]),
        ("HTML", '<span class="tg-spoiler">s</span>', "s", [("spoiler", "s")]),
        ("MarkdownV2", r"*b _bi_* __u__ ~s~ ||x|| 1\.5", "b bi u s x 1.5",
         [("bold", "b bi"), ("italic", "bi"), ("underline", "u"), ("strikethrough", "s"), ("spoiler", "x")]),
        ("MarkdownV2", "[li\\.nk](https://a.at/\\)) `co_de`", "li.nk co_de",
         [("text_link", "li.nk"), ("code", "co_de")]),
        ("MarkdownV2", "```py\nx = 1```", "x = 1", [("pre", "x = 1")]),
        ("MarkdownV2", ">quote\n>more\nend", "quote\nmore\nend", [("blockquote", "quote\nmore")]),
        ("Markdown", "*b* 1.5 [l](http://a.at)", "b 1.5 l", [("bold", "b"), ("text_link", "l")]),
        ("", "see /help, @support_bot, #news, a@b.at, www.x.com", "see /help, @support_bot, #news, a@b.at, www.x.com",
         [("bot_command", "/help"), ("mention", "@support_bot"), ("hashtag", "#news"), ("email", "a@b.at"),
          ("url", "www.x.com")]),
    ],
)  # fmt: skip
def test_markup_becomes_entities(mode, text, plain, entities):
    assert spans(text, mode) == (plain, entities)


@pytest.mark.parametrize(
    ("mode", "text", "problem"),
    [
        ("HTML", "<b>open", 'Can\'t find end tag corresponding to start tag "b"'),
        ("HTML", "<b>x</i>", "Unmatched end tag"),
        ("HTML", "ä <h1>x</h1>", 'Unsupported start tag "h1" at byte offset 3'),
        ("HTML", "1 < 2", "Unsupported start tag"),
        ("MarkdownV2", "1.5", "Character '.' is reserved and must be escaped"),
        ("MarkdownV2", "*open", "Can't find end of the entity"),
        ("MarkdownV2", "`open", "Can't find end of Code entity"),
        ("Markdown", "[l](http", "Can't find end of a URL"),
        ("rtf", "x", "unsupported parse_mode"),
    ],
)
def test_broken_markup_is_refused(mode, text, problem):
    with pytest.raises(ApiError) as refused:
        format_text(text, mode, None, MAX_TEXT)
    assert refused.value.code == 400
    assert problem in refused.value.description


def test_parse_mode_wins_over_entities():
    bold = {"type": "bold", "offset": 0, "length": 1}
    assert [entity["type"] for entity in format_text("<i>x</i>", "HTML", [bold], MAX_TEXT)[1]] == ["italic"]


def test_a_caption_may_be_empty_but_not_long():
    assert format_text("", "", None, MAX_CAPTION) == ("", [])
    with pytest.raises(ApiError, match="caption is too long"):
        format_text("x" * 1025, "", None, MAX_CAPTION)


def test_control_characters_become_spaces():
    assert format_text("a\x00b\r\nc", "", None, MAX_TEXT)[0] == "a b\nc"
