"""Row 9: what becomes of each of the 26 file types on each channel: one outcome each, declared beforehand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.channels import goldens
from tests.e2e.providers import Person
from tests.e2e.topics import SENT
from tests.e2e.world import WORKSPACE
from tests.requirements.inside import Channel
from tests.requirements.samples import EXE, FILES, SORTS

pytestmark = pytest.mark.asyncio(loop_scope="session")

# What each type becomes on each channel, for who reads this: the same as the table that the capabilities have.
OUTCOMES = """
type  email   telegram  tiktok     whatsapp
jpg   native  native    native     native
jpeg  native  native    native     native
gif   native  native    converted  converted
bmp   native  native    converted  converted
png   native  native    native     native
txt   native  native    rejected   native
xls   native  native    rejected   native
xlsx  native  native    rejected   native
doc   native  native    rejected   native
docx  native  native    rejected   native
csv   native  native    rejected   native
ppt   native  native    rejected   native
pptx  native  native    rejected   native
mp3   native  native    rejected   native
mp4   native  native    rejected   native
mov   native  converted rejected   converted
wav   native  converted rejected   converted
mpg   native  converted rejected   converted
mpeg  native  converted rejected   converted
zip   native  native    rejected   rejected
tar   native  native    rejected   rejected
tgz   native  native    rejected   rejected
gz    native  native    rejected   rejected
pdf   native  native    rejected   native
log   native  native    rejected   native
xml   native  native    rejected   native
"""


def _table() -> dict[str, dict[str, str]]:
    (_, *names), *rows = (line.split() for line in OUTCOMES.split("\n") if line)
    return {name: {row[0]: row[1 + column] for row in rows} for column, name in enumerate(names)}


TABLED = tuple(_table())  # a channel that is not in it has its outcomes in its capabilities alone


@pytest.mark.parametrize("channel", TABLED, indirect=True)
async def test_what_is_published_says_of_every_type_what_becomes_of_it(channel: Channel) -> None:
    published = goldens.channel(channel.name).capabilities.file_outcomes
    assert [(outcome.type, outcome.codecs) for outcome in published] == list(SORTS)
    first = {outcome.type: str(outcome.outcome) for outcome in reversed(published)}
    assert {kind: first[kind] for kind in FILES} == _table()[channel.name]


async def test_every_cell_of_the_table_is_what_becomes_of_a_real_file(channel: Channel) -> None:
    """As the agent picks them: a name and bytes, neither kind nor type told."""
    person = await channel.person(await channel.account())
    outcomes = goldens.channel(channel.name).capabilities.file_outcomes
    published = {(found.type, found.codecs): found for found in outcomes}
    wrong = {}
    for sort, made in SORTS.items():
        blob = await channel.world.blobs.put_content(f"{WORKSPACE}/types", made())
        file = {"blob": blob, "filename": f"file.{sort[0]}"}
        content = {"kind": "media", "attachments": [file]}
        said = await _said(channel, person, content)
        cell = published[sort]
        kind = None if cell.kind is None or channel.name == "email" else str(cell.kind)  # a mail's file has none
        if said != (str(cell.outcome), kind, cell.mime_type):
            wrong[sort] = said
    assert wrong == {}
    assert channel.asked(person.account) == []


async def test_the_provider_takes_every_file_that_is_not_rejected(channel: Channel) -> None:
    person = await channel.person(await channel.account())
    published = goldens.channel(channel.name).capabilities.file_outcomes
    carried = [found for found in published if found.outcome != "rejected"]
    states = {}
    for found in carried:
        blob = await channel.world.blobs.put_content(f"{WORKSPACE}/types", SORTS[found.type, found.codecs]())
        file = {"blob": blob, "filename": f"file.{found.type}"}
        command = await channel.command(person, content={"kind": "media", "attachments": [file]})
        (status,) = await channel.statuses.end(command.id)
        if status["state"] not in SENT:
            states[found.type, found.codecs] = status
    assert states == {}
    assert len(channel.provider.got(person)) == len(carried)


async def _said(channel: Channel, person: Person, content: dict[str, Any]) -> tuple[str, str | None, str | None]:
    """What preflight says becomes of the one file: the outcome, its kind, the type it is converted into."""
    answer = await channel.ask(person, content=content)
    if not answer["accepted"]:
        assert answer["refused"]["code"] == "file_type_unsupported", answer
        return "rejected", None, None
    codes = {warning["code"] for warning in answer["warnings"]}
    (call,) = answer["calls"]
    (file,) = call["files"].values()
    kind = file.get("kind") or _kind_of(channel.name, call)
    if "converted" in codes:
        return "converted", kind, file["mime_type"]
    assert codes == set(), answer
    as_file = kind == "document" and file["mime_type"].startswith(("image/", "video/", "audio/"))
    return "document" if as_file else "native", kind, None


def _kind_of(name: str, call: dict[str, Any]) -> str | None:
    """By the call, where the plan leaves the kind to the type."""
    if name == "email":
        return None
    if name == "telegram":
        method = call["method"].removeprefix("send").lower()
        return {"photo": "image", "animation": "video"}.get(method, method)
    return str(call["params"].get("type") or "image")


@pytest.mark.parametrize("extension", ["jpg", "pdf", "mp4"])
async def test_a_program_under_another_name_is_refused(channel: Channel, extension: str) -> None:
    person = await channel.person(await channel.account())
    blob = await channel.world.blobs.put_content(f"{WORKSPACE}/types", EXE)
    file = {"blob": blob, "filename": f"holiday.{extension}"}
    error = await channel.refused(person, content={"kind": "media", "attachments": [file]})
    assert error["code"] == "file_type_mismatch"


@pytest.mark.parametrize("channel", TABLED, indirect=True)
@pytest.mark.parametrize(("told", "extension"), [("image", "pdf"), ("image", "mp4"), ("video", "png"), ("voice", "gz")])
async def test_a_file_is_sent_as_what_it_is_and_not_as_what_it_is_told_to_be(
    channel: Channel, told: str, extension: str
) -> None:
    person = await channel.person(await channel.account())
    blob = await channel.world.blobs.put_content(f"{WORKSPACE}/types", FILES[extension])
    file = {"blob": blob, "kind": told, "filename": "a.jpg"}
    answer = await channel.ask(person, content={"kind": "media", "attachments": [file]})
    if channel.name == "tiktok" or (channel.name, extension) == ("whatsapp", "gz"):
        assert answer["refused"]["code"] == "file_type_unsupported"
        return
    assert [warning["code"] for warning in answer["warnings"]] == ["type_corrected"], answer
    methods = {"pdf": "document", "mp4": "video", "png": ("image", "photo"), "gz": "document"}[extension]
    (call,) = answer["calls"]
    (path,) = call["files"]
    assert path.removesuffix(".id") in methods or channel.name == "email"  # where every file is a file


# The bytes under another name, and what they go out as: telegram, whatsapp.
PRETENDERS = [
    ("wav", "audio/mpeg", "talk.mp3", "audio", "audio"),
    ("mov", "video/mp4", "clip.mp4", "video", "video"),
    ("pdf", "binary/octet-stream", "offer.pdf", "document", "document"),
    ("png", "image/jpeg", "photo.jpg", "photo", "image"),
]
NAMES_OF_SOUND = {"telegram": "talk.m4a", "whatsapp": "talk.ogg"}  # converted, and named so


@pytest.mark.parametrize("channel", TABLED, indirect=True)
@pytest.mark.parametrize(("extension", "claimed", "name", "telegram", "whatsapp"), PRETENDERS)
async def test_a_claimed_type_that_the_bytes_deny_is_not_believed(
    channel: Channel, extension: str, claimed: str, name: str, telegram: str, whatsapp: str
) -> None:
    person = await channel.person(await channel.account())
    blob = await channel.world.blobs.put_content(f"{WORKSPACE}/types", FILES[extension])
    file = {"blob": blob, "mime_type": claimed, "filename": name}
    answer = await channel.ask(person, content={"kind": "media", "attachments": [file]})
    if channel.name == "tiktok" and extension != "png":
        assert answer["refused"]["code"] == "file_type_unsupported"
        return
    codes = {warning["code"] for warning in answer["warnings"]}
    assert ("type_corrected" in codes) == (extension != "pdf"), answer
    (path,) = answer["calls"][0]["files"]
    paths = {"email": "file0", "telegram": telegram, "tiktok": "image", "whatsapp": whatsapp}
    assert path.removesuffix(".id") == paths[channel.name]
    # What the contact sees is left alone.
    sent_as = NAMES_OF_SOUND.get(channel.name, name) if extension == "wav" else name
    assert answer["calls"][0]["files"][path]["filename"] == sent_as
