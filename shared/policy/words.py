"""Words: what a provider says of an error, without what it repeats of people, of messages and of secrets.

A provider's words are shown to agents and kept in records, and may quote anything: names, texts, numbers with blanks in
them, addresses, tokens. What goes is masked by its shape, by not being one of the words that errors are made of
(`provider_words`), and by having stood in the command (`without`). Only the beginning of a long text is looked at, and
every step takes a time that grows with the text, not with its square.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

MASK = "…"
LONGEST = 300  # characters of what is shown
_LOOKED_AT = 600
_SAID_LOOKED_AT = 100_000  # characters of a command: more than any text of a message
_FEWEST_DIGITS = 5  # fewer are a limit, a code, an hour
_PHRASE = 3  # common words in a row that stood in the command, too, are taken for a quotation

_PAIRS = {'"': '"', "“": "”", "„": "“", "«": "»", "‘": "’", "`": "`", "「": "」"}
_NUMBER = re.compile(r"[+(]?\d[\d\s().\-/\u2010-\u2015\u00a0\u202f]*")
_WORD = re.compile(r"\w+")
_WORDS_OF_NAME = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_]+")
_NAME = re.compile(r"[A-Za-z][A-Za-z_.\[\]]*")
_MEDIA_TYPE = re.compile(r"(?:image|video|audio|application|text|multipart)/[a-z.+-]{1,60}")
_FILE_NAME = re.compile(r".*\.(?:pdf|jpe?g|png|gif|webp|mp[34]|og[ga]|opus|docx?|xlsx?|pptx?|txt|csv|zip)", re.I)
_EDGES = "()[]{}<>.,;:!?*#|'’"
_TRACE_ID = re.compile(r"[A-Za-z0-9_+/=.:\-]{1,64}")
_SHORTEST_OF_DIGITS = 16  # a trace id of digits alone: a shorter one may be somebody's number

# What errors are made of, in lower case: the words of Meta's and Telegram's lists of errors, and common ones.
_VOCABULARY = """
a about above accept accepted access account accounts action active address admin administrator after again
album all allow allowed already also an and another any api app application applied apply approval are as at
attached attachment audio auth authorization authorized available back bad banned base be because become been
before being below between big block blocked body bot bots business but button buttons by call callback calls
can cannot caption category certificate change channel channels character characters chat chats check client
close closed cloud code command component components concurrent conflict connection connections consumer contact
contain contains content context conversation could count country cover create created credentials currency
currently cursor data date day days deactivated default delete deleted delivered denied deregister
deregistration description detail details developer device did different dimensions direct disabled display
document does done download duplicate each ecosystem edit edited element eligibility eligible else empty enabled
end endpoint engagement enough enterprise entities entity entry error errors event exceed exceeded exceeds
exception exist existing exists expected experiment expired expires ext extension external facebook failed
failure fast feature fetches few field fields file filename files first flood flow follow following footer for
forbidden format formatting forwarded found from frozen full gateway generic get getupdates given gone graph
group groups guessed guesses had has hash have header healthy height help history hit hour hours http https
hydrated id identifier identity ids if image immediately in inactive incomplete incorrect index initiate inline
input instagram integrity interactive internal into invalid invited is issue issues it item items its json key
keyboard kicked kind know known language large last later latitude length less let limit limits link linked list
load loaded local location locked log logged long longer longitude made maintain maintenance malformed many map
marketing markup match maximum may media member members merchant message messageentity messages messaging meta
method migrated mime minimum minute minutes misconfigured misdirected mismatch missing mixed mobile mode
modified month more most moved much must name names need needed needs network new no non nor not nothing now
null number numbers oauth object of off old on once one only opened operate operation option optional or order
other our out outside over owner page pair param parameter parameters params parent parse part parts path paused
payload payment payments peer pending per permission permissions phone photo pin pixels please policies policy
poll position post previous private problem process product products profile protocol provided proxy public
query quota quote quoted rate re reached react reaction read reason received receiving recently recipient
recipients reduced reference refresh refused region register registered reject rejected remote removed replied
reply request requested requests required resource response restart restricted result retry returned revoked
rights same sandbox save scope scoped second seconds section seems self send sender sending sendmediagroup sent
serve server service session set setwebhook should signature since single size small some somebody something
spam special specified stars start status step sticker still stop stopped string subject subscribed such
supergroup support supported suspended sync syncing system takes telegram template templates temporarily
terminated terms test text than that the their them then there these they thing this those thread throttled
through tiktok time timeout times title to token tokens too topic traffic try turned two type types unable
unauthorized unavailable unblock undeliverable under unexpected unknown unprocessable unsupported until
unverified up update updates upgraded upload uploaded url us usage use used user username users using utf valid
validation value values verification verified version via video violated violates violation violations visible
voice waba waiting was way we web webhook webpage went were what whats whatsapp when where which while who whole
weblink width will window with within without write written wrong yes yet you your zero
certificates downloading participant participants unsigned uploading
"""
_COMMON = frozenset(_VOCABULARY.split())


def provider_words(text: str) -> str:
    """What a provider said, as it may be shown: at most `LONGEST` characters."""
    cut = text[:_LOOKED_AT]
    if len(text) > _LOOKED_AT:
        cut = cut.rpartition(" ")[0]  # half a number is not recognised
    return _shown(_tidy(_each_word(_NUMBER.sub(_number, _unquoted(cut)))))


def without(text: str, said: Iterable[str]) -> str:
    """A text without what `said` (the strings of a command, and of its calls) has in common with it."""
    heard = _heard(said)
    if not heard:
        return text
    words = list(_WORD.finditer(text))
    lowered = [word[0].lower() for word in words]
    gone = {at for at, word in enumerate(lowered) if word in heard and _reveals(word)}
    for at in range(len(lowered) - _PHRASE + 1):
        if " ".join(lowered[at : at + _PHRASE]) in heard:
            gone.update(range(at, at + _PHRASE))
    if not gone:
        return text
    pieces, behind = [], 0
    for at in sorted(gone):
        pieces += [text[behind : words[at].start()], MASK]
        behind = words[at].end()
    return _tidy("".join([*pieces, text[behind:]]))


def trace_id(value: object) -> str | None:
    """A provider's id of a request, if it has the shape of one: bounded, and nobody's address or number."""
    if not isinstance(value, str) or _TRACE_ID.fullmatch(value) is None or "://" in value:
        return None
    digits = sum(character.isdigit() for character in value)
    plain = all(character.isdigit() or character in "+-./:" for character in value)
    return None if plain and digits < _SHORTEST_OF_DIGITS else value


def strings(value: object) -> Iterator[str]:
    """Every string in a value made of mappings and sequences, keys apart; numbers, too."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list | tuple):
            waiting += one
        elif isinstance(one, int) and not isinstance(one, bool):
            yield str(one)


