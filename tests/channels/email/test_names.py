"""Names of our own, and headers: what is made is recognised, and nothing else gets into a mail."""

from __future__ import annotations

import base64
import email
import email.policy
import random
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.email.api import headers
from services.email.api.body import FilePart, base64_lines, encoded_size, segments
from services.email.api.mail import compose
from services.email.peers import normal_address, peer_of_address
from services.email.send.markup import as_text, formatted
from services.email.subjects import base_subject, one_line, reply_subject
from services.email.threads import chain, key_of, note_of, references_of, thread_keys
from services.email.tokens import Tokens, bounce_address, read_recipient, reply_address
from shared.contract.content import Span

TOKENS = Tokens(b"secret")


# ------------------------------------------------------------------------------------------------------- tokens


def test_our_names_are_recognised_and_nobody_elses() -> None:
    message_id = TOKENS.message_id("mail_1", "acme.example", "cmd_1")
    assert message_id == TOKENS.message_id("mail_1", "acme.example", "cmd_1")
    assert TOKENS.is_own("mail_1", message_id)
    assert TOKENS.is_own("mail_1", message_id.upper())
    assert not TOKENS.is_own("mail_2", message_id)
    assert not Tokens(b"other").is_own("mail_1", message_id)
    assert not TOKENS.is_own("mail_1", "m" + "a" * 22 + "@acme.example")
    assert len(message_id.partition("@")[0]) < 64


def test_names_made_with_a_former_key_are_recognised() -> None:
    message_id = TOKENS.message_id("mail_1", "acme.example", "cmd_1")
    rotated = Tokens.of("new, secret")
    assert rotated.is_own("mail_1", message_id)
    assert not TOKENS.is_own("mail_1", rotated.message_id("mail_1", "acme.example", "cmd_1"))
    assert not Tokens.of("new").is_own("mail_1", message_id)


def test_addresses_of_ours_survive_what_relays_do() -> None:
    token = TOKENS.verp("mail_1", "cmd_1")
    assert read_recipient(bounce_address(token, "b.example").partition("@")[0].upper()) == ("bounce", token)
    reply = reply_address(TOKENS.reply_token("mail_1", "root@x"), "support@acme.example")
    assert read_recipient(reply.partition("@")[0]) == ("reply", TOKENS.reply_token("mail_1", "root@x"))
    for other in ("support", "support+sales", "bounce+b" + "a" * 21, "+r" + "1" * 22, ""):
        assert read_recipient(other) is None
    assert not TOKENS.accepts("reply", "mail_1", token)
    assert "secret" not in repr(TOKENS)


@given(st.text(max_size=80), st.text(max_size=80))
def test_tokens_are_short_and_lower_case(account: str, of: str) -> None:
    token = TOKENS.verp(account, of)
    assert re.fullmatch("[a-z2-7]{22}", token)
    assert TOKENS.accepts("bounce", account, token)


# ----------------------------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("Ida@Example.NET", "ida@example.net"),
        (" ida+x.y@example.net ", "ida+x.y@example.net"),
        ("Jürgen@BÜCHER.de", "jürgen@xn--bcher-kva.de"),
        ("o'neil@example.net", "o'neil@example.net"),
        ("a@localhost", "a@localhost"),
        ("ida@example.net\r\nBcc: x@y", None),
        ("ida example.net", None),
        ("@example.net", None),
        ("ida@", None),
        ("ida@@example.net", None),
        ("a" * 65 + "@example.net", None),
        ("ida@exa mple.net", None),
        ("ida@[127.0.0.1]", None),
        ("<ida@example.net>", None),
        ("ida,tom@example.net", None),
    ],
)
def test_addresses_have_one_spelling(given_: str, expected: str | None) -> None:
    assert normal_address(given_) == expected


def test_a_peer_tells_nothing() -> None:
    assert "ida" not in peer_of_address("ida@example.net")


# ------------------------------------------------------------------------------------------- subjects and threads


