"""The `parse_mode` languages: HTML, MarkdownV2 and the older Markdown, to text and entities.

Source: core.telegram.org/bots/api#formatting-options.
"""

from __future__ import annotations

import html
import re
from typing import Any, NoReturn

from sandbox.simulators.telegram.errors import bad_request

Entity = dict[str, Any]

_TAGS = {
    "b": "bold", "strong": "bold", "i": "italic", "em": "italic", "u": "underline", "ins": "underline",
    "s": "strikethrough", "strike": "strikethrough", "del": "strikethrough", "code": "code", "pre": "pre",
    "blockquote": "blockquote", "tg-spoiler": "spoiler", "span": "spoiler", "a": "text_link",
    "tg-emoji": "custom_emoji", "tg-time": "date_time",
}  # fmt: skip
_TAG = re.compile(r"<(/?)([A-Za-z][\w-]*)((?:[^>\"']|\"[^\"]*\"|'[^']*')*)>")
_ATTRIBUTE = re.compile(r"([\w-]+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|(\S+)))?")
_ALLOWED_HTML_ENTITY = re.compile(r"&(?:lt|gt|amp|quot|#\d+|#x[0-9a-fA-F]+);")
_RESERVED = frozenset("_*[]()~`>#+-=|{}.!")
_MARKS = {"*": "bold", "_": "italic", "__": "underline", "~": "strikethrough", "||": "spoiler"}
_LINK = re.compile(r"\]\(((?:\\.|[^)\\])*)\)")


def parse(text: str, mode: str) -> tuple[str, list[Entity]]:
    """Plain text and entities (UTF-16 units); raises `ApiError` 400 "can't parse entities"."""
    match mode.lower():
        case "html":
            return _parse_html(text)
        case "markdownv2":
            return _Markdown(text, strict=True).parse()
        case "markdown":
            return _Markdown(text, strict=False).parse()
    raise bad_request("unsupported parse_mode")


def _fail(problem: str) -> NoReturn:
    raise bad_request(f"can't parse entities: {problem}")


class _Output:
    """Plain text under construction, measured in UTF-16 units."""

    def __init__(self) -> None:
        self.text = ""
        self.units = 0
        self.entities: list[Entity] = []

    def add(self, text: str) -> None:
        self.text += text
        self.units += len(text.encode("utf-16-le", "surrogatepass")) // 2

    def close(self, kind: str, start: int, extra: Entity) -> None:
        if self.units > start:
            self.entities.append({"type": kind, "offset": start, "length": self.units - start, **extra})


def _parse_html(text: str) -> tuple[str, list[Entity]]:
    output = _Output()
    open_tags: list[tuple[str, str, int, Entity]] = []
    position = 0
    while position < len(text):
        bracket = text.find("<", position)
        plain = text[position : bracket if bracket >= 0 else len(text)]
        output.add(_ALLOWED_HTML_ENTITY.sub(lambda match: html.unescape(match[0]), plain))
        if bracket < 0:
            break
        tag = _TAG.match(text, bracket)
        byte = len(text[:bracket].encode())
        if tag is None:
            _fail(f'Unsupported start tag "" at byte offset {byte}')
        name = tag[2].lower()
        if tag[1]:
            if not open_tags or open_tags[-1][0] != name:
                _fail(f'Unmatched end tag at byte offset {byte}, expected "</{open_tags[-1][0] if open_tags else ""}>"')
            _, kind, start, extra = open_tags.pop()
            output.close(kind, start, extra)
        else:
            open_tags.append((name, *_html_tag(name, tag[3], output.units, byte)))
        position = tag.end()
    if open_tags:
        _fail(f'Can\'t find end tag corresponding to start tag "{open_tags[-1][0]}"')
    return output.text, output.entities


