"""Brokers that want to be convinced: client certificates, and tokens of an issuer that end while we work."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import encode_basic_auth, web
from pydantic import SecretStr

from sandbox.broker import HOST, Kafka, free_port, kafka_missing
from shared.runtime.process.connections import kafka_log
from shared.runtime.settings import KafkaSettings
from shared.stream.errors import LogUnavailable
from shared.stream.log import Log
from tests.shared.stream.support import Seen, dispatcher, eventually, fill, topic
from tests.tls import MISSING, Authority, Pair

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.kafka,
    pytest.mark.timeout(180),
    pytest.mark.skipif(kafka_missing() is not None, reason=f"real Kafka: {kafka_missing()}"),
    pytest.mark.skipif(MISSING is not None, reason=f"certificates: {MISSING}"),
]
TOKEN_SECONDS = 4


class SecureKafka(Kafka):
    """A broker with two more doors: TLS that asks for our certificate, and TLS with tokens."""

    def __init__(self, authority: Authority, pair: Pair) -> None:
        super().__init__()
        self._authority = authority
        self._pair = pair
        self.certified, self.tokens = f"{HOST}:{free_port()}", f"{HOST}:{free_port()}"

    def _settings(self, number: int, home: Path) -> dict[str, object]:
        made = super()._settings(number, home)
        protocols = made["listener.security.protocol.map"]
        doors = f"CERTIFIED://{self.certified},TOKENS://{self.tokens}"
        pem = {"ssl.keystore.type": "PEM", "ssl.truststore.type": "PEM"}
        files = {"ssl.keystore.location": self._pair.both, "ssl.truststore.location": self._authority.certificate}
        # It takes tokens without a signature, as Kafka does for development: what is tried here is our side.
        module = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"
        login = f'{module} required unsecuredLoginStringClaim_sub="broker";'
        return (
            made
            | pem
            | files
            | {
                "listeners": f"{made['listeners']},{doors}",
                "advertised.listeners": f"{made['advertised.listeners']},{doors}",
                "listener.security.protocol.map": f"{protocols},CERTIFIED:SSL,TOKENS:SASL_SSL",
                "inter.broker.listener.name": "PLAINTEXT",
                "listener.name.certified.ssl.client.auth": "required",
                "listener.name.tokens.ssl.client.auth": "none",
                "sasl.enabled.mechanisms": "OAUTHBEARER",
                "listener.name.tokens.oauthbearer.sasl.jaas.config": login,
                "listener.name.tokens.oauthbearer.connections.max.reauth.ms": TOKEN_SECONDS * 1000,
            }
        )


class Issuer:
    """Gives tokens of a few seconds to whoever knows the client's secret; `given` counts them."""

    def __init__(self) -> None:
        self.given = 0
        self.refused = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/token", self._token)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, HOST, 0).start()
        try:
            yield f"http://{HOST}:{runner.addresses[0][1]}/token"
        finally:
            await runner.cleanup()

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        asked = request.headers["Authorization"], form["grant_type"], form["scope"]
        if asked != (encode_basic_auth("connector", "a secret"), "client_credentials", "kafka"):
            self.refused += 1
            return web.json_response({"error": "invalid_client"}, status=401)
        self.given += 1
        now = int(time.time())
        claims = {"sub": "connector", "iat": now, "exp": now + TOKEN_SECONDS, "scope": "kafka"}
        token = ".".join(_part(part) for part in ({"alg": "none"}, claims)) + "."
        return web.json_response({"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS})


def _part(value: object) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
async def secure(authority: Authority) -> AsyncIterator[SecureKafka]:
    async with SecureKafka(authority, authority.sign("broker")) as broker:
        yield broker


async def test_a_service_proves_itself_by_certificate_and_by_tokens_that_end(
    secure: SecureKafka, authority: Authority
) -> None:
    ours, ca = authority.sign("connector"), str(authority.certificate)
    certified = KafkaSettings(bootstrap=secure.certified, security_protocol="SSL", ssl_cafile=ca)
    nobody = kafka_log(certified, "test")
    with pytest.raises(LogUnavailable):
        await nobody.start()
    log = kafka_log(
        certified.model_copy(update={"ssl_certfile": str(ours.certificate), "ssl_keyfile": str(ours.key)}), "test"
    )
    await log.start()
    name = await topic(log, "certified")
    await fill(log, name, [(b"k", b"by certificate")])
    await log.stop()

    issuer = Issuer()
    async with issuer.running() as url:
        settings = KafkaSettings(
            bootstrap=secure.tokens,
            security_protocol="SASL_SSL",
            sasl_mechanism="OAUTHBEARER",
            ssl_cafile=ca,
            oauth_token_url=url,
            oauth_client_id="connector",
            oauth_client_secret=SecretStr("a secret"),
            oauth_scope="kafka",
            session_timeout=6.0,
        )
        stranger = kafka_log(settings.model_copy(update={"oauth_client_secret": SecretStr("another")}), "test")
        with pytest.raises(LogUnavailable):
            await stranger.start()
        assert (issuer.given, issuer.refused > 0) == (0, True)
        log = kafka_log(settings, "test")
        await log.start()
        seen = Seen()
        async with dispatcher(log, "group", name, seen, commit_interval=0.1):
            await eventually(lambda: len(seen) == 1)
            assert issuer.given == 1  # one for all connections
            # Three lives of a token: the broker closes the connections of each when it has ended.
            for turn in range(3):
                await asyncio.sleep(TOKEN_SECONDS)
                async with asyncio.timeout(20):
                    await until_stored(log, name, b"%d" % turn)
            await eventually(lambda: set(seen.values) >= {b"0", b"1", b"2"})
        assert issuer.given >= 3
        await log.stop()


async def until_stored(log: Log, name: str, value: bytes) -> None:
    """A send may meet a connection that is being closed: it is made again, as the runtime does."""
    while True:
        try:
            await log.send(name, b"k", value)
            return
        except LogUnavailable:
            await asyncio.sleep(0.1)
