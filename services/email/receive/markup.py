"""HTML of a mail: made harmless, and as text. Linear before anything that is not: depth and attributes are counted."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import nh3

LONGEST = 2 * 1024 * 1024  # bytes of html that are looked at
# Beyond these, parsers of html need seconds: measured with nested elements, and with attributes of one tag.
_DEEPEST = 2000
_MOST_ATTRIBUTES = 200
_DEEPEST_TREE = 60  # libxml2 drops what is below 256, and cells and rows, which are not counted, are levels to it
_MOST_TAGS_TO_LAY_OUT = 5_000
_LONGEST_TO_LAY_OUT = 256 * 1024  # characters

_MOST_TAGS = 40_000
# Open `<b>`s are opened anew in every block that follows: that many copies are bearable.
_MOST_COPIES = 200_000

# Elements without content, and those that end where the next of their kind begins.
_BARE = frozenset((
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr",
    "p", "li", "td", "th", "tr", "dt", "dd", "option", "tbody", "thead",
))  # fmt: skip
_COPIED = frozenset((
    "a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u",
))  # fmt: skip
_NAME = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:-]{0,40})")

_STYLES = {
    "background-color", "border", "border-bottom", "border-collapse", "border-color", "border-left", "border-right",
    "border-spacing", "border-style", "border-top", "border-width", "color", "direction", "display", "font",
    "font-family", "font-size", "font-style", "font-variant", "font-weight", "height", "letter-spacing", "line-height",
    "list-style-type", "margin", "margin-bottom", "margin-left", "margin-right", "margin-top", "max-width", "min-width",
    "padding", "padding-bottom", "padding-left", "padding-right", "padding-top", "text-align", "text-decoration",
    "text-indent", "text-transform", "unicode-bidi", "vertical-align", "white-space", "width", "word-break",
    "word-wrap",
}  # fmt: skip
_LOOKS = {"align", "bgcolor", "border", "color", "dir", "height", "lang", "style", "title", "valign", "width"}
_TAGS = nh3.ALLOWED_TAGS - {"form", "input", "button", "map", "area"} | {"font", "center", "big", "u"}


def _attribute(tag: str, name: str, value: str) -> str | None:
    said = value.strip().lower()
    if name == "style":
        # Nothing that fetches or runs: `url(...)`, `expression(...)`, escapes that spell them, positions over the page.
        return None if re.search(r"url|expression|import|behavio|\\|/\*", said) else value
    if name == "src":
        return value if said.startswith(("cid:", "https://", "http://")) or _IMAGE_DATA.match(said) else None
    if name == "href":
        return None if said.startswith(("cid:", "data:")) else value
    return value


_IMAGE_DATA = re.compile(r"data:image/(?:png|gif|jpe?g|webp);base64,")
_CLEANER = nh3.Cleaner(
    tags=_TAGS,
    clean_content_tags={"script", "style", "title", "head", "template", "noscript", "object", "iframe", "svg", "math"},
    attributes={
        **dict.fromkeys(_TAGS, _LOOKS),
        "a": _LOOKS | {"href"},
        "img": _LOOKS | {"src", "alt"},
        "font": _LOOKS | {"face", "size"},
        "table": _LOOKS | {"cellpadding", "cellspacing"},
        "td": _LOOKS | {"colspan", "rowspan"},
        "th": _LOOKS | {"colspan", "rowspan"},
        "ol": _LOOKS | {"start", "type"},
        "blockquote": _LOOKS | {"cite"},
    },
    attribute_filter=_attribute,
    url_schemes={"http", "https", "mailto", "tel", "cid", "data"},
    link_rel="noopener noreferrer",
    filter_style_properties=_STYLES,
)
# A tag as the cleaner writes it: everything in it is quoted, so nothing inside of an attribute looks like one.
_CLEAN_TAG = re.compile(r'<([a-z0-9]+)((?: [a-z-]+="[^"]*")*)>')
_CLEAN_ATTRIBUTE = re.compile(r' ([a-z-]+)="([^"]*)"')


class Shape(NamedTuple):
    """What decides how long html takes: levels, tags, characters, and whether there is too much in one place."""

    depth: int
    tags: int
    length: int
    crowded: bool = False

    @property
    def is_bearable(self) -> bool:
        """Whether it can be cleaned at all."""
        return not self.crowded and self.depth <= _DEEPEST and self.tags <= _MOST_TAGS

    @property
    def is_tree(self) -> bool:
        """Whether a tree can be made of it and laid out as text without losing any of it."""
        small = self.tags <= _MOST_TAGS_TO_LAY_OUT and self.length <= _LONGEST_TO_LAY_OUT
        return small and not self.crowded and self.depth <= _DEEPEST_TREE


def shape_of(markup: str) -> Shape:
    """The shape of html, by one pass over its tags."""
    open_now: Counter[str] = Counter()
    depth = deepest = tags = copied = copies = at = 0
    if markup.count("<") > _MOST_TAGS:
        return Shape(0, 0, len(markup), crowded=True)
    while name := _NAME.search(markup, at):
        at, end = name.start(), markup.find(">", name.end())
        end = len(markup) if end < 0 else end
        tags += 1
        if end - at > 2 * _MOST_ATTRIBUTES and _is_crowded(markup[at:end]):
            return Shape(deepest, tags, len(markup), crowded=True)
        at, called = end, name[2].lower()
        if called in _BARE:
            copies += copied
        elif not name[1]:
            open_now[called] += 1
            depth += 1
            deepest = max(deepest, depth)
            copied, copies = (copied + 1, copies) if called in _COPIED else (copied, copies + copied)
        elif open_now[called]:
            open_now[called] -= 1
            depth -= 1
            copied -= called in _COPIED
    return Shape(deepest, tags, len(markup), copies > _MOST_COPIES)


def _is_crowded(tag: str) -> bool:
    """Whether a tag may have too many attributes: blanks, slashes and quotes end one."""
    return tag.count("=") > 2 * _MOST_ATTRIBUTES or len(tag.replace("/", " ").split()) > _MOST_ATTRIBUTES


def harmless(markup: str, inline: Callable[[str], str | None]) -> str:
    """The html without anything that runs, and with nothing that is loaded before somebody wants it.

    `inline` says what a Content-ID becomes (None: there is no such file). The address of a remote image stands in
    `data-src`; images of one pixel, which only report who has read the mail, are dropped.
    """
    return _CLEAN_TAG.sub(lambda tag: _image(tag, inline) if tag[1] == "img" else tag[0], _CLEANER.clean(markup))


def _image(tag: re.Match[str], inline: Callable[[str], str | None]) -> str:
    attributes = dict(_CLEAN_ATTRIBUTE.findall(tag[2]))
    source = html.unescape(attributes.pop("src", ""))
    if source[:4].lower() == "cid:":
        name = inline(source[4:])
        if name is not None:
            attributes["src"] = name
    elif source.startswith("data:"):
        attributes["src"] = source
    elif source:
        if {attributes.get("width", "").rstrip("px"), attributes.get("height", "").rstrip("px")} & {"0", "1"}:
            return ""
        attributes["data-src"] = html.escape(source)
    return "<img" + "".join(f' {name}="{value}"' for name, value in attributes.items()) + ">"


# ------------------------------------------------------------------------------------------------------ as text

_BREAKS = re.compile(r"<(?:br|/p|/div|/tr|/li|/h[1-6]|/blockquote|/table|hr)\b[^>]*(?:>|\Z)", re.I)
_HIDING = re.compile(r"<!--|<(script|style|title|head|template)\b", re.I)
_ENDS = {n: re.compile(rf"</{n}[^>]{{0,200}}>", re.I) for n in ("script", "style", "title", "head", "template")}
_COMMENT_ENDS = re.compile("-->")
_ANY_TAG = re.compile(r"<[/!?a-zA-Z][^>]*(?:>|\Z)")
_MANY_BLANK_LINES = re.compile(r"\n(?:[ \t\xa0]*\n){2,}")


def without_tags(markup: str) -> str:
    """The text between the tags, in linear time."""
    text = _BREAKS.sub("\n", "".join(_shown(markup)))
    return tidy(html.unescape(_ANY_TAG.sub("", text)))


def _shown(markup: str) -> Iterator[str]:
    """The pieces outside of comments, scripts and styles. What never ends hides nothing."""
    at = 0
    while found := _HIDING.search(markup, at):
        yield markup[at : found.start()]
        closing = _ENDS[found[1].lower()] if found[1] else _COMMENT_ENDS
        end = closing.search(markup, found.end())
        at = end.end() if end else found.end()
        if end is None:
            break
    yield markup[at:]


def tidy(text: str) -> str:
    """Without blanks at the ends of lines, and with at most one blank line after the other."""
    lines = "\n".join(line.rstrip(" \t\xa0") for line in text.split("\n"))
    return _MANY_BLANK_LINES.sub("\n\n", lines).strip("\n")
