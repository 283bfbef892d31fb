"""A client of a simulator's control interface, `/_sim/`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

PATIENCE = 20.0
WORKSPACE = "ws_demo"


@dataclass(frozen=True, slots=True)
class Upload:
    """A file the customer sends, read from the browser as it is passed on."""

    filename: str
    mime_type: str
    content: AsyncIterator[bytes]


class SimulatorRefused(Exception):
    """The simulator answered no; the message is its reason, `status` that of HTTP."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status


class Simulator:
    """One running simulator. Every method raises SimulatorRefused and `aiohttp.ClientError`."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def get(self, path: str, **query: str) -> Any:
        async with self._session.get(f"{self.url}/_sim/{path}", params=query) as answer:
            return await _result(answer)

    async def until(self, path: str, true: Callable[[Any], object]) -> None:
        """Ask again until the answer is as wanted. Raises SimulatorRefused after PATIENCE seconds."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not true(await self.get(path)):  # noqa: ASYNC110 - it is another process that changes
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise SimulatorRefused("the service has not registered its webhook") from None

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        async with self._session.post(f"{self.url}/_sim/{path}", data=orjson.dumps(dict(body))) as answer:
            return await _result(answer)

    async def delete(self, path: str) -> Any:
        async with self._session.delete(f"{self.url}/_sim/{path}") as answer:
            return await _result(answer)

    async def post_form(self, path: str, fields: Mapping[str, str], file: Upload) -> Any:
        """POST a form with the part `file` last."""
        form = aiohttp.MultipartWriter("form-data")
        for name, value in fields.items():
            form.append(value).set_content_disposition("form-data", name=name)
        part = form.append(file.content, {"Content-Type": file.mime_type})
        part.set_content_disposition("form-data", name="file", filename=file.filename)
        async with self._session.post(f"{self.url}/_sim/{path}", data=form) as answer:
            return await _result(answer)

    async def open(self, path: str, headers: Mapping[str, str] | None = None) -> aiohttp.ClientResponse:
        """GET anything of the simulator; `path` from its root, or a whole URL. The caller closes the response."""
        url = path if "://" in path else f"{self.url}{path}"
        answer = await self._session.get(url, headers=headers)
        if answer.status >= 400:
            answer.close()
            raise SimulatorRefused(f"HTTP {answer.status}", answer.status)
        return answer

    async def changes(self) -> AsyncIterator[None]:
        """Says each time that something happened in the simulated world, many changes at once as one."""
        no_end = aiohttp.ClientTimeout(total=None, sock_connect=5)
        headers = {"Accept": "text/event-stream"}
        async with self._session.get(f"{self.url}/_sim/events", headers=headers, timeout=no_end) as answer:
            async for chunk in answer.content.iter_any():
                if b"data:" in chunk:
                    yield


async def _result(answer: aiohttp.ClientResponse) -> Any:
    body = await answer.read()
    try:
        result = orjson.loads(body)
    except orjson.JSONDecodeError:
        result = {"error": f"HTTP {answer.status}"}
    if answer.status >= 400:
        raise SimulatorRefused(str(result["error"]), answer.status)
    return result
