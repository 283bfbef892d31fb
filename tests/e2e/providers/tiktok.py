"""TikTok as tests play it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import orjson

from sandbox.simulators.tiktok import Options, TikTokSimulator
from sandbox.simulators.tiktok.faults import CallFault
from sandbox.simulators.tiktok.webhooks import sign
from tests.e2e.providers import Connected, Got, Person, Said


class TikTok:
    name = "tiktok"
    tells_names = False
    tells_several = True
    refusal: Mapping[str, Any] = {"code": 40002}

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

    def wrote(self, account: Connected, *said: Said) -> dict[str, Any]:
        return tiktok(account, *said)

    def peer(self, person: int) -> str:
        return tiktok_conversation(person)

    def message_id(self, number: int) -> str:
        return tiktok_id(number)


def tiktok_conversation(person: int) -> str:
    return f"u5Jhpsel{person:012}+/=="


def tiktok_id(message: int) -> str:
    return f"u5Buqc6l{message:012}=="


def tiktok_content(business: str, said: Said) -> dict[str, Any]:
    contact = {"id": f"+ZuK1{said.person:08}/9A==", "role": "personal_account"}
    ours = {"id": business, "role": "business_account"}
    from_, to = (ours, contact) if said.echo else (contact, ours)
    names = (f"person.{said.person}", "acme.shop")
    content: dict[str, Any] = {
        "from": names[said.echo],
        "to": names[not said.echo],
        "unique_identifier": contact["id"],
        "from_user": from_,
        "to_user": to,
        "conversation_id": tiktok_conversation(said.person),
        "message_id": tiktok_id(said.id),
        "timestamp": int(said.at * 1000),
        "type": said.type,
        "message_tag": {"source": "APP"},
    }
    content[said.type] = {"body": said.text} if said.content is None else said.content
    if said.reply_to is not None:
        content["referenced_message_info"] = {"referenced_message_id": tiktok_id(said.reply_to)}
    return content


def tiktok(account: Connected, *said: Said) -> dict[str, Any]:
    """One event; several share its content, as a list."""
    contents = [tiktok_content(account.handle, one) for one in said]
    return {
        "event": "im_send_msg" if said[0].echo else "im_receive_msg",
        "create_time": int(said[0].at),
        "user_openid": account.handle,
        "content": orjson.dumps(contents[0] if len(contents) == 1 else contents).decode(),
    }


def build() -> TikTok:
    return TikTok()
