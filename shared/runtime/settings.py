"""Settings every service has, in small groups; each is an environment variable, and the defaults run embedded."""

from __future__ import annotations

import os
import re
import ssl
from enum import StrEnum
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
S = TypeVar("S", bound=BaseSettings)
_USER_COLONS = 3  # of system:serviceaccount:namespace:name
_TOKEN_LENGTH = 20  # of an API token, at the least


def read(group: type[S]) -> S:
    """A group of settings: of the environment, else of the files in `SECRETS_DIR`, named as the variables are.

    Raises ValidationError and SettingsError.
    """
    directory = os.environ.get("SECRETS_DIR", "")
    # That a directory is not there is for `ServiceSettings` to say.
    return group(_secrets_dir=directory if Path(directory).is_dir() and directory else None)


class Role(StrEnum):
    """What a process does; by default all of them."""

    INGRESS = "ingress"
    NORMALISE = "normalise"
    DELIVER = "deliver"
    MEDIA = "media"
    PULL = "pull"


def _brokers(value: str | None) -> str | None:
    if value is not None and not all(
        re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^\s:/,]+):\d{1,5}", one.strip()) for one in value.split(",")
    ):
        raise ValueError("expected host:port, or several with commas between them")
    if value is not None and not all(0 < int(one.rpartition(":")[2]) <= 65535 for one in value.split(",")):
        raise ValueError("a port is at least 1 and at most 65535")
    return value


def _existing_directory(value: Path | None) -> Path | None:
    if value is not None and not value.is_dir():
        raise ValueError(f"there is no directory {value}")
    return value


def _existing_file(value: str | None) -> str | None:
    if value is not None and not Path(value).is_file():
        raise ValueError(f"there is no file {value}")
    return value


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine only."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _listed(value: str) -> tuple[str, ...]:
    """What stands between commas, without blanks around it."""
    return tuple(one.strip() for one in value.split(",") if one.strip())


def _safe_address(value: str, otherwise: str) -> str:
    """An address over https, or of this machine. Raises ValueError with `otherwise`."""
    _scheme(value, ("https", "http"))
    host = urlsplit(value).hostname
    if not host:
        raise ValueError("expected an address with a host")
    if urlsplit(value).scheme == "http" and not is_loopback(host):
        raise ValueError(otherwise)
    return value


def _scheme(value: str, allowed: tuple[str, ...]) -> None:
    if urlsplit(value).scheme not in allowed:
        raise ValueError(f"expected an address that begins with {', '.join(f'{one}://' for one in allowed)}")


def _certificates(cafile: str | None, certfile: str | None, keyfile: str | None) -> None:
    """Raises ValueError naming the variable whose file is not what it should be."""
    name = "SSL_CAFILE"
    try:
        tls = ssl.create_default_context(cafile=cafile)
        name = "SSL_CERTFILE"
        if certfile is not None:
            tls.load_cert_chain(certfile, keyfile)
        elif keyfile is not None:
            raise ValueError("SSL_CERTFILE: needed with SSL_KEYFILE")
    except OSError:
        holds = "authority's certificate" if name == "SSL_CAFILE" else "certificate with its private key"
        raise ValueError(f"{name}: no {holds} in PEM") from None


