"""Rows 25 to 27, of what is sent: a mail's subject, the subject it has by default, and the thread it stands in."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.simulators.email import EmailSimulator
from shared.runtime.tools import offline
from tests.channels import goldens
from tests.channels.email.sending import CONTACT, Memory, account, call, channel

PREFIXES = [
    "Re",
    "RE",
    "re",
    "AW",
    "Aw",
    "Antw",
    "Fwd",
    "FW",
    "WG",
    "SV",
    "RES",
    "TR",
    "R",
    "Odp",
    "YNT",
    "回复",
    "Ответ",
    "Re[3]",
]
NOTE = {"message_id": "a1@mail.example", "references": "root@mail.example"}


def planned(content: dict[str, Any], thread: dict[str, str] | None = None, **data: Any) -> dict[str, Any]:
    """The parameters of a mail's call."""
    command = {
        "conversation_id": "email:mail_1:p-6a1f0c2b9d8e7f60514233445566aa",
        "account_id": "mail_1",
        "content": {"kind": "email", **content},
    }
    context = {"address": {"email": CONTACT}, "external_id": "support@acme.example", "thread": thread or {}}
    [made] = offline.plan(goldens.channel("email"), {"data": {**command, **data}, "context": context})
    found: dict[str, Any] = made["params"]
    return found


@pytest.mark.parametrize(
    "subject", ["Überraschung – 見積もり", "😀" * 80, "عرض السعر", "Ünïcödé " * 40, "=?utf-8?q?x?="]
)
async def test_a_subject_in_any_script_arrives_as_it_was_written(subject: str) -> None:
    simulator = EmailSimulator()
    await simulator.start()
    simulator.options.login = False
    person = simulator.world.add_person("Ida", CONTACT)
    async with channel() as sender:
        owner = account(simulator.smtp_port, {})
        await sender.perform(call(sender, owner, subject=subject), owner, Memory({}))
    await simulator.stop()
    assert [mail.row()["subject"] for mail in person.mails] == [subject.strip()]
    assert list(simulator.world.violations) == []


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("colon", [": ", ":", "：", " : "])
def test_the_default_is_the_threads_subject_with_one_re(prefix: str, colon: str) -> None:
    for subject in (
        "Angebot",
        f"{prefix}{colon}Angebot",
        f"Re: {prefix}{colon}Re: Angebot",
        f"[EXT] {prefix}{colon}Angebot",
    ):
        assert planned({"text": "x"}, {**NOTE, "subject": subject})["subject"] == "Re: Angebot"


@pytest.mark.parametrize(
    "subject", ["Reminder: pay", "IT: laptops", "Answer: 42", "A: B", "Fwding address", "[#4711] Re: x"]
)
def test_what_only_looks_like_a_prefix_stays(subject: str) -> None:
    assert planned({"text": "x"}, {**NOTE, "subject": subject})["subject"] == f"Re: {subject}"


def test_a_reply_names_what_it_answers_and_a_new_thread_nothing() -> None:
    thread = {**NOTE, "subject": "Angebot"}
    reply = planned({"text": "x"}, thread)
    assert (reply["in_reply_to"], reply["references"]) == ("a1@mail.example", ["root@mail.example", "a1@mail.example"])
    new = planned({"text": "x", "subject": "Rechnung", "thread": "new"}, thread)
    assert new["subject"] == "Rechnung"
    assert not {"in_reply_to", "references"} & new.keys()


def test_an_agents_own_subject_stays_in_the_thread() -> None:
    reply = planned({"text": "x", "subject": "Neues Angebot"}, {**NOTE, "subject": "Angebot"})
    assert (reply["subject"], reply["in_reply_to"]) == ("Neues Angebot", "a1@mail.example")