def _unquoted(text: str) -> str:
    """Quoted values are masked, but for the names of fields; a quotation without an end goes to the end."""
    pieces: list[str] = []
    at = 0
    while at < len(text):
        mark = text[at]
        closing = _PAIRS.get(mark)
        if closing is None and mark == "'" and (at == 0 or not text[at - 1].isalnum()):
            closing = "'"
        if closing is None:
            pieces.append(mark)
            at += 1
            continue
        end = text.find(closing, at + 1)
        inside = text[at + 1 : end] if end > 0 else text[at + 1 :]
        kept = end > 0 and _is_field(inside)
        pieces.append(f"{mark}{inside}{closing}" if kept else MASK)
        at = end + 1 if end > 0 else len(text)
    return "".join(pieces)


def _number(found: re.Match[str]) -> str:
    digits = sum(character.isdigit() for character in found[0])
    if digits < _FEWEST_DIGITS:
        return found[0]
    blank = found[0][len(found[0].rstrip()) :]
    return MASK + blank


def _each_word(text: str) -> str:
    return " ".join(word if _is_plain(word) else _masked(word) for word in text.split())


def _masked(word: str) -> str:
    """Nothing of the word but the point or comma behind it."""
    return MASK + (word[-1] if word[-1] in ".,;:" else "")


def _is_plain(word: str) -> bool:
    """Whether a word tells of nobody."""
    bare = word.strip(_EDGES + '"')
    if not bare or bare == MASK or bare.replace(".", "").replace(",", "").isdecimal():
        return True
    if "@" in word or "://" in word or not bare.isascii():
        return bare in ("“”", MASK)
    if _MEDIA_TYPE.fullmatch(bare):
        return True
    return all(_is_plain_name(part) for part in re.split(r"[/=,:|&()]", bare) if part)


def _is_plain_name(name: str) -> bool:
    if name.isdecimal():
        return True
    if "." in name or "_" in name:
        return _is_field(name)
    if any(character.isdigit() for character in name):
        return len(name) <= _FEWEST_DIGITS  # `mp4`, `v26`
    if name[0].islower() and name.isalpha():
        return len(name) <= 20 and (name.islower() or _is_field(name))
    return all(part.lower() in _COMMON for part in _words_of(name))


def _is_field(name: str) -> bool:
    """Whether this is the name of a field or of a state (`text.body`, `PHOTO_INVALID`), not somebody's or a file's."""
    bare = name.strip(_EDGES)
    if len(bare) > 60 or _NAME.fullmatch(bare) is None or _FILE_NAME.fullmatch(bare):
        return False
    parts = _words_of(bare)
    return any(part.lower() in _COMMON for part in parts) and (
        "_" in bare or "." in bare or all(part.lower() in _COMMON for part in parts)
    )


def _words_of(name: str) -> list[str]:
    return _WORDS_OF_NAME.findall(re.split(r"['’]", name)[0])


def _heard(said: Iterable[str]) -> set[str]:
    """The words of a command and, for the common ones among them, its phrases."""
    heard: set[str] = set()
    left = _SAID_LOOKED_AT
    for text in said:
        words = [word.lower() for word in _WORD.findall(text[:left])]
        left -= len(text)
        heard.update(words)
        heard.update(" ".join(words[at : at + _PHRASE]) for at in range(len(words) - _PHRASE + 1))
        if left <= 0:
            break
    return heard


def _reveals(word: str) -> bool:
    return len(word) > 1 and word not in _COMMON and not (word.isdecimal() and len(word) < _FEWEST_DIGITS)


def _tidy(text: str) -> str:
    """Neighbouring masks are one."""
    return re.sub(r"…(?:\s*…)+", MASK, text)


def _shown(text: str) -> str:
    return text[:LONGEST]
