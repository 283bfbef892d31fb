"""Settings every service has, in small groups; each is an environment variable, and the defaults run embedded."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class Role(StrEnum):
    """What a process does; by default all of them."""

    INGRESS = "ingress"
    NORMALISE = "normalise"
    DELIVER = "deliver"
    MEDIA = "media"
    PULL = "pull"


class KafkaSettings(BaseSettings):
    """`KAFKA_…`: the log."""

    model_config = SettingsConfigDict(env_prefix="KAFKA_")

    bootstrap: str = "127.0.0.1:9092"
    idempotent: bool = True  # needs InitProducerId, which the embedded broker lacks
    topic_prefix: str = "channels"
    partitions: int = Field(default=12, ge=1)  # of topics that have to be created
    create_topics: bool = True
    send_timeout: float = 5.0  # seconds until a send that is not acknowledged fails
    session_timeout: float = 10.0  # seconds until a member that says nothing is out of its group
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_cafile: str | None = None


class StateSettings(BaseSettings):
    """`STATE_…`: Valkey or Redis."""

    model_config = SettingsConfigDict(env_prefix="STATE_")

    url: SecretStr = SecretStr("valkey://127.0.0.1:6379/0")
    cluster: bool = False
    timeout: float = 2.0  # seconds


class BlobSettings(BaseSettings):
    """`BLOB_…`: where files are kept. `url` as obstore takes it: `file:///var/blobs`, `s3://bucket/prefix` …"""

    model_config = SettingsConfigDict(env_prefix="BLOB_")

    url: str = "file:///tmp/channel-connectors/blobs"
    max_bytes: int = 100 * 1024 * 1024  # of one inbound file
    fetch_private: bool = False  # let commands name files on private addresses and over http: one-machine worlds only


class HttpSettings(BaseSettings):
    """`HTTP_…`: the listening side."""

    model_config = SettingsConfigDict(env_prefix="HTTP_")

    host: str = "127.0.0.1"
    port: int = 8080
    max_body: int = 4 * 1024 * 1024  # bytes; the largest body a provider documents is 3 MB
    body_timeout: float = 10.0  # seconds a client may take to send a body
    head_timeout: float = 10.0  # seconds it may take from its first byte, or from connecting, to the body
    max_in_flight: int = 64 * 1024 * 1024  # bytes of all bodies held at once; beyond it, 503
    max_connections: int = 1000  # beyond it, the one that has kept us waiting longest is closed
    public_url: str | None = None  # https base under which providers reach us; registers webhooks at start
    drain_delay: float = 0.0  # seconds between "not ready" and closing, for the load balancer to notice


class DeliverSettings(BaseSettings):
    """`DELIVER_…`: sending."""

    model_config = SettingsConfigDict(env_prefix="DELIVER_")

    slots: int = 128  # quick provider calls at once, and as many slow ones
    account_slots: int = 32  # of one account, so that a hanging one leaves room for the others
    short_wait: float = 5.0  # seconds a command waits in its lane; longer waits are parked
    patience: float = 24 * 3600.0  # seconds until a command without `not_after` expires
    probe_every: float = 60.0  # seconds between probes of accounts


class ServiceSettings(BaseSettings):
    """What is not of one group. `SEALING_KEY` opens account credentials (base64, 32 bytes)."""

    roles: Annotated[tuple[Role, ...], NoDecode] = tuple(Role)
    instance: str | None = None  # stable name of this replica (static group membership)
    sealing_key: SecretStr | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"

    @property
    def private_key(self) -> str | None:
        """The sealing key in the clear."""
        return self.sealing_key.get_secret_value() if self.sealing_key else None

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_capitals(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("roles", mode="before")
    @classmethod
    def _comma_separated(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
