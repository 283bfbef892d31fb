"""A provider's words: what tells of people, messages and secrets is masked, what tells of the error stays."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.policy.words import LONGEST, provider_words, strings, trace_id, without

# What a provider said, as it came, and what may be shown of it.
SAID = [
    ("Recipient +1 (555) 010-0001 is not allowed", "Recipient … is not allowed"),
    ("Recipient 49 151 2345 6789 not in allowed list", "Recipient … not in allowed list"),
    ("number 0151/2345-67 is not registered", "number … is not registered"),
    ("number 0151\u00a02345\u00a067 is not registered", "number … is not registered"),
    ("User BR.7f3K9mQ2 blocked wamid.HBgLMTU1NTAx", "User … blocked …"),
    ('Text "Meet me at noon" refused by ida@example.com', "Text … refused by …"),
    ('Text "Meet me at', "Text …"),
    ("Text “Meet me” and «Komm» and ‘x y’ refused", "Text … and … and … refused"),
    ('Param "template.name" at https://x.example/?t=1', 'Param "template.name" at …'),
    ('Param "idalina" is unknown', "Param … is unknown"),
    ("Body exceeds 1024 characters", "Body exceeds 1024 characters"),
    ("chat Ida Berg not found", "chat … not found"),
    ("chat @idaberg not found", "chat … not found"),
    ("chat IDA BERG not found", "chat … not found"),
    ("Пользователь Ида не найден", "…"),
    ("الرقم غير صحيح", "…"),
    ("Müller is not a member of the chat", "… is not a member of the chat"),
    ("file Befund_Zweistein.pdf is too big", "file … is too big"),
    ("file photo.jpg is too big", "file … is too big"),
    ("invalid token 110000001:AAH-abc_defghijklmnop", "invalid token …"),
    ("token EAAGm0PX4ZCpsBAKZCZBqwertzuiop expired", "token … expired"),
    ("see www.example.com or example.org/ida", "see … or …"),
    ("user ida.berg was blocked", "user … was blocked"),
    ("user ida_berg was blocked", "user … was blocked"),
    ("can't parse entities: unsupported start tag at byte offset 17",) * 2,
    ("PHOTO_INVALID_DIMENSIONS", "PHOTO_INVALID_DIMENSIONS"),
    ("messages.sendMessage: wrong parse_mode", "messages.sendMessage: wrong parse_mode"),
    ("File of type image/jpeg is not supported", "File of type image/jpeg is not supported"),
    ("(Business Account, Consumer Account) pair rate limit hit",) * 2,
    (
        "Object with ID '10203040506' does not exist, cannot be loaded due to missing permissions",
        "Object with ID … does not exist, cannot be loaded due to missing permissions",
    ),
    ("Message failed to send because more than 24 hours have passed since the customer last replied to this number.",)
    * 2,
    ("", ""),
]


@pytest.mark.parametrize(("said", "shown"), SAID)
def test_what_is_shown_of_what_was_said(said: str, shown: str) -> None:
    assert provider_words(said) == shown
    assert provider_words(shown) == shown, "twice is once"


@given(st.text(max_size=3000))
def test_any_text_is_bounded_and_shows_no_address_and_no_number(text: str) -> None:
    shown = provider_words(text)
    assert len(shown) <= LONGEST
    assert "@" not in shown
    assert "://" not in shown


@pytest.mark.parametrize("piece", ["1", "1 ", "a", "a@", '"', "'a ", "“", "…", "… ", "_.", "/", "(", "é", "A"])
def test_long_texts_take_no_time(piece: str) -> None:
    began = time.perf_counter()
    provider_words(piece * 1_000_000)
    without(provider_words(piece * 1000), [piece * 1_000_000])
    assert time.perf_counter() - began < 0.5


def test_a_number_that_is_cut_is_not_shown_in_part() -> None:
    assert "49" not in provider_words("a " * 298 + "4915123456789")


COMMAND = {
    "text": "hello dear Idalina, will you come to the lake tomorrow? yours, bo",
    "to": [{"kind": "phone", "value": "+4915123456789"}],
    "attachments": [{"filename": "befund.pdf"}],
    "names": ("Bo", 17),
}


@pytest.mark.parametrize(
    ("detail", "left"),
    [
        ("the text hello dear was refused", "the text … was refused"),
        ("refused for tomorrow in the chat", "refused for … in the chat"),
        ("refused: will you come to you", "refused: … you"),
        ("the message to you was refused", "the message to you was refused"),
        ("befund is too big", "… is too big"),
        ("bo is not a member", "… is not a member"),
        ("at most 17 entities", "at most 17 entities"),
    ],
)
def test_what_the_command_said_is_not_repeated(detail: str, left: str) -> None:
    assert without(detail, strings(COMMAND)) == left


def test_without_a_command_nothing_goes() -> None:
    assert without("the text hello dear was refused", ()) == "the text hello dear was refused"


@pytest.mark.parametrize(
    "given", ["EJplcsCHuLu", "Aq1", "AXYZ_abc-1", "20261127123456010245143089ABCDEF0", "b26c0f8e-77a2-4f5c-9b7c"]
)
def test_a_trace_id_is_kept(given: str) -> None:
    assert trace_id(given) == given


@pytest.mark.parametrize(
    "given",
    [None, 17, "", "x" * 65, "4915123456789", "+4915123456789", "ida@example.com", "Ida Berg", "https://x.de/a", "é"],
)
def test_what_has_not_the_shape_of_a_trace_id_is_dropped(given: object) -> None:
    assert trace_id(given) is None
