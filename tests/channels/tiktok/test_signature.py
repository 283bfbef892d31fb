"""Who may bring events: the signature over the raw bytes, its time, and the app it was made for."""

from __future__ import annotations

import hashlib
import hmac
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from services.tiktok.channel import TikTokChannel
from services.tiktok.receive.inbound import StaleSignature
from services.tiktok.settings import Settings
from shared.channel import Forbidden, UnknownRoute, WebhookRequest

SECRET = "app_secret_value"
NOW = 1_700_000_000
NOBODY = SimpleNamespace(get=lambda _: None)

VECTORS = (
    (
        b'{"client_key":"app_1","event":"im_receive_msg","content":"{}"}',
        "2e184b4b0e75b7b319eb3003118d7d9b65ada4f65c53cc9b687a6b2f22fef285",
    ),
    (
        '{"event":"im_receive_msg","content":"{\\"text\\":{\\"body\\":\\"héllo 👍\\"}}"}'.encode(),
        "bb33fec2241e8f0bbc5f637001a5a57bad5c8f047af8cc7d68238e275e3999b2",
    ),
)
BODY, SIGNATURE = VECTORS[0]


def check(header: str | None, body: bytes = BODY, now: float = NOW, route: str = "", **settings: object) -> None:
    known: dict[str, object] = {"app_secret": SecretStr(SECRET)}
    channel = TikTokChannel(Settings.model_validate(known | settings), clock=lambda: now)
    headers = {} if header is None else {"tiktok-signature": header}
    channel.authenticate(WebhookRequest("POST", route, {}, headers, body), NOBODY)


def signed(body: bytes, secret: str = SECRET, at: int = NOW) -> str:
    digest = hmac.new(secret.encode(), str(at).encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={at},s={digest}"


@pytest.mark.parametrize(("body", "signature"), VECTORS)
def test_known_vectors(body: bytes, signature: str) -> None:
    check(f"t={NOW},s={signature}", body)


@pytest.mark.parametrize(
    "header",
    [
        f"s={SIGNATURE},t={NOW}",
        f" t = {NOW} , s = {SIGNATURE} ",
        f"t={NOW},s={SIGNATURE},v=2",
        f"T={NOW},S={SIGNATURE.upper()}",
    ],
)
def test_parts_are_read_by_name(header: str) -> None:
    check(header)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        SIGNATURE,
        f"t={NOW}",
        f"s={SIGNATURE}",
        f"t=,s={SIGNATURE}",
        f"t=-{NOW},s={SIGNATURE}",
        f"t={NOW}.0,s={SIGNATURE}",
        f"t=١٧,s={SIGNATURE}",
        f"t={'9' * 40},s={SIGNATURE}",
        f"t={NOW},s=é",
        f"t={NOW},s={SIGNATURE[:-1]}0",
        f"t={NOW + 1},s={SIGNATURE}",
        f"t={NOW},t={NOW + 1},s={'0' * 64}",
    ],
)
def test_what_proves_nothing_is_forbidden(header: str | None) -> None:
    with pytest.raises(Forbidden) as refused:
        check(header)
    assert not isinstance(refused.value, StaleSignature)


def test_a_changed_byte_is_forbidden() -> None:
    with pytest.raises(Forbidden):
        check(f"t={NOW},s={SIGNATURE}", BODY + b" ")


@pytest.mark.parametrize(("drift", "tolerance"), [(301, 300), (-301, 300), (6, 5)])
def test_a_genuine_signature_out_of_time_is_told_apart(drift: int, tolerance: int) -> None:
    with pytest.raises(StaleSignature):
        check(f"t={NOW},s={SIGNATURE}", now=NOW + drift, signature_tolerance=tolerance)


@pytest.mark.parametrize("drift", [-300, 300])
def test_the_tolerance_holds_both_ways(drift: int) -> None:
    check(f"t={NOW},s={SIGNATURE}", now=NOW + drift)


def test_an_empty_secret_accepts_nothing() -> None:
    with pytest.raises(Forbidden):
        check(signed(BODY, ""), app_secret=SecretStr(""))


def test_both_secrets_are_good_while_one_replaces_the_other() -> None:
    check(signed(BODY, "older"), app_secret_previous=SecretStr("older"))
    check(signed(BODY), app_secret_previous=SecretStr("older"))


def test_an_event_for_another_app_is_forbidden() -> None:
    check(signed(BODY), app_id="app_1")
    with pytest.raises(Forbidden):
        check(signed(BODY), app_id="app_2")


def test_an_unreadable_body_is_let_in_to_be_kept() -> None:
    check(signed(b"not json"), b"not json", app_id="app_1")


def test_there_is_one_route() -> None:
    with pytest.raises(UnknownRoute):
        check(signed(BODY), route="elsewhere")


@pytest.mark.parametrize(("asked", "answered"), [("a1B2", "a1B2"), ("<script>", ""), ("x" * 300, ""), (None, "")])
def test_a_challenge_is_repeated_and_nothing_else(asked: str | None, answered: str) -> None:
    query = {} if asked is None else {"challenge": asked}
    channel = TikTokChannel(Settings())
    assert channel.challenge(WebhookRequest("GET", "", query, {}, b""), NOBODY) == answered


@given(body=st.binary(max_size=200), header=st.text(max_size=120))
def test_no_header_breaks_the_check(body: bytes, header: str) -> None:
    with pytest.raises(Forbidden):
        check(header, body)


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        (Settings(), ["TIKTOK_APP_ID", "TIKTOK_APP_SECRET"]),
        (Settings(app_id="app"), ["TIKTOK_APP_SECRET"]),
        (Settings(app_id="app", app_secret=SecretStr("s")), []),
    ],
)
def test_it_knows_which_secrets_were_forgotten(settings: Settings, missing: list[str]) -> None:
    assert list(TikTokChannel(settings).missing_secrets()) == missing
