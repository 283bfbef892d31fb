"""The OpenAPI 3.1 document of the ways in beside Kafka: preflight, and the addresses of files."""

from __future__ import annotations

from typing import Any

from shared.contract import bundle, schemas
from shared.contract.account_check import AccountChecked, AccountRefused, AccountToCheck
from shared.contract.consent import ConsentBegun, ConsentRefused
from shared.contract.preflight import Accepted, NotAccepted, Unavailable
from shared.contract.schemas import RecordType
from shared.contract.version import version

_ABOUT = """\
What a service answers over HTTP beside Kafka. Each channel's service has these paths for its own accounts.

Who asks brings one of `API_TOKENS` as a bearer token. A service that has none is open to its own machine alone, unless
`API_OPEN` says otherwise. A token is the inbox's, for all workspaces.
"""


def document() -> dict[str, Any]:
    """The whole document as plain data."""
    requests = {f"Preflight{record.title}": _request(record) for record in schemas.COMMANDS}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Channel connectors", "version": version(), "description": _ABOUT},
        "jsonSchemaDialect": schemas.DIALECT,
        "servers": [{"url": "http://127.0.0.1:8080", "description": "A service on this machine."}],
        "paths": {
            "/v1/preflight": {"post": _preflight(list(requests))},
            "/v1/accounts/check": {"post": _ACCOUNT_CHECK},
            "/v1/{channel}/oauth/start": {"get": _CONSENT_START},
            "/v1/{channel}/oauth/callback/": {"get": _CONSENT_CALLBACK},
            "/v1/blobs/{key}": {"get": _BLOBS},
        },
        "security": [{"token": []}],
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "One of `API_TOKENS`."}},
            "schemas": {
                **requests,
                **schemas.questions(AccountToCheck),
                **schemas.answers(
                    Accepted, NotAccepted, Unavailable, AccountChecked, AccountRefused, ConsentBegun, ConsentRefused
                ),
            },
        },
    }


_GUARDED = {
    "401": {"description": "No token, or none that is known."},
    "429": {"description": "The token has asked too often; `Retry-After` says when to ask again."},
}


def _request(record: RecordType) -> dict[str, Any]:
    return {
        "title": f"Preflight{record.title}",
        "type": "object",
        "description": record.about,
        "required": ["type", "data"],
        "properties": {
            "type": {
                "title": f"{record.title}Type",
                "description": "The command's type, short or as in `ce_type`.",
                "enum": [record.name, record.ce_type],
            },
            "data": {
                "$ref": f"./{bundle.FILE}#/$defs/{record.title}",
                "description": "The command, as it would stand on Kafka; `command_id` may be left out.",
            },
        },
        "examples": [{"type": record.name, "data": example} for example in record.examples],
    }


def _preflight(requests: list[str]) -> dict[str, Any]:
    return {
        "operationId": "preflight",
        "summary": "What would become of this command?",
        "description": "Judges and plans a command as delivery does, and sends nothing. Files that it names by `url` "
        "are fetched and kept for the delivery that follows.",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _one_of("PreflightRequest", *requests)}},
        },
        "responses": {
            "200": {
                "description": "The plan, or the refusal.",
                "content": {"application/json": {"schema": _one_of("PreflightAnswer", "Accepted", "NotAccepted")}},
            },
            "400": {
                "description": "The body is no JSON object.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/NotAccepted"}}},
            },
            **_GUARDED,
            "408": {"description": "The body comes too slowly."},
            "413": {"description": "The body is larger than `HTTP_MAX_BODY`."},
            "415": {"description": "The body is encoded (`Content-Encoding`)."},
            "503": {
                "description": "Nobody can say at the moment. Without a body: too many bytes are being read, and "
                "`Retry-After` says when to ask again.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Unavailable"}}},
            },
        },
    }


def _one_of(title: str, *names: str) -> dict[str, Any]:
    return {"title": title, "oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in names]}


_ACCOUNT_CHECK: dict[str, Any] = {
    "operationId": "checkAccount",
    "summary": "Do these credentials connect an account?",
    "description": "Asks the provider with the credentials as they are. They are neither stored nor logged, and no "
    "refresh token is spent that would be worthless afterwards. With `seal` the answer has the record to write onto "
    "`channels.accounts`.",
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/AccountToCheck"},
                "example": {
                    "account_id": "support_bot",
                    "workspace_id": "ws_1",
                    "channel": "telegram",
                    "credentials": {"token": "123456:ABC", "webhook_secret": "choose-one"},
                    "seal": True,
                },
            }
        },
    },
    "responses": {
        "200": {
            "description": "What the provider says.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/AccountChecked"}}},
        },
        "400": {
            "description": "It cannot be an account of this service.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/AccountRefused"}}},
        },
        **_GUARDED,
        "408": {"description": "The body comes too slowly."},
        "413": {"description": "The body is larger than `HTTP_MAX_BODY`."},
        "415": {"description": "The body is encoded (`Content-Encoding`)."},
        "503": {"description": "Nobody can say at the moment; `Retry-After` says when to ask again."},
    },
}


