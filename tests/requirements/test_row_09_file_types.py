"""Row 9: what becomes of each of the 26 file types on each channel: one outcome each, declared beforehand."""

from __future__ import annotations

import pytest

from tests.e2e.world import WORKSPACE
from tests.requirements.inside import Channel
from tests.requirements.samples import EXE, FILES

pytestmark = pytest.mark.asyncio(loop_scope="session")

# As the agent picks them: a name and bytes, neither kind nor type told. `native`: as what it is; `document`: a
# picture, a video or a sound that goes out as a file; `convert`: as another kind; `reject`: not at all.
OUTCOMES = """
type  telegram  tiktok  whatsapp
jpg   native    native  native
jpeg  native    native  native
gif   native    reject  document
bmp   native    reject  document
png   native    native  native
txt   native    reject  native
xls   native    reject  native
xlsx  native    reject  native
doc   native    reject  native
docx  native    reject  native
csv   native    reject  native
ppt   native    reject  native
pptx  native    reject  native
mp3   native    reject  native
mp4   native    reject  native
mov   document  reject  document
wav   document  reject  document
mpg   document  reject  document
mpeg  document  reject  document
zip   native    reject  native
tar   native    reject  native
tgz   native    reject  native
gz    native    reject  native
pdf   native    reject  native
log   native    reject  native
xml   native    reject  native
"""


def _table() -> dict[str, dict[str, str]]:
    (_, *names), *rows = (line.split() for line in OUTCOMES.split("\n") if line)
    return {name: {row[0]: row[1 + column] for row in rows} for column, name in enumerate(names)}


async def _outcome(channel: Channel, person: object, extension: str, content: bytes) -> str:
    blob = await channel.world.blobs.put_content(f"{WORKSPACE}/types", content)
    file = {"blob": blob, "filename": f"file.{extension}"}
    answer = await channel.ask(person, content={"kind": "media", "attachments": [file]})  # type: ignore[arg-type]
    if not answer["accepted"]:
        assert answer["refused"]["code"] == "file_type_unsupported", answer
        assert answer["refused"]["field"] == "content.attachments.0"
        return "reject"
    codes = {warning["code"] for warning in answer["warnings"]}
    assert codes <= {"sent_as_document", "converted"}, answer
    return "document" if "sent_as_document" in codes else "convert" if "converted" in codes else "native"


async def test_every_type_has_the_outcome_of_the_table(channel: Channel) -> None:
    person = await channel.person(await channel.account())
    found = {extension: await _outcome(channel, person, extension, content) for extension, content in FILES.items()}
    assert found == _table()[channel.name]
    assert channel.asked(person.account) == []


@pytest.mark.parametrize("extension", ["jpg", "pdf", "mp4"])
async def test_a_program_under_another_name_is_refused(channel: Channel, extension: str) -> None:
    person = await channel.person(await channel.account())
    blob = await channel.world.blobs.put_content(f"{WORKSPACE}/types", EXE)
    file = {"blob": blob, "filename": f"holiday.{extension}"}
    error = await channel.refused(person, content={"kind": "media", "attachments": [file]})
    assert error["code"] == "file_type_mismatch"


@pytest.mark.parametrize(("told", "extension"), [("image", "pdf"), ("image", "mp4"), ("video", "png"), ("voice", "gz")])
async def test_a_file_is_sent_as_what_it_is_and_not_as_what_it_is_told_to_be(
    channel: Channel, told: str, extension: str
) -> None:
    person = await channel.person(await channel.account())
    blob = await channel.world.blobs.put_content(f"{WORKSPACE}/types", FILES[extension])
    file = {"blob": blob, "kind": told, "filename": "a.jpg"}
    answer = await channel.ask(person, content={"kind": "media", "attachments": [file]})
    if channel.name == "tiktok":
        assert answer["refused"]["code"] == "file_type_unsupported"
        return
    assert [warning["code"] for warning in answer["warnings"]] == ["type_corrected"], answer
    methods = {"pdf": "document", "mp4": "video", "png": ("image", "photo"), "gz": "document"}[extension]
    (call,) = answer["calls"]
    (path,) = call["files"]
    assert path.removesuffix(".id") in methods


# The bytes under another name, and what becomes of them: telegram, whatsapp.
PRETENDERS = [
    ("wav", "audio/mpeg", "talk.mp3", "document", "document"),
    ("mov", "video/mp4", "clip.mp4", "document", "document"),
    ("pdf", "binary/octet-stream", "offer.pdf", "document", "document"),
    ("png", "image/jpeg", "photo.jpg", "photo", "image"),
]


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
    assert path.removesuffix(".id") == {"telegram": telegram, "whatsapp": whatsapp, "tiktok": "image"}[channel.name]
    assert answer["calls"][0]["files"][path]["filename"] == name  # what the contact sees is left alone
