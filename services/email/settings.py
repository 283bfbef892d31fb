"""Settings of the email service; every one can be given as an environment variable with the prefix `EMAIL_`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def _existing_file(value: str) -> str:
    if value and not Path(value).is_file():
        raise ValueError(f"there is no file {value}")
    return value


def _address(value: str) -> str:
    if value and not 0 <= int(value.rpartition(":")[2]) <= 65535:
        raise ValueError("the port is at most 65535")
    return value


FilePath = Annotated[str, AfterValidator(_existing_file)]
Listen = Annotated[str, Field(pattern=r"^(|.+:\d{1,5})$"), AfterValidator(_address)]


class Settings(BaseSettings):
    """Mailboxes are on the accounts topic. Durations are seconds, sizes bytes."""

    model_config = SettingsConfigDict(env_prefix="EMAIL_", extra="ignore", populate_by_name=True)

    # All replicas have the same. Names made with a key that is no longer in it are not recognised.
    token_key: SecretStr = Field(
        default=SecretStr(""),
        validation_alias=AliasChoices("EMAIL_TOKEN_KEY", "SEALING_KEY", "token_key"),
        description="keys our Message-IDs and the tokens in our addresses; absent, `SEALING_KEY` does; several with "
        "commas between them: names are made with the first, those of all are recognised",
    )

    max_size: int = Field(
        default=40 * 1024 * 1024, ge=64 * 1024, description="bytes of a mail as it goes over the wire, either way"
    )
    # The smallest that one of the large providers takes.
    cautious_size: int = Field(
        default=25_000_000, ge=64 * 1024, description="bytes beyond which a mail goes out with a warning"
    )

    smtp_listen: Listen = Field(
        default="",
        description="`host:port` for mail of a server in front",
    )
    lmtp_listen: Listen = Field(default="", description="the same by LMTP, which answers for each recipient")
    smtp_hostname: str = Field(
        default="localhost", pattern=r"^[A-Za-z0-9.-]{1,253}$", description="the name that the listener greets with"
    )
    smtp_certificate: FilePath = Field(default="", description="a PEM file with its chain; STARTTLS is offered with it")
    smtp_certificate_key: FilePath = Field(default="", description="its key, where it is in a file of its own")
    smtp_require_tls: bool = Field(default=False, description="take nothing before STARTTLS")
    smtp_connections: int = Field(default=200, ge=1, description="to the listener at once; 421 beyond it")
    # RFC 5321 §4.5.3.2.7
    smtp_timeout: float = Field(default=300.0, gt=0, description="seconds of silence before a connection is closed")

    ca_file: FilePath = Field(default="", description="certificates of authorities, PEM, in the place of the system's")
    connect_timeout: float = Field(default=30.0, gt=0, description="seconds to connect and to greet")
    # RFC 5321 §4.5.3.2
    command_timeout: float = Field(default=300.0, gt=0, description="seconds for the answer to a command")
    # Sooner, a slow filter makes duplicates.
    answer_timeout: float = Field(default=600.0, gt=0, description="seconds for the answer after the final dot")
    connections: int = Field(default=3, ge=1, le=20, description="to one account's server at once")
    mails_per_connection: int = Field(default=100, ge=1, description="before it is made anew")
    connection_lifetime: float = Field(default=300.0, gt=0, description="seconds before it is made anew")
    idle_check: float = Field(
        default=30.0, gt=0, description="seconds after which an idle connection is asked before it is used"
    )
    # An access token lives an hour, as a rule.
    refresh_before: float = Field(default=300.0, ge=0, description="seconds before its end that a token is refreshed")