class KafkaSettings(BaseSettings):
    """`KAFKA_…`: the log."""

    model_config = SettingsConfigDict(env_prefix="KAFKA_")

    bootstrap: Annotated[str, AfterValidator(_brokers)] = Field(
        default="127.0.0.1:9092", description="brokers to begin with, host:port, with commas between them"
    )
    idempotent: bool = Field(default=True, description="needs InitProducerId, which the embedded broker lacks")
    topic_prefix: str = Field(
        default="channels", pattern=r"^[A-Za-z0-9._-]{1,100}$", description="what all topics' names begin with"
    )
    partitions: int = Field(default=12, ge=1, description="of topics that have to be created")
    create_topics: bool = Field(default=True, description="create the topics that are missing")
    send_timeout: Seconds = Field(default=5.0, description="seconds until a send that is not acknowledged fails")
    session_timeout: Seconds = Field(
        default=10.0, description="seconds until a member that says nothing is out of its group"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="how brokers are talked to"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM"] | None = Field(
        default=None, description="how this service says who it is; PLAIN where SASL is on and nothing is given"
    )
    sasl_username: str | None = Field(default=None, description="needed with PLAIN and SCRAM")
    sasl_password: SecretStr | None = Field(default=None, description="needed with PLAIN and SCRAM")
    oauth_token_url: str | None = Field(
        default=None, description="where OAUTHBEARER gets its tokens, by client credentials (RFC 6749, 4.4)"
    )
    oauth_client_id: str | None = Field(default=None, description="needed with OAUTHBEARER")
    oauth_client_secret: SecretStr | None = Field(default=None, description="needed with OAUTHBEARER")
    oauth_scope: str | None = Field(default=None, description="what is asked for, where the issuer wants to know")
    aws_region: str | None = Field(default=None, description="needed with AWS_MSK_IAM; the image needs the extra `msk`")
    ssl_cafile: Annotated[str | None, AfterValidator(_existing_file)] = Field(
        default=None, description="certificates that prove the brokers, PEM; without it the system's do"
    )
    ssl_certfile: Annotated[str | None, AfterValidator(_existing_file)] = Field(
        default=None, description="our certificate with its chain, PEM, for brokers that ask for one"
    )
    ssl_keyfile: Annotated[str | None, AfterValidator(_existing_file)] = Field(
        default=None, description="its private key, PEM, where it is not in the same file"
    )

    @model_validator(mode="after")
    def _who_we_are(self) -> KafkaSettings:
        if self.security_protocol.startswith("SASL"):
            for name, value in self._needed():
                if not (value.get_secret_value() if isinstance(value, SecretStr) else value):
                    mechanism = f" and SASL_MECHANISM={self.sasl_mechanism}" if self.sasl_mechanism else ""
                    raise ValueError(f"{name}: needed with SECURITY_PROTOCOL={self.security_protocol}{mechanism}")
        elif self.sasl_mechanism is not None:
            raise ValueError("SECURITY_PROTOCOL: has to be SASL_SSL or SASL_PLAINTEXT with a SASL_MECHANISM")
        if self.ssl_certfile is not None and "SSL" not in self.security_protocol:
            raise ValueError("SSL_CERTFILE: needs SECURITY_PROTOCOL SSL or SASL_SSL")
        _certificates(self.ssl_cafile, self.ssl_certfile, self.ssl_keyfile)
        return self

    def _needed(self) -> tuple[tuple[str, str | SecretStr | None], ...]:
        if self.sasl_mechanism == "AWS_MSK_IAM":
            if find_spec("aws_msk_iam_sasl_signer") is None:
                raise ValueError("SASL_MECHANISM: AWS_MSK_IAM needs the extra `msk`, which is not installed here")
            return (("AWS_REGION", self.aws_region),)
        if self.sasl_mechanism == "OAUTHBEARER":
            return (
                ("OAUTH_TOKEN_URL", self.oauth_token_url),
                ("OAUTH_CLIENT_ID", self.oauth_client_id),
                ("OAUTH_CLIENT_SECRET", self.oauth_client_secret),
            )
        return (("SASL_USERNAME", self.sasl_username), ("SASL_PASSWORD", self.sasl_password))

    @field_validator("oauth_token_url")
    @classmethod
    def _where_secrets_go(cls, value: str | None) -> str | None:
        return None if value is None else _safe_address(value, "the client's secret goes over https only")


class StateSettings(BaseSettings):
    """`STATE_…`: Valkey or Redis."""

    model_config = SettingsConfigDict(env_prefix="STATE_")

    url: SecretStr = Field(
        default=SecretStr("valkey://127.0.0.1:6379/0"),
        description="valkey:// or redis://, over TLS valkeys:// or rediss://, with user and password if it has some",
    )
    cluster: bool = Field(default=False, description="the address is one of a cluster's nodes")
    sentinels: Annotated[str | None, AfterValidator(_brokers)] = Field(
        default=None,
        description="host:port with commas between them: they are asked where the primary is, and the address has only "
        "its user, password, database and whether it is over TLS (the sentinels then are, too)",
    )
    sentinel_primary: str = Field(default="mymaster", min_length=1, description="its name among the sentinels")
    sentinel_password: SecretStr | None = Field(default=None, description="of the sentinels, where they have one")
    ssl_cafile: Annotated[str | None, AfterValidator(_existing_file)] = Field(
        default=None, description="certificates that prove the servers, PEM, beside the system's"
    )
    ssl_certfile: Annotated[str | None, AfterValidator(_existing_file)] = Field(
        default=None, description="our certificate with its chain, PEM, for servers that ask for one"
    )
    ssl_keyfile: Annotated[str | None, AfterValidator(_existing_file)] = Field(
        default=None, description="its private key, PEM, where it is not in the same file"
    )
    timeout: Seconds = Field(default=2.0, description="seconds for connecting, and for an answer")

    @field_validator("url")
    @classmethod
    def _of_a_state_store(cls, value: SecretStr) -> SecretStr:
        _scheme(value.get_secret_value(), ("valkey", "valkeys", "redis", "rediss", "unix"))
        return value

    @model_validator(mode="after")
    def _of_one_kind(self) -> StateSettings:
        scheme = urlsplit(self.url.get_secret_value()).scheme
        if self.sentinels is not None and (self.cluster or scheme == "unix"):
            raise ValueError("SENTINELS: know a single primary, neither a cluster nor a socket")
        if (self.ssl_cafile or self.ssl_certfile) and scheme not in ("valkeys", "rediss"):
            name = "SSL_CAFILE" if self.ssl_cafile else "SSL_CERTFILE"
            raise ValueError(f"{name}: needs an address that begins with valkeys:// or rediss://")
        _certificates(self.ssl_cafile, self.ssl_certfile, self.ssl_keyfile)
        return self


