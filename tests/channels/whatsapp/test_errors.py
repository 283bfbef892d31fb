"""The error table: every code has a place, and nothing personal leaves it."""

from __future__ import annotations

import json

import pytest

from services.whatsapp.api.errors import CASES, RULES, About, Kind, answer_failure, failure_of
from services.whatsapp.channel import build
from services.whatsapp.settings import Settings
from shared.channel import Adjusts, Call, Failure
from shared.contract.commands import File
from shared.contract.errors import ERRORS, ErrorClass, ErrorCode
from shared.contract.events import Health
from shared.contract.statuses import WarningCode
from shared.runtime.accounts.health import PAUSED


@pytest.mark.parametrize(
    ("code", "expected", "scope", "health"),
    [
        (190, ErrorCode.ACCOUNT_REAUTH_REQUIRED, "account", Health.REAUTH_REQUIRED),
        (0, ErrorCode.ACCOUNT_REAUTH_REQUIRED, "account", Health.REAUTH_REQUIRED),
        (10, ErrorCode.ACCOUNT_DISCONNECTED, "account", Health.DISCONNECTED),
        (294, ErrorCode.ACCOUNT_DISCONNECTED, "account", Health.DISCONNECTED),
        (131005, ErrorCode.ACCOUNT_DISCONNECTED, "account", Health.DISCONNECTED),
        (133010, ErrorCode.ACCOUNT_DISCONNECTED, "account", Health.DISCONNECTED),
        (131042, ErrorCode.ACCOUNT_BILLING_BLOCKED, "account", Health.BILLING_BLOCKED),
        (131031, ErrorCode.ACCOUNT_DISCONNECTED, "account", Health.DISCONNECTED),
        (368, ErrorCode.ACCOUNT_DISCONNECTED, "account", Health.DISCONNECTED),
        (4, ErrorCode.RATE_LIMITED, "app", None),
        (80007, ErrorCode.RATE_LIMITED, "account", None),
        (130429, ErrorCode.RATE_LIMITED, "account", None),
        (131048, ErrorCode.RATE_LIMITED, "account", Health.DEGRADED),
        (131056, ErrorCode.RATE_LIMITED, "pair", None),
        (131000, ErrorCode.PROVIDER_UNAVAILABLE, "pair", None),
        (131057, ErrorCode.PROVIDER_UNAVAILABLE, "account", None),
        (131026, ErrorCode.RECIPIENT_UNKNOWN, "pair", None),
        (131030, ErrorCode.RECIPIENT_UNKNOWN, "pair", None),
        (131036, ErrorCode.UNDELIVERED, "pair", None),
        (137000, ErrorCode.IDENTITY_CHANGED, "pair", None),
        (131047, ErrorCode.WINDOW_CLOSED, "pair", None),
        (131049, ErrorCode.QUOTA_EXHAUSTED, "pair", None),
        (131050, ErrorCode.OPTED_OUT, "pair", None),
        (131009, ErrorCode.CONTENT_REJECTED, "pair", None),
        (131053, ErrorCode.FILE_TYPE_UNSUPPORTED, "pair", None),
        (132001, ErrorCode.TEMPLATE_INVALID, "pair", None),
        (132015, ErrorCode.TEMPLATE_PAUSED, "pair", None),
        (139101, ErrorCode.UNSUPPORTED_BY_CHANNEL, "pair", None),
    ],
)
def test_codes(code: int, expected: ErrorCode, scope: str, health: Health | None) -> None:
    failure = failure_of({"code": code, "title": "t"})
    assert (failure.code, failure.scope, failure.health) == (expected, scope, health)
    assert failure.certain
    assert failure.provider_code == str(code)


def test_the_same_error_means_the_same_by_answer_and_by_status() -> None:
    error = {
        "message": "(#131047) Re-engagement message",
        "code": 131047,
        "fbtrace_id": "Aq1",
        "error_data": {"details": "d"},
    }
    answered = answer_failure(400, json.dumps({"error": error}).encode())
    assert answered.trace_id == "Aq1"
    assert answered.code is failure_of({"code": 131047, "title": "Re-engagement message"}).code


