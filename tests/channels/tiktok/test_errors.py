"""The table of return codes, and what an error may say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tiktok.api.errors import CODES, no_envelope, refusal
from shared.contract.errors import ERRORS, ErrorClass, ErrorCode
from shared.contract.events import Health
from shared.kit.failures import unanswered, unreachable


@pytest.mark.parametrize(
    ("code", "message", "expected", "scope"),
    [
        (40001, "No permission to operate.", ErrorCode.ACCOUNT_REAUTH_REQUIRED, "account"),
        (40001, "Too many requests", ErrorCode.RATE_LIMITED, "app"),
        (40002, "Param conversation_id is invalid.", ErrorCode.RECIPIENT_UNKNOWN, "pair"),
        (40002, "text.body is too long", ErrorCode.CONTENT_REJECTED, "pair"),
        (40002, "referenced_message_id is invalid", ErrorCode.REPLY_TARGET_UNKNOWN, "pair"),
        (40007, "The object does not exist", ErrorCode.RECIPIENT_UNKNOWN, "pair"),
        (40007, "Media does not exist", ErrorCode.FILE_UNAVAILABLE, "pair"),
        (40016, "", ErrorCode.RATE_LIMITED, "app"),
        (40064, "Blocked by rules", ErrorCode.WINDOW_CLOSED, "pair"),
        (40064, "You are sending too fast", ErrorCode.RATE_LIMITED, "account"),
        (40100, "Too frequent", ErrorCode.RATE_LIMITED, "app"),
        (40102, "", ErrorCode.ACCOUNT_REAUTH_REQUIRED, "account"),
        (40105, "Access token is incorrect", ErrorCode.ACCOUNT_REAUTH_REQUIRED, "account"),
        (40132, "", ErrorCode.RATE_LIMITED, "app"),
        (40908, "", ErrorCode.FILE_TYPE_UNSUPPORTED, "pair"),
        (41234, "never seen", ErrorCode.CONTENT_REJECTED, "pair"),
    ],
)
def test_refusals_are_certain(code: int, message: str, expected: ErrorCode, scope: str) -> None:
    failure = refusal(code, message, sends=True, trace_id="req_1")
    assert (failure.code, failure.certain, failure.scope) == (expected, True, scope)
    assert (failure.provider_code, failure.trace_id) == (str(code), "req_1")


@pytest.mark.parametrize("code", [20001, 50000, 51065, 59999, 7, -1])
def test_system_errors_leave_a_send_uncertain_and_nothing_else(code: int) -> None:
    sending, asking = (refusal(code, "", sends=sends, trace_id=None) for sends in (True, False))
    assert (sending.code, sending.certain) == (ErrorCode.UNCERTAIN, False)
    assert asking.certain


def test_too_many_conversations_a_day_pause_the_account_for_minutes() -> None:
    assert refusal(40064, "sending too fast", sends=True, trace_id=None).retry_after == 300


def test_a_rate_is_never_taken_for_a_dead_token() -> None:
    for code in (40016, 40100, 40132, 40133):
        assert refusal(code, "token", sends=True, trace_id=None).health is None
    assert refusal(40105, "", sends=True, trace_id=None).health is Health.REAUTH_REQUIRED


@pytest.mark.parametrize(
    ("status", "code", "certain"),
    [
        (200, ErrorCode.UNCERTAIN, False),
        (500, ErrorCode.UNCERTAIN, False),
        (504, ErrorCode.UNCERTAIN, False),
        (404, ErrorCode.PROVIDER_UNAVAILABLE, True),
        (302, ErrorCode.PROVIDER_UNAVAILABLE, True),
        (429, ErrorCode.RATE_LIMITED, True),
    ],
)
def test_answers_of_a_gateway(status: int, code: ErrorCode, certain: bool) -> None:
    failure = no_envelope(status, 7.0, sends=True, trace_id=None)
    assert (failure.code, failure.certain, failure.retry_after) == (code, certain, 7.0)
    assert no_envelope(status, None, sends=False, trace_id=None).certain


def test_only_a_written_request_is_uncertain() -> None:
    assert unreachable().certain
    assert not unanswered(sends=True).certain
    assert unanswered(sends=False).certain


@pytest.mark.parametrize(
    "secret",
    [
        "act.Zx81kfAoPq93mmTTaa91k",
        "u5JhpselBAhoPOlnH0tZ9y07kg==",
        "+5511955501234",
        "ida@example.org",
        "https://example.org/private",
        "'the text of a customer'",
        "“le texte”",
    ],
)
def test_details_repeat_no_values(secret: str) -> None:
    failure = refusal(40002, f"Param text.body {secret} is invalid.", sends=True, trace_id=None)
    assert failure.detail is not None
    assert secret not in failure.detail
    assert failure.detail.startswith("TikTok: Param text.body")


@given(st.integers(-(10**9), 10**9), st.text(max_size=80), st.booleans())
def test_every_code_and_message_has_a_failure(code: int, message: str, sends: bool) -> None:
    failure = refusal(code, message, sends=sends, trace_id=None)
    assert failure.certain or (sends and failure.code is ErrorCode.UNCERTAIN)


def test_every_row_names_its_source_and_pauses_only_accounts_it_marks() -> None:
    for rule in CODES.values():
        assert rule.source
        assert (ERRORS[rule.code].error_class is ErrorClass.ACCOUNT) == (rule.health is not None)