class BlobSettings(BaseSettings):
    """`BLOB_…`: where files are kept."""

    model_config = SettingsConfigDict(env_prefix="BLOB_")

    url: str = Field(
        default="file:///tmp/channel-connectors/blobs",
        description="file:///directory, s3://bucket/prefix, gs://… or az://…; credentials as each of them has them",
    )
    max_bytes: int = Field(default=100 * 1024 * 1024, ge=1, description="bytes of the largest inbound file kept")
    fetch_private: bool = Field(
        default=False,
        description="let commands name files on private addresses and over http: one-machine worlds only",
    )

    @field_validator("url")
    @classmethod
    def _of_a_blob_store(cls, value: str) -> str:
        _scheme(value, ("file", "s3", "s3a", "gs", "az", "azure", "abfs", "abfss"))
        return value


class WorkerSettings(BaseSettings):
    """`WORKER_…`: processes that read and convert files, each with up to 768 MiB while it works."""

    model_config = SettingsConfigDict(env_prefix="WORKER_")

    quick: int = Field(default=2, ge=1, description="for pictures, voice messages and thumbnails")
    slow: int = Field(default=1, ge=1, description="for videos")


class HttpSettings(BaseSettings):
    """`HTTP_…`: the listening side."""

    model_config = SettingsConfigDict(env_prefix="HTTP_")

    host: str = Field(default="127.0.0.1", description="address to listen on; 0.0.0.0 in the container")
    port: int = Field(default=8080, ge=0, le=65535, description="port to listen on; 0 for any that is free")
    ops_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="port for /metrics, /livez and /readyz alone, which are then not on the other; 0 for any that is "
        "free",
    )
    max_body: int = Field(
        default=4 * 1024 * 1024, ge=1, description="bytes of a webhook's body; the largest a provider documents is 3 MB"
    )
    body_timeout: Seconds = Field(default=10.0, description="seconds a client may take to send a body")
    head_timeout: Seconds = Field(
        default=10.0, description="seconds it may take from its first byte, or from connecting, to the body"
    )
    max_in_flight: int = Field(
        default=64 * 1024 * 1024, ge=1, description="bytes of all bodies held at once; beyond it, 503"
    )
    max_connections: int = Field(
        default=1000, ge=1, description="beyond it, the one that has kept us waiting longest is closed"
    )
    public_url: str | None = Field(
        default=None, description="base under which providers reach us, https; registers webhooks at the start"
    )
    drain_delay: float = Field(
        default=0.0, ge=0, description='seconds between "not ready" and closing, for the load balancer to notice'
    )

    @model_validator(mode="after")
    def _two_ports(self) -> HttpSettings:
        if self.ops_port is not None and self.ops_port == self.port != 0:
            raise ValueError("OPS_PORT: is that of PORT")
        return self

    @field_validator("public_url")
    @classmethod
    def _reached_by_providers(cls, value: str | None) -> str | None:
        return None if value is None else _safe_address(value, "providers call https only")


