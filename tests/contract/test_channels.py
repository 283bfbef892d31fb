"""The suite every channel passes: it is found because its folder exists, and held to what it declares."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.channel import Event, HealthChange, ReceivedItem, StatusUpdate, WebhookRequest
from shared.contract import ids
from shared.contract.accounts import AccountRecord
from shared.contract.capabilities import Grade
from shared.contract.envelope import parse_type
from shared.contract.events import DATA_OF, EventType
from tests.channels import goldens

CHANNELS = goldens.channel_names()
FILES = {
    "__main__.py",
    "settings.py",
    "channel.py",
    "capabilities.py",
    "receive/inbound.py",
    "send/outbound.py",
    "api/client.py",
    "api/errors.py",
    "pyproject.toml",
}
# Published by the runtime for every channel, not made by `normalise`.
BY_RUNTIME = {EventType.ATTACHMENT_STORED, EventType.ATTACHMENT_FAILED}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=20,
)


def _golden_events(name: str) -> list[dict[str, Any]]:
    folder = goldens.HERE / name / "inbound"
    return [event for path in folder.glob("*.events.json") for event in json.loads(path.read_text())]


def _golden_commands(name: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in goldens.cases(name, "outbound")]


@pytest.mark.parametrize("name", CHANNELS)
def test_folder_has_the_common_file_names(name: str) -> None:
    folder = goldens.ROOT / "services" / name
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*")} >= FILES


@pytest.mark.parametrize("name", CHANNELS)
def test_every_declared_event_and_content_kind_has_a_golden(name: str) -> None:
    capabilities = goldens.channel(name).capabilities
    events = [e for e in _golden_events(name) if e["type"] != "channels.dead.letter.v1"]
    types = {parse_type(event["type"])[0] for event in events}
    kinds = {event["data"]["content"]["kind"] for event in events if "content" in event["data"]}
    assert set(capabilities.inbound) - BY_RUNTIME <= types
    assert set(capabilities.content_kinds) <= kinds


@pytest.mark.parametrize("name", CHANNELS)
def test_goldens_show_nothing_that_is_not_declared(name: str) -> None:
    capabilities = goldens.channel(name).capabilities
    declared = set(capabilities.inbound) | {"message.status", "account.health", "dead.letter"}
    assert {parse_type(event["type"])[0] for event in _golden_events(name)} <= declared


@pytest.mark.parametrize("name", CHANNELS)
def test_every_declared_command_has_a_golden(name: str) -> None:
    capabilities = goldens.channel(name).capabilities
    commands = _golden_commands(name)
    types = {str(c.get("type", "message.send")).removeprefix("channels.").removesuffix(".v1") for c in commands}
    data = [c.get("data", c) for c in commands]
    contents = [d["content"] for d in data if isinstance(d.get("content"), dict)]
    # Typing is shown by the runtime through `show_typing`; cancelling and blocking need no plan.
    planned = {c for c in capabilities.commands if c.partition(".")[0] in ("message", "reaction", "conversation")}
    assert planned - {"message.cancel", "message.resend"} <= types
    files = {f.get("kind") for c in contents for f in c.get("attachments", ())}
    assert {kind for kind, rule in capabilities.files.items() if rule.grade is not Grade.REJECTED} <= files
    interactive = {c.get("interactive", "buttons") for c in contents if c.get("kind") == "interactive"}
    assert {entry.kind for entry in capabilities.interactive} <= interactive
    kinds = {c.get("kind") for c in contents}
    for kind in ("location", "contacts", "templates"):
        if getattr(capabilities, kind) is not Grade.REJECTED:
            assert kind.removesuffix("s") in kinds or kind in kinds


@pytest.mark.parametrize("name", CHANNELS)
def test_events_are_valid_contract_models(name: str) -> None:
    for event in _golden_events(name):
        type_, version = parse_type(event["type"])
        if type_ in set(EventType):
            assert version == 1
            DATA_OF[EventType(type_)].model_validate(event["data"])


@pytest.mark.parametrize("name", CHANNELS)
def test_ids_are_stable(name: str) -> None:
    for path in goldens.cases(name, "inbound"):
        first, second = goldens.events_of(name, path), goldens.events_of(name, path)
        assert [e.get("id") for e in first] == [e.get("id") for e in second]


@pytest.mark.parametrize("name", CHANNELS)
def test_every_event_has_its_own_id(name: str) -> None:
    for path in goldens.cases(name, "inbound"):
        events = [e for e in goldens.events_of(name, path) if e["type"] != "channels.dead.letter.v1"]
        keys = [(e.get("id"), e["type"]) for e in events if "id" in e]
        assert len(keys) == len(set(keys)), path.name


@pytest.mark.parametrize("name", CHANNELS)
def test_subject_is_the_conversation(name: str) -> None:
    for event in _golden_events(name):
        if parse_type(event["type"])[0] in set(EventType):
            assert event["subject"] == event["data"]["conversation_id"]
            assert ids.conversation_id(name, event["data"]["account_id"], "") == event["subject"] + (
                ":" if event["type"].endswith("account.notice.v1") else ""
            ) or event["subject"].startswith(f"{name}:{event['data']['account_id']}")


@pytest.mark.parametrize("name", CHANNELS)
def test_sources_and_dates_are_given_for_the_figures(name: str) -> None:
    sources = goldens.channel(name).capabilities.sources
    assert sources
    assert all(entry.source and entry.checked for entry in sources)


@pytest.mark.parametrize("name", CHANNELS)
@settings(max_examples=200, deadline=None)
@given(value=json_values)
def test_any_json_is_understood_or_unreadable(name: str, value: Any) -> None:
    """`ValueError` makes a dead letter of an item (WhatsApp's `{"status": {}}`); nothing else may be raised."""
    channel = goldens.channel(name)
    account = AccountRecord(account_id="a", workspace_id="w", channel=name)
    body = json.dumps(value).encode()
    try:
        items = channel.unbatch(WebhookRequest("POST", "a", {}, {}, body))
    except ValueError:
        items = ()
    for read in (*(item.body for item in items), body):
        with suppress(ValueError):
            assert all(
                isinstance(one, Event | StatusUpdate | HealthChange)
                for one in channel.normalise(ReceivedItem(account, read, goldens.RECEIVED_AT))
            )


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [path, *(leaf for key, inner in value.items() for leaf in _leaves(inner, (*path, key)))]
    if isinstance(value, list):
        return [path, *(leaf for index, inner in enumerate(value) for leaf in _leaves(inner, (*path, index)))]
    return [path]


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _replaced(value[path[0]], path[1:], new)
    return copy


@pytest.mark.parametrize("name", CHANNELS)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_normalise_never_raises_on_a_mutated_payload(name: str, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([p for p in goldens.cases(name, "inbound") if p.suffix == ".json"]))
    payload = json.loads(Path(path).read_text())
    where = data.draw(st.sampled_from(_leaves(payload)))
    body = json.dumps(_replaced(payload, where, data.draw(json_values))).encode()
    channel = goldens.channel(name)
    account = AccountRecord(account_id="a", workspace_id="w", channel=name)
    try:
        items = channel.unbatch(WebhookRequest("POST", "a", {}, {}, body))
    except ValueError:
        return
    for item in items:
        try:
            outcomes = channel.normalise(ReceivedItem(account, item.body, goldens.RECEIVED_AT))
        except ValueError:
            continue
        assert outcomes is not None
        for outcome in outcomes:
            if isinstance(outcome, Event):
                assert outcome.data.to_json()
