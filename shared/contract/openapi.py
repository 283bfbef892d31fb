"""The OpenAPI 3.1 document of the ways in beside Kafka: preflight, and the addresses of files."""

from __future__ import annotations

from typing import Any

from shared.contract import bundle, schemas
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
        "paths": {"/v1/preflight": {"post": _preflight(list(requests))}, "/v1/blobs/{key}": {"get": _BLOBS}},
        "security": [{"token": []}],
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "One of `API_TOKENS`."}},
            "schemas": {**requests, **schemas.answers(Accepted, NotAccepted, Unavailable)},
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