class ApiSettings(BaseSettings):
    """`API_…`: who may ask `/v1/…`."""

    model_config = SettingsConfigDict(env_prefix="API_")

    tokens: SecretStr | None = Field(
        default=None,
        description="bearer tokens for /v1/…, with commas between them, each of 20 characters or more; without any, it "
        "is open where HTTP_HOST is this machine alone, and closed elsewhere",
    )
    open: bool = Field(
        default=False, description="open without tokens, to whoever reaches us: where a network policy guards it"
    )
    rate: float = Field(
        default=50.0, gt=0, allow_inf_nan=False, description="calls a second of each token, in each process"
    )
    burst: int = Field(default=200, ge=1, description="calls at once of each token, in each process")
    return_urls: str | None = Field(
        default=None,
        description="addresses of your product, https, with commas between them: an owner who has consented is sent "
        "back to one of them, or below it, and nowhere else",
    )
    review_audience: str | None = Field(
        default=None,
        description="the audience of tokens that Kubernetes gives its service accounts: those are taken, too, and "
        "proven by a TokenReview",
    )
    review_accounts: str = Field(
        default="", description="whose tokens are taken: `namespace:service-account`, with commas between them"
    )
    review_url: str = Field(
        default="https://kubernetes.default.svc", pattern="^https?://", description="the Kubernetes API"
    )
    review_directory: Path = Field(
        default=Path("/var/run/secrets/kubernetes.io/serviceaccount"),
        description="where our own `token` for the Kubernetes API and its `ca.crt` are mounted",
    )

    @property
    def reviewed(self) -> frozenset[str]:
        """Service accounts whose tokens are taken, as Kubernetes calls them as users."""
        return frozenset(f"system:serviceaccount:{name}" for name in _listed(self.review_accounts))

    @property
    def allowed(self) -> tuple[str, ...]:
        """The tokens in the clear."""
        return _listed(self.tokens.get_secret_value() if self.tokens else "")

    @property
    def returns(self) -> tuple[str, ...]:
        """The addresses that an owner may be sent back to."""
        return _listed(self.return_urls or "")

    @field_validator("return_urls")
    @classmethod
    def _of_the_product(cls, value: str | None) -> str | None:
        for one in _listed(value or ""):
            _safe_address(one, "owners are sent back over https only")
        return value

    @model_validator(mode="after")
    def _hard_to_guess(self) -> ApiSettings:
        if any(len(token) < _TOKEN_LENGTH or not token.isascii() or " " in token for token in self.allowed):
            raise ValueError(f"TOKENS: each needs {_TOKEN_LENGTH} characters or more, none of them a blank")
        if self.open and self.allowed:
            raise ValueError("OPEN: there are TOKENS")
        return self

    @model_validator(mode="after")
    def _can_be_reviewed(self) -> ApiSettings:
        if bool(self.review_audience) != bool(self.reviewed):
            raise ValueError("REVIEW_AUDIENCE and REVIEW_ACCOUNTS are given together, or neither")
        if any(name.count(":") != _USER_COLONS for name in self.reviewed):
            raise ValueError("REVIEW_ACCOUNTS: each is namespace:service-account")
        if self.review_audience is None:
            return self
        if self.open:
            raise ValueError("OPEN: there are REVIEW_ACCOUNTS")
        needed = ("token", "ca.crt") if self.review_url.startswith("https:") else ("token",)
        if missing := [name for name in needed if not (self.review_directory / name).is_file()]:
            raise ValueError(f"REVIEW_DIRECTORY: {self.review_directory} has no {' and no '.join(missing)}")
        return self


class DeliverSettings(BaseSettings):
    """`DELIVER_…`: sending."""

    model_config = SettingsConfigDict(env_prefix="DELIVER_")

    slots: int = Field(default=128, ge=1, description="quick provider calls at once, and as many slow ones")
    account_slots: int = Field(
        default=32, ge=1, description="of one account, so that a hanging one leaves room for the others"
    )
    short_wait: Seconds = Field(default=5.0, description="seconds a command waits in its lane; longer waits are parked")
    patience: Seconds = Field(default=24 * 3600.0, description="seconds until a command without `not_after` expires")
    probe_every: Seconds = Field(default=60.0, description="seconds between probes of accounts")


class TracingSettings(BaseSettings):
    """`TRACING_…`: spans, sent over OTLP."""

    model_config = SettingsConfigDict(env_prefix="TRACING_")

    endpoint: str | None = Field(
        default=None, description="collector that takes OTLP over HTTP (http://collector:4318); without it, no spans"
    )
    sample: float = Field(
        default=0.01, ge=0, le=1, description="share of the traces that begin here; what comes in says for itself"
    )

    @field_validator("endpoint")
    @classmethod
    def _can_be_sent(cls, value: str | None) -> str | None:
        if value is not None:
            _scheme(value, ("http", "https"))
            if find_spec("opentelemetry") is None:
                raise ValueError("the extra `tracing` is not installed")
        return value


class ServiceSettings(BaseSettings):
    """What is not of one group."""

    roles: Annotated[tuple[Role, ...], NoDecode] = Field(
        default=tuple(Role), min_length=1, description="what this process does, with commas between them"
    )
    instance: str | None = Field(default=None, description="stable name of this replica (static group membership)")
    sealing_key: SecretStr | None = Field(
        default=None,
        description="opens the credentials of accounts: base64, 32 bytes, as `accounts new-key` makes it; several with "
        "commas between them while it is rotated: the first seals, all open",
    )
    secrets_dir: Annotated[Path | None, AfterValidator(_existing_directory)] = Field(
        default=None,
        description="a directory with a file for each setting that is not in the environment, named as the variable",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        default="INFO", description="what is logged, and what is worse"
    )

    @property
    def private_key(self) -> str | None:
        """The sealing keys in the clear, with commas between them."""
        return self.sealing_key.get_secret_value() if self.sealing_key else None

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_capitals(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("roles", mode="before")
    @classmethod
    def _comma_separated(cls, value: Any) -> Any:
        return _listed(value) if isinstance(value, str) else value


COMMON = (
    ServiceSettings,
    KafkaSettings,
    StateSettings,
    BlobSettings,
    HttpSettings,
    ApiSettings,
    DeliverSettings,
    WorkerSettings,
    TracingSettings,
)