@pytest.mark.parametrize(
    ("subject", "base"),
    [
        ("Re: AW: [EXT] Fwd: Angebot", "Angebot"),
        ("RE[2]: x", "x"),
        ("IT: laptops", "IT: laptops"),
        ("答复: 你好", "你好"),
        ("Ответ: Привет", "Привет"),
        ("R: I: ciao", "ciao"),
        ("Re : truc", "truc"),
        ("[#123] Re: a", "[#123] Re: a"),
        ("Regarding: x", "Regarding: x"),
    ],
)
def test_a_reply_has_one_prefix(subject: str, base: str) -> None:
    assert base_subject(subject) == base
    assert reply_subject(subject) == f"Re: {base}"
    assert reply_subject(reply_subject(subject)) == f"Re: {base}"


def test_the_last_key_of_a_thread_is_its_root() -> None:
    keys = thread_keys("own@x", "p@x", ["root@x", "mid@x", "p@x"], "token")
    assert keys == ("t:token", key_of("p@x"), key_of("mid@x"), key_of("own@x"), key_of("root@x"))
    assert thread_keys("own@x", None, []) == (key_of("own@x"),)
    assert thread_keys("own@x", "p@x", [])[-1] == key_of("p@x")
    many = thread_keys("own@x", "p@x", [f"{n}@x" for n in range(200)])
    assert (len(many), many[-1]) == (50, key_of("0@x"))


def test_a_chain_keeps_its_root_and_its_newest() -> None:
    known = [f"{n}@x" for n in range(60)]
    kept = chain(known, "parent@x")
    assert (len(kept), kept[0], kept[-1], kept[-2]) == (20, "0@x", "parent@x", "59@x")


@given(st.text(max_size=600), st.lists(st.text(alphabet=st.characters(min_codepoint=33), min_size=1, max_size=700)))
def test_a_note_is_bounded(subject: str, ids: list[str]) -> None:
    note = note_of(subject, "m@x", [f"{one}@x" for one in ids])
    assert len(note["subject"]) <= 400
    assert len(note["references"]) <= 1400
    assert all("@" in one for one in references_of(note))


# ------------------------------------------------------------------------------------------------------- headers

evil = st.text(max_size=300) | st.sampled_from(
    ["=?utf-8?q?a=0D=0ABcc:_x@y.example?=", "a\r\nBcc: x@y.example", "a\nBcc: x", "a\rBcc: x", "a\u2028Bcc: x", "\x00",
     "=?utf-8?b?DQpCY2M6IHhAeS5leGFtcGxl?=", "x" * 3000, "\ud800", "a\x85Bcc: x", " ", "", "ü" * 500]
)  # fmt: skip


@given(subject=evil, name=evil, filename=evil)
def test_nothing_gets_into_a_header_that_was_not_meant(subject: str, name: str, filename: str) -> None:
    clean = [text.encode("utf-8", "replace").decode() for text in (subject, name, filename)]
    params = {
        "message_id": "m1@acme.example",
        "from": {"address": "support@acme.example", "name": clean[1]},
        "to": "ida@example.net",
        "subject": clean[0],
        "text": "x",
        "in_reply_to": "p@x",
        "references": ["r@x", "p@x"],
        "attachments": [{"file": "file0", "filename": clean[2][:80] or "f", "mime_type": "text/plain"}],
    }
    try:
        mail = compose(params)
    except ValueError:
        return  # said to the agent; never sent
    octets = b"".join(one if isinstance(one, bytes) else b"" for one in mail.segments)
    for policy in (email.policy.default, email.policy.compat32, email.policy.SMTP):
        read = email.message_from_bytes(octets, policy=policy)
        assert [key.lower() for key in read] == [
            "date", "from", "to", "subject", "message-id", "in-reply-to", "references", "mime-version", "content-type"
        ]  # fmt: skip
    assert all(len(line) <= 998 for line in octets.split(b"\r\n"))
    assert b"\n" not in octets.replace(b"\r\n", b"")


