"""Settings of the TikTok service; every one can be given as an environment variable with the prefix `TIKTOK_`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

# Where TikTok serves messages' files from; a subdomain counts.
MEDIA_HOSTS = (
    "tiktok.com",
    "tiktokcdn.com",
    "tiktokcdn-us.com",
    "tiktokcdn-eu.com",
    "tiktokv.com",
    "tiktokv.us",
    "byteoversea.com",
    "byteimg.com",
    "ibyteimg.com",
    "ibytedtos.com",
    "ttwstatic.com",
)


class Settings(BaseSettings):
    """One developer app; accounts are on the accounts topic. Durations are seconds."""

    model_config = SettingsConfigDict(env_prefix="TIKTOK_", extra="ignore")

    app_id: str = Field(
        default="", description="also called client_key and client_id; checked against webhooks when given"
    )
    app_secret: SecretStr = Field(default=SecretStr(""), description="proves webhooks and fetches tokens")
    app_secret_previous: SecretStr = Field(
        default=SecretStr(""), description="still accepted on webhooks while a secret is rotated"
    )
    signature_tolerance: float = Field(
        default=300.0, gt=0, description="seconds that a webhook's time may be early or late"
    )

    api_url: str = Field(
        default="https://business-api.tiktok.com/open_api/v1.3",
        pattern=r"^https?://[^/\s]+",
        description="the API, or the simulator",
    )
    authorize_url: str = Field(
        default="https://www.tiktok.com/v2/auth/authorize/",
        pattern=r"^https?://[^/\s]+",
        description="where an account's owner gives consent",
    )
    media_hosts: tuple[str, ...] = Field(
        default=MEDIA_HOSTS, description="domains, subdomains too, that files are fetched from"
    )
    connect_timeout: float = Field(default=5.0, gt=0, description="seconds to connect")
    timeout: float = Field(default=20.0, gt=0, description="seconds for the answer to a call")
    connections: int = Field(default=512, ge=1, description="open at once: more than calls and files at once")

    refresh_before: float = Field(
        default=3600.0, ge=0, description="seconds before its end that an access token is renewed; it lives 24 hours"
    )
    reauthorise_warning: float = Field(
        default=30 * 86400.0, ge=0, description="seconds before its end that a warning comes; it lives a year"
    )

    text_limit: int = Field(default=6000, ge=100, le=6000, description="characters of one message")
    window_profile: Literal["strict", "documented"] = Field(
        default="strict", description="which reading of TikTok's window rules holds"
    )
    count_automatic: bool = Field(default=True, description="TikTok's automatic messages use the quota up")
    reply_reference: bool = Field(default=False, description="quote the message a text replies to")

    image_capability_ttl: float = Field(
        default=3600.0, ge=0, description="seconds that it is remembered whether a conversation takes images"
    )
    profile_ttl: float = Field(default=86400.0, ge=0, description="seconds that a contact's profile is remembered")
    cache_size: int = Field(default=10_000, ge=1, description="entries of each cache")

    def missing_secrets(self) -> tuple[str, ...]:
        """Variables without which webhooks are refused, or cannot be registered."""
        given = {"TIKTOK_APP_ID": self.app_id, "TIKTOK_APP_SECRET": self.app_secret.get_secret_value()}
        return tuple(name for name, value in given.items() if not value)
