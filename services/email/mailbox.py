"""A mailbox as its account describes it: addresses, servers, and how its mail is to look."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from services.email.peers import domain_name, normal_address
from services.email.tokens import read_recipient
from shared.contract.accounts import AccountRecord

Security = Literal["tls", "starttls", "none"]


def _as_host(value: str) -> str:
    try:
        return str(ip_address(value))
    except ValueError:
        if (name := domain_name(value)) is None:
            raise ValueError("no name of a host") from None
        return name


def _as_address(value: str) -> str:
    if (address := normal_address(value)) is None:
        raise ValueError("no address")
    if read_recipient(address.rpartition("@")[0]) is not None:
        raise ValueError("an address that a mail of ours is answered at")
    return address


def _as_domain(value: str) -> str:
    if (name := domain_name(value)) is None:
        raise ValueError("no domain")
    return name


Host = Annotated[str, AfterValidator(_as_host)]
Address = Annotated[str, AfterValidator(_as_address)]
Domain = Annotated[str, AfterValidator(_as_domain)]
Listed = BeforeValidator(lambda value: [value] if isinstance(value, str) else value)


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Server(_Settings):
    """Where a server listens. `tls` from the first octet, `starttls` before anything is said, `none` for what never
    leaves the machine or the cluster; a password goes over it to the machine itself only."""

    host: Host
    port: int = Field(ge=1, le=65535)
    security: Security = "tls"
    user: str | None = None  # absent: the account's address

    @property
    def is_local(self) -> bool:
        """Whether it is this machine."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def _with_port(ports: dict[str, int]) -> BeforeValidator:
    """The usual port of a protocol where none is given."""

    def given(value: Any) -> Any:
        if isinstance(value, dict) and value.get("port") is None:
            return {**value, "port": ports.get(str(value.get("security", "tls")), 0)}
        return value

    return BeforeValidator(given)


class ImapServer(Server):
    """`after`: what becomes of a message that has been taken: nothing, `seen`, or `move:<folder>`. `files_sent` says
    that the provider files in `sent_folder` what is handed to its SMTP server: then it shows what was sent."""

    folder: str = "INBOX"
    sent_folder: str | None = None  # absent: the folder that the server marks \Sent
    after: str = Field(default="none", pattern=r"^(none|seen|move:.+)$")
    files_sent: bool = False


class Signing(_Settings):
    """DKIM by ourselves, for a relay that does not sign; the key is the credential `dkim_key`."""

    domain: Domain
    selector: Domain


class Mailbox(_Settings):
    """The settings of an account (`AccountRecord.settings`), read. `wrong` names those that could not be."""

    address: Address | None = None  # of the record: `external_id`
    addresses: Annotated[tuple[Address, ...], Listed] = ()  # further ones that are this mailbox, too
    smtp: Annotated[Server | None, _with_port({"tls": 465, "starttls": 587, "none": 25})] = None
    imap: Annotated[ImapServer | None, _with_port({"tls": 993, "starttls": 143, "none": 143})] = None
    from_name: str = ""
    default_subject: str = ""  # of a first message that has none
    trusted_authserv: Annotated[tuple[str, ...], Listed] = ()
    bounce_domain: Domain | None = None  # each mail has an envelope sender of its own there
    reply_tokens: bool = False  # answers go to a plus part of the address, which names the thread
    delivery_receipts: bool = False  # ask servers to report delivery, too, not only failures
    max_size: int | None = Field(default=None, ge=1024)  # bytes of a mail as it goes over the wire
    dkim: Signing | None = None
    wrong: tuple[str, ...] = ()

    @classmethod
    def of(cls, record: AccountRecord) -> Mailbox:
        """The mailbox of an account. Total: a setting that cannot be read counts as absent, and stands in `wrong`."""
        return _read(_Key(record))

    @property
    def domain(self) -> str:
        """The domain that our Message-IDs have; `.invalid` (RFC 2606) where the account has no address yet."""
        return self.address.rpartition("@")[2] if self.address else "account.invalid"


# What an account may hold: passwords, or what an access token is made with (`api/oauth.py`); a key of DKIM's; secrets
# of raw mail by HTTPS.
CREDENTIALS = frozenset(
    {
        *("password", "smtp_password", "imap_password"),
        *("token_url", "client_id", "client_secret", "scopes", "scope"),
        *("access_token", "refresh_token", "expires_at", "refresh_expires_at"),
        *("dkim_key", "ingress_secret", "ingress_secret_previous"),
    }
)
SETTINGS = frozenset(Mailbox.model_fields) - {"address", "wrong"}


class _Key:
    """A record as a key of the cache: by identity of content, without hashing its nested settings twice."""

    __slots__ = ("_said", "record")

    def __init__(self, record: AccountRecord) -> None:
        self.record = record
        self._said = (record.external_id, record.display_name, repr(record.settings))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other._said == self._said

    def __hash__(self) -> int:
        return hash(self._said)


@lru_cache(1024)
def _read(key: _Key) -> Mailbox:
    record = key.record
    given = {"from_name": record.display_name or "", **record.settings, "address": record.external_id, "wrong": ()}
    wrong: list[str] = []
    while True:
        try:
            return Mailbox.model_validate({**given, "wrong": tuple(wrong)})
        except ValidationError as invalid:
            for name in {str(one["loc"][0]) for one in invalid.errors(include_input=False, include_url=False)}:
                given.pop(name)
                wrong.append("external_id" if name == "address" else name)
