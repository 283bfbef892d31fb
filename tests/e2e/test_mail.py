"""Email with real mail servers: Postfix in front of the listener and behind every answer, Dovecot for mailboxes.

Whatever is killed, frozen or restarted between a mail and its ack: nothing is lost, nothing comes twice.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import smtplib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from sandbox.broker import free_port
from tests.channels.email.scripted import ScriptedServer
from tests.e2e.mailservers import (
    HOST,
    PASSWORD,
    Dovecot,
    Postfix,
    dovecot_missing,
    folder_for_all,
    postfix_missing,
)
from tests.e2e.providers import Connected, Person
from tests.e2e.topics import Seen, eventually
from tests.e2e.world import WORKSPACE, ChannelUnderTest, World, make_broker, number, running

MISSING = dovecot_missing() or postfix_missing()
pytestmark = [
    pytest.mark.skipif(MISSING is not None, reason=f"real mail servers: {MISSING}"),
    pytest.mark.asyncio(loop_scope="module"),
]


class TokenServer:
    """Gives access tokens out, the newest of which is good."""

    def __init__(self) -> None:
        self.given = 0
        self.good = ""
        self.url = ""

    async def start(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/token", self._token)
        app.router.add_post("/introspect", self._introspect)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, HOST, 0).start()
        self.url = f"http://{HOST}:{runner.addresses[0][1]}"
        return runner

    async def _token(self, request: web.Request) -> web.Response:
        self.given += 1
        self.good = f"access-{self.given}"
        return web.json_response({"access_token": self.good, "refresh_token": f"r{self.given}", "expires_in": 3600})

    async def _introspect(self, request: web.Request) -> web.Response:
        active = (await request.post()).get("token") == self.good
        return web.json_response({"active": True, "username": "tokens@box.example"} if active else {"active": False})


@dataclass
class Post:
    """The world of these tests: one replica, and the mail servers around it."""

    world: World
    channel: ChannelUnderTest
    dovecot: Dovecot
    postfix: Postfix
    tokens: TokenServer

    async def account(
        self, address: str, credentials: dict[str, str], mode: str = "webhook", **settings: Any
    ) -> Connected:
        fields = {
            "account_id": f"em_{number()}",
            "workspace_id": WORKSPACE,
            "channel": "email",
            "external_id": address,
            "mode": mode,
            "settings": settings,
        }
        account = Connected(self.world.sealed(fields, credentials), address, credentials)
        await self.world.apply(account.record)
        await self.channel.service.everywhere(lambda url: self.channel._knows(url, account))
        return account

    async def shop(self) -> Connected:
        """Its mail comes by Postfix, and goes out by it."""
        smtp = {"host": HOST, "port": self.postfix.smtp, "security": "none"}
        return await self.account(f"shop{number()}@acme.example", {"password": PASSWORD}, smtp=smtp)

    async def mailbox(self, user: str, credentials: dict[str, str] | None = None) -> Connected:
        """It is pulled from Dovecot."""
        imap = {"host": HOST, "port": self.dovecot.imap, "security": "none"}
        return await self.account(user, credentials or {"password": PASSWORD}, mode="pull", imap=imap)

    async def send(self, mail: EmailMessage) -> None:
        """Hand a mail to Postfix."""
        await asyncio.to_thread(_send, self.postfix.smtp, mail)

    async def deliver(self, user: str, *mails: EmailMessage) -> None:
        """Put mails into a mailbox of Dovecot's."""

        def lmtp() -> None:
            with smtplib.LMTP(HOST, self.dovecot.lmtp) as client:
                for mail in mails:
                    client.sendmail("ida@people.example", [user], mail.as_bytes())

        await asyncio.to_thread(lmtp)

    def events(self, account: Connected, kind: str = "message.received") -> list[Seen]:
        of = f"email:{account.id}:"
        return [seen for seen in self.channel.inbound.all if seen.type == kind and seen.key.startswith(of)]

    async def received(self, account: Connected, count: int, seconds: float = 60.0) -> list[Seen]:
        """The messages of an account once there are so many, and what follows within a moment."""
        await eventually(
            lambda: len(self.events(account)) >= count, seconds, what=lambda: f"{len(self.events(account))} of {count}"
        )
        await asyncio.sleep(0.5)
        return self.events(account)

    async def in_box(self, user: str, matches: Callable[[EmailMessage], object]) -> EmailMessage:
        """The first mail in a mailbox that matches."""
        for _ in range(400):
            for raw in await self.dovecot.mails(user, count=0):
                mail = email.message_from_bytes(raw, policy=email.policy.default)
                assert isinstance(mail, EmailMessage)
                if matches(mail):
                    return mail
            await asyncio.sleep(0.05)
        raise AssertionError("no such mail")


