"""Graph API errors as data: HTTP status and title per code, and the two shapes Meta wraps them in.

Codes, HTTP statuses and titles follow Meta's Cloud API error-code page (December 2025 and later additions).
"""

from __future__ import annotations

import secrets
from typing import Any, Final

Json = dict[str, Any]

HELP_URL: Final = "https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes"

# code: (HTTP status, title)
CODES: Final[dict[int, tuple[int, str]]] = {
    0: (401, "AuthException"),
    1: (400, "API Unknown"),
    2: (503, "API Service"),
    3: (500, "API Method"),
    4: (400, "Application request limit reached"),
    10: (403, "Permission Denied"),
    17: (400, "User request limit reached"),
    32: (400, "Page request limit reached"),
    33: (400, "Parameter value is not valid"),
    100: (400, "Invalid parameter"),
    102: (401, "Session key invalid or no longer valid"),
    190: (401, "Access token has expired"),
    200: (403, "API Permission"),
    368: (403, "Temporarily blocked for policies violations"),
    613: (400, "Calls to this api have exceeded the rate limit."),
    2200: (400, "Callback verification failed"),
    2500: (400, "Unknown path components"),
    80007: (400, "Rate limit issues"),
    130429: (400, "Rate limit hit"),
    130472: (400, "User's number is part of an experiment"),
    130497: (403, "Business account is restricted from messaging users in this country."),
    130501: (400, "Message type is not currently supported."),
    131000: (500, "Something went wrong"),
    131005: (403, "Access denied"),
    131008: (400, "Required parameter is missing"),
    131009: (400, "Parameter value is not valid"),
    131016: (500, "Service unavailable"),
    131020: (400, "Group has a single member"),
    131021: (400, "Recipient cannot be sender"),
    131026: (400, "Message undeliverable"),
    131030: (400, "Recipient phone number not in allowed list"),
    131031: (403, "Account has been locked"),
    131037: (400, "WhatsApp provided number needs display name approval before message can be sent."),
    131041: (400, "Unknown group"),
    131042: (400, "Business eligibility payment issue"),
    131044: (400, "Business eligibility payment issue"),
    131045: (500, "Incorrect certificate"),
    131047: (400, "Re-engagement message"),
    131048: (400, "Spam rate limit hit"),
    131049: (400, "Message was not delivered to maintain healthy ecosystem engagement."),
    131050: (400, "User has stopped marketing messages"),
    131051: (400, "Unsupported message type"),
    131052: (400, "Media download error"),
    131053: (400, "Media upload error"),
    131055: (400, "Method not allowed"),
    131056: (400, "(Business Account, Consumer Account) pair rate limit hit"),
    131057: (500, "Account in maintenance mode"),
    131059: (400, "Invalid cursor"),
    131060: (400, "This message is currently unavailable"),
    131062: (400, "Business-scoped user ID recipients are not supported for this message"),
    131063: (400, "Marketing templates are disabled for Cloud API"),
    131064: (400, "Messaging limit reduced"),
    132000: (400, "Template Param Count Mismatch"),
    132001: (404, "Template does not exist"),
    132005: (400, "Template Hydrated Text Too Long"),
    132007: (400, "Template Format Character Policy Violated"),
    132008: (400, "Template parameter value is not valid"),
    132012: (400, "Template Parameter Format Mismatch"),
    132015: (400, "Template is Paused"),
    132016: (400, "Template is Disabled"),
    132018: (400, "There was an issue with the parameters in your template"),
    132068: (400, "Flow is blocked"),
    132069: (400, "Flow is throttled"),
    133000: (500, "Incomplete Deregistration"),
    133004: (503, "Server Temporarily Unavailable"),
    133005: (400, "Two step verification PIN Mismatch"),
    133006: (400, "Phone number re-verification needed"),
    133008: (400, "Too Many two step verification PIN Guesses"),
    133009: (400, "Two step verification PIN Guessed Too Fast"),
    133010: (400, "Phone number Not Registered"),
    133015: (400, "Phone number was recently deleted"),
    133016: (400, "Account register deregister rate limit exceeded"),
    134011: (400, "WhatsApp Payments terms of service not accepted"),
    134100: (400, "Only marketing messages supported"),
    134101: (400, "Template is syncing"),
    134102: (500, "Template unavailable for use"),
    135000: (400, "Generic user error"),
    137000: (400, "Recipient identity key hash mismatch"),
    139000: (400, "Flow blocked by integrity"),
    139100: (400, "Failed to block/unblock some users"),
    139101: (400, "Block list limit reached"),
    139102: (400, "Block list concurrent update"),
    139103: (400, "Internal error"),
    139200: (400, "Message blocked by Direct Send"),
    2388318: (400, "Direct Send content is not eligible"),
    2388330: (400, "Direct Send is not enabled"),
    2494100: (400, "Phone number is in maintenance"),
    2593107: (400, "Sync request limit exceeded"),
    2593108: (400, "Sync request made outside of the allowed time window"),
    2593109: (400, "History sync is turned off by the business from the WhatsApp Business App"),
}

TRANSIENT: Final = frozenset({1, 2, 4, 80007, 130429, 131000, 131016, 131056, 131057, 133004})
_WITHOUT_NUMBER: Final = frozenset({0, 102, 190})


def http_status(code: int) -> int:
    """The HTTP status Meta's table gives for `code`; 400 for codes outside the table."""
    return CODES.get(code, (400, ""))[0]


def title(code: int) -> str:
    """The short English title of `code`."""
    return CODES.get(code, (400, "Unknown error"))[1]


class GraphError(Exception):
    """A request Meta would refuse. `details` names the field or the reason."""

    def __init__(self, code: int, details: str = "", *, http: int | None = None, subcode: int | None = None) -> None:
        super().__init__(code, details)
        self.code = code
        self.details = details
        self.http = http if http is not None else http_status(code)
        self.subcode = subcode

    def envelope(self) -> Json:
        """The JSON body: `{"error": {message, type, code, error_data?, error_subcode?, fbtrace_id}}`."""
        text = title(self.code) if self.code in _WITHOUT_NUMBER else f"(#{self.code}) {title(self.code)}"
        error: Json = {"message": text, "type": "OAuthException", "code": self.code}
        if self.details:
            error["error_data"] = {"messaging_product": "whatsapp", "details": self.details}
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        if self.code in TRANSIENT:
            error["is_transient"] = True
        error["fbtrace_id"] = "A" + secrets.token_urlsafe(16)
        return {"error": error}


def unknown_object(object_id: str) -> GraphError:
    """Meta answers 100 with subcode 33 for an id that is unknown or not visible to the token."""
    return GraphError(
        100,
        f"Object with ID '{object_id}' does not exist, cannot be loaded due to missing permissions,"
        " or does not support this operation",
        subcode=33,
    )


def status_error(code: int, details: str) -> Json:
    """One item of `statuses[].errors[]` (and of `messages[].errors[]`)."""
    return {
        "code": code,
        "title": title(code),
        "message": title(code),
        "error_data": {"details": details},
        "href": HELP_URL,
    }