_GONE = "Unsupported post request. Object with ID '220600' does not exist, cannot be loaded due to missing permissions."
_LINK = "Downloading media from weblink failed with http code 404, status message Not Found"
# What Meta says with 131053, and whether the link or the file has to change.
_UPLOADS = (
    ("", ErrorCode.FILE_TYPE_UNSUPPORTED),
    ("Uploaded as audio/mpeg, found text/plain", ErrorCode.FILE_TYPE_UNSUPPORTED),
    ("Unsupported Image mime type text/html. Please use one of image/jpeg.", ErrorCode.FILE_TYPE_UNSUPPORTED),
    ("Downloading media from weblink: unsupported media type image/svg+xml", ErrorCode.FILE_TYPE_UNSUPPORTED),
    ("Media file size too big. Max file size we currently support: image: 5mb", ErrorCode.FILE_TOO_LARGE),
    ("Downloading media from weblink failed: file size exceeds the limit", ErrorCode.FILE_TOO_LARGE),
    (_LINK, ErrorCode.FILE_UNAVAILABLE),
    ("Downloading media from weblink failed with exception: timed out", ErrorCode.FILE_UNAVAILABLE),
)


@pytest.mark.parametrize(
    ("error", "about", "expected"),
    [
        *(({"code": 100, "error_subcode": 33, "message": _GONE}, about, ErrorCode.ACCOUNT_DISCONNECTED)
          for about in (About.MESSAGE, About.TEMPLATE, About.UPLOAD, About.NUMBER)),
        ({"code": "100", "error_subcode": "33"}, About.MESSAGE, ErrorCode.ACCOUNT_DISCONNECTED),
        ({"code": 100, "error_subcode": 33, "message": _GONE}, About.MEDIA, ErrorCode.FILE_UNAVAILABLE),
        ({"code": 33}, About.MEDIA, ErrorCode.FILE_UNAVAILABLE),
        ({"code": 33}, About.MESSAGE, ErrorCode.ACCOUNT_DISCONNECTED),
        ({"code": 100, "error_subcode": 2494010}, About.MESSAGE, ErrorCode.CONTENT_REJECTED),
        ({"code": 100, "message": "Param file must be a file"}, About.UPLOAD, ErrorCode.FILE_TYPE_UNSUPPORTED),
        ({"code": 100}, About.STATUS, ErrorCode.CONTENT_REJECTED),
        ({"code": 100}, About.TEMPLATE, ErrorCode.TEMPLATE_INVALID),
        ({"code": 131008}, About.TEMPLATE, ErrorCode.TEMPLATE_INVALID),
        ({"code": 131009}, About.TEMPLATE, ErrorCode.TEMPLATE_INVALID),
        ({"code": 131008}, About.MESSAGE, ErrorCode.CONTENT_REJECTED),
        ({"code": 131009, "error_data": {"details": "Parameter missing in the template's button"}}, About.STATUS,
         ErrorCode.TEMPLATE_INVALID),
        ({"code": 131009, "error_data": {"details": "contemplated"}}, About.STATUS, ErrorCode.CONTENT_REJECTED),
        ({"code": 131053, "error_data": {"details": _LINK}}, About.STATUS, ErrorCode.FILE_UNAVAILABLE),
        ({"code": 131053, "error_data": {"details": _LINK}}, About.MESSAGE, ErrorCode.FILE_UNAVAILABLE),
        *(({"code": 131053, "message": "Media upload error", "error_data": {"details": details}}, about, code)
          for about in (About.STATUS, About.MESSAGE) for details, code in _UPLOADS),
        ({"code": 190, "error_subcode": 460}, About.MESSAGE, ErrorCode.ACCOUNT_REAUTH_REQUIRED),
        ({"code": 777123}, About.STATUS, ErrorCode.UNDELIVERED),
        ({"title": "no code at all"}, About.STATUS, ErrorCode.UNDELIVERED),
        ({"code": 777123}, About.MESSAGE, ErrorCode.CONTENT_REJECTED),
    ],
)  # fmt: skip
def test_what_a_code_means_depends_on_what_it_answers(
    error: dict[str, object], about: About, expected: ErrorCode
) -> None:
    failure = failure_of(error, None if about is About.STATUS else 400, about)
    assert failure.code is expected
    paused = ERRORS[expected].error_class is ErrorClass.ACCOUNT
    assert (failure.scope == "account", failure.health is not None) == (paused, paused)


def test_what_means_the_account_pauses_it() -> None:
    """A health that does not pause would have its commands tried again and again, at once."""
    for rule in (*RULES.values(), *(case.rule for case in CASES)):
        if ERRORS[rule.code].error_class is ErrorClass.ACCOUNT:
            assert rule.health in PAUSED, rule
            assert rule.scope == "account", rule


def test_only_credentials_and_account_codes_touch_the_account() -> None:
    for code, rule in RULES.items():
        if rule.kind in (Kind.CONTENT, Kind.RCPT, Kind.WIN, Kind.RETRY, Kind.OPS):
            assert rule.health is None, code
        if ERRORS[rule.code].error_class is ErrorClass.ACCOUNT:
            assert rule.scope == "account", code