def _send(port: int, mail: EmailMessage) -> None:
    with smtplib.SMTP(HOST, port) as client:
        client.send_message(mail)


def once(events: list[Seen]) -> dict[str, str]:
    """The texts by their events' ids: one that was out when its process was killed may be there again, as the same."""
    return {seen.id: seen.text for seen in events}


def written(to: str, text: str, sender: str = "ida@people.example", **headers: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Message-ID"] = sender, to, f"<{number()}@people.example>"
    for name, value in {"Subject": text, **headers}.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    return mail


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def post() -> AsyncIterator[Post]:
    """`people.example` has mailboxes at Dovecot, `remote.example` a server that knows nobody."""
    tokens = TokenServer()
    runner = await tokens.start()
    ingress = free_port()
    refuses = ScriptedServer({"RCPT": "550 5.1.1 <somebody@remote.example>: unknown user"})
    with folder_for_all() as folder:
        async with refuses, running(make_broker("tansu")) as world:
            dovecot = Dovecot(folder / "dovecot", introspection=f"{tokens.url}/introspect")
            await dovecot.start()
            routes = {
                "acme.example": f"smtp:[{HOST}]:{ingress}",
                "people.example": f"lmtp:inet:{HOST}:{dovecot.lmtp}",
                "remote.example": f"smtp:[{HOST}]:{refuses.port}",
            }
            postfix = Postfix(folder / "postfix", routes, auth=dovecot.auth)
            await postfix.start()
            channel = await world.channel("email", 1, EMAIL_SMTP_LISTEN=f"{HOST}:{ingress}")
            yield Post(world, channel, dovecot, postfix, tokens)
            await postfix.stop()
            await dovecot.stop()
    await runner.cleanup()


# --------------------------------------------------------------------------------- between a mail and its ack


async def test_postfix_brings_again_what_the_broker_did_not_take(post: Post) -> None:
    shop = await post.shop()
    with post.world.broker.frozen():
        for text in ("one", "two", "three"):
            await post.send(written(shop.handle, text))
        await eventually(lambda: "451 4.3.0" in post.postfix.log(), 30, what="no 451 in Postfix's log")
        assert post.events(shop) == []
    found = await post.received(shop, 3)
    assert Counter(seen.text for seen in found) == {"one": 1, "two": 1, "three": 1}


@pytest.mark.chaos
async def test_a_kill_between_a_mail_and_its_ack_costs_nothing(post: Post) -> None:
    shop = await post.shop()
    await post.send(written(shop.handle, "before"))
    await post.received(shop, 1)
    [replica] = post.channel.service.replicas
    with post.world.broker.frozen():
        for text in ("one", "two", "three"):
            await post.send(written(shop.handle, text))
        await asyncio.sleep(0.7)  # they are taken, stored, and wait for the broker
        await replica.kill()
    await post.channel.service.bring_back(replica)
    found = once(await post.received(shop, 4))
    assert Counter(found.values()) == {"before": 1, "one": 1, "two": 1, "three": 1}


@pytest.mark.chaos
async def test_a_pull_that_is_killed_goes_on_where_it_was(post: Post) -> None:
    user = f"box{number()}@box.example"
    texts = [f"mail {n}" for n in range(60)]
    await post.deliver(user, *(written(user, text) for text in texts[:30]))
    mailbox = await post.mailbox(user)
    await eventually(lambda: post.events(mailbox), 60)
    [replica] = post.channel.service.replicas
    await replica.kill()
    await post.deliver(user, *(written(user, text) for text in texts[30:]))
    await post.channel.service.bring_back(replica)
    await eventually(lambda: len(once(post.events(mailbox))) == len(texts), 60)
    assert list(once(post.events(mailbox)).values()) == texts


@pytest.mark.chaos
async def test_a_mailbox_whose_server_is_restarted_loses_nothing(post: Post) -> None:
    user = f"box{number()}@box.example"
    mailbox = await post.mailbox(user)
    texts = [f"mail {n}" for n in range(12)]
    for text in texts[:4]:
        await post.deliver(user, written(user, text))
    await post.received(mailbox, 4)
    await post.dovecot.kill()
    await post.dovecot.start()
    for text in texts[4:]:
        await post.deliver(user, written(user, text))
    found = await post.received(mailbox, len(texts))
    assert Counter(seen.text for seen in found) == Counter(texts)


@pytest.mark.chaos
async def test_a_token_that_is_no_longer_good_is_refreshed_in_the_middle(post: Post) -> None:
    user = "tokens@box.example"
    credentials = {"token_url": f"{post.tokens.url}/token", "refresh_token": "r0", "client_id": "app"}
    mailbox = await post.mailbox(user, credentials)
    await post.deliver(user, written(user, "one"))
    await post.received(mailbox, 1)
    given = post.tokens.given
    post.tokens.good = "revoked by its owner, and then given again"
    await post.dovecot.kill()
    await post.dovecot.start()
    await post.deliver(user, written(user, "two"))
    found = await post.received(mailbox, 2)
    assert [seen.text for seen in found] == ["one", "two"]
    assert post.tokens.given > given
    health = {seen.data["health"] for seen in post.world.health.all if seen.key == mailbox.id}
    assert "reauth_required" not in health


# ---------------------------------------------------------------------------------------------- conversations


async def test_a_conversation_of_ten_mails_is_one_thread_on_both_sides(post: Post) -> None:
    shop, user = await post.shop(), f"ida{number()}@people.example"
    mail = written(shop.handle, "The printer", sender=user)
    chain: list[str] = []
    threads: list[dict[str, Any]] = []
    for turn in range(5):
        chain.append(str(mail["Message-ID"]))
        await post.send(mail)
        seen = (await post.received(shop, turn + 1))[-1]
        threads.append(seen.data["thread"])
        person = Person(shop, user, seen.key)
        await post.channel.sends(person, f"answer {turn}", reply_to={"message_id": seen.data["message_id"]})
        answer = await post.in_box(user, lambda mail, chain=chain: mail["In-Reply-To"] == chain[-1])  # type: ignore[misc]
        assert str(answer["References"]).split() == chain
        assert answer["Subject"] == "Re: The printer"
        chain.append(str(answer["Message-ID"]))
        mail = written(
            shop.handle,
            f"question {turn}",
            user,
            Subject="Re: The printer",
            In_Reply_To=chain[-1],
            References=" ".join(chain),
        )
    assert len({thread["id"] for thread in threads}) == 1
    assert not any(thread.get("subject_changed") for thread in threads)
    replies = [seen.data.get("reply_to") for seen in post.events(shop)]
    assert [reply and reply["resolved"] for reply in replies] == [None, True, True, True, True]


async def test_two_autoresponders_stop_within_two_mails(post: Post) -> None:
    shop, user = await post.shop(), f"away{number()}@people.example"
    await post.send(written(shop.handle, "Where is my parcel?", sender=user))
    answered = 0
    for _ in range(40):
        for seen in post.events(shop)[answered:]:  # our robot answers whatever a human may have written
            answered += 1
            if not seen.data.get("automatic"):
                robot = {"kind": "ai_agent", "id": "robot"}
                await post.channel.command(Person(shop, user, seen.key), text="It is on its way.", actor=robot)
        replied = len([seen for seen in post.events(shop) if seen.data.get("automatic")])
        boxed = [email.message_from_bytes(raw) for raw in await post.dovecot.mails(user, count=0)]
        for mail in boxed[replied:]:  # theirs answers everything that it gets
            told = {"Auto_Submitted": "auto-replied", "In_Reply_To": str(mail["Message-ID"])}
            away = written(shop.handle, "I am away", user, **told)
            await post.send(away)
            await post.received(shop, 2)
        await asyncio.sleep(0.05)
    events = post.events(shop)
    assert [bool(seen.data.get("automatic")) for seen in events] == [False, True]
    assert events[1].data["automatic_kind"] == "auto_reply"
    [ours] = [email.message_from_bytes(raw) for raw in await post.dovecot.mails(user)]
    assert ours["Auto-Submitted"] == "auto-replied"


async def test_a_bounce_from_postfix_fails_the_message_it_is_about(post: Post) -> None:
    shop = await post.shop()
    [contact] = [{"kind": "email", "value": "somebody@remote.example"}]
    data = {"to": [contact], "content": {"kind": "text", "text": "hello?"}}
    person = Person(shop, None, f"email:{shop.id}:nobody")
    command = await post.channel.command(person, **data, conversation_id=None)
    failed = await eventually(
        lambda: [s for s in post.channel.statuses.by_command[command.id] if s["state"] == "failed"], 60
    )
    assert failed[0]["bounce"] == "hard"