@given(st.text(max_size=400))
def test_a_subject_is_read_as_it_was_written(subject: str) -> None:
    clean = subject.encode("utf-8", "replace").decode()
    block = headers.written([("Subject", headers.text(clean, "Subject"))])
    read = email.message_from_bytes(block + b"\r\n", policy=email.policy.default)
    assert str(read["Subject"]) == one_line(clean)


def test_long_message_ids_are_neither_encoded_nor_divided() -> None:
    long = "AM9PR08MB" + "6F3A9C" * 20 + "@AM9PR08MB6545.eurprd08.prod.outlook.example"
    block = headers.written(
        [("References", headers.message_ids([long, long[::-1].replace("@", "") + "@x"], "References"))]
    )
    assert f"<{long}>".encode() in block
    assert b"=?" not in block


@pytest.mark.parametrize("value", ["a\r\nBcc: x", "a\nb", "a\x00b", "x" * 999, "\r\n\r\nbody", "a\r\n \r\n b"])
def test_a_header_that_would_be_read_otherwise_is_not_written(value: str) -> None:
    with pytest.raises(ValueError, match="header"):
        headers.written([("Subject", value)])


# ---------------------------------------------------------------------------------------------------------- body


@given(st.text(max_size=500))
def test_a_text_is_read_as_it_was_written(text: str) -> None:
    clean = re.sub("\r\n?", "\n", text.encode("utf-8", "replace").decode())
    octets = b"".join(one for one in segments(clean, "<p>x</p>", [], "=_b") if isinstance(one, bytes))
    read = email.message_from_bytes(octets, policy=email.policy.default)
    part = read.get_payload()[0]  # type: ignore[index]
    body = part.get_payload(decode=True).decode()  # type: ignore[union-attr]
    assert body.replace("\r\n", "\n") == clean


@pytest.mark.parametrize("size", [0, 1, 2, 3, 56, 57, 58, 114, 115, 1000, 1024 * 1024])
async def test_the_size_of_a_file_in_a_mail_is_known_to_the_octet(size: int) -> None:
    data = random.Random(size).randbytes(size)

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, size, 999):
            yield data[at : at + 999]

    lines = b"".join([piece async for piece in base64_lines(chunks())])
    assert len(lines) == encoded_size(size)
    assert base64.b64decode(lines) == data
    assert all(len(line) <= 76 for line in lines.split(b"\r\n"))


def test_a_mail_is_as_long_without_its_date_as_with_it() -> None:
    params = {"message_id": "m@x", "from": {"address": "a@x"}, "to": "b@x", "subject": "s", "text": "t"}
    sizes = {compose(params, date).size({}) for date in (None, datetime(2026, 12, 31, 23, 59, tzinfo=UTC))}
    assert len(sizes) == 1


def test_only_files_that_html_shows_are_inline() -> None:
    file = FilePart("file0", "a.png", "image/png", "c@x")
    said = segments("t", None, [file], "=_b")[0]
    assert isinstance(said, bytes)
    assert b"related" not in said


# -------------------------------------------------------------------------------------------------------- markup


def test_formatting_nests_and_nothing_of_the_text_is_markup() -> None:
    spans = [Span(kind="bold", offset=0, length=6), Span(kind="italic", offset=4, length=6)]
    html = formatted("<b>&\nxyz", spans)
    assert html == "<div><b>&lt;b&gt;&amp;</b><b><i><br>\nx</i></b><i>yz</i></div>"
    assert as_text(html) == "<b>&\nxyz"


spans_of = st.builds(
    Span,
    kind=st.sampled_from(["bold", "italic", "code", "link"]),
    offset=st.integers(0, 250),
    length=st.integers(1, 250),
    url=st.just("https://x.example/"),
)


@given(st.text(max_size=200), st.lists(spans_of, max_size=8))
def test_formatted_text_holds_every_word(text: str, spans: list[Span]) -> None:
    html = formatted(text, spans)
    if html is not None:
        assert as_text(html).split() == text.split()
