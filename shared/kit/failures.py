"""Failures that mean the same whoever the provider is, and what a failure says of the account."""

from __future__ import annotations

from shared.channel import Failure, HealthChange, ProviderError
from shared.contract.errors import ErrorCode
from shared.contract.events import Health


def unreachable(provider_code: str = "connect") -> Failure:
    """No connection was made: surely not sent."""
    return Failure(ErrorCode.PROVIDER_UNAVAILABLE, provider_code=provider_code)


def unanswered(provider_code: str = "no_answer", *, sends: bool) -> Failure:
    """The request was written and no answer came. What makes no message (`sends`) is simply not done yet."""
    code = ErrorCode.UNCERTAIN if sends else ErrorCode.PROVIDER_UNAVAILABLE
    return Failure(code, certain=not sends, provider_code=provider_code)


def reauthorise(detail: str) -> Failure:
    """The account needs other credentials, or its owner's consent again."""
    return Failure(ErrorCode.ACCOUNT_REAUTH_REQUIRED, detail=detail, scope="account", health=Health.REAUTH_REQUIRED)


def health_told(refused: ProviderError) -> HealthChange:
    """What a refusal says of the account. Raises it again where it says nothing."""
    failure = refused.failure
    if failure.health is None:
        raise refused
    return HealthChange(failure.health, failure.code, failure.detail)
