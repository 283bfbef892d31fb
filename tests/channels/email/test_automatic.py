"""Mail that no person has written is marked, and mail that one has is not."""

from __future__ import annotations

import json

import pytest

from services.email.receive.parse import parse

AUTOMATIC = [
    "From: b@x.example\nX-Auto-Reply: yes",
    "From: b@x.example\nX-Precedence: auto_reply",
    "From: b@x.example\nX-Jira-Fingerprint: 1",
    "From: b@x.example\nX-MS-Exchange-Generated-Message-Source: Mailbox Rules Agent",
    "From: b@x.example\nContent-Type: multipart/report; report-type=disposition-notification",
    "From: b@x.example\nContent-Type: multipart/report; report-type=tlsrpt",
    "From: reports@x.example\nSubject: Report Domain: acme.example; Submitter: x.example; Report-ID: <1>",
    "From: orders-noreply@x.example",
    "From: no.reply@x.example",
    "From: nicht-antworten@x.example",
    "From: nepasrepondre@x.example",
    "From: dmarc-reports@x.example",
    "From: alerts+disk@x.example",
    "From: b@x.example\nSubject: Your order (out of office)",
    "From: b@x.example\nSubject: AUTO: Ben ist bald wieder da",
    "From: b@x.example\nSubject: Ben Berg is out of the office until Monday.",
    "From: b@x.example\nSubject: Abwesend: Re: Tassen",
    "From: b@x.example\nSubject: =?utf-8?b?44CQ6Ieq5YuV6L+U5L+h44CR44GK5ZWP44GE5ZCI44KP44Gb?=",
    "From: b@x.example\nSubject: =?utf-8?b?7J6Q64+Z7J2R64u1OiDsu7U=?=",
]
LISTS = ["From: newsletter@x.example", "From: b@x.example\nX-CSA-Complaints: abuse@x.example"]
PERSONAL = [
    "From: b@x.example\nSubject: Who is out of the office today?",
    "From: b@x.example\nSubject: Is it true that nobody is out of the office?",
    "From: b@x.example\nSubject: Auto: Reparatur",
    "From: b@x.example\nSubject: Re: Automatic reply: Cups",
    "From: b@x.example\nSubject: Vacation rental in May",
    "From: b@x.example\nSubject: A report: domain of acme.example",
    "From: b@x.example\nX-Auto-Response-Suppress: OOF",
    "From: noreen@x.example",
    "From: reply@x.example",
    "From: alertina@x.example",
]


def kind_of(head: str) -> str | None:
    found: str | None = json.loads(parse(f"{head}\n\nHello".encode()))["automatic"]
    return found


@pytest.mark.parametrize("head", AUTOMATIC)
def test_what_answers_or_reports_by_itself_is_automatic(head: str) -> None:
    assert kind_of(head) == "auto_reply"


@pytest.mark.parametrize("head", LISTS)
def test_what_goes_to_many_is_a_list(head: str) -> None:
    assert kind_of(head) == "list"


@pytest.mark.parametrize("head", PERSONAL)
def test_what_a_person_writes_is_not(head: str) -> None:
    assert kind_of(head) is None
