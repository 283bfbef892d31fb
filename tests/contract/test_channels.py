"""The suite every channel passes: it is found because its folder exists, and held to what it declares."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import get_protocol_members

from bench import channels as bench_channels
from bench.channels import TEXT, Profile, profile
from sandbox.channels import ChannelSandbox, channel_names, describe
from shared.channel import (
    Account,
    Call,
    Channel,
    Event,
    Forbidden,
    HealthChange,
    Parses,
    PlanContext,
    RawItem,
    ReceivedItem,
    StatusUpdate,
    TemplateChange,
    UnknownRoute,
    WebhookRequest,
)
from shared.contract import ids
from shared.contract.accounts import AccountRecord
from shared.contract.capabilities import Grade
from shared.contract.commands import Command, CommandType
from shared.contract.envelope import parse_type
from shared.contract.events import DATA_OF, EventType, Message
from shared.runtime.tools import offline
from tests.channels import goldens
from tests.contract.mutations import Mutator
from tests.e2e.providers import Connected, Provider, provider

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
BY_RUNTIME = {EventType.ATTACHMENT_STORED, EventType.ATTACHMENT_FAILED, EventType.CONTACT_UPDATED}

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
    kinds |= _kinds_of_placeholders(name)
    assert set(capabilities.inbound) - BY_RUNTIME <= types
    assert set(capabilities.content_kinds) <= kinds


def _kinds_of_placeholders(name: str) -> set[str]:
    """What a payload becomes that no parser could read: no golden, since every payload is read there."""
    channel = goldens.channel(name)
    if not isinstance(channel, Parses):
        return set()
    account = AccountRecord(account_id="a", workspace_id="w", channel=name)
    item = ReceivedItem(account, channel.placeholder("slow", b""), goldens.RECEIVED_AT)
    told = [one for one in channel.normalise(item) if isinstance(one, Event)]
    return {one.data.content.kind for one in told if isinstance(one.data, Message)}


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
@settings(max_examples=100, deadline=None)
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
                isinstance(one, Event | StatusUpdate | HealthChange | TemplateChange)
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


@pytest.mark.parametrize("count", [100, pytest.param(1_000, marks=pytest.mark.chaos)])
@pytest.mark.parametrize("name", CHANNELS)
def test_normalise_never_raises_on_a_mutated_payload(name: str, count: int) -> None:
    settings(max_examples=count, deadline=None)(given(data=st.data())(_a_mutated_payload))(name)


def _a_mutated_payload(name: str, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([p for p in goldens.cases(name, "inbound") if p.suffix in (".json", ".eml")]))
    channel = goldens.channel(name)
    raw = path.read_bytes()
    payload = json.loads(channel.parse(raw) if isinstance(channel, Parses) else raw)
    where = data.draw(st.sampled_from(_leaves(payload)))
    body = json.dumps(_replaced(payload, where, data.draw(json_values))).encode()
    account = AccountRecord(account_id="a", workspace_id="w", channel=name)
    try:
        # What has been parsed was split before.
        parsed = isinstance(channel, Parses)
        items = [RawItem("", body)] if parsed else channel.unbatch(WebhookRequest("POST", "a", {}, {}, body))
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


# ------------------------------------------------------------------------------------------------------- plan


MUTATED = 1_000
IN_THE_LONG_RUN = pytest.param(10_000, marks=pytest.mark.chaos)


@pytest.mark.parametrize("count", [MUTATED, IN_THE_LONG_RUN])
@pytest.mark.parametrize("name", CHANNELS)
def test_plan_of_a_mutated_command_is_made_or_refused(name: str, count: int) -> None:
    """Commands as the runtime reads them: what is no command never gets to `plan`, and is not counted."""
    channel = goldens.channel(name)
    plan, mutator, planned = channel.plan, Mutator(_golden_commands(name), seed=count), 0

    def counted(kind: CommandType, command: Command, context: PlanContext) -> Sequence[Call]:
        nonlocal planned
        planned += 1
        return plan(kind, command, context)

    with patch.object(channel, "plan", counted):
        while planned < count:
            written = json.dumps(mutator.command())
            with suppress(orjson.JSONDecodeError):  # half characters, and numbers that are none
                orjson.dumps(offline.plan(channel, orjson.loads(written)), default=str)


# ------------------------------------------------------------------------------------------------------ faces

FACES = {
    "sandbox": ("sandbox/simulators/{}/__main__.py", "sandbox/channels/{}.py"),
    "tests": ("tests/e2e/providers/{}.py",),
    "bench": ("bench/channels/{}.py",),
}
ACCOUNT = "acc_1"


def _absent(name: str) -> dict[str, str]:
    """The faces a channel goes without, each with its reason: `[tool.channel.absent]` of its pyproject.toml."""
    own = tomllib.loads((goldens.ROOT / "services" / name / "pyproject.toml").read_text())
    absent: dict[str, str] = own["tool"].get("channel", {}).get("absent", {})
    return absent


def _with(face: str) -> list[str]:
    return [name for name in CHANNELS if face not in _absent(name)]


@pytest.mark.parametrize("name", CHANNELS)
def test_every_face_is_there_or_said_to_be_absent(name: str) -> None:
    absent = _absent(name)
    assert absent.keys() <= FACES.keys()
    assert all(len(why.split()) > 3 for why in absent.values()), "say why"
    lacking = {
        face: [file for file in (place.format(name) for place in places) if not (goldens.ROOT / file).exists()]
        for face, places in FACES.items()
    }
    assert {face: files for face, files in lacking.items() if files and face not in absent} == {}
    assert [face for face in absent if not lacking[face]] == [], "said to be absent, and there"


def _lacks(given: object, protocol: type) -> set[str]:
    """What of a protocol somebody has forgotten; `mypy` sees the types where the module says it is one."""
    return {member for member in get_protocol_members(protocol) if not hasattr(given, member)}


@pytest.mark.parametrize("name", _with("sandbox"))
def test_the_sandbox_runs_it(name: str) -> None:
    described = describe(name, {})
    assert _lacks(described, ChannelSandbox) == set()
    assert name in channel_names()
    assert described.environment("http://127.0.0.1:1")


@pytest.mark.parametrize("name", _with("tests"))
def test_the_tests_play_its_provider(name: str) -> None:
    assert _lacks(provider(name), Provider) == set()


@pytest.mark.parametrize("name", _with("bench"))
def test_the_benchmarks_bring_messages_that_it_reads(name: str) -> None:
    of = profile(name)
    assert _lacks(of, Profile) == set()
    account, webhook = of.account(0), of.webhook(7, 3)
    channel, credentials = bench_channels.build(of), account.pop("credentials")
    held = Account(AccountRecord(**account), credentials)
    route = webhook.path.removeprefix(f"/webhooks/{name}").strip("/")
    headers = {header.lower(): value for header, value in webhook.headers.items()}
    request = WebhookRequest("POST", route, {}, headers, webhook.body)
    channel.authenticate(request, Held([held]))
    [item] = channel.unbatch(request)
    [event] = channel.normalise(ReceivedItem(held.record, item.body, goldens.RECEIVED_AT))
    assert isinstance(event, Event) and event.type is EventType.MESSAGE_RECEIVED
    assert event.data.content.text == f"{TEXT} #7"


# ------------------------------------------------------------------------------------------------------- proof


class Held:
    """The accounts of a process."""

    def __init__(self, accounts: Sequence[Account]) -> None:
        self._accounts = accounts

    def get(self, account_id: str) -> Account | None:
        return next((a for a in self._accounts if a.account_id == account_id), None)


def _lets_in(channel: Channel, route: str, body: bytes, headers: Mapping[str, str], accounts: Held) -> bool:
    lower = {name.lower(): value for name, value in headers.items()}
    try:
        channel.authenticate(WebhookRequest("POST", route.strip("/"), {}, lower, body), accounts)
    except (Forbidden, UnknownRoute):
        return False
    return True


@pytest.mark.parametrize("name", CHANNELS)
def test_a_body_without_proof_is_let_in_nowhere(name: str) -> None:
    """With its default settings, as a service runs whose secrets were forgotten."""
    channel = goldens.channel(name)
    record = AccountRecord(account_id=ACCOUNT, workspace_id="w", channel=name, external_id="1")
    for accounts in (Held([]), Held([Account(record, {})])):
        for route in ("", ACCOUNT, "1", f"{ACCOUNT}/x", ".."):
            bodies = [path.read_bytes() for path in goldens.cases(name, "inbound")] or [b"", b"{}"]
            assert not any(_lets_in(channel, route, body, {}, accounts) for body in bodies), route


@pytest.mark.parametrize("name", _with("tests"))
def test_only_the_providers_own_proof_lets_a_body_in(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    played = provider(name)
    fields, credentials, handle = played.open_account(1)
    record = AccountRecord(account_id=ACCOUNT, workspace_id="w", channel=name, **fields)
    accounts = Held([Account(record, credentials)])
    for variable, value in played.environment().items():
        if value and value[0] != "/":  # no address is known before it is started
            monkeypatch.setenv(variable, value)
    channel = goldens.channel(name)
    body = next(goldens.cases(name, "inbound")).read_bytes()
    route, headers = played.genuine(Connected(record, handle, credentials), body)
    assert _lets_in(channel, route, body, headers, accounts)
    assert not _lets_in(channel, route, body, {}, accounts)
    assert not _lets_in(channel, route, body, dict.fromkeys(headers, ""), accounts)
    flipped = {header: value[:-1] + ("0" if value[-1] != "0" else "1") for header, value in headers.items()}
    assert not _lets_in(channel, route, body, flipped, accounts)
    _, forged, wrong = played.forged()
    assert not _lets_in(channel, route, forged, wrong, accounts)
