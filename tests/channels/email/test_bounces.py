"""Bounces: recognised without crying wolf, hard told from soft, and the mail they are about found."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.email.receive.parse import parse
from services.email.receive.verdicts import is_hard
from services.email.tokens import Tokens
from tests.channels.email.labelled_bounces import LABELLED, Labelled
from tests.channels.goldens import HERE

HARD = [
    ("5.1.1", "550 5.1.1 <a@b.example>: Recipient address rejected: User unknown in virtual mailbox table"),
    ("5.1.1", ""),
    ("5.1.10", "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup"),
    ("5.1.2", "550 Host unknown"),
    ("5.4.4", "Host or domain name not found. Name service error for name=b.example type=A: Host not found"),
    ("5.0.0", "550 Requested action not taken: mailbox unavailable"),
    ("5.0.0", "554 delivery error: dd This user doesn't have a b.example account"),
    ("5.5.0", "550 no such recipient"),
    ("5.2.1", "550 5.2.1 The email account that you tried to reach does not exist"),
    ("5.7.1", "553 Invalid recipient a@b.example"),
    ("5.4.1", "550 5.4.1 Recipient address rejected: Access denied. AS(201806281)"),
    ("5.3.0", "553 5.3.0 <a@b.example>... Addressee unknown, relay=[192.0.2.1]"),
    (None, "sorry, no mailbox here by that name"),
    (None, "550 unrouteable address"),
    (None, "User a (a@b.example) not listed in Domino Directory"),
    (None, "The recipient name is not recognized"),
    (None, "554 5.7.1 The domain is not accepting mail, null MX"),
    (None, "Empfänger existiert nicht"),
    (None, "mailbox not present on this host"),
    ("5.0.0", "550 RCPT <a@b.example> doesn't exist"),
    (None, "550 <a@b.example> not found"),
    (None, "there is no mail box available for that name"),
    (None, "550 recipient is not local"),
    (None, "550 sorry, the recipient is in my badrcptto list"),
    (None, "551 the address was replaced by c@b.example"),
    (None, "556 b.example takes no mail"),
    (None, "554 UserUnknown"),
    (None, "weil die Adresse nicht gefunden wurde"),
    (None, "Nie znaleziono adresu"),
    (None, "주소를 찾을 수 없습니다"),
    (None, "宛先不明"),
]
SOFT = [
    ("5.2.2", "552 5.2.2 The mailbox is over quota"),
    ("5.1.1", "550 5.1.1 mailbox is full"),
    ("4.4.7", "delivery time expired"),
    ("4.2.2", "452 4.2.2 mailbox full"),
    ("5.1.8", "553 5.1.8 Sender address rejected: domain does not exist"),
    ("5.1.7", "501 5.1.7 invalid address"),
    ("5.7.1", "550 5.7.1 Message blocked due to spam content"),
    ("5.7.26", "550 5.7.26 unauthenticated email is not accepted due to the domain's DMARC policy"),
    ("5.3.4", "552 5.3.4 Message size exceeds fixed limit"),
    ("5.2.1", "550 5.2.1 The email account that you tried to reach is disabled"),
    ("5.0.0", "550 Your message was blocked by a blacklist"),
    ("5.7.1", "554 5.7.1 <a@b.example>: Relay access denied"),
    ("5.4.6", "554 5.4.6 too many hops"),
    (None, "User's disk quota exceeded"),
    (None, "450 greylisted, try again later"),
    (None, "550 Mailbox temporarily unavailable"),
    (None, "550 Domain of sender address acme.example does not exist"),
    (None, "550 sender domain not found in DNS"),
    (None, "550 unroutable sender address"),
    (None, "550 this host does not accept mail from acme.example"),
    (None, "550 your address has no PTR: host name not found"),
    (None, "something went wrong"),
]


@pytest.mark.parametrize(("status", "said"), HARD)
def test_a_recipient_who_does_not_exist_is_hard(status: str | None, said: str) -> None:
    assert is_hard("failed", status, said, "")
    assert not is_hard("delayed", status, said, "")


@pytest.mark.parametrize(("status", "said"), SOFT)
def test_what_may_be_over_tomorrow_is_soft(status: str | None, said: str) -> None:
    assert not is_hard("failed", status, said, "")


@pytest.mark.parametrize("one", LABELLED, ids=lambda one: one.name)
def test_bounces_of_many_systems_and_languages_are_read_right(one: Labelled) -> None:
    mail = json.loads(parse(one.mail))
    (report,) = mail["reports"]
    told = "delayed" if report["state"] == "delayed" else "hard" if report["hard"] else "soft"
    assert (mail["automatic"], told) == ("bounce", one.verdict)
    assert report["names"] == ["maaaabbbbccccddddeeee22@acme.example"]


def test_where_the_report_says_nothing_the_letter_does() -> None:
    assert is_hard("failed", "5.0.0", "", "Your message was not delivered: no such user here")


def _parsed(raw: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(parse(raw.encode()))
    return parsed


_INBOUND = sorted((HERE / "email" / "inbound").glob("*.eml"))


@pytest.mark.parametrize("path", _INBOUND, ids=lambda path: path.stem)
def test_only_bounces_are_taken_for_bounces(path: Any) -> None:
    """The goldens are named for what they are."""
    kind = json.loads(parse(path.read_bytes()))["automatic"]
    assert (kind == "bounce") == path.stem.startswith("bounce_")
    assert (kind == "feedback") == path.stem.startswith("complaint_")


@pytest.mark.parametrize(
    "raw",
    [
        "From: Ben <ben@x.example>\nSubject: Delivery failed?\n\nMy parcel could not be delivered. What now?",
        "From: Ben <ben@x.example>\nSubject: bounce house\n\nDo you rent bouncy castles? The old one was returned.",
        "From: postman@x.example\nSubject: Hello\n\nI deliver letters.",
        "From: Ben <ben@x.example>\nSubject: Mail server\n\nThe user does not exist, says your login (error 550 x).",
        "From: Ben <ben@x.example>\nReturn-Path: <>\nAuto-Submitted: auto-replied\nSubject: Away\n\nI am at sea.",
    ],
)
def test_people_write_of_delivery_and_failure_too(raw: str) -> None:
    assert _parsed(raw)["automatic"] != "bounce"


ORIGINAL = "From: us@acme.example\nTo: a@b.example\nMessage-ID: <m1@acme.example>\nSubject: Hi\n"
_LETTER = "From: MAILER-DAEMON@b.example\nSubject: Undelivered\nMessage-ID: <b1@b.example>\n"


@pytest.mark.parametrize(
    "raw",
    [
        _LETTER + "\nUser unknown\n\n" + ORIGINAL,
        _LETTER + "\nUser unknown\n\n" + ORIGINAL.replace("<m1@acme.example>", "m1@acme.example"),
        _LETTER + "\nUser unknown\n\n" + "".join(f"> {line}\n" for line in ORIGINAL.splitlines()),
        _LETTER + "\nUser unknown\n\n" + ORIGINAL.replace("Message-ID: <", "Message-Id:\n <"),
        _LETTER + "In-Reply-To: <m1@acme.example>\n\nUser unknown\n",
        _LETTER + "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nUser unknown\n--b\n"
        "Content-Type: text/rfc822-headers\n\n" + ORIGINAL + "--b--\n",
        _LETTER
        + "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n\n<p>User unknown<pre>\n"
        + ORIGINAL.replace("<m1", "&lt;m1").replace("example>", "example&gt;").replace("&lt;m1", "m1")
        + "</pre>\n--b--\n",
    ],
    ids=["in the text", "without brackets", "quoted", "folded", "as a parent", "as headers", "in html"],
)
def test_the_original_is_found(raw: str) -> None:
    mail = _parsed(raw)
    assert mail["automatic"] == "bounce"
    assert mail["reports"][0]["names"][0].startswith("m1@acme.example")
    assert "b1@b.example" not in mail["reports"][0]["names"]


@pytest.mark.parametrize(("kind", "complaints"), [("abuse", 1), ("not-spam", 0)])
def test_a_complaint_that_hides_the_recipient_has_the_token_of_the_mail(kind: str, complaints: int) -> None:
    token = Tokens(b"k").verp("mail_1", "c1")
    mail = _parsed(
        "From: fbl@isp.example\nSubject: FW: Hi\nMIME-Version: 1.0\nContent-Type: multipart/report;"
        ' report-type=feedback-report; boundary="b"\n\n--b\nContent-Type: message/feedback-report\n\n'
        f"Feedback-Type: {kind}\nOriginal-Mail-From: <bounce+b{token}@acme.example>\nOriginal-Rcpt-To: <redacted>\n\n"
        f"--b\nContent-Type: text/rfc822-headers\n\n{ORIGINAL}\n--b--\n"
    )
    told = [(one["state"], one["envelope_id"], one["names"], one["recipients"]) for one in mail["reports"]]
    assert mail["automatic"] == "feedback"
    assert told == [("complaint", token, ["m1@acme.example"], [])] * complaints


def test_a_report_of_several_recipients_is_one_of_each_state() -> None:
    groups = "".join(
        f"\nFinal-Recipient: rfc822; {n}@b.example\nAction: {action}\nStatus: {status}\n"
        for n, (action, status) in enumerate((("failed", "5.1.1"), ("failed", "5.2.2"), ("delayed", "4.4.1")))
    )
    mail = _parsed(
        _LETTER + "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n"
        f"Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx\n{groups}--b--\n"
    )
    told = [(report["state"], report["hard"], len(report["recipients"])) for report in mail["reports"]]
    assert told == [("failed", False, 2), ("delayed", False, 1)]
