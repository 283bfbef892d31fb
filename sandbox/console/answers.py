"""What the console answers with: JSON, or a sentence that says what went wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from sandbox.channels.control import SimulatorRefused
from sandbox.console.agent import MAX_FILE, BadCommand, FileTooLarge
from shared.media.blobs import BlobMissing
from shared.stream.errors import LogUnavailable

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def as_json(data: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(data), status=status, content_type="application/json")


async def read_object(request: web.Request) -> dict[str, Any]:
    """The JSON object of the body, or an empty one. Raises BadCommand."""
    try:
        body = orjson.loads(await request.read() or b"{}")
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise BadCommand("a JSON object is expected")
    return body


@web.middleware
async def explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what can go wrong into an answer with a sentence, which the page shows."""
    try:
        return await handler(request)
    except (BadCommand, SimulatorRefused) as refused:
        return as_json({"error": str(refused)}, 400)
    except ValueError:
        return as_json({"error": "a value is not what it should be"}, 400)
    except KeyError as missing:
        return as_json({"error": f"{missing.args[0]} is missing or unknown"}, 400)
    except FileTooLarge:
        return as_json({"error": f"The file is larger than {MAX_FILE // 1024 // 1024} MB."}, 413)
    except BlobMissing:
        return as_json({"error": "There is no such file."}, 404)
    except (LogUnavailable, aiohttp.ClientConnectionError):
        return as_json({"error": "It does not answer. Is it still running?"}, 503)
