"""Preflight: what would become of a command, by the same judgement and the same plan, with nothing sent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
from aiohttp import web

from shared.channel import Channel, Refused
from shared.contract.commands import CommandRefused, MessageResend, parse_command
from shared.contract.envelope import type_name
from shared.contract.errors import ErrorCode, error
from shared.contract.unknown_fields import ignored_fields
from shared.media.blobs import BlobsUnavailable
from shared.policy.conversation import from_fields
from shared.policy.judge import judge
from shared.policy.windows import quota_of, rule_for
from shared.runtime.accounts.capabilities import AccountCapabilities
from shared.runtime.accounts.health import AccountsHealth
from shared.runtime.accounts.registry import AccountRegistry, AccountSealed
from shared.runtime.http.bodies import Bodies, BodyRefused
from shared.runtime.http.server import body_refused
from shared.runtime.outbound.commands import LARGEST_RECORD, TOO_LARGE, account_refusal
from shared.runtime.outbound.planner import Planner
from shared.runtime.outbound.prepare import Preparer, conversation_of, target_of
from shared.runtime.outbound.printed import printable_calls, read_command
from shared.runtime.reporting.identity import Identities
from shared.runtime.reporting.statuses import is_message
from shared.state.client import StateUnavailable
from shared.state.store import Store


class Preflight:
    """`POST /v1/preflight`: a command (structured CloudEvent, or `{type, data}`) in, the plan or the refusal out."""

    def __init__(
        self,
        channel: Channel,
        accounts: AccountRegistry,
        abilities: AccountCapabilities,
        store: Store,
        preparer: Preparer,
        health: AccountsHealth,
        identities: Identities,
        planner: Planner,
        bodies: Bodies,
    ) -> None:
        self._channel = channel
        self._accounts = accounts
        self._abilities = abilities
        self._store = store
        self._preparer = preparer
        self._health = health
        self._identities = identities
        self._planner = planner
        self._bodies = bodies

    async def post(self, request: web.Request) -> web.Response:
        try:
            async with self._bodies.of(request) as body:
                return await self._answered(body)
        except BodyRefused as refused:
            return body_refused(refused)

    async def _answered(self, body: bytes) -> web.Response:
        if len(body) > LARGEST_RECORD:
            return _answer(200, _refused(ErrorCode.INVALID_COMMAND, TOO_LARGE, {}))
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            return _answer(400, _refused(ErrorCode.INVALID_COMMAND, "The command is not JSON.", {}))
        if not isinstance(document, dict):
            return _answer(400, _refused(ErrorCode.INVALID_COMMAND, "A command is a JSON object.", {}))
        try:
            ce_type, data, _ = read_command(document)
            return _answer(200, await self._told(ce_type or type_name("message.send"), data, len(body)))
        except StateUnavailable:
            return _answer(503, {"unavailable": "state"})
        except BlobsUnavailable:
            return _answer(503, {"unavailable": "blobs"})
        except AccountSealed:
            return _answer(503, {"unavailable": "account"})

    async def _told(self, ce_type: str, data: dict[str, Any], size: int) -> dict[str, Any]:
        """The answer, with a warning for each field that is ignored."""
        try:
            answer = await self._judged(ce_type, data, size)
        except CommandRefused as refused:
            answer = _refused(refused.code, refused.detail, {"field": refused.field})
        except Refused as refused:
            answer = _refused(refused.code, refused.detail, refused.facts)
        ignored = [warning.model_dump(mode="json", exclude_none=True) for warning in ignored_fields(ce_type, data)]
        return {**answer, "warnings": [*ignored, *answer.get("warnings", ())]} if ignored else answer

    async def _judged(self, ce_type: str, data: dict[str, Any], size: int) -> dict[str, Any]:
        kind, command = parse_command(ce_type, {"command_id": f"preflight-{uuid4()}", **data})
        account = self._accounts.get(command.account_id)
        refusal = account_refusal(account, command)
        if refusal is not None or account is None:
            raise refusal or AssertionError("no refusal without an account")
        conversation_id, address = await conversation_of(self._channel, self._identities, self._store, command)
        target = target_of(command)
        opened = await self._store.open(conversation_id, command.command_id, [target.id] if target.id else [])
        conversation = from_fields(opened.conversation, opened.quota_used).at(address)
        capabilities = await self._abilities.of(account.record)
        verdict = judge(capabilities, kind, command, conversation, datetime.now(UTC))
        if verdict is not None:
            return _refused(*verdict)
        if command.not_after is not None and command.not_after <= datetime.now(UTC):
            return _refused(ErrorCode.EXPIRED, None, {})
        if isinstance(command, MessageResend):
            await self._check_known(conversation_id, command)
        calls = await self._planner.calls(
            account,
            kind,
            command,
            conversation_id=conversation_id,
            opened=opened,
            conversation=conversation,
            files_of=self._preparer.files_of,
            size=size,
        )
        parts = sum(call.parts for call in calls)
        if (quota := quota_of(rule_for(capabilities, conversation), conversation)) is not None and (
            conversation.quota_used + parts > quota
        ):
            facts = {"limit": quota, "actual": conversation.quota_used}
            return _refused(ErrorCode.QUOTA_EXHAUSTED, None, facts)
        told = [warning for call in calls for warning in call.warnings]
        paused = self._health.why_paused(account.account_id)
        return {
            "accepted": True,
            "conversation_id": conversation_id,
            "parts": parts if is_message(command) else 0,
            "calls": printable_calls(calls),
            "warnings": [warning.model_dump(mode="json", exclude_none=True) for warning in told],
            **({"waits_for": paused} if paused else {}),
        }

    async def _check_known(self, conversation_id: str, command: MessageResend) -> None:
        """Raises Refused where nothing is known of the message to send again."""
        opened = await self._store.open(conversation_id, command.resend_command_id)
        if not opened.ledger:
            raise Refused(ErrorCode.MESSAGE_UNKNOWN, field="resend_command_id")


def _refused(code: ErrorCode, detail: str | None, facts: dict[str, Any]) -> dict[str, Any]:
    return {"accepted": False, "refused": orjson.loads(error(code, detail, **facts).to_json())}


def _answer(status: int, document: dict[str, Any]) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(document), content_type="application/json")
