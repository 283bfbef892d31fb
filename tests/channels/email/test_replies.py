"""What servers answer, and what becomes of it: every row of the table by a server that says so."""

from __future__ import annotations

import pytest

from services.email.api import errors
from services.email.api.errors import ENHANCED, Stage, refusal
from shared.contract.errors import ERRORS, ErrorClass, ErrorCode
from shared.contract.events import Health
from tests.channels.email.scripted import ScriptedServer
from tests.channels.email.sending import CONTACT, account, call, channel, refused

# step, reply, what it is for us, what it says of the account
ROWS = [
    ("greeting", "421 4.3.2 Service not available", ErrorCode.PROVIDER_UNAVAILABLE, None),
    ("greeting", "554 5.7.1 Connection refused", ErrorCode.PROVIDER_UNAVAILABLE, None),
    ("EHLO", "421 4.4.2 Timeout", ErrorCode.PROVIDER_UNAVAILABLE, None),
    ("AUTH", "535 5.7.8 Username and Password not accepted", ErrorCode.ACCOUNT_REAUTH_REQUIRED, Health.REAUTH_REQUIRED),
    ("AUTH", "534 5.7.9 Application-specific password required", ErrorCode.ACCOUNT_REAUTH_REQUIRED,
     Health.REAUTH_REQUIRED),
    ("AUTH", "538 5.7.11 Encryption required", ErrorCode.ACCOUNT_REAUTH_REQUIRED, Health.REAUTH_REQUIRED),
    ("AUTH", "454 4.7.0 Temporary authentication failure", ErrorCode.PROVIDER_UNAVAILABLE, None),
    ("AUTH", "421 4.7.0 Too many login attempts", ErrorCode.PROVIDER_UNAVAILABLE, None),
    ("MAIL", "530 5.7.0 Authentication required", ErrorCode.ACCOUNT_REAUTH_REQUIRED, Health.REAUTH_REQUIRED),
    ("MAIL", "550 5.7.60 Client does not have permissions to send as this sender", ErrorCode.ACCOUNT_DISCONNECTED,
     Health.DISCONNECTED),
    ("MAIL", "501 5.1.7 Invalid sender", ErrorCode.ACCOUNT_DISCONNECTED, Health.DISCONNECTED),
    ("MAIL", "553 sender rejected", ErrorCode.ACCOUNT_DISCONNECTED, Health.DISCONNECTED),
    ("MAIL", "552 5.3.4 Message size exceeds fixed limit", ErrorCode.FILE_TOO_LARGE, None),
    ("MAIL", "552 Message too big", ErrorCode.FILE_TOO_LARGE, None),
    ("MAIL", "452 4.3.1 Insufficient system storage", ErrorCode.PROVIDER_UNAVAILABLE, None),
    ("MAIL", "421 4.7.0 Try again later", ErrorCode.RATE_LIMITED, None),
    ("MAIL", "555 5.5.4 Unsupported option", ErrorCode.INTERNAL, None),
    ("RCPT", "550 5.1.1 The account that you tried to reach does not exist", ErrorCode.RECIPIENT_UNKNOWN, None),
    ("RCPT", "550 5.1.10 Recipient not found", ErrorCode.RECIPIENT_UNKNOWN, None),
    ("RCPT", "551 User not local", ErrorCode.RECIPIENT_UNKNOWN, None),
    ("RCPT", "553 5.1.3 Bad destination mailbox address syntax", ErrorCode.RECIPIENT_UNKNOWN, None),
    ("RCPT", "550 No such user here", ErrorCode.RECIPIENT_UNKNOWN, None),
    ("RCPT", "550 5.0.0 Unknown user", ErrorCode.RECIPIENT_UNKNOWN, None),
    ("RCPT", "550 5.2.1 The email account is disabled", ErrorCode.RECIPIENT_UNKNOWN, None),
    ("RCPT", "550 5.2.1 Not now", ErrorCode.CONTENT_REJECTED, None),
    ("RCPT", "552 5.2.2 Mailbox full", ErrorCode.UNDELIVERED, None),
    ("RCPT", "550 5.1.8 Sender address rejected", ErrorCode.ACCOUNT_DISCONNECTED, Health.DISCONNECTED),
    ("RCPT", "550 5.7.1 Blocked by policy", ErrorCode.CONTENT_REJECTED, None),
    ("RCPT", "550 Go away", ErrorCode.CONTENT_REJECTED, None),
    ("RCPT", "450 4.7.1 Greylisted, try again in 300 seconds", ErrorCode.RATE_LIMITED, None),
    ("RCPT", "450 4.2.1 The user is receiving mail too quickly", ErrorCode.RATE_LIMITED, None),
    ("RCPT", "452 4.2.2 Mailbox full", ErrorCode.RATE_LIMITED, None),
    ("RCPT", "452 4.5.3 Too many recipients", ErrorCode.RATE_LIMITED, None),
    ("RCPT", "451 4.3.0 Temporary lookup failure", ErrorCode.RATE_LIMITED, None),
    ("RCPT", "421 4.3.2 Shutting down", ErrorCode.PROVIDER_UNAVAILABLE, None),
    ("DATA", "451 4.3.0 Try again", ErrorCode.PROVIDER_UNAVAILABLE, None),
    ("DATA", "503 5.5.1 Bad sequence", ErrorCode.INTERNAL, None),
    ("dot", "550 5.7.26 Unauthenticated email is not accepted due to DMARC policy", ErrorCode.CONTENT_REJECTED, None),
    ("dot", "554 5.7.1 Message is spam", ErrorCode.CONTENT_REJECTED, None),
    ("dot", "554 5.6.0 Virus found", ErrorCode.CONTENT_REJECTED, None),
    ("dot", "552 5.2.3 Message length exceeds limit", ErrorCode.FILE_TOO_LARGE, None),
    ("dot", "451 4.7.28 Unusual rate of mail", ErrorCode.RATE_LIMITED, None),
    ("dot", "421 4.7.28 Unusual rate of mail", ErrorCode.RATE_LIMITED, None),
    ("dot", "554 Transaction failed", ErrorCode.CONTENT_REJECTED, None),
]  # fmt: skip


