"""Reading mail: addresses, headers, charsets, html and files, whatever programs have made of them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from services.email.receive import headers, markup
from services.email.receive.addresses import addresses
from services.email.receive.charsets import decode
from services.email.receive.mime import safe_name
from services.email.receive.parse import parse, placeholder
from services.email.receive.transfer import file_chunks, open_reference, slices
from tests.channels.goldens import HERE

MAILS = sorted((HERE / "email" / "inbound").glob("*.eml"))


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"Ann <ann@x.example>", [("ann@x.example", "Ann")]),
        (b"ann@x.example (Ann Lee)", [("ann@x.example", "Ann Lee")]),
        (b'"Lee, Ann" <ann@x.example>, b@y.example', [("ann@x.example", "Lee, Ann"), ("b@y.example", "")]),
        (b"boss@acme.example <eve@evil.example>", [("eve@evil.example", "boss@acme.example")]),
        (b"=?utf-8?q?J=C3=B6rg?= <j@x.example>", [("j@x.example", "Jörg")]),
        (b'"=?utf-8?b?SsO2cmc=?=" <j@x.example>', [("j@x.example", "Jörg")]),
        ("Jörg <j@x.example>".encode(), [("j@x.example", "Jörg")]),
        ("Jörg <j@x.example>".encode("latin-1"), [("j@x.example", "Jörg")]),
        (b"Ann ann@x.example", [("ann@x.example", "Ann")]),
        (b"Ann <ann@x.example", [("ann@x.example", "Ann")]),
        (b"<@relay.example:ann@x.example>", [("ann@x.example", "")]),
        (b"mailto:ann@x.example", [("ann@x.example", "")]),
        (b"team: a@x.example, b@x.example;", [("a@x.example", ""), ("b@x.example", "")]),
        (b"undisclosed-recipients:;", []),
        (b"<>", []),
        (b"", []),
        (b"root", [("root", "")]),
    ],
)
def test_addresses(field: bytes, expected: list[tuple[str, str]]) -> None:
    assert [(one.email, one.name) for one in addresses(field)] == expected


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?b?5bGx55Q=?= =?utf-8?b?sOWkqg==?=", "山田太"),
        (b"=?UTF-8?B?SGVsbG8=?==?UTF-8?B?IFdvcmxk?=", "Hello World"),
        (b"Re: =?iso-8859-1?q?Caf=E9?= now", "Re: Café now"),
        (b"=?utf-8?q?a=0D=0ABcc:_x@y.example?=", "a Bcc: x@y.example"),
        (b"=?us-ascii*EN?q?hello_w?=", "hello w"),
        (b"=?utf-8?q?never ends", "=?utf-8?q?never ends"),
        (b"=?utf-8?q?Gr\xc3\xbc=C3=9Fe?=", "Grüße"),
        (b"=?x-unknown?q?abc?=", "abc"),
        (b"a\r\n\t b", "a b"),
        ("Grüße".encode("latin-1"), "Grüße"),
    ],
)
def test_header_text(field: bytes, expected: str) -> None:
    assert headers.text(field) == expected


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"Sat, 21 Nov 2026 14:03:11 +0100", "2026-11-21T13:03:11+00:00"),
        (b"21 Nov 2026 14:03:11 -0000", "2026-11-21T14:03:11+00:00"),
        (b"Sat, 21 Nov 2026 14:03:11 +0100 (CET)", "2026-11-21T13:03:11+00:00"),
        (b"2026-11-21T14:03:11+01:00", "2026-11-21T13:03:11+00:00"),
        (b"Sat, 21 Nov 2026 14:03", "2026-11-21T14:03:00+00:00"),
        (b"Mon, 32 Nov 2026 10:00:00 +0000", None),
        (b"soon", None),
        (b"", None),
    ],
)
def test_dates(field: bytes, expected: str | None) -> None:
    found = headers.date(field)
    assert (found.isoformat() if found else None) == expected


def test_ids_are_read_from_the_raw_field() -> None:
    assert headers.message_ids(b"<a b@x.example> <c@x.example>\r\n\t d@x.example") == [
        "ab@x.example",
        "c@x.example",
        "d@x.example",
    ]


@pytest.mark.parametrize(
    ("text", "charset", "declared"),
    [
        ("Grüße", "utf-8", "utf-8"),
        ("Grüße", "utf-8", None),
        ("Grüße", "utf-8", "us-ascii"),
        ("Grüße", "cp1252", None),
        ("100 €", "cp1252", "iso-8859-1"),
        ("你好，鎔基", "gb18030", "gb2312"),
        ("똠방각하", "cp949", "ks_c_5601-1987"),
        ("こんにちは", "iso2022_jp", "iso-2022-jp"),
        ("こんにちは", "iso2022_jp", None),
        ("①㈱", "cp932", "shift_jis"),
        ("Grüße", "utf-7", "unicode-1-1-utf-7"),
        ("Привет, как дела? Когда придёт мой заказ, я жду уже две недели.", "koi8-r", None),
        ("Привет, как дела? Когда придёт мой заказ, я жду уже две недели.", "cp1251", None),
        ("Bonjour, où est passée ma commande n° 12 ? Elle a été payée à Noël, à l'hôtel.", "cp1252", None),
        ("您好，請問我的訂單什麼時候會到？我已經等了兩個星期了，謝謝您，請看一下。", "big5", None),
        ("请问我的订单什么时候能到？我已经等了两个星期了，谢谢你们，请看一下这个。", "gb18030", None),
        ("注文した商品はいつ届きますか？もう二週間も待っています。よろしくお願いします。", "cp932", None),
        ("주문한 상품은 언제 도착하나요? 벌써 이주일이나 기다리고 있습니다. 감사합니다.", "cp949", None),
    ],
)
def test_charsets(text: str, charset: str, declared: str | None) -> None:
    assert decode(text.encode(charset), declared) == text


def test_what_cannot_be_read_is_replaced_and_the_rest_kept() -> None:
    assert decode("Grüße".encode() + b"\xc3", "utf-8") == "Grüße�"
    assert decode(b"a" * 100, "punycode") == "a" * 100


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\a.txt", "a.txt"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("a\x00b.txt", "ab.txt"),
        ("..", ""),
        ("ü" * 300 + ".pdf", "ü" * 98 + ".pdf"),
    ],
)
def test_file_names_are_made_safe(name: str, expected: str) -> None:
    assert safe_name(name) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("<b onclick='x()'>a</b>", "<b>a</b>"),
        ("<a href='javascript:x()'>a</a>", '<a rel="noopener noreferrer">a</a>'),
        ("<a href='data:text/html,x'>a</a>", '<a rel="noopener noreferrer">a</a>'),
        ("<script>x</script><style>y</style><title>z</title>a", "a"),
        ("<svg onload=x><script>y</script></svg>a", "a"),
        ("<p style='background:url(http://e.example/x)'>a</p>", "<p>a</p>"),
        ("<p style='color:red;position:fixed'>a</p>", '<p style="color:red">a</p>'),
        ("<img src='https://e.example/a.png' width=9>", '<img width="9" data-src="https://e.example/a.png">'),
        ("<img src='https://e.example/a.png' width=1 height=1>", ""),
        ("<img src='cid:one'>", '<img src="cid:part-0">'),
        ("<img src='cid:two'>", "<img>"),
        ("<img alt='<img src=https://e.example/x>' src='cid:one'>", None),
        ("<form action=x><input name=y></form>a", "a"),
        ("<table background='https://e.example/x'><tr><td>a</td></tr></table>", None),
    ],
)
def test_html_is_made_harmless(source: str, expected: str | None) -> None:
    shown = markup.harmless(source, {"one": "cid:part-0"}.get)
    assert expected is None or shown == expected
    assert 'src="https' not in shown.replace('data-src="', "")
    assert "background" not in shown


@pytest.mark.parametrize("path", MAILS, ids=lambda path: path.stem)
def test_every_word_is_in_one_of_the_parts(path: Path) -> None:
    body = json.loads(parse(path.read_bytes()))["body"]
    parts = f"{body['text']} {body['quoted_text']} {body['signature']}"
    assert sorted(parts.split()) == sorted(body["full_text"].split())


@pytest.mark.parametrize("path", MAILS, ids=lambda path: path.stem)
def test_a_reference_opens_its_file(path: Path) -> None:
    """In pieces as small as they may come, and without the parser."""
    raw = path.read_bytes()
    for file in json.loads(parse(raw))["files"]:
        steps = open_reference(file["reference"])
        first = steps[0]
        whole = b"".join(file_chunks(slices(raw, first.start, first.end), steps))
        assert len(whole) == file["size"]
        pieces = (raw[at : min(at + 7, first.end)] for at in range(first.start, first.end, 7))
        assert b"".join(file_chunks(pieces, steps)) == whole


@pytest.mark.parametrize("reference", ["", "1-2", "2-1:base64", "a-b:base64", "1-2:base64/x", "../../etc"])
def test_what_is_no_reference_is_refused(reference: str) -> None:
    with pytest.raises(ValueError, match="reference"):
        open_reference(reference)


def test_anything_comes_out_as_something() -> None:
    """Mails with bytes changed, cut, doubled and put elsewhere."""
    rng = random.Random(7)
    raws = [path.read_bytes() for path in MAILS]
    for _ in range(600):
        raw = bytearray(rng.choice(raws))
        for _ in range(rng.randint(1, 12)):
            at, much = rng.randrange(len(raw) + 1), rng.randint(0, 40)
            piece = rng.choice(
                [bytes(rng.randrange(256) for _ in range(much)), bytes(raw[at : at + much]), b"", b"\n--"]
            )
            raw[at : at + rng.choice([0, much])] = piece
        document = json.loads(parse(bytes(raw)))
        assert document["unreadable"] is None
        json.dumps(document).encode()


def test_a_placeholder_says_what_the_header_does() -> None:
    document = json.loads(placeholder("too_slow", b"From: Ann <ann@x.example>\nSubject: Big\n\n" + b"x" * 100))
    assert document["unreadable"] == "too_slow"
    assert (document["subject"], document["author"][0]["email"]) == ("Big", "ann@x.example")
