"""The only file that talks to Telegram: python-telegram-bot's encoder over one shared aiohttp request object.

A default `Bot` opens two connection pools and costs 50 ms; ours share two requests for all bots, one for long polls
(each of which occupies a connection) and one for everything else. `Bot.initialize` is never called: it would greet
Telegram once for each of thousands of bots. Parameters and files go through the encoder, answers stay plain JSON.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import aiohttp
import telegram
from telegram._utils.types import JSONDict, ODVInput
from telegram.error import TelegramError
from telegram.request import BaseRequest, RequestData

from services.telegram.api.errors import Answer, failure_of, is_send
from services.telegram.settings import Settings
from shared.channel import Account, Failure, OpenFile, ProviderError
from shared.contract.errors import ErrorCode
from shared.kit import http, loose
from shared.kit.failures import reauthorise, unanswered, unreachable
from shared.kit.http import Pool, Unanswered, Waits, ask, fetch
from shared.kit.json import as_object
from shared.kit.multipart import FilePart
from shared.media.transfers import SLOWEST

_BOTS = 4096  # objects of about a kilobyte


class CallFailed(TelegramError):
    """A call did not succeed. A subclass of the SDK's own error, which is why the SDK lets it through unchanged.

    `failure` None: Telegram refused because what was asked for holds already.
    """

    def __init__(self, failure: Failure | None) -> None:
        super().__init__(str(failure.code) if failure else "done")
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call may take, in seconds: to get a connection, between any two pieces of the answer, in all."""

    connect: float
    read: float
    total: float


class SharedRequest(BaseRequest):
    """Every bot's requests over one aiohttp session. Timeouts come with each request."""

    __slots__ = ("pool",)

    def __init__(self, connections: int) -> None:
        self.pool = Pool(connections, {"User-Agent": self.USER_AGENT})

    @property
    def read_timeout(self) -> float | None:
        return None

    async def initialize(self) -> None:
        """The pool belongs to the client, not to any one bot."""

    async def shutdown(self) -> None:
        """As `initialize`: a bot that goes away must not close the others' connections."""

    async def do_request(
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        read_timeout: ODVInput[float] = BaseRequest.DEFAULT_NONE,
        write_timeout: ODVInput[float] = BaseRequest.DEFAULT_NONE,
        connect_timeout: ODVInput[float] = BaseRequest.DEFAULT_NONE,
        pool_timeout: ODVInput[float] = BaseRequest.DEFAULT_NONE,
    ) -> tuple[int, bytes]:
        """Post one call; the answer of a success. Raises CallFailed, whose text holds neither address nor token."""
        endpoint = url.rpartition("/")[2]
        uploads: dict[str, FilePart] = {}
        if request_data is not None and request_data.contains_files:
            uploads = {name: content for name, (_, content, _) in request_data.multipart_data.items()}  # type: ignore[misc]
        timeout = aiohttp.ClientTimeout(
            # Always numbers: `_Bot.call` gives them.
            total=write_timeout,  # type: ignore[arg-type]
            connect=connect_timeout,  # type: ignore[arg-type]
            sock_read=read_timeout,  # type: ignore[arg-type]
        )
        try:
            answer = await ask(
                self.pool.session,
                "POST",
                url,
                timeout,
                json=request_data.parameters if request_data else {},
                fields=request_data.json_parameters if uploads and request_data else None,
                files=uploads,
                patience=read_timeout,  # type: ignore[arg-type]
            )
        except Unanswered as broken:
            raise CallFailed(_broken(broken, endpoint)) from None
        if 200 <= answer.status <= 299:
            return answer.status, answer.body
        raise CallFailed(failure_of(_refusal(answer), endpoint))

    @staticmethod
    def parse_json_payload(payload: bytes) -> JSONDict:
        """The answer of a success. What cannot be read has been done all the same, as far as anybody knows."""
        answer = as_object(payload)
        if answer.get("ok") and "result" in answer:
            return answer
        raise CallFailed(Failure(ErrorCode.UNCERTAIN, certain=False, provider_code="unreadable"))


