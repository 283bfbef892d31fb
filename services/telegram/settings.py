"""Settings of the Telegram service, from environment variables that start with `TELEGRAM_`."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Where the Bot API is and how long it is waited for. Times in seconds."""

    model_config = SettingsConfigDict(env_prefix="TELEGRAM_", extra="ignore")

    api_url: str = Field(
        default="https://api.telegram.org",
        pattern=r"^https?://[^/\s]+",
        description="the Bot API, or a server of one's own, or the simulator",
    )
    connections: int = Field(
        default=512, ge=1, description="open at once, for all bots together: more than calls and files at once"
    )
    connect_timeout: float = Field(default=5.0, gt=0, description="seconds to connect")
    send_timeout: float = Field(default=20.0, gt=0, description="seconds for the answer to a call")
    upload_timeout: float = Field(
        default=60.0, gt=0, description="seconds for the answer to an upload, which Telegram gives after processing it"
    )
    poll_timeout: int = Field(default=50, ge=1, le=50, description="seconds that one long poll lasts")
    webhook_connections: int = Field(
        default=40, ge=1, le=100, description="calls that Telegram may have open to a bot's webhook"
    )