def _html_tag(name: str, attributes: str, start: int, byte: int) -> tuple[str, int, Entity]:
    values = {m[1].lower(): html.unescape(m[2] or m[3] or m[4] or "") for m in _ATTRIBUTE.finditer(attributes)}
    kind = _TAGS.get(name)
    if kind is None:
        _fail(f'Unsupported start tag "{name}" at byte offset {byte}')
    if name == "span" and values.get("class") != "tg-spoiler":
        _fail(f'Tag "span" must have class "tg-spoiler" at byte offset {byte}')
    if name == "a" and values.get("href"):
        return kind, start, {"url": values["href"]}
    if name == "tg-emoji":
        return kind, start, {"custom_emoji_id": values.get("emoji-id", "")}
    if name == "blockquote" and "expandable" in values:
        return "expandable_blockquote", start, {}
    if name == "code" and values.get("class", "").startswith("language-"):
        return kind, start, {"language": values["class"].removeprefix("language-")}
    return kind, start, {}


class _Markdown:
    """MarkdownV2 when `strict`; else the older Markdown: no nesting, no reserved characters."""

    def __init__(self, text: str, strict: bool) -> None:
        self.text = text
        self.strict = strict
        self.output = _Output()
        self.stack: list[tuple[str, int]] = []
        self.quote: int | None = None

    def parse(self) -> tuple[str, list[Entity]]:
        position = 0
        while position < len(self.text):
            position = self._step(position)
        self._end_quote()
        if self.stack:
            _fail(f"Can't find end of the entity starting at byte offset {self.stack[-1][1]}")
        return self.output.text, self.output.entities

    def _step(self, at: int) -> int:
        text = self.text
        char = text[at]
        if char == "\\" and at + 1 < len(text) and (text[at + 1] in _RESERVED or text[at + 1] == "\\"):
            self.output.add(text[at + 1])
            return at + 2
        if char == "`":
            return self._code(at)
        if self.strict and char == ">" and (at == 0 or text[at - 1] == "\n"):
            self.quote = self.output.units if self.quote is None else self.quote
            return at + 1
        if char == "\n" and not text.startswith(">", at + 1):
            self._end_quote()
        for mark in ("||", "__", "~", "*", "_") if self.strict else ("*", "_"):
            if text.startswith(mark, at):
                self._toggle(mark)
                return at + len(mark)
        if char == "[" or text.startswith("![", at):
            self.stack.append(("[", self.output.units))
            return at + (1 if char == "[" else 2)
        if char == "]" and self.stack and self.stack[-1][0] == "[":
            return self._link(at)
        if self.strict and char in _RESERVED:
            _fail(f"Character '{char}' is reserved and must be escaped with the preceding '\\'")
        self.output.add(char)
        return at + 1

    def _toggle(self, mark: str) -> None:
        if self.stack and self.stack[-1][0] == mark:
            _, start = self.stack.pop()
            self.output.close(_MARKS[mark], start, {})
        else:
            self.stack.append((mark, self.output.units))

    def _code(self, at: int) -> int:
        fence = "```" if self.text.startswith("```", at) else "`"
        end = self.text.find(fence, at + len(fence))
        if end < 0:
            _fail(f"Can't find end of {'Pre' if fence == '```' else 'Code'} entity")
        body = re.sub(r"\\([`\\])", r"\1", self.text[at + len(fence) : end])
        extra: Entity = {}
        if fence == "```" and (language := re.match(r"(\w+)\n", body)):
            body, extra = body[language.end() :], {"language": language[1]}
        start = self.output.units
        self.output.add(body)
        self.output.close("pre" if fence == "```" else "code", start, extra)
        return end + len(fence)

    def _link(self, at: int) -> int:
        target = _LINK.match(self.text, at)
        if target is None:
            _fail("Can't find end of a URL")
        url = re.sub(r"\\(.)", r"\1", target[1])
        _, start = self.stack.pop()
        if url.startswith("tg://emoji?id="):
            self.output.close("custom_emoji", start, {"custom_emoji_id": url.removeprefix("tg://emoji?id=")})
        else:
            self.output.close("text_link", start, {"url": url})
        return target.end()

    def _end_quote(self) -> None:
        if self.quote is not None:
            self.output.close("blockquote", self.quote, {})
            self.quote = None