def _broken(broken: Unanswered, endpoint: str) -> Failure:
    if broken.unreadable:
        return Failure(ErrorCode.FILE_UNAVAILABLE)
    if broken.certain or not broken.written:
        return unreachable(broken.name)
    return unanswered(broken.name, sends=is_send(endpoint))


def _refusal(answer: http.Answer) -> Answer:
    body = answer.json
    given = loose.obj(body, "parameters")
    wait, moved = given.get("retry_after"), given.get("migrate_to_chat_id")
    return Answer(
        answer.status,
        str(body.get("description") or ""),
        float(wait) if isinstance(wait, int | float) else answer.retry_after,
        moved if isinstance(moved, int) else None,
    )


class _Bot(telegram.Bot):
    """The encoder. Its own methods would parse every answer into objects; this one leaves it as it came."""

    __slots__ = ()

    async def call(self, method: str, parameters: JSONDict, patience: Patience) -> Any:
        return await self._do_post(
            method,
            parameters,
            read_timeout=patience.read,
            connect_timeout=patience.connect,
            write_timeout=patience.total,
        )


class Client:
    """Bot API calls for any number of bots. Errors leave as ProviderError and carry no token, text or id."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = settings.api_url.rstrip("/")
        self._request = SharedRequest(settings.connections)
        self._polls = SharedRequest(0)  # as many as there are bots
        self._bots = lru_cache(maxsize=_BOTS)(self._make_bot)

    async def start(self) -> None:
        # At DEBUG the SDK logs tokens and the text of messages.
        logging.getLogger("telegram").setLevel(logging.WARNING)
        self._request.pool.open()
        self._polls.pool.open()

    async def stop(self) -> None:
        await self._request.pool.close()
        await self._polls.pool.close()
        self._bots.cache_clear()

    def _make_bot(self, token: str) -> _Bot:
        return _Bot(token, base_url=f"{self._url}/bot", request=self._request, get_updates_request=self._polls)

    async def call(self, account: Account, method: str, parameters: JSONDict, *, wait: float = 0.0) -> Any:
        """The `result` of a method; None when what was asked for holds already. Raises ProviderError.

        `wait` is how long Telegram has been asked to wait before it answers (a long poll).
        """
        sizes = [v.input_file_content.size for v in parameters.values() if isinstance(v, telegram.InputFile)]  # type: ignore[union-attr]
        try:
            return await self._bots(_token(account)).call(method, parameters, self._patience(sizes, wait))
        except CallFailed as failed:
            failure = failed.failure
        if failure is None:
            return None
        raise ProviderError(failure)

    def _patience(self, upload_sizes: list[int], wait: float) -> Patience:
        settings = self._settings
        if upload_sizes:
            transfer = sum(upload_sizes) / SLOWEST
            return Patience(settings.connect_timeout, settings.upload_timeout, settings.upload_timeout * 2 + transfer)
        read = settings.send_timeout + wait
        return Patience(settings.connect_timeout, read, settings.connect_timeout + read)

    async def get(self, account: Account, path: str) -> aiohttp.ClientResponse:
        """The head of a file's answer. Its address holds the token: it goes nowhere else. Raises ProviderError."""
        url = f"{self._url}/file/bot{_token(account)}/{quote(path)}"
        waits = Waits(self._settings.connect_timeout, self._settings.send_timeout)
        return await fetch(self._request.pool.session, url, (self._url,), waits)


def _token(account: Account) -> str:
    token = account.credentials.get("token", "")
    if not token:
        raise ProviderError(reauthorise("The account has no token."))
    return token


def upload(file: OpenFile, filename: str) -> telegram.InputFile:
    """A file for the encoder, which passes it on without reading it: it stays a stream until aiohttp writes it."""
    return telegram.InputFile(FilePart(file, filename), filename=filename, read_file_handle=False)  # type: ignore[arg-type]
