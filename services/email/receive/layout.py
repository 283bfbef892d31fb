"""HTML laid out as text, and the quoted part of a reply found in its tree. Only imported where html needs it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

import lxml.html
from inscriptis.css_profiles import STRICT_CSS_PROFILE
from inscriptis.html_engine import Inscriptis
from inscriptis.model.config import ParserConfig
from lxml.html import HtmlElement

# As the elements stand by default, without the blanks that the library puts around what has none.
_CONFIG = ParserConfig(css=dict(STRICT_CSS_PROFILE))

# Classes, ids and names under which mail clients put the message that is answered: the element is the quoted part.
_QUOTES = re.compile(
    r"gmail_quote|gmail_extra|yahoo_quoted|protonmail_quote|tutanota_quote|zmail_extra|moz-cite-prefix|moz-forward-container"
    r"|outlookmessageheader|mail-quote|gmx-quote|mailru-quote|ox-quote|icloud-quote|wmreply|webmail_quote|qmail_quote",
    re.I,
)
_QUOTE_NAMES = frozenset(("quote", "messagereplysection"))
# The same for signatures.
_SIGNATURES = re.compile(
    r"gmail_signature|moz-signature|protonmail_signature_block|composer_signature|ymail_android_signature"
    r"|ms-outlook-mobile-signature|yahoo[-_]signature|messagesignaturesection|(?:^|\s)(?:x_)?signature(?:$|\s)",
    re.I,
)
_MOST_SIGNATURES = 10
# Here the quoted part begins, and goes on to the end.
_STARTS = re.compile(
    r"divrplyfwdmsg|appendonsend|olk_src_body_section|stopspelling|mail-editor-reference-message-container"
    r"|isforwardcontent|isreplycontent|reply-intro|zwchr|ntes-|foxmail",
    re.I,
)
# Outlook has no name for it: a line above the header of the answered message.
_OUTLOOK_LINE = re.compile(r"border:\s*none;\s*border-top:\s*solid\s+(?:#e1e1e1|#b5c4df|windowtext)\s+1\.0pt", re.I)
_LONGEST_ATTRIBUTION = 300  # characters
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_BULLET = re.compile(r"^[ \t]*(?:[*o+-]|\d{1,3}\.)[ \t]+", re.M)  # that the layout writes before items of lists
_PREFIX = 40  # characters, without blanks, by which the beginning of a text is known
_PLACE = "\ue000"  # of the private use area: where a quote stood


class Laid:
    """The new part of a reply and the quoted one."""

    def __init__(self, new: HtmlElement, quoted: HtmlElement) -> None:
        self._new, self._quoted = new, quoted

    @property
    def html(self) -> tuple[str, str]:
        return _markup(self._new), _markup(self._quoted)

    @property
    def text(self) -> tuple[str, str]:
        return _text(self._new), _text(self._quoted)


def text_of(markup: str) -> str:
    """The html as text. Its tree must not be deeper than libxml2 takes (`Shape.is_tree`)."""
    tree = _tree(markup)
    return "" if tree is None else _text(tree)


def signatures(markup: str) -> Iterator[str]:
    """What stands in the elements in which mail clients put signatures, those of quoted messages among them."""
    tree = _tree(markup)
    found = () if tree is None else (one for one in tree.iter() if isinstance(one.tag, str) and _is_signature(one))
    for element in islice(found, _MOST_SIGNATURES):
        yield element.text_content()


def _is_signature(element: HtmlElement) -> bool:
    return any(_SIGNATURES.search(element.get(name, "")) for name in ("class", "id", "name"))


def split(markup: str) -> Laid | None:
    """The new and the quoted part, where the client that wrote it has marked them; None where it has not.

    Answers between several quotes stay where they are: neither makes sense without the other.
    """
    tree = _tree(markup)
    if tree is None:
        return None
    quoted = _cut(tree)
    return None if quoted is None or not _words(tree) else Laid(tree, quoted)


def _words(tree: HtmlElement) -> str:
    """What stands in a tree, without any white space."""
    return "".join(words for _, _, words in _pieces(tree)).replace(_PLACE, "")


def split_at(markup: str, quoted: str, kept: str) -> Laid | None:
    """What stands before and after the place where the quoted text begins, if what stands before it is what is kept.

    For clients that mark nothing: the text has shown what is quoted.
    """
    tree = _tree(markup)
    begins = "".join(quoted.split())[:_PREFIX]
    if tree is None or not begins:
        return None
    kept_words = {"".join(kept.split()), "".join(_BULLET.sub("", kept).split())}
    lengths = {len(words) for words in kept_words}
    pieces = list(_pieces(tree))
    whole, at = "".join(words for _, _, words in pieces), 0
    for element, is_tail, words in pieces:
        if words and at in lengths and whole.startswith(begins, at) and whole[:at] in kept_words:
            rest = lxml.html.Element("div")
            _move_rest(_beginning_with(element, is_tail=is_tail), rest)
            return Laid(tree, rest)
        at += len(words)
    return None


def _pieces(tree: HtmlElement) -> Iterator[tuple[HtmlElement, bool, str]]:
    """The texts of a tree in their order, without white space: which element has it, and whether behind its end."""
    hidden = 0
    for event, element in lxml.etree.iterwalk(tree, events=("start", "end", "comment", "pi")):
        is_hidden = element.tag in ("head", "script", "style", "title")
        if event == "start":
            hidden += is_hidden
            said = element.text
        else:
            hidden -= is_hidden
            said = element.tail
        if said and not hidden:
            yield element, event != "start", "".join(said.split())


def _beginning_with(element: HtmlElement, *, is_tail: bool) -> HtmlElement:
    """The outermost element that begins with a text; one is made where the text stands between two."""
    if is_tail or element.tag in ("body", "html"):
        made = lxml.html.Element("span")
        if is_tail:
            made.text, element.tail = _settable(element.tail), None
            element.addnext(made)
        else:
            made.text, element.text = _settable(element.text), None
            element.insert(0, made)
        return made
    while (above := element.getparent()) is not None and above.tag not in ("body", "html"):
        if above[0] is not element or (above.text or "").strip():
            break
        element = above
    return element


def _tree(markup: str) -> HtmlElement | None:
    # A declaration of an encoding, which text does not have, is refused by lxml.
    stripped = re.sub(r"^\s*<\?xml[^>]*>", "", markup, count=1)
    stripped = stripped.replace("\x00", "").replace(_PLACE, "").strip()
    try:
        return lxml.html.document_fromstring(stripped) if stripped else None
    except (lxml.etree.LxmlError, ValueError):
        return None


def _text(tree: HtmlElement) -> str:
    return str(Inscriptis(tree, _CONFIG).get_text()).replace(_PLACE, "")


def _markup(tree: HtmlElement) -> str:
    body = tree.find("body")
    whole = lxml.html.tostring(tree if body is None else body, encoding="unicode", with_tail=False)
    return str(whole).replace(_PLACE, "")


def _cut(tree: HtmlElement) -> HtmlElement | None:
    """Move the quoted part out of the tree into an element of its own."""
    marked = [element for element in tree.iter() if isinstance(element.tag, str) and _kind(element)]
    if not marked:
        return None
    quoted = lxml.html.Element("div")
    if _kind(marked[0]) == "start":
        _move_rest(marked[0], quoted)
        return quoted
    inside: set[HtmlElement] = set()
    for quote in marked:
        if quote in inside:
            continue
        if _kind(quote) == "start":
            _move_rest(quote, quoted)
            break
        inside.update(quote.iterdescendants())
        _move_attribution(quote, quoted)
        _move(quote, quoted)
    pieces = tree.text_content().split(_PLACE)
    return None if any(piece.strip() for piece in pieces[1:-1]) else quoted


def _kind(element: HtmlElement) -> str:
    """`quote` for an element that is quoted, `start` for one with which the rest is, empty for any other."""
    if not element.keys() and element.tag not in ("blockquote", "includetail"):
        return ""
    names = " ".join(element.get(name, "") for name in ("class", "id"))
    if names.strip():
        if _STARTS.search(names):
            return "start"
        if _QUOTES.search(names):
            return "quote"
    if element.get("name", "").lower() in _QUOTE_NAMES or element.tag == "includetail":
        return "quote"
    if element.tag == "blockquote" and (element.get("type", "").lower() == "cite" or _attribution(element) is not None):
        return "quote"
    return "start" if element.tag == "div" and _OUTLOOK_LINE.search(element.get("style", "")) else ""


def _attribution(quote: HtmlElement) -> HtmlElement | str | None:
    """What stands right before a quote and says whose it is: an element, or the last line of bare text."""
    before = quote.getprevious()
    while before is not None and before.tag == "br" and not (before.tail or "").strip():
        before = before.getprevious()
    bare = before.tail if before is not None else getattr(quote.getparent(), "text", None)
    if bare and bare.strip():
        return bare if _says_who(bare) else None
    if before is not None and isinstance(before.tag, str) and _says_who(before.text_content()):
        above, _, last = _lines(before).rpartition("\n")
        # Below words of the new part, and in one element with them: only the text can tell them apart.
        return None if above.strip() and _says_who(last) else before
    return None


def _lines(element: HtmlElement) -> str:
    """The text of an element with its line breaks."""
    said = element.text or ""
    for inner in element.iterdescendants():
        said += ("\n" if inner.tag == "br" else inner.text or "") + (inner.tail or "")
    return said.strip()


def _says_who(text: str) -> bool:
    said = text.strip()
    return (
        len(said) <= _LONGEST_ATTRIBUTION and said.endswith((":", "：")) and any(c.isdigit() or c == "@" for c in said)
    )


def _move_attribution(quote: HtmlElement, into: HtmlElement) -> None:
    found = _attribution(quote)
    if isinstance(found, str):
        before = quote.getprevious()
        while before is not None and before.tag == "br" and not (before.tail or "").strip():
            before = before.getprevious()
        if before is not None:
            before.tail = None
        else:
            quote.getparent().text = None
        line = lxml.html.Element("p")
        line.text = _settable(found)
        into.append(line)
    elif found is not None:
        _move(found, into)


def _settable(text: str | None) -> str:
    """A text as lxml lets it be set: it reads some characters, written as references, that it does not write."""
    return _NOT_XML.sub("", text or "")


def _move(element: HtmlElement, into: HtmlElement) -> None:
    """Move an element; its place is marked, and what follows it stays."""
    element.tail, tail = None, _PLACE + _settable(element.tail)
    before, parent = element.getprevious(), element.getparent()
    if before is not None:
        before.tail = _settable(before.tail) + tail
    else:
        parent.text = _settable(parent.text) + tail
    parent.remove(element)
    into.append(element)


def _move_rest(element: HtmlElement, into: HtmlElement) -> None:
    """Move an element and all that follows it in the document."""
    moved = [element, *element.itersiblings()]
    above = element.getparent()
    while above is not None and above.tag not in ("body", "html"):
        if above.tail and above.tail.strip():
            rest = lxml.html.Element("span")
            rest.text, above.tail = _settable(above.tail), None
            moved.append(rest)
        moved += above.itersiblings()
        above = above.getparent()
    for one in moved:
        into.append(one)
