"""Every endpoint as data: method, path, where credentials travel, scope and fields.

Written from TikTok's endpoint pages (portal documents 1832184403754242 and following, 1833997638479041 and
following); there is no machine-readable specification to check against.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

API_ROOT = "/open_api/v1.3"

MAX_IMAGE_BYTES = 3 * 1024 * 1024
MAX_CALLBACK_URL = 512
MAX_REF = 2083


class Credentials(Enum):
    """Where an endpoint takes its credentials from."""

    ACCESS_TOKEN = "Access-Token header"
    APP_BODY = "app id and secret in the JSON body"
    APP_QUERY = "app id and secret in the query string"


class Kind(Enum):
    """The JSON type of a field; a query string carries an INTEGER as digits and a STRINGS as a JSON array."""

    STRING = "a string"
    INTEGER = "an integer"
    OBJECT = "an object"
    OBJECTS = "a list of objects"
    STRINGS = "a list of strings"


@dataclass(frozen=True, slots=True)
class Field:
    """One field; `maximum` is characters of a STRING, items of a list, the value of an INTEGER."""

    name: str
    kind: Kind = Kind.STRING
    required: bool = True
    minimum: int = 1
    maximum: int = 512
    choices: frozenset[str] = frozenset()
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True)
class Endpoint:
    """One endpoint; `scope` is what the account's owner must have granted."""

    name: str
    method: str
    path: str
    credentials: Credentials = Credentials.ACCESS_TOKEN
    scope: str = ""
    fields: tuple[Field, ...] = ()
    # Takes multipart instead of JSON; the handler reads the parts itself so that a file is never held whole.
    multipart: bool = False
    url: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", API_ROOT + self.path)


def _one_of(name: str, *choices: str, required: bool = True) -> Field:
    return Field(name, choices=frozenset(choices), required=required)


def _object(name: str, *fields: Field, required: bool = True) -> Field:
    return Field(name, Kind.OBJECT, required=required, fields=fields)


READ, SEND, MANAGE = "message.list.read", "message.list.send", "message.list.manage"
PROFILE = "user.info.basic"

_BUSINESS = Field("business_id")
_CONVERSATION = Field("conversation_id")
_CONVERSATION_TYPE = _one_of("conversation_type", "STRANGER", "SINGLE")
_CLIENT = (Field("client_id"), Field("client_secret"))
_APP = (Field("app_id"), Field("secret"), _one_of("event_type", "DIRECT_MESSAGE"))
_DIRECT_REPLY = _one_of("direct_reply_type", "COMMENT_TO_MESSAGE")

# message_type → the one field that carries it; any other of these fields beside it is refused.
SEND_PARTS = {
    "TEXT": "text",
    "IMAGE": "image",
    "SHARE_POST": "share_post",
    "TEMPLATE": "template",
    "SENDER_ACTION": "sender_action",
}

# Card type → longest title of its buttons.
BUTTON_TITLE = {"QA_BUTTON_CARD": 20, "QA_LINK_CARD": 40}

_BUTTON = (_one_of("type", "REPLY"), Field("title", maximum=40), Field("id", required=False, maximum=40))

_SEND = (
    _BUSINESS,
    _one_of("recipient_type", "CONVERSATION", required=False),
    Field("recipient", required=False),
    _one_of("message_type", *SEND_PARTS),
    _object("text", Field("body", maximum=6000), required=False),
    _object("image", Field("media_id"), required=False),
    _object("share_post", Field("item_id"), required=False),
    _object(
        "template",
        _one_of("type", *BUTTON_TITLE),
        Field("title", maximum=40),
        Field("buttons", Kind.OBJECTS, maximum=3, fields=_BUTTON),
        required=False,
    ),
    _one_of("sender_action", "TYPING", "MARK_READ", required=False),
    _object("referenced_message_info", Field("referenced_message_id"), required=False),
    _object(
        "direct_reply",
        _one_of("reply_type", "COMMENT_REPLY"),
        _object("comment_reply", Field("comment_id")),
        required=False,
    ),
)

