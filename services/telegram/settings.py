"""Settings of the Telegram service, from environment variables that start with `TELEGRAM_`."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Where the Bot API is and how long it is waited for. Times in seconds."""

    model_config = SettingsConfigDict(env_prefix="TELEGRAM_", extra="ignore")

    api_url: str = "https://api.telegram.org"  # or a Bot API server of one's own, or the simulator
    connections: int = Field(
        default=512, ge=1
    )  # open at once, for all bots together: more than calls and files at once
    connect_timeout: float = Field(default=5.0, gt=0)
    send_timeout: float = Field(default=20.0, gt=0)
    upload_timeout: float = Field(default=60.0, gt=0)  # Telegram answers an upload only after processing it
    poll_timeout: int = Field(default=50, ge=1, le=50)
    webhook_connections: int = Field(default=40, ge=1, le=100)
