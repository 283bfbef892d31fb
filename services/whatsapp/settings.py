"""What the WhatsApp service can be told from outside: Meta apps, Graph API address, pool and timeouts."""

from __future__ import annotations

from functools import cached_property

from pydantic import BaseModel, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

DEFAULT_APP = "default"


class App(BaseModel):
    """One Meta app: its webhooks are signed with `secret`, during a rotation still with `previous_secret`.

    Meta's check of the address names `verify_token`, or `previous_verify_token` until the dashboard has the new one.
    """

    secret: SecretStr
    previous_secret: SecretStr | None = None
    verify_token: SecretStr | None = None
    previous_verify_token: SecretStr | None = None

    @cached_property
    def secrets(self) -> tuple[bytes, ...]:
        """The secrets a signature may be made with; never an empty one."""
        return _given(self.secret, self.previous_secret)

    @cached_property
    def verify_tokens(self) -> tuple[bytes, ...]:
        """The tokens that Meta's check may name; never an empty one."""
        return _given(self.verify_token, self.previous_verify_token)


def _given(*secrets: SecretStr | None) -> tuple[bytes, ...]:
    return tuple(secret.get_secret_value().encode() for secret in secrets if secret and secret.get_secret_value())


class Settings(BaseSettings):
    """Read from the environment, prefix `WHATSAPP_`.

    `apps` is a JSON object: app key → `App`; `app_secret`, `verify_token` and their previous ones are the short form
    for a single app, reached by the route `default` or none. Times are seconds.
    `media_hosts` are the domains, subdomains too, and the origins (`http://127.0.0.1:8080`) that may see an access
    token when a file is fetched.
    """

    model_config = SettingsConfigDict(env_prefix="WHATSAPP_", extra="ignore")

    apps: dict[str, App] = Field(
        default_factory=dict,
        description="several Meta apps: key → {secret, previous_secret?, verify_token?, previous_verify_token?}",
    )
    app_secret: SecretStr | None = Field(default=None, description="of the only app: proves webhooks")
    app_secret_previous: SecretStr | None = Field(
        default=None, description="still accepted on webhooks while a secret is rotated"
    )
    verify_token: SecretStr | None = Field(default=None, description="of the only app: what Meta's check must name")
    verify_token_previous: SecretStr | None = Field(
        default=None, description="still accepted until the dashboard has the new one"
    )

    graph_url: str = Field(
        default="https://graph.facebook.com",
        pattern=r"^https?://[^/\s]+",
        description="the Graph API, or the simulator",
    )
    graph_version: str = Field(default="v26.0", pattern=r"^v\d+\.\d+$", description="the Graph API's version")
    media_hosts: tuple[str, ...] = Field(
        default=(".facebook.com", ".fbsbx.com", ".fbcdn.net", ".whatsapp.net", ".whatsapp.com"),
        description="domains and origins that may see an access token when a file is fetched",
    )

    connections: int = Field(default=512, ge=1, description="open at once: more than calls and files at once")
    clients: int = Field(default=10_000, ge=1, description="accounts whose client is kept ready")
    connect_timeout: float = Field(default=5.0, gt=0, description="seconds to connect")
    send_timeout: float = Field(default=30.0, gt=0, description="seconds for the answer to a call")
    transfer_timeout: float = Field(default=60.0, gt=0, description="seconds for the answer to a whole upload")

    @cached_property
    def _only_app(self) -> App | None:
        if self.app_secret is None:
            return None
        return App(
            secret=self.app_secret,
            previous_secret=self.app_secret_previous,
            verify_token=self.verify_token,
            previous_verify_token=self.verify_token_previous,
        )

    def missing_secrets(self) -> tuple[str, ...]:
        """Variables without which Meta's webhooks, or its check of their address, are refused."""
        if self.apps and self._only_app is None:
            return ()
        given = {"WHATSAPP_APP_SECRET": self.app_secret, "WHATSAPP_VERIFY_TOKEN": self.verify_token}
        return tuple(name for name, secret in given.items() if secret is None or not secret.get_secret_value())

    def app_key(self, route: str) -> str | None:
        """The key of the app whose webhooks come in on a route; None where there is only one app."""
        keys = set(self.apps) | ({DEFAULT_APP} if self._only_app is not None else set())
        return (route or DEFAULT_APP) if len(keys) > 1 else None

    def app(self, route: str) -> App | None:
        """The app whose webhooks come in on a route."""
        key = route or DEFAULT_APP
        if key == DEFAULT_APP and self._only_app is not None:
            return self._only_app
        return self.apps.get(key)
