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

    app_id: str = ""  # also called client_key and client_id; checked against webhooks when given
    app_secret: SecretStr = SecretStr("")
    app_secret_previous: SecretStr = SecretStr("")  # still accepted on webhooks while a secret is rotated
    signature_tolerance: float = Field(default=300.0, gt=0)  # both ways: early and late

    api_url: str = "https://business-api.tiktok.com/open_api/v1.3"
    authorize_url: str = "https://www.tiktok.com/v2/auth/authorize/"
    media_hosts: tuple[str, ...] = MEDIA_HOSTS
    connect_timeout: float = Field(default=5.0, gt=0)
    timeout: float = Field(default=20.0, gt=0)
    connections: int = Field(default=512, ge=1)  # more than calls and files at once

    refresh_before: float = Field(default=3600.0, ge=0)  # an access token lives 24 hours
    reauthorise_warning: float = Field(default=30 * 86400.0, ge=0)  # an authorization lives a year

    text_limit: int = Field(default=6000, ge=100, le=6000)
    window_profile: Literal["strict", "documented"] = "strict"
    count_automatic: bool = True  # TikTok's automatic messages use the quota up
    reply_reference: bool = False  # quote the message a text replies to

    image_capability_ttl: float = Field(default=3600.0, ge=0)
    profile_ttl: float = Field(default=86400.0, ge=0)
    cache_size: int = Field(default=10_000, ge=1)  # entries of each cache

    def missing_secrets(self) -> tuple[str, ...]:
        """Variables without which webhooks are refused, or cannot be registered."""
        given = {"TIKTOK_APP_ID": self.app_id, "TIKTOK_APP_SECRET": self.app_secret.get_secret_value()}
        return tuple(name for name, value in given.items() if not value)
