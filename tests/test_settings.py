"""Settings are documented, and a wrong one is named by its variable."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsError

from shared.runtime import settings
from shared.runtime.process.connections import ServiceConfig
from shared.runtime.settings import COMMON, read
from shared.runtime.tools.settings import problems_of, settings_of
from tests.settings import DOCUMENT, channels, document

GROUPS = [*COMMON, *(group for _, group in channels())]


def test_the_document_is_fresh() -> None:
    assert DOCUMENT.read_text() == document(), "make docs writes it anew"


def test_every_setting_says_what_it_means() -> None:
    assert [setting.variable for setting in settings_of(GROUPS) if not setting.meaning] == []


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("KAFKA_BOOTSTRAP", "kafka", "expected host:port"),
        ("KAFKA_BOOTSTRAP", "kafka://broker:9092", "expected host:port"),
        ("KAFKA_BOOTSTRAP", "kafka:99999", "a port is at least 1 and at most 65535"),
        ("TELEGRAM_API_URL", "api.telegram.example", "must match"),
        ("TIKTOK_API_URL", "https://", "must match"),
        ("WHATSAPP_GRAPH_URL", "ftp://graph.example", "must match"),
        ("WHATSAPP_APPS", '{"shop": {"verify_token": "a-verify-token"}}', "shop.secret: Field required"),
        ("TIKTOK_MEDIA_HOSTS", "one.example,two.example", "is no JSON"),
        ("EMAIL_SMTP_LISTEN", "0.0.0.0:99999", "the port is at most 65535"),
        ("EMAIL_SMTP_LISTEN", "0.0.0.0", "must match"),
        ("EMAIL_CA_FILE", "/nowhere/ca.pem", "there is no file /nowhere/ca.pem"),
        ("KAFKA_SECURITY_PROTOCOL", "SASL-SSL", "must be one of: 'PLAINTEXT', 'SSL'"),
        ("KAFKA_SASL_MECHANISM", "SCRAM-SHA512", "must be one of: 'PLAIN', 'SCRAM-SHA-256'"),
        ("KAFKA_SSL_CAFILE", "/nowhere/ca.pem", "there is no file /nowhere/ca.pem"),
        ("KAFKA_SSL_KEYFILE", "/nowhere/key.pem", "there is no file /nowhere/key.pem"),
        ("KAFKA_OAUTH_TOKEN_URL", "http://issuer.example/token", "the client's secret goes over https only"),
        ("KAFKA_SASL_MECHANISM", "OAUTHBEARER", "has to be SASL_SSL"),
        ("KAFKA_PARTITIONS", "0", "must be at least 1"),
        ("KAFKA_SEND_TIMEOUT", "soon", "is no number"),
        ("KAFKA_CREATE_TOPICS", "perhaps", "is no true or false"),
        ("STATE_URL", "http://valkey:6379", "expected an address that begins with valkey://"),
        ("STATE_SSL_CAFILE", __file__, "needs an address that begins with valkeys://"),
        ("STATE_SENTINELS", "sentinel", "expected host:port"),
        ("BLOB_URL", "bucket/files", "expected an address that begins with file://"),
        ("HTTP_PORT", "http", "is no whole number"),
        ("HTTP_PORT", "70000", "must be at most 65535"),
        ("HTTP_PUBLIC_URL", "hooks.example", "expected an address that begins with https://"),
        ("HTTP_PUBLIC_URL", "https:///path", "expected an address with a host"),
        ("HTTP_OPS_PORT", "8080", "is that of PORT"),
        ("API_TOKENS", "a-secret", "each needs 20 characters or more"),
        ("API_RATE", "0", "must be more than 0"),
        ("HTTP_PUBLIC_URL", "http://hooks.example", "providers call https only"),
        ("ROLES", "", "names nothing"),
        ("ROLES", "ingress,juggle", "1: must be one of: 'ingress', 'normalise'"),
        ("LOG_LEVEL", "chatty", "must be one of: 'DEBUG'"),
        ("WHATSAPP_APPS", "{", "is no JSON"),
        ("WHATSAPP_GRAPH_VERSION", "26", "must match"),
        ("TELEGRAM_POLL_TIMEOUT", "51", "must be at most 50"),
    ],
)
def test_a_wrong_setting_is_named_and_not_repeated(
    variable: str, value: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    [(named, said)] = _problems()
    # A mechanism that is right and alone is a protocol that is missing.
    assert named == ("KAFKA_SECURITY_PROTOCOL" if problem.startswith("has to be SASL_SSL") else variable)
    assert problem in said
    assert Path(value).is_absolute() or not value or value not in said or len(value) < 3


def test_sasl_without_a_user_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "pass-phrase")
    assert _problems() == [("KAFKA_SASL_USERNAME", "needed with SECURITY_PROTOCOL=SASL_SSL")]


def test_secrets_come_from_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SEALING_KEY": "of the file\n",
        "kafka_sasl_password": "pass-phrase",
        "WHATSAPP_APPS": '{"shop": {"secret": "s"}}',
        "LOG_LEVEL": "DEBUG",
    }.items():
        (tmp_path / name).write_text(value)
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("LOG_LEVEL", "ERROR")
    config, (_, whatsapp) = ServiceConfig(), next(one for one in channels() if one[0] == "whatsapp")
    assert config.service.private_key == "of the file"
    assert config.kafka.sasl_password is not None
    assert config.kafka.sasl_password.get_secret_value() == "pass-phrase"
    assert list(read(whatsapp).model_dump()["apps"]) == ["shop"]
    assert config.service.log_level == "ERROR"  # the environment goes first


def test_a_file_with_a_wrong_value_is_named_as_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "KAFKA_PARTITIONS").write_text("0")
    (tmp_path / "WHATSAPP_APPS").write_text("{")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    assert _problems() == [("KAFKA_PARTITIONS", "must be at least 1"), ("WHATSAPP_APPS", "is no JSON")]
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path / "none"))
    assert _problems() == [("SECRETS_DIR", f"there is no directory {tmp_path / 'none'}")]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "OAUTHBEARER"},
            ("KAFKA_OAUTH_TOKEN_URL", "needed with SECURITY_PROTOCOL=SASL_SSL and SASL_MECHANISM=OAUTHBEARER"),
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "AWS_MSK_IAM"},
            ("KAFKA_SASL_MECHANISM", "AWS_MSK_IAM needs the extra `msk`, which is not installed here"),
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CAFILE": __file__},
            ("KAFKA_SSL_CAFILE", "no authority's certificate in PEM"),
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CERTFILE": __file__},
            ("KAFKA_SSL_CERTFILE", "no certificate with its private key in PEM"),
        ),
        (
            {"STATE_URL": "valkeys://store", "STATE_SSL_CERTFILE": __file__},
            ("STATE_SSL_CERTFILE", "no certificate with its private key in PEM"),
        ),
        (
            {"STATE_SENTINELS": "a:1,b:2", "STATE_CLUSTER": "true"},
            ("STATE_SENTINELS", "know a single primary, neither a cluster nor a socket"),
        ),
    ],
)
def test_settings_that_do_not_go_together_are_said(
    given: dict[str, str], problem: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "find_spec", lambda name: None)  # whatever is installed here
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert _problems() == [problem]


def _problems() -> list[tuple[str, str]]:
    return [problem for group in GROUPS for problem in _of(group)]


def _of(group: type[BaseSettings]) -> list[tuple[str, str]]:
    try:
        read(group)
    except (ValidationError, SettingsError) as invalid:
        return list(problems_of(invalid, [group]))
    return []
