"""The console's server without a browser: who may use it, what it refuses, and how it tells what happens."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.sandbox.console.running import Sandbox

COMMANDS = "/api/channels/telegram/commands"
PEOPLE = "/api/channels/telegram/people"


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def error(self) -> str:
        return str(json.loads(self.body)["error"])


def ask(sandbox: Sandbox, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
    connection = http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=10)
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    connection.request(method, path, content, dict(headers or {}))
    answer = Answer(connection.getresponse())
    connection.close()
    return answer


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "[::1", ""])
def test_a_name_that_is_not_loopback_is_refused(sandbox: Sandbox, host: str) -> None:
    assert ask(sandbox, "GET", "/api/world", headers={"Host": host}).status in (400, 403)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8000", "[::1]:8000"])
def test_loopback_has_several_names(sandbox: Sandbox, host: str) -> None:
    assert ask(sandbox, "GET", "/api/world", headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_another_site_cannot_act(sandbox: Sandbox, headers: dict[str, str]) -> None:
    before = json.loads(ask(sandbox, "GET", PEOPLE).body)
    assert ask(sandbox, "POST", PEOPLE, {"name": "Mallory"}, headers).status == 403
    assert json.loads(ask(sandbox, "GET", PEOPLE).body) == before


def test_the_page_may_run_its_own_scripts_only(sandbox: Sandbox) -> None:
    policy = ask(sandbox, "GET", "/").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
    page = ask(sandbox, "GET", "/").body.decode()
    assert "http://" not in page and "https://" not in page and "onclick" not in page


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        (COMMANDS, b"{", 400, "JSON object"),
        (COMMANDS, [], 400, "JSON object"),
        (COMMANDS, {"type": "message.shout"}, 400, "message.shout is no command"),
        (COMMANDS, {"type": "message.send", "account_id": "a"}, 400, "content"),
        (PEOPLE, {"name": " "}, 400, "name"),
        (f"{PEOPLE}/701000001/write", {}, 400, "text is missing"),
        (f"{PEOPLE}/701000001/edit", {"message_id": 999, "text": "x"}, 400, "no such message"),
        (f"{PEOPLE}/1/write", {"text": "x"}, 400, "no such person"),
    ],
)
def test_a_bad_request_gets_a_sentence(sandbox: Sandbox, path: str, body: Any, status: int, said: str) -> None:
    answer = ask(sandbox, "POST", path, body)
    assert answer.status == status and said in answer.error


@pytest.mark.parametrize(
    "path",
    [
        "/api/channels/pigeon/people",
        "/api/blobs/core/none",
        "/api/blobs/..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/api/blobs/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/static/..%2fserver.py",
        "/static/%2e%2e/server.py",
    ],
)
def test_what_is_not_there_is_not_found(sandbox: Sandbox, path: str) -> None:
    answer = ask(sandbox, "GET", path)
    assert answer.status in (403, 404), answer.body
    assert b"root:" not in answer.body and b"import" not in answer.body


def test_a_file_comes_back_as_it_was(sandbox: Sandbox) -> None:
    content = bytes(range(256)) * 2_000
    stored = ask(sandbox, "POST", "/api/files", content, {"X-Filename": "%C3%9Cber.bin", "Content-Type": "a/b"})
    facts = json.loads(stored.body)
    assert stored.status == 201 and facts["filename"] == "Über.bin" and facts["size"] == len(content)
    fetched = ask(sandbox, "GET", f"/api/blobs/{facts['blob']}?name=%C3%9Cber.bin")
    assert fetched.body == content
    assert fetched.headers["Content-Type"] == "application/octet-stream"
    assert fetched.headers["Content-Disposition"] == "attachment; filename*=UTF-8''%C3%9Cber.bin"


def events(sandbox: Sandbox, last_event_id: str = "") -> tuple[str, list[dict[str, Any]], str]:
    """The run, the first batch of records, and the id to resume at."""
    connection = http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=10)
    connection.request("GET", "/api/events", headers={"Last-Event-ID": last_event_id} if last_event_id else {})
    stream = connection.getresponse()
    run, event_id, kind = "", "", ""
    while True:
        field, _, value = stream.readline().decode().rstrip("\n").partition(": ")
        if field == "event":
            kind = value
        elif field == "id":
            event_id = value
        elif field == "data" and kind == "hello":
            run = value
        elif field == "data" and kind == "records":
            connection.close()
            return run, json.loads(value), event_id


def test_a_page_that_reconnects_goes_on_where_it_was(sandbox: Sandbox) -> None:
    run, first, event_id = events(sandbox)
    assert [record["n"] for record in first] == list(range(1, len(first) + 1))
    assert event_id == f"{run}.{len(first)}"
    assert ask(sandbox, "POST", f"{PEOPLE}/701000002/write", {"text": "Anything new?"}).status == 200
    _, following, _ = events(sandbox, event_id)
    assert following[0]["n"] == len(first) + 1


def test_a_page_of_another_run_begins_anew(sandbox: Sandbox) -> None:
    _, records, _ = events(sandbox, "feedface.999999")
    assert records[0]["n"] == 1


def test_credentials_are_never_shown(sandbox: Sandbox) -> None:
    _, records, _ = events(sandbox)
    accounts = [record["value"] for record in records if record["topic"] == "channels.accounts"]
    assert accounts and all("sealed" in account and "credentials" not in account for account in accounts)
    # Every secret of the sandbox is a row of at least 24 random characters; no word of the page is as long.
    assert re.findall(rb"[\w-]{24,}", ask(sandbox, "GET", "/api/world").body) == []