ENDPOINTS = (
    Endpoint(
        "exchange",
        "POST",
        "/tt_user/oauth2/token/",
        Credentials.APP_BODY,
        fields=(
            *_CLIENT,
            _one_of("grant_type", "authorization_code"),
            Field("auth_code"),
            Field("redirect_uri", minimum=10),
        ),
    ),
    Endpoint(
        "refresh",
        "POST",
        "/tt_user/oauth2/refresh_token/",
        Credentials.APP_BODY,
        fields=(*_CLIENT, _one_of("grant_type", "refresh_token"), Field("refresh_token")),
    ),
    Endpoint(
        "revoke",
        "POST",
        "/tt_user/oauth2/revoke/",
        Credentials.APP_BODY,
        fields=(*_CLIENT, Field("access_token")),
    ),
    Endpoint(
        "token_info",
        "POST",
        "/tt_user/token_info/get/",
        Credentials.APP_BODY,
        fields=(Field("app_id"), Field("access_token")),
    ),
    Endpoint("send", "POST", "/business/message/send/", scope=SEND, fields=_SEND),
    Endpoint(
        "upload",
        "POST",
        "/business/message/media/upload/",
        scope=SEND,
        fields=(_BUSINESS, _one_of("media_type", "IMAGE")),
        multipart=True,
    ),
    Endpoint(
        "download",
        "POST",
        "/business/message/media/download/",
        scope=READ,
        fields=(
            _BUSINESS,
            _CONVERSATION,
            Field("message_id"),
            Field("media_id"),
            _one_of("media_type", "IMAGE", "VIDEO"),
        ),
    ),
    Endpoint(
        "capabilities",
        "GET",
        "/business/message/capabilities/get/",
        scope=SEND,
        fields=(
            _BUSINESS,
            _CONVERSATION,
            _CONVERSATION_TYPE,
            Field("capability_types", Kind.STRINGS, maximum=1, choices=frozenset({"IMAGE_SEND"})),
        ),
    ),
    Endpoint(
        "conversations",
        "GET",
        "/business/message/conversation/list/",
        scope=READ,
        fields=(
            _BUSINESS,
            _CONVERSATION_TYPE,
            Field("limit", Kind.INTEGER, required=False, maximum=100),
            Field("cursor", Kind.INTEGER, required=False, minimum=0, maximum=2**53),
        ),
    ),
    Endpoint(
        "messages",
        "GET",
        "/business/message/content/list/",
        scope=READ,
        fields=(_BUSINESS, _CONVERSATION),
    ),
    Endpoint(
        "profile",
        "GET",
        "/business/get/",
        scope=PROFILE,
        fields=(_BUSINESS, Field("fields", Kind.STRINGS, required=False, maximum=50)),
    ),
    Endpoint(
        "direct_reply_update",
        "POST",
        "/business/message/direct_reply/update/",
        scope=MANAGE,
        fields=(_BUSINESS, _DIRECT_REPLY, _one_of("operation_status", "ENABLE", "DISABLE")),
    ),
    Endpoint(
        "direct_reply_get",
        "GET",
        "/business/message/direct_reply/get/",
        scope=MANAGE,
        fields=(_BUSINESS, _DIRECT_REPLY),
    ),
    Endpoint(
        "webhook_update",
        "POST",
        "/business/webhook/update/",
        Credentials.APP_BODY,
        fields=(*_APP, Field("callback_url", minimum=10, maximum=MAX_CALLBACK_URL)),
    ),
    Endpoint("webhook_list", "GET", "/business/webhook/list/", Credentials.APP_QUERY, fields=_APP),
    Endpoint("webhook_delete", "POST", "/business/webhook/delete/", Credentials.APP_BODY, fields=_APP),
)