def test_rates_say_when_to_come_back() -> None:
    assert all(rule.retry_after for rule in RULES.values() if rule.kind is Kind.RATE)


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (401, {"code": 999}, ErrorCode.ACCOUNT_REAUTH_REQUIRED),
        (429, {"code": 999}, ErrorCode.RATE_LIMITED),
        (503, {"code": 999}, ErrorCode.PROVIDER_UNAVAILABLE),
        (400, {"code": 999, "is_transient": True}, ErrorCode.PROVIDER_UNAVAILABLE),
        (400, {"code": 999}, ErrorCode.CONTENT_REJECTED),
        (400, {"message": "no code at all"}, ErrorCode.CONTENT_REJECTED),
        (403, {"code": "131056"}, ErrorCode.RATE_LIMITED),
    ],
)
def test_unknown_codes_are_classed_by_transport(status: int, error: dict[str, object], expected: ErrorCode) -> None:
    failure = answer_failure(status, json.dumps({"error": error}).encode())
    assert failure.code is expected
    assert failure.certain


@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b"[]", b'{"error": "text"}', b"\xff"])
def test_an_answer_that_is_not_graphs_says_little(body: bytes) -> None:
    assert not answer_failure(502, body).certain
    assert answer_failure(502, body).code is ErrorCode.UNCERTAIN
    gateway = answer_failure(401, body)
    assert gateway.code is ErrorCode.PROVIDER_UNAVAILABLE
    assert gateway.health is None
    assert answer_failure(429, body).code is ErrorCode.RATE_LIMITED


@pytest.mark.parametrize(
    ("details", "kept"),
    [
        ("Recipient +1 (555) 010-0001 is not allowed", "Recipient … is not allowed"),
        ("User BR.7f3K9mQ2 blocked wamid.HBgLMTU1NTAx", "User … blocked …"),
        ('Text "Meet me at noon" refused by ida@example.com', "Text … refused by …"),
        ('Param "template.name" at https://x.example/?t=1', 'Param "template.name" at …'),
        ("(#131009) Body exceeds 1024 characters", "Body exceeds 1024 characters"),
    ],
)
def test_details_lose_what_is_personal(details: str, kept: str) -> None:
    assert failure_of({"code": 131009, "error_data": {"details": details}}).detail == kept


def test_details_are_bounded() -> None:
    assert len(failure_of({"code": 1, "message": "x " * 10_000}).detail or "") == 300


# ----------------------------------------------------------------------------------------------------- adjust

TEXT = {
    "messaging_product": "whatsapp",
    "to": "1",
    "type": "text",
    "text": {"body": "x"},
    "context": {"message_id": "w"},
}


def failed(code: int, detail: str = "", *, certain: bool = True) -> Failure:
    return Failure(ErrorCode.CONTENT_REJECTED, certain=certain, provider_code=str(code), detail=detail)


def adjusted(call: Call, failure: Failure) -> Call | None:
    channel = build(Settings())
    assert isinstance(channel, Adjusts)
    return channel.adjust(call, failure)


def test_a_reply_that_is_not_taken_goes_without_its_reference() -> None:
    call = adjusted(Call("messages", TEXT), failed(131009, "Param context.message_id is not valid"))
    assert call is not None
    assert "context" not in call.params
    assert [warning.code for warning in call.warnings] == [WarningCode.REPLY_TO_DROPPED]


def test_a_link_meta_cannot_fetch_is_uploaded() -> None:
    body = {"type": "image", "image": {"link": "https://cdn.example/a.jpg", "caption": "c"}}
    call = adjusted(Call("messages", body), failed(131053))
    assert call is not None
    assert call.params["image"] == {"caption": "c"}
    assert call.files == {"image.id": File(url="https://cdn.example/a.jpg")}


def test_a_file_that_is_not_what_its_kind_needs_goes_as_a_document() -> None:
    file = File(blob="b", filename="v.mp4")
    body = {"type": "video", "to": "1", "video": {"caption": "c"}}
    call = adjusted(Call("messages", body, files={"video.id": file}), failed(131053))
    assert call is not None
    assert call.params == {"type": "document", "to": "1", "document": {"caption": "c", "filename": "v.mp4"}}
    assert call.files == {"document.id": file}
    assert [warning.code for warning in call.warnings] == [WarningCode.SENT_AS_DOCUMENT]
    assert adjusted(call, failed(131053)) is None


def test_nothing_else_is_tried_again() -> None:
    assert adjusted(Call("messages", TEXT), failed(131009, "Button title is not valid")) is None
    assert adjusted(Call("messages", TEXT), failed(131009, "context", certain=False)) is None
    assert adjusted(Call("messages", TEXT), failed(131047)) is None
    assert adjusted(Call("block_users", {"context": 1}), failed(131009, "context")) is None
