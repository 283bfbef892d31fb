"""Messaging windows and their quotas: open until when, how many are left, what a closed one still lets through."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.contract.capabilities import Capabilities, WindowRule
from shared.contract.state import WindowState
from shared.policy.conversation import Conversation


def rule_for(capabilities: Capabilities, conversation: Conversation) -> WindowRule | None:
    """The window that applies to this conversation, or None where the channel has none."""
    for rule in capabilities.windows:
        if rule.applies_to in ("any", conversation.kind):
            return rule
    return None


def quota_of(rule: WindowRule | None, conversation: Conversation) -> int | None:
    """How many messages of ours the window takes, or None for any number."""
    if rule is None or (rule.quota_until_reply and conversation.replied):
        return None
    return rule.quota


def window_state(rule: WindowRule, conversation: Conversation, now: datetime) -> WindowState:
    """The window at `now`.

    Without a last inbound on record it is unknown, which counts as open: the provider decides; unless we know that
    it was us who wrote first. The guard is part
    of `expires_at`, so what is accepted at the last moment still arrives in time. The provider's refusal closes
    the window until the contact writes again, whatever the clock says.
    """
    quota = quota_of(rule, conversation)
    used = conversation.quota_used if quota is not None else None
    opened = conversation.last_inbound
    if opened is None:
        closed = conversation.closed_by_provider or conversation.cold
        return WindowState(
            kind=rule.kind,
            open=not closed,
            unknown=not closed,
            quota_limit=quota,
            quota_used=used,
            closed_by_provider=conversation.closed_by_provider,
        )
    expires = opened + timedelta(seconds=rule.seconds - rule.guard)
    return WindowState(
        kind=rule.kind,
        open=now < expires and not conversation.closed_by_provider,
        opened_at=opened,
        expires_at=expires,
        quota_limit=quota,
        quota_used=used,
        closed_by_provider=conversation.closed_by_provider,
    )
