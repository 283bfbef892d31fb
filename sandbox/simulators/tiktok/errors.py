"""How the platform says no: return codes and the two kinds of refusal."""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """Return codes of the envelope; 0 is the only success."""

    OK = 0
    NO_PERMISSION = 40001
    INVALID_PARAMETER = 40002
    NOT_FOUND = 40007
    BLOCKED = 40064
    TOO_FREQUENT = 40100
    TOKEN_EXPIRED = 40102
    REFRESH_TOKEN_EXPIRED = 40103
    TOKEN_EMPTY = 40104
    TOKEN_INVALID = 40105
    UNSUPPORTED_FILE = 40908
    SYSTEM_ERROR = 50000


class Rejected(Exception):
    """The platform understood the request and refuses it; answered as `HTTP 200 {code, message}`."""

    def __init__(self, code: int, message: str, *, status: int = 200) -> None:
        super().__init__(message)
        self.code = int(code)
        self.message = message
        self.status = status


class Malformed(Rejected):
    """The request breaks the documented contract: the caller has a bug. Kept in `sim.violations`."""

    def __init__(self, message: str, *, code: int = Code.INVALID_PARAMETER, status: int = 200) -> None:
        super().__init__(code, message, status=status)
