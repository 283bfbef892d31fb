"""Email in the sandbox: everybody else's mail server, or with EMAIL_ADDRESS a real mailbox by IMAP and SMTP."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

from sandbox.broker import HOST, free_port
from sandbox.channels.control import WORKSPACE, Simulator
from sandbox.channels.customers import Bubble, Customers, FileView, Person, Row, View
from sandbox.channels.scenarios import usual
from shared.contract.ids import personal_peer

ADDRESS = "support@shop.example"
_PEOPLE = {"ida.holm@people.example": "Ida Holm", "tomas@people.example": "Tomás Ruiz"}
_SHOWN = {"image": "image", "video": "video", "audio": "audio"}
_QUOTED = re.compile(r"\n+[^\n]*wrote:\n(?:>[^\n]*\n?)+\s*$")
# What a port says of the connection, where it is one of the usual ones.
_SECURITY = {993: "tls", 465: "tls", 143: "starttls", 587: "starttls", 25: "starttls"}
_REAL = ("EMAIL_ADDRESS", "EMAIL_IMAP", "EMAIL_SMTP", "EMAIL_PASSWORD")


def describe(environment: Mapping[str, str]) -> Email:
    real = {name: environment[name] for name in _REAL if environment.get(name)}
    return Email(real if "EMAIL_ADDRESS" in real else None)


class Email:
    title = "Email"
    colour = "#7a5af8"
    subjects = True
    has_templates = False
    untold: Mapping[str, str] = {}
    scenarios = usual(
        "DATA",
        {"status": 554, "description": "5.7.1 Message refused"},
        {"status": 451, "description": "4.7.1 Too many messages, try again later"},
        webhooks=False,
    )

    def __init__(self, real: Mapping[str, str] | None) -> None:
        self._real = real
        self._smtp, self._ingress = free_port(), free_port()
        handed_in, delivered = ("--smtp-port", str(self._smtp)), ("--deliver-to", f"{HOST}:{self._ingress}")
        self.simulator_arguments = None if real else (*handed_in, *delivered)

    def environment(self, simulator_url: str | None) -> dict[str, str]:
        # The service gets its password sealed, with the account.
        hidden = dict.fromkeys(_REAL, "")
        return {**hidden, **({"EMAIL_SMTP_LISTEN": f"{HOST}:{self._ingress}"} if simulator_url else {})}

    async def prepare(self, simulator: Simulator) -> None:
        for address, name in _PEOPLE.items():
            await simulator.post("people", {"name": name, "address": address})

    async def connected(self, simulator: Simulator | None) -> list[dict[str, Any]]:
        if simulator is None:
            return [self._real_account(self._real or {})]
        password = secrets.token_urlsafe(18)
        await simulator.post("accounts", {"address": ADDRESS, "password": password, "name": "Demo shop"})
        account = {
            "account_id": "mail_demo_shop",
            "workspace_id": WORKSPACE,
            "channel": "email",
            "external_id": ADDRESS,
            "display_name": "Demo shop",
            "settings": {"smtp": {"host": HOST, "port": self._smtp, "security": "none"}, "reply_tokens": True},
            "credentials": {"password": password},
        }
        return [account]

    @staticmethod
    def _real_account(real: Mapping[str, str]) -> dict[str, Any]:
        servers = {
            name: _server(real[variable], port)
            for name, variable, port in (("imap", "EMAIL_IMAP", 993), ("smtp", "EMAIL_SMTP", 465))
            if variable in real
        }
        return {
            "account_id": "mail_real",
            "workspace_id": WORKSPACE,
            "channel": "email",
            "external_id": real["EMAIL_ADDRESS"].lower(),
            "display_name": "Real mailbox",
            "mode": "pull",
            "settings": servers,
            "credentials": {"password": real.get("EMAIL_PASSWORD", "")},
        }

    async def connect(self, simulator: Simulator | None, service_url: str) -> None:
        """Mail needs no connecting: it is delivered to where the service listens."""

    def customers(self, simulator: Simulator) -> Customers:
        return Customers(simulator, ("write",), _person, _view)


def _server(given: str, usual: int) -> dict[str, Any]:
    """A server named as `host` or `host:port`."""
    host, _, port = given.rpartition(":") if ":" in given else (given, "", str(usual))
    return {"host": host, "port": int(port), "security": _SECURITY.get(int(port), "tls")}


def _person(user: Row) -> Person:
    return Person(user["id"], user["name"], user["address"], (personal_peer(user["address"]),))


def _view(found: Row) -> View:
    ids = {message["message_id"]: message["id"] for message in found["messages"]}
    return View(tuple(_bubble(message, ids) for message in found["messages"]))


def _bubble(message: Row, ids: Mapping[str, str]) -> Bubble:
    text: str = message["text"]
    quoted = _QUOTED.search(text)
    return Bubble(
        message["id"],
        not message["outgoing"],
        message["at"],
        text=text[: quoted.start()] if quoted else text,
        quoted=quoted[0].strip() if quoted else "",
        subject=message["subject"],
        html=message["html"],
        reply_to=ids.get(message["reply_to"]),
        files=tuple(_file(file) for file in message["files"]),
    )


def _file(file: Row) -> FileView:
    shown: Any = _SHOWN.get(file["type"].partition("/")[0], "file")
    return FileView(file["id"], shown, file["name"], file["size"])
