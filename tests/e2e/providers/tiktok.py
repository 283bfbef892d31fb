"""TikTok as tests play it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from io import BytesIO
from typing import Any

from sandbox.simulators.tiktok import Options, TikTokSimulator
from sandbox.simulators.tiktok.faults import CallFault
from sandbox.simulators.tiktok.webhooks import sign
from tests.e2e.providers import Connected, Got, Person


class TikTok:
    name = "tiktok"

    def __init__(self) -> None:
        self.sim = TikTokSimulator(Options(queries_per_second=0))

    async def start(self) -> None:
        await self.sim.start()

    async def stop(self) -> None:
        await self.sim.stop()

    def environment(self) -> Mapping[str, str]:
        return {
            "TIKTOK_API_URL": f"{self.sim.url}/open_api/v1.3",
            "TIKTOK_APP_ID": self.sim.options.app_id,
            "TIKTOK_APP_SECRET": self.sim.options.app_secret,
            "TIKTOK_MEDIA_HOSTS": '["127.0.0.1"]',
        }

    async def webhooks_to(self, url: str) -> None:
        self.sim.platform.webhooks.callback_url = f"{url}/webhooks/tiktok"

    def open_account(self, number: int) -> tuple[dict[str, Any], dict[str, str], str]:
        business_id = f"-000shop{number}"
        tokens = self.sim.add_account(business_id, f"shop{number}")
        credentials = {"access_token": tokens.access_token, "refresh_token": tokens.refresh_token}
        return {"external_id": business_id}, credentials, business_id

    async def connect(self, account: Connected) -> None:
        """One callback serves all accounts of the app."""

    def newcomer(self, account: Connected, number: int) -> str:
        return f"person{number}"

    async def write(self, account: Connected, handle: str, text: str) -> str:
        return (await self.sim.people.writes(account.handle, handle, content={"body": text})).message_id

    async def send_file(self, account: Connected, handle: str, kind: str, content: bytes, filename: str) -> None:
        file = BytesIO(content)

        async def read(size: int) -> bytes:
            return file.read(size)

        blob = await self.sim.platform.media.store(read, limit=len(content))
        await self.sim.people.writes(account.handle, handle, "image", content={"media_id": blob.media_id})

    def got(self, person: Person) -> list[Got]:
        conversation = self.sim.platform.world.thread(person.account.handle, person.handle).conversation_id
        return [Got(s.message_id, s.message_type.lower(), s.text) for s in self.sim.sent(conversation)]

    def shows_typing(self, person: Person) -> bool:
        thread = self.sim.platform.world.thread(person.account.handle, person.handle)
        return thread.typing_until > self.sim.platform.now_ms()

    def fail_sends(self, kind: str, **settings: Any) -> None:
        where = {"endpoint": "send", **settings.pop("where", {})}
        self.sim.platform.faults.active.append(CallFault(kind=kind, where=where, **settings))

    def slow_transfers(self, kind: str, account: Connected) -> None:
        self.sim.platform.faults.active.append(CallFault(kind=kind, where={"business_id": account.handle}))

    def behave(self) -> None:
        self.sim.platform.faults.clear()

    def revoke(self, account: Connected) -> None:
        self.sim.platform.tokens.remove(account.handle)

    def reauthorise(self, account: Connected) -> dict[str, str]:
        tokens = self.sim.platform.tokens.issue(account.handle)
        return {"access_token": tokens.access_token, "refresh_token": tokens.refresh_token}

    def bad_requests(self) -> list[Any]:
        return self.sim.violations

    def forged(self) -> tuple[str, bytes, dict[str, str]]:
        body = b'{"event": "im_receive_msg"}'
        return "", body, {"TikTok-Signature": sign("another secret", int(time.time()), body)}

    def genuine(self, account: Connected, body: bytes) -> tuple[str, dict[str, str]]:
        return "", {"TikTok-Signature": sign(self.sim.options.app_secret, int(time.time()), body)}


def build() -> TikTok:
    return TikTok()