@pytest.mark.parametrize(("step", "reply", "code", "health"), ROWS, ids=[f"{row[0]}-{row[1][:9]}" for row in ROWS])
async def test_a_reply_means_what_the_table_says(step: str, reply: str, code: ErrorCode, health: Health | None) -> None:
    async with ScriptedServer({step: reply}) as server, channel() as sender:
        owner = account(server.port)
        failure = await refused(sender, call(sender, owner), owner)
    assert (failure.code, failure.health, failure.certain) == (code, health, True)


async def test_a_server_that_is_not_there_is_an_outage() -> None:
    async with ScriptedServer() as server:
        port = server.port
    async with channel() as sender:
        owner = account(port)
        failure = await refused(sender, call(sender, owner), owner)
    assert (failure.code, failure.certain) == (ErrorCode.PROVIDER_UNAVAILABLE, True)


def test_every_row_ends_in_what_we_can_act_on() -> None:
    for enhanced, rule in ENHANCED.items():
        expected = {ErrorClass.RATE, ErrorClass.TRANSIENT} if enhanced.startswith("4") else None
        error_class = ERRORS[rule.code].error_class
        assert (error_class in expected) if expected else error_class not in (ErrorClass.RATE, ErrorClass.TRANSIENT)


def test_a_recipient_who_gets_too_much_holds_nobody_else_back() -> None:
    for reply in ((450, "4.7.1 greylisted"), (452, "4.2.2 full"), (451, "4.3.0 lookup")):
        failure = refusal(Stage.RCPT, *reply)
        assert (failure.scope, failure.code) == ("pair", ErrorCode.RATE_LIMITED)
        assert failure.retry_after is not None
        assert failure.retry_after >= 60


def test_replies_repeat_nobodys_address() -> None:
    text = f"5.1.1 <{CONTACT}>: Recipient address rejected: User unknown; see https://example.net/?p={CONTACT}"
    failure = refusal(Stage.RCPT, 550, text)
    assert failure.detail is not None
    assert CONTACT not in failure.detail
    assert "Ida" not in (failure.detail or "").title().split()
    assert failure.provider_code == "550 5.1.1"


@pytest.mark.parametrize("text", ["5.123.456 x", "9.9.9 x", "", "x" * 100_000, "\r\n\x00"])
def test_what_a_server_makes_up_is_no_new_code(text: str) -> None:
    known = {f"{code}" for code in range(200, 600)} | {"odd"}
    for code in (550, 450, 999, 0):
        assert refusal(Stage.RCPT, code, text).provider_code in known


def test_settings_that_are_missing_are_named() -> None:
    assert errors.misconfigured("x").health is Health.DISCONNECTED
