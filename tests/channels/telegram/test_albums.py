"""What becomes of an album one item of which Telegram refuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from services.telegram.api.errors import Answer, failure_of
from services.telegram.channel import build
from services.telegram.settings import Settings
from shared.channel import Call
from shared.contract.commands import File

FILES = {f"file{number}": File(blob=f"ws/{number}") for number in range(4)}
REPLY = {"message_id": 7, "allow_sending_without_reply": True}


def _album(*references: str | None, kind: str = "photo", files: Any = FILES) -> Call:
    items = [{"type": kind, "media": ref or f"attach://file{n}"} for n, ref in enumerate(references)]
    items[0] |= {"caption": "Hello", "has_spoiler": True}
    attached = {name: file for name, file in files.items() if int(name[4:]) < len(items)}
    return Call("sendMediaGroup", {"chat_id": 5, "reply_parameters": REPLY, "media": items}, attached, len(items))


def _instead(call: Call, item: int, why: str) -> list[Call]:
    description = f'Bad Request: failed to send message #{item} with the error message "{why}"'
    failure = failure_of(Answer(400, description), "sendMediaGroup")
    assert failure is not None
    found = build(Settings()).adjust(call, failure)
    return list(found) if isinstance(found, Sequence) else [found] if found else []


@pytest.mark.parametrize("why", ["PHOTO_INVALID_DIMENSIONS", "IMAGE_PROCESS_FAILED", "SOMETHING_NEW_ABOUT_IT"])
@pytest.mark.parametrize(
    ("item", "methods"),
    [
        (1, ["sendDocument", "sendMediaGroup"]),
        (2, ["sendPhoto", "sendDocument", "sendMediaGroup"]),
        (4, ["sendMediaGroup", "sendDocument"]),
    ],
)
def test_the_item_goes_as_a_document_and_the_others_as_they_are(item: int, methods: list[str], why: str) -> None:
    calls = _instead(_album(None, None, None, None), item, why)
    assert [call.method for call in calls] == methods
    assert sum(call.parts for call in calls) == 4
    blobs = [file.blob for call in calls for file in call.files.values()]
    assert blobs == ["ws/0", "ws/1", "ws/2", "ws/3"]
    for call in calls:
        media = call.params.get("media", [])
        assert [entry["media"] for entry in media] == [f"attach://file{n}" for n in range(len(media))]
        assert call.params["chat_id"] == 5
    (document,) = [call for call in calls if call.method == "sendDocument"]
    assert [warning.code for warning in document.warnings] == ["sent_as_document"]
    assert "has_spoiler" not in document.params
    assert [("reply_parameters" in call.params) for call in calls] == [True, *[False] * (len(calls) - 1)]
    assert "Hello" in str(calls[0].params)


def test_an_id_that_telegram_has_lost_is_exchanged_for_the_bytes_in_the_same_album() -> None:
    (call,) = _instead(_album("A1", "A2"), 2, "wrong file identifier/HTTP URL specified")
    assert [item["media"] for item in call.params["media"]] == ["A1", "attach://file1"]
    assert call.parts == 2


def test_without_the_bytes_the_item_stands_alone() -> None:
    calls = _instead(_album("A1", "A2", "A3", files={}), 3, "FILE_REFERENCE_EXPIRED")
    assert [(call.method, call.parts) for call in calls] == [("sendMediaGroup", 2), ("sendPhoto", 1)]
    assert calls[1].params["photo"] == "A3"


def test_a_document_has_no_other_way_and_what_is_about_no_item_is_no_albums_matter() -> None:
    assert _instead(_album(None, None, kind="document"), 1, "SOMETHING_NEW_ABOUT_IT") == []
    failure = failure_of(Answer(400, "Bad Request: chat not found"), "sendMediaGroup")
    assert failure is not None and build(Settings()).adjust(_album(None, None), failure) is None
