"""Settings of the email service; every one can be given as an environment variable with the prefix `EMAIL_`."""

from __future__ import annotations

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Mailboxes are on the accounts topic. Durations are seconds, sizes bytes."""

    model_config = SettingsConfigDict(env_prefix="EMAIL_", extra="ignore", populate_by_name=True)

    # Makes our Message-IDs and the tokens in our addresses. All replicas have the same, and it stays: mail that is
    # under way when it changes is no longer recognised by its names alone.
    token_key: SecretStr = Field(
        default=SecretStr(""), validation_alias=AliasChoices("EMAIL_TOKEN_KEY", "SEALING_KEY", "token_key")
    )

    # A mail as it goes over the wire, files in base64. An account may have less or more (`settings.max_size`), and the
    # server's own limit holds besides.
    max_size: int = Field(default=40 * 1024 * 1024, ge=64 * 1024)
    # Recipients' servers that are not known beforehand: the smallest of the large ones takes so much.
    cautious_size: int = Field(default=25_000_000, ge=64 * 1024)

    # Mail from a mail server in front of us (`host:port`, empty for none): SMTP, and LMTP, which answers per recipient.
    smtp_listen: str = Field(default="", pattern=r"^(|.+:\d{1,5})$")
    lmtp_listen: str = Field(default="", pattern=r"^(|.+:\d{1,5})$")
    smtp_hostname: str = Field(default="localhost", pattern=r"^[A-Za-z0-9.-]{1,253}$")  # as it greets
    smtp_certificate: str = ""  # a PEM file with its chain; STARTTLS is offered with it
    smtp_certificate_key: str = ""
    smtp_require_tls: bool = False
    smtp_connections: int = Field(default=200, ge=1)  # beyond it, 421
    smtp_timeout: float = Field(default=300.0, gt=0)  # of silence (RFC 5321 §4.5.3.2.7)

    ca_file: str = ""  # certificates of authorities, PEM, in the place of the system's
    connect_timeout: float = Field(default=30.0, gt=0)
    command_timeout: float = Field(default=300.0, gt=0)  # RFC 5321 §4.5.3.2
    answer_timeout: float = Field(default=600.0, gt=0)  # after the final dot: sooner, a slow filter makes duplicates
    connections: int = Field(default=3, ge=1, le=20)  # to one account's server
    mails_per_connection: int = Field(default=100, ge=1)
    connection_lifetime: float = Field(default=300.0, gt=0)
    idle_check: float = Field(default=30.0, gt=0)  # a connection that was idle for so long is asked before it is used
    refresh_before: float = Field(default=300.0, ge=0)  # an access token lives an hour, as a rule
