"""What an endpoint's handler gets and gives back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from .errors import Code, Rejected
from .media import Blob
from .platform import Platform
from .world import Account, Conversation


@dataclass(slots=True)
class ApiCall:
    """A checked call. `account` is None at the app's endpoints, `upload` is set at the upload's."""

    platform: Platform
    params: dict[str, Any]
    account: Account | None
    upload: Blob | None = None

    @property
    def owner(self) -> Account:
        """The account whose token came with the call."""
        assert self.account is not None
        return self.account

    def conversation(self, parameter: str = "conversation_id") -> Conversation:
        """The thread a parameter names; refused like the platform does, also when `+` arrived as a space."""
        try:
            return self.platform.world.conversation(self.params[parameter], self.owner.business_id)
        except LookupError:
            raise Rejected(Code.INVALID_PARAMETER, f"Param {parameter} is invalid.") from None


# Returns the envelope's `data`; raises `Rejected`.
Handler = Callable[[ApiCall], Awaitable[dict[str, Any]]]