def _parameter(name: str, where: str, description: str, example: str, *, required: bool = True) -> dict[str, Any]:
    return {
        "name": name,
        "in": where,
        "required": required,
        "description": description,
        "schema": {"type": "string"},
        "example": example,
    }


_CONSENTING = _parameter("channel", "path", "A channel whose accounts are connected by consent: `tiktok`.", "tiktok")
_CONSENT_START: dict[str, Any] = {
    "operationId": "startConsent",
    "summary": "Where does an account's owner consent?",
    "description": "For the product's server, which sends the owner's browser to the answer's `authorize_url`. "
    "`HTTP_PUBLIC_URL` and `SEALING_KEY` have to be set.",
    "parameters": [
        _CONSENTING,
        _parameter("workspace_id", "query", "The workspace that the account shall belong to.", "ws_1"),
        _parameter("account_id", "query", "The account: a new one, or one of this workspace's.", "tt_shop"),
        _parameter("display_name", "query", "What people call the account.", "Shop", required=False),
        _parameter(
            "return_url",
            "query",
            "Where the browser goes at the end: one of `API_RETURN_URLS`, or below it. `account_id`, `connected` "
            "(`true` or `false`) and `error` (a code) are added.",
            "https://inbox.example/channels",
            required=False,
        ),
    ],
    "responses": {
        "200": {
            "description": "Where to send the owner.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ConsentBegun"}}},
        },
        "400": {
            "description": "The owner cannot be sent there.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ConsentRefused"}}},
        },
        **_GUARDED,
    },
}
_CONSENT_CALLBACK: dict[str, Any] = {
    "operationId": "endConsent",
    "summary": "The owner comes back.",
    "description": "Called by the owner's browser, with the state of the start instead of a token: it is good "
    "once, for ten minutes. The account's record is written onto `channels.accounts`.",
    "security": [],
    "parameters": [
        _CONSENTING,
        _parameter("state", "query", "As the start made it.", "eyJjaGFubmVsIjoi.c2lnbmVk"),
        _parameter("code", "query", "The provider's, absent where the owner refused.", "3f9b", required=False),
    ],
    "responses": {
        "200": {"description": "The account is connected, and the start named no address to return to."},
        "302": {
            "description": "Back to the product.",
            "headers": {"Location": {"description": "`return_url` of the start.", "schema": {"type": "string"}}},
        },
        "400": {"description": "The state is not good, or (without an address to return to) nothing is connected."},
        "503": {"description": "Nobody can say at the moment; the same address again in a while."},
    },
}


_FILE = {"schema": {"type": "string", "format": "binary"}}
_BLOBS: dict[str, Any] = {
    "operationId": "getBlob",
    "summary": "A stored file.",
    "description": "Where the blob store signs addresses, a redirect to one good for 5 minutes; else the bytes.",
    "parameters": [
        {
            "name": "key",
            "in": "path",
            "required": True,
            "description": "The `blob` or `thumbnail` of an attachment, slashes and all.",
            "schema": {"type": "string", "maxLength": 1024},
            "example": "ws_1/wa_55501/0d/0d9f5a0e-8b1b-5c52-9d3c-0f5c6f1a2b3c",
        },
        {
            "name": "workspace_id",
            "in": "query",
            "required": True,
            "description": "The workspace that asks: a key of another one is not found.",
            "schema": {"type": "string"},
            "example": "ws_1",
        },
        {
            "name": "Range",
            "in": "header",
            "description": "One range of bytes.",
            "schema": {"type": "string"},
            "example": "bytes=0-65535",
        },
    ],
    "responses": {
        "200": {"description": "All bytes. What a browser must not run is an attachment.", "content": {"*/*": _FILE}},
        "206": {"description": "The range of bytes that was asked for.", "content": {"*/*": _FILE}},
        "302": {
            "description": "The address of the file.",
            "headers": {"Location": {"description": "Good for 5 minutes.", "schema": {"type": "string"}}},
        },
        "304": {"description": "The reader has these bytes (`If-None-Match`)."},
        **_GUARDED,
        "404": {"description": "There is no such file in this workspace."},
        "416": {"description": "The range lies beyond the end."},
        "503": {"description": "The blob store is away; `Retry-After` says when to ask again."},
    },
}
