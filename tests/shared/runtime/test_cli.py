"""The command line: what each command prints, and the exit status that a script can rely on."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import time
from typing import Any

import orjson
import pytest
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from structlog.testing import capture_logs

from shared.channel import Account, HealthChange, ProviderError, RawItem, Subscription, WebhookRequest
from shared.contract.accounts import AccountRecord
from shared.contract.errors import ErrorCode
from shared.contract.events import Health
from shared.contract.topics import Topics
from shared.media.blobs import Blobs
from shared.runtime.accounts.sealing import Opened, new_key, public_key, seal_credentials, unseal_credentials
from shared.runtime.inbound.raw import RawWriter, body_store
from shared.runtime.process import accounts_command, main, operate
from shared.runtime.process.connections import topic_specs
from shared.stream.deadletter import DeadLetters
from shared.stream.memory import MemoryLog
from shared.stream.records import Record
from tests.channels import goldens
from tests.shared.runtime.plain_channel import CHANNEL, PlainChannel, failure, item

TOPICS = Topics()


class PlainSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="PLAIN_")

    limit: int = Field(default=5, ge=1)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "configure_logs", lambda *_: None)


def run(*arguments: str, channel: PlainChannel | None = None) -> int:
    return main.run(lambda _: channel or PlainChannel(), PlainSettings, list(arguments))


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> MemoryLog:
    made = MemoryLog()
    for module in (main, accounts_command):
        monkeypatch.setattr(module, "kafka_log", lambda *_: made)
    asyncio.run(made.ensure_topics(topic_specs(TOPICS, CHANNEL, 2)))
    return made


def read(log: MemoryLog, topic: str) -> list[Record]:
    return [record for partition in log._topics[topic] for record in partition]


# --------------------------------------------------------------------------------------------- without infrastructure


def test_capabilities(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run("capabilities") == 0
    assert orjson.loads(capsysbinary.readouterr().out)["channel"] == CHANNEL


def test_normalise_prints_a_line_per_event(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    file = tmp_path / "payload.json"
    file.write_bytes(orjson.dumps([item(id="m1", at=1), item(id="m2", at=2), item("health", health="degraded")]))
    assert run("normalise", str(file), "--account", "acc_7", "--workspace", "ws_7") == 0
    lines = [orjson.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert [line["type"] for line in lines] == [
        "channels.message.received.v1",
        "channels.message.received.v1",
        "channels.account.health.v1",
    ]
    assert lines[0]["data"]["workspace_id"] == "ws_7"
    assert lines[0]["data"]["conversation_id"] == "plain:acc_7:p1"


def test_what_cannot_be_read_is_printed_as_a_dead_letter(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    file = tmp_path / "payload.json"
    file.write_bytes(b'{"not": "a list"}')
    assert run("normalise", str(file)) == 0
    (line,) = capsysbinary.readouterr().out.splitlines()
    assert orjson.loads(line)["type"] == "channels.dead.letter.v1"


def test_plan_prints_calls_or_the_refusal(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    file = tmp_path / "commands.jsonl"
    common = {"conversation_id": "plain:account:p1"}
    texts = ["one|two", "refuse:text_too_long"]
    file.write_bytes(b"\n".join(orjson.dumps(common | {"content": {"kind": "text", "text": t}}) for t in texts))
    assert run("plan", str(file)) == 0
    first, second, refused = [orjson.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert (first["params"]["text"], second["params"]["text"]) == ("one", "two")
    assert refused["refused"]["code"] == "text_too_long"


def test_a_broken_line_costs_no_other_command(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    file = tmp_path / "commands.jsonl"
    command = orjson.dumps({"conversation_id": "plain:account:p1", "content": {"kind": "text", "text": "one"}})
    file.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join([command, command[:20], b"", command]))
    assert run("plan", str(file)) == 0
    first, refused, last = [orjson.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert first["params"] == last["params"] == {"text": "one"}
    assert refused["refused"] == {
        "code": "invalid_command",
        "class": "command",
        "detail": "The command is not JSON.",
        "retryable": False,
    }


@pytest.mark.parametrize("command", ["plan", "normalise"])
def test_a_workspace_that_is_none(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "empty.json"
    file.write_bytes(b"[]")
    assert run(command, str(file), "--workspace", "a b") == 2
    assert "WORKSPACE_ID" in capsys.readouterr().err


class DefectiveChannel(PlainChannel):
    def plan(self, *_: Any) -> Any:
        raise KeyError("+4915112345678")

    normalise = plan


@pytest.mark.parametrize("command", ["plan", "normalise"])
def test_a_defect_costs_one_line_and_shows_nobodys_data(
    command: str, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    file = tmp_path / "two.jsonl"
    line = {"conversation_id": "plain:a:p1", "content": {"kind": "text", "text": "one"}}
    file.write_bytes(orjson.dumps(line if command == "plan" else [item(id="m1", at=1)]) + b"\n{}")
    assert run(command, str(file), channel=DefectiveChannel()) == 1
    out, err = capsysbinary.readouterr()
    first, second = [orjson.loads(line) for line in out.splitlines()]
    assert (first.get("refused") or first["data"])["code"] == "internal"
    assert (second.get("refused") or second["data"])["code"] in ("invalid_command", "unreadable")
    assert b"KeyError in test_cli.py" in err
    assert b"4915112345678" not in err


def test_a_reader_that_has_seen_enough_is_no_failure() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "-m", "services.tiktok", "capabilities"]
    ended = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, cwd=goldens.ROOT, check=False)
    os.close(writes)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_file_that_cannot_be_opened(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run("normalise", str(tmp_path / "none.json")) == 2
    assert b"none.json: No such file" in capsysbinary.readouterr().err


# ------------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("variable", "value", "arguments"),
    [
        ("PLAIN_LIMIT", "many", ["capabilities"]),
        ("KAFKA_PARTITIONS", "0", ["run"]),
        ("HTTP_PORT", "http", ["run"]),
        ("ROLES", "ingress,juggle", ["run"]),
        ("LOG_LEVEL", "chatty", ["run"]),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_as_it_is_set(
    variable: str,
    value: str,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, value)
    with capture_logs() as lines:
        assert run(*arguments) == 2
    said = str(lines) if arguments == ["run"] else capsys.readouterr().err
    if arguments == ["run"]:
        assert [(line["event"], line["variable"]) for line in lines] == [("setting_invalid", variable)]
    else:
        assert said.startswith(f"setting {variable}")
    assert value not in said or variable == "LOG_LEVEL"


def test_a_level_may_be_written_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "debug")
    assert main.ServiceConfig().service.log_level == "DEBUG"


@pytest.mark.parametrize("arguments", [["juggle"], ["normalise"], ["accounts"], ["webhook", "break"]])
def test_a_command_line_that_makes_no_sense(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        run(*arguments)
    assert left.value.code == 2
    assert "usage:" in capsys.readouterr().err


# -------------------------------------------------------------------------------------------------------- accounts


def test_keys(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("accounts", "public-key") == 1
    assert "SEALING_KEY is not set" in capsys.readouterr().err
    assert run("accounts", "new-key") == 0
    key = capsys.readouterr().out.strip()
    monkeypatch.setenv("SEALING_KEY", key)
    assert run("accounts", "public-key") == 0
    assert capsys.readouterr().out.strip() == public_key(key)


@pytest.mark.parametrize("roles", ["ingress", "normalise,deliver"])
@pytest.mark.parametrize(
    "key", ["", "no key at all", "c2hvcnQ=", f"{new_key()},"], ids=["none", "words", "short", "one of two"]
)
def test_nothing_starts_without_a_key(monkeypatch: pytest.MonkeyPatch, roles: str, key: str) -> None:
    monkeypatch.setenv("ROLES", roles)
    monkeypatch.setenv("SEALING_KEY", key)
    monkeypatch.setattr(main, "Service", None)  # it does not come so far
    with capture_logs() as lines:
        assert run() == 2
    assert [line["variable"] for line in lines] == ["SEALING_KEY"]
    assert not key or key not in str(lines)


def test_a_key_that_is_none_is_said_before_anything_is_written(
    tmp_path: Path, log: MemoryLog, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEALING_KEY", "c2hvcnQ=")
    assert run("accounts", "apply", str(tmp_path / "accounts.yaml")) == 2
    assert capsys.readouterr().err.startswith("setting SEALING_KEY: not a private key")
    assert run("accounts", "new-key") == 0


def test_a_key_that_opens_nothing_ends_what_needs_the_accounts(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = AccountRecord(account_id="a", workspace_id="w", channel=CHANNEL)
    sealed = seal_credentials({"token": "t"}, record, public_key(new_key()))
    asyncio.run(log.send(TOPICS.accounts, b"a", sealed.to_json()))
    monkeypatch.setenv("HTTP_PUBLIC_URL", "https://hooks.example")
    monkeypatch.setenv("SEALING_KEY", new_key())
    assert run("webhook", "check", channel=RegisteringChannel()) == 1
    assert "SEALING_KEY" in capsys.readouterr().err


def test_accounts_are_applied(
    tmp_path: Path, log: MemoryLog, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = new_key()
    monkeypatch.setenv("SEALING_KEY", key)
    file = tmp_path / "accounts.yaml"
    file.write_text("- {account_id: a, workspace_id: w, channel: plain, credentials: {token: secret}}")
    assert run("accounts", "apply", str(file)) == 0
    assert capsys.readouterr().out.splitlines() == ["written: a", "unchanged: -", "removed: -"]
    (record,) = read(log, TOPICS.accounts)
    written = AccountRecord.model_validate_json(record.value or b"")
    assert unseal_credentials(written, key) == Opened({"token": "secret"}, bound=True)
    file.write_text("[]")
    assert run("accounts", "apply", str(file), "--prune") == 0
    assert "removed: a" in capsys.readouterr().out


def test_accounts_are_sealed_to_a_new_key(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = new_key(), new_key()
    record = AccountRecord(account_id="a", workspace_id="w", channel=CHANNEL)
    sealed = seal_credentials({"token": "t"}, record, public_key(old))
    asyncio.run(log.send(TOPICS.accounts, b"a", sealed.to_json()))
    monkeypatch.setenv("SEALING_KEY", new)
    assert run("accounts", "reseal") == 1
    assert "unopened: a" in capsys.readouterr().out
    monkeypatch.setenv("SEALING_KEY", f"{new},{old}")
    assert run("accounts", "reseal", "--json") == 0
    assert orjson.loads(capsys.readouterr().out)["resealed"] == ["a"]
    anew = AccountRecord.model_validate_json(read(log, TOPICS.accounts)[-1].value or b"")
    assert unseal_credentials(anew, new) == Opened({"token": "t"}, bound=True)


def test_a_bad_file_writes_nothing(tmp_path: Path, log: MemoryLog, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "accounts.yaml"
    file.write_text("- {account_id: a, workspace_id: w, channel: plain}\n- {account_id: b}")
    assert run("accounts", "apply", str(file)) == 1
    assert "accounts[1].workspace_id" in capsys.readouterr().err
    assert read(log, TOPICS.accounts) == []


def test_a_file_is_sealed_with_the_public_key_alone(
    tmp_path: Path, log: MemoryLog, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key, file = new_key(), tmp_path / "accounts.yaml"
    file.write_text("- {account_id: a, workspace_id: w, channel: plain, credentials: {token: very-secret}}\n")
    assert run("accounts", "seal", str(file), "--public-key", "none") == 1
    assert "not a public key" in capsys.readouterr().err
    assert run("accounts", "seal", str(file), "--public-key", public_key(key)) == 0
    sealed = capsys.readouterr().out
    assert "very-secret" not in sealed
    file.write_text(sealed)
    monkeypatch.setenv("SEALING_KEY", key)
    assert run("accounts", "apply", str(file), "--json") == 0
    assert orjson.loads(capsys.readouterr().out) == {"written": ["a"], "unchanged": [], "removed": []}
    record = AccountRecord.model_validate_json(read(log, TOPICS.accounts)[-1].value or b"")
    assert unseal_credentials(record, key) == Opened({"token": "very-secret"}, bound=True)


def test_accounts_are_listed_and_removed(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEALING_KEY", new_key())
    with_accounts(log, "a", "b")
    sealed = seal_credentials(
        {"t": "t"}, AccountRecord(account_id="c", workspace_id="w", channel=CHANNEL), public_key(new_key())
    )
    off = AccountRecord(account_id="d", workspace_id="w", channel=CHANNEL, enabled=False)
    theirs = AccountRecord(account_id="e", workspace_id="w", channel="other")
    for record in (sealed, off, theirs):
        asyncio.run(log.send(TOPICS.accounts, record.account_id.encode(), record.to_json()))
    assert run("accounts", "list", "--json") == 0
    listed = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
    standings = {"a": "opened", "b": "opened", "c": "sealed", "d": "disabled"}
    assert {one["account_id"]: one["standing"] for one in listed} == standings
    assert run("accounts", "remove", "a", "e", "--json") == 1
    assert orjson.loads(capsys.readouterr().out) == {"removed": ["a"], "unknown": ["e"]}
    assert run("accounts", "remove", "b") == 0
    capsys.readouterr()
    assert run("accounts", "list") == 0
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == ["c", "d"]


class ProbedChannel(PlainChannel):
    async def probe(self, account: Account) -> HealthChange:
        if account.account_id == "away":
            raise ProviderError(failure(ErrorCode.PROVIDER_UNAVAILABLE))
        if account.account_id == "dead":
            return HealthChange(Health.REAUTH_REQUIRED, ErrorCode.ACCOUNT_REAUTH_REQUIRED, "The token has ended.")
        return HealthChange(Health.CONNECTED)

    async def check_subscription(self, account: Account, base_url: str | None) -> Subscription:
        return Subscription(webhooks=("Nobody is subscribed.",) if account.account_id == "silent" else ())


def test_the_provider_is_asked_about_accounts(log: MemoryLog, capsys: pytest.CaptureFixture[str]) -> None:
    with_accounts(log, "away", "dead", "fine", "silent")
    assert run("accounts", "check", "--json", channel=ProbedChannel()) == 1
    found = {one["account_id"]: one for one in map(orjson.loads, capsys.readouterr().out.splitlines())}
    assert found["fine"] == {"account_id": "fine", "ok": True, "problems": []}
    assert found["silent"]["problems"] == ["Nobody is subscribed."]
    assert found["dead"]["problems"] == ["reauth_required: The token has ended."]
    assert found["away"]["problems"][0].startswith("provider_unavailable: ")
    assert run("accounts", "check", "fine", channel=ProbedChannel()) == 0
    assert capsys.readouterr().out == "fine: ok\n"
    assert run("accounts", "check", "nobody", channel=ProbedChannel()) == 1
    assert "There is no such account." in capsys.readouterr().out


def test_a_log_that_is_away(
    tmp_path: Path, log: MemoryLog, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def connect(stream: MemoryLog) -> None:
        await stream.start()

    for module in (main, accounts_command):
        monkeypatch.setattr(module, "connect", connect)
    file = tmp_path / "accounts.yaml"
    file.write_text("[]")
    log.available = False
    for arguments in (["accounts", "apply", str(file)], ["redrive"]):
        assert run(*arguments) == 1
        assert "LogUnavailable" in capsys.readouterr().err


def test_a_bug_is_no_traceback_with_somebodys_data_in_it(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(*_: Any) -> None:
        raise KeyError("+4915112345678")

    monkeypatch.setattr(main, "connect", broken)
    assert run("redrive") == 1
    assert "4915112345678" not in "".join(capsys.readouterr())


# ------------------------------------------------------------------------------------------------ webhook, redrive


class RegisteringChannel(PlainChannel):
    def __init__(self) -> None:
        super().__init__()
        self.registered: list[str] = []

    async def register_webhook(self, account: Account, base_url: str) -> None:
        if account.account_id == "refused":
            raise ProviderError(failure(ErrorCode.ACCOUNT_REAUTH_REQUIRED))
        self.registered.append(account.account_id)

    async def check_webhook(self, account: Account, base_url: str) -> str | None:
        return None if account.account_id in self.registered else "points elsewhere"


def with_accounts(log: MemoryLog, *names: str) -> None:
    for name in names:
        mode = "pull" if name == "pulled" else "webhook"
        record = AccountRecord(account_id=name, workspace_id="w", channel=CHANNEL, mode=mode)  # type: ignore[arg-type]
        asyncio.run(log.send(TOPICS.accounts, name.encode(), record.to_json()))


def test_webhooks_are_registered_and_checked(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HTTP_PUBLIC_URL", "https://hooks.example")
    with_accounts(log, "a", "b", "pulled", "refused")
    channel = RegisteringChannel()
    assert run("webhook", "register", "--account", "a", channel=channel) == 0
    assert channel.registered == ["a"]
    assert run("webhook", "check", channel=channel) == 1
    assert sorted(capsys.readouterr().out.splitlines()) == [
        "a: ok",
        "a: ok",
        "b: points elsewhere",
        "refused: points elsewhere",
    ]
    assert run("webhook", "register", "--account", "refused", channel=channel) == 1
    assert capsys.readouterr().out == "refused: account_reauth_required\n"


def test_webhooks_need_an_address_and_a_channel_that_has_them(
    log: MemoryLog, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("webhook", "register", channel=RegisteringChannel()) == 2
    assert "HTTP_PUBLIC_URL" in capsys.readouterr().err
    assert run("webhook", "register") == 2


@pytest.mark.parametrize("command", [("webhook", "check"), ("rebuild",)])
def test_a_missing_topic_is_named_instead_of_waited_for(
    log: MemoryLog, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("HTTP_PUBLIC_URL", "https://connect.example")
    log._topics.clear()
    assert run(*command, channel=RegisteringChannel()) == 1
    assert TOPICS.accounts in capsys.readouterr().err


def test_history_needs_a_provider_that_shows_it(log: MemoryLog, capsys: pytest.CaptureFixture[str]) -> None:
    with_accounts(log, "a")
    assert run("backfill", "a") == 2
    assert "no history" in capsys.readouterr().err


def test_dead_letters_are_sent_back(log: MemoryLog, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    async def bury() -> None:
        aside = body_store(Blobs(tmp_path.as_uri()))
        dead = DeadLetters(log, lambda _: TOPICS.deadletter(CHANNEL), store_body=aside)
        for number in range(5):
            code = "internal" if number % 2 else "unreadable"
            record = Record(TOPICS.outbound(CHANNEL), 0, number, b"key", b"%d" % number, (("ce_id", b"x"),), 0)
            await dead.put(record, code, "")

    asyncio.run(bury())
    assert run("redrive", "--code", "internal") == 0
    assert capsys.readouterr().out == "sent back: 2\n"
    assert [record.value for record in read(log, TOPICS.outbound(CHANNEL))] == [b"1", b"3"]
    assert run("redrive", "--limit", "1") == 0
    assert len(read(log, TOPICS.outbound(CHANNEL))) == 3


def test_dead_letters_are_listed_shown_and_some_of_them_sent_back(
    log: MemoryLog, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(operate, "kafka_log", lambda *_: log)
    topic = TOPICS.deadletter(CHANNEL)

    async def bury() -> None:
        for number, (account, age) in enumerate((("a", 1), ("b", 1), ("a", 50), ("a", 1))):
            now = int((time() - age * 3600) * 1000)
            dead = DeadLetters(
                log, lambda _: topic, store_body=body_store(Blobs(tmp_path.as_uri())), now_ms=lambda now=now: now
            )
            key, value = f"plain:{account}:4915112345678".encode(), b'{"text": "hello"}'
            await dead.put(Record(TOPICS.outbound(CHANNEL), 0, number, key, value, (), 0), "internal", "KeyError")

    def told() -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]

    asyncio.run(bury())
    assert run("deadletters", "list") == 0
    listed = told()
    assert [(each["account"], each["code"], each["from"]["offset"]) for each in listed] == [
        ("a", "internal", "0"), ("b", "internal", "1"), ("a", "internal", "2"), ("a", "internal", "3"),
    ]  # fmt: skip
    assert 50 * 3600 <= listed[2]["age_seconds"] < 50 * 3600 + 60
    assert "4915112345678" not in orjson.dumps(listed).decode()
    assert "hello" not in orjson.dumps(listed).decode()
    assert run("deadletters", "show", listed[1]["letter"]) == 0
    (shown,) = told()
    assert (shown["value"], shown["key"]) == ('{"text": "hello"}', "plain:b:4915112345678")
    assert run("deadletters", "show", "7:7") == 3
    which = ("--account", "a", "--code", "internal", "--since", "2h")
    assert run("deadletters", "redrive", *which, "--dry-run") == 0
    assert told() == [{"would_send": 2, "dry_run": True}]
    assert read(log, TOPICS.outbound(CHANNEL)) == []
    assert run("deadletters", "redrive", *which) == 0
    assert told() == [{"sent": 2, "stay": 0, "still_unreadable": 0}]
    assert [record.key for record in read(log, TOPICS.outbound(CHANNEL))] == [b"plain:a:4915112345678"] * 2
    assert run("deadletters", "list") == 0
    assert [each["letter"] for each in told()] == [listed[1]["letter"], listed[2]["letter"]]
    with pytest.raises(SystemExit, match="2"):
        run("deadletters", "list", "--since", "yesterday")


def test_tools_say_with_their_status_what_they_found(
    log: MemoryLog, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(operate, "kafka_log", lambda *_: log)
    monkeypatch.setenv("BLOB_URL", tmp_path.as_uri())
    assert run("trace", "nobody") == 3
    assert run("erase", "--contact", "elsewhere:a:1") == 2
    assert capsys.readouterr().out == ""
    assert run("replay", "--from", "1d", "--dry-run") == 0
    counts = dict.fromkeys(("records", "same", "changed", "new", "unreadable"), 0)
    assert orjson.loads(capsys.readouterr().out) == {**counts, "dry_run": True}
    monkeypatch.setenv("STATE_URL", "valkey://127.0.0.1:1/0")
    assert run("erase", "--contact", f"{CHANNEL}:a:1") == 1
    assert "StateUnavailable" in capsys.readouterr().err


class StricterChannel(PlainChannel):
    """Cannot read yet what its provider sends by now."""

    def unbatch(self, request: WebhookRequest) -> Sequence[RawItem]:
        if b"new" in request.body:
            raise KeyError("a bug")
        return super().unbatch(request)


def keep_unreadable(log: MemoryLog, blobs: str, *bodies: bytes) -> None:
    async def keep() -> None:
        dead = DeadLetters(log, lambda _: TOPICS.deadletter(CHANNEL), store_body=body_store(Blobs(blobs)))
        writer = RawWriter(CHANNEL, log, TOPICS, Blobs(blobs), dead)
        for body in bodies:
            await writer.write_unreadable("the/route", body, "KeyError")

    asyncio.run(keep())


@pytest.mark.parametrize("largest", [1_000_000, 120], ids=["in the letter", "in the blob store"])
def test_a_body_that_has_become_readable_is_split_and_keeps_its_time(
    log: MemoryLog,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    largest: int,
) -> None:
    monkeypatch.setenv("BLOB_URL", f"file://{tmp_path}")
    items = [item(id="new-1", peer="p1"), item(id="new-2", peer="p2")]
    log._max_bytes = largest
    with monkeypatch.context() as patch:
        patch.setattr("shared.runtime.inbound.raw.time", lambda: 1_700_000_000.123)
        keep_unreadable(log, f"file://{tmp_path}", orjson.dumps(items), b"nonsense")
    assert run("redrive", channel=StricterChannel()) == 0
    assert capsys.readouterr().out == "sent back: 0\nstill unreadable: 2\n"
    assert read(log, TOPICS.raw(CHANNEL)) == []
    assert run("redrive", "--code", "unreadable") == 0
    assert capsys.readouterr().out == "sent back: 1\nstill unreadable: 1\n"
    found = sorted(read(log, TOPICS.raw(CHANNEL)), key=lambda record: record.key or b"")
    assert [orjson.loads(record.value or b"") for record in found] == items
    assert [record.key for record in found] == [b"acc_1:p1", b"acc_1:p2"]
    assert {dict(record.headers)["received_at"] for record in found} == {b"1700000000123"}
    codes = [dict(letter.headers)["dl_code"] for letter in read(log, TOPICS.deadletter(CHANNEL))]
    assert sorted(codes) == [b"sent_back", b"unreadable", b"unreadable"]
    assert run("redrive") == 0
    assert capsys.readouterr().out == "sent back: 0\nstill unreadable: 1\n"


def test_a_body_is_split_with_the_route_it_came_by(log: MemoryLog, tmp_path: Path) -> None:
    routes = []

    class RoutedChannel(PlainChannel):
        def unbatch(self, request: WebhookRequest) -> Sequence[RawItem]:
            routes.append((request.route, request.body))
            return ()

    keep_unreadable(log, f"file://{tmp_path}", b"body")
    assert run("redrive", channel=RoutedChannel()) == 0
    assert routes == [("the/route", b"body")]


def test_a_body_whose_blob_is_gone_stays_a_dead_letter(
    log: MemoryLog, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BLOB_URL", f"file://{tmp_path}/empty")
    log._max_bytes = 10
    keep_unreadable(log, f"file://{tmp_path}/full", orjson.dumps([item()]))
    assert run("redrive") == 0
    assert capsys.readouterr().out == "sent back: 0\nstill unreadable: 1\n"
    assert len(read(log, TOPICS.deadletter(CHANNEL))) == 1
